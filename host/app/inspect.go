package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// inspected is the JSON shape of `tocsin plugin inspect`.
type inspected struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Version     string            `json:"version"`
	World       string            `json:"world"`
	ABI         string            `json:"abi"` // the version of the world's interface: "1.0"
	Description string            `json:"description"`
	Authors     []string          `json:"authors"`
	Licence     string            `json:"licence"`
	Homepage    string            `json:"homepage,omitempty"`
	File        string            `json:"file"`
	Size        int               `json:"size"`        // bytes
	ModuleSize  int               `json:"module_size"` // bytes of it that are the module's own
	SHA256      string            `json:"sha256"`
	Signature   *signature        `json:"signature,omitempty"`
	Wants       []wanted          `json:"wants"`
	Batch       int               `json:"batch"`
	Rate        string            `json:"rate,omitempty"`
	MemoryMB    int               `json:"memory_mb"`
	Timeout     string            `json:"timeout"`
	Parallel    int               `json:"parallel"`
	Format      string            `json:"message_format"`
	Languages   []string          `json:"languages"`
	Templates   []string          `json:"templates"`
	Vectors     []inspectedVector `json:"vectors"`
	Parameters  []plugin.Field    `json:"parameters"`
	Imports     []string          `json:"imports"`
	Exports     []string          `json:"exports"`
	Outcomes    map[string]string `json:"outcomes,omitempty"`
	Help        string            `json:"help,omitempty"` // the set-up guide, Markdown
}

// signature is what is known of the section tocsin.sig, whose form is not settled yet.
type signature struct {
	Size     int    `json:"size"`     // bytes
	Covers   string `json:"covers"`   // SHA-256 of all that stands before it
	Verified bool   `json:"verified"` // always false: there is nothing yet to verify with
}

// wanted is what a plug-in asks for, written as `tocsin plugin revoke` takes it.
type wanted struct {
	Wish   store.Wish `json:"wish"`
	Reason string     `json:"reason"`
}

type inspectedVector struct {
	File     string `json:"file"`
	Function string `json:"function,omitempty"`
	What     string `json:"what,omitempty"`
	Error    string `json:"error,omitempty"` // why it cannot be read
}

// InspectPlugin prints what a package says of itself, as text or as one line of JSON, in a language or in English. Nothing of it
// is run.
func InspectPlugin(s Streams, path, format, lang string) error {
	if err := knownLanguage("--lang", lang); err != nil {
		return err
	}
	if err := there(path); err != nil {
		return err
	}
	p, err := plugin.Open(path)
	if err != nil {
		return err
	}
	in := inspect(p, lang)
	switch format {
	case "jsonl", "json":
		_, err = s.Out.Write(append(appendJSON(nil, in), '\n'))
		return err
	case "", "text":
		return in.print(s)
	}
	return usage("unknown format %q: it is jsonl or text", format)
}

func inspect(p *plugin.Package, lang string) *inspected {
	about, help := p.Describe(lang)
	m := p.Manifest
	in := &inspected{
		Name: m.Name, Title: m.Title, Version: m.Version, World: p.ABI.World, ABI: p.ABI.Version(), Description: about,
		Authors: m.Authors, Licence: m.Licence, Homepage: m.Homepage,
		File: p.Path, Size: len(p.Wasm), ModuleSize: len(p.Module()), SHA256: fmt.Sprintf("%x", p.Hash),
		Wants: []wanted{}, Batch: max(1, m.Batch.Max), MemoryMB: m.Limits.MemoryMB, Timeout: m.Limits.Timeout.String(),
		Parallel: m.Limits.Parallel, Format: m.Message.Format, Languages: p.Languages(), Vectors: []inspectedVector{},
		Templates:  append([]string{}, slices.Sorted(maps.Keys(p.Templates))...),
		Parameters: p.Fields(lang), Imports: []string{}, Exports: []string{}, Outcomes: m.Outcomes, Help: help,
	}
	if m.Rate.Count > 0 {
		in.Rate = fmt.Sprintf("%d in %v", m.Rate.Count, m.Rate.Per)
	}
	if covers, ok := p.Signed(); ok {
		in.Signature = &signature{Size: len(p.Sig), Covers: fmt.Sprintf("%x", covers)}
	}
	for _, w := range store.Wishes(m) {
		in.Wants = append(in.Wants, wanted{w, w.Reason(m)})
	}
	for _, file := range slices.Sorted(maps.Keys(p.Vectors)) {
		v, err := spec.ParseVector(file, p.Vectors[file])
		if err != nil {
			in.Vectors = append(in.Vectors, inspectedVector{File: file, Error: err.Error()})
			continue
		}
		in.Vectors = append(in.Vectors, inspectedVector{File: file, Function: v.Function, What: v.Name})
	}
	for _, i := range p.Imports {
		in.Imports = append(in.Imports, i.Module+"."+i.Name)
	}
	for _, e := range p.Exports {
		in.Exports = append(in.Exports, e.Name)
	}
	return in
}

func (in *inspected) print(s Streams) error {
	var b strings.Builder // of the plug-in's texts: made visible at the end
	fmt.Fprintf(&b, "%s\n\n", in.Description)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", name, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	row("interface", "%s %s; this tocsin speaks %s", in.World, in.ABI, plugin.Spoken())
	row("by", "%s", cmp.Or(strings.Join(in.Authors, ", "), "nobody named"))
	row("licence", "%s", in.Licence)
	if in.Homepage != "" {
		row("homepage", "%s", in.Homepage)
	}
	row("file", "%s: %s, of which the module has %s", in.File, report.Bytes(uint64(in.Size)), report.Bytes(uint64(in.ModuleSize)))
	row("sha256", "%s", in.SHA256)
	if in.Signature == nil {
		row("signature", "none")
	} else {
		row("signature", "%d bytes, which this tocsin cannot verify yet, for the content with sha256 %s", in.Signature.Size, in.Signature.Covers)
	}
	for _, w := range in.Wants {
		row("wants", "%s: %s", w.Wish.Words(), w.Reason)
	}
	if len(in.Wants) == 0 {
		row("wants", "nothing: it can reach no host")
	}
	row("languages", "%s", strings.Join(in.Languages, ", "))
	row("messages", "%s, up to %d alerts in a request, %d requests at once, each at most %s", in.Format, in.Batch, in.Parallel, in.Timeout)
	if in.Rate != "" {
		row("rate", "%s at most", in.Rate)
	}
	row("memory", "%d MB at most", in.MemoryMB)
	if len(in.Templates) > 0 {
		row("templates", "%s", strings.Join(in.Templates, ", "))
	}
	row("exports", "%s", strings.Join(in.Exports, ", "))
	for _, m := range modules(in.Imports) {
		row("imports", "%s: %s", m, strings.Join(namesOf(m, in.Imports), ", "))
	}
	if len(in.Outcomes) > 0 {
		var list []string
		for _, status := range slices.Sorted(maps.Keys(in.Outcomes)) {
			list = append(list, status+" "+in.Outcomes[status])
		}
		row("outcomes", "%s", strings.Join(list, ", "))
	}
	b.WriteString("\nparameters\n")
	for _, f := range in.Parameters {
		fmt.Fprintf(&b, "  %-34s %s\n", f.Path(), fieldKind(f))
		fmt.Fprintf(&b, "  %-34s %s\n", "", strings.Trim(f.Title+": "+f.Help, ": "))
		for _, value := range slices.Sorted(maps.Keys(f.Titles)) {
			fmt.Fprintf(&b, "  %-34s %s: %s\n", "", value, f.Titles[value])
		}
	}
	if len(in.Parameters) == 0 {
		b.WriteString("  none\n")
	}
	fmt.Fprintf(&b, "\n%d test vectors\n", len(in.Vectors))
	for _, v := range in.Vectors {
		fmt.Fprintf(&b, "  %-34s %s\n", v.File, cmp.Or(v.Error, v.Function+": "+v.What))
	}
	if in.Help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(in.Help))
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s%s\n", report.Bold(report.Inspect(s.Out).Color, visible(in.Title)), visible(fmt.Sprintf(" %s — %s", in.Version, in.Name)))
	for line := range strings.Lines(b.String()) {
		out.WriteString(visible(strings.TrimSuffix(line, "\n")) + "\n")
	}
	_, err := fmt.Fprint(s.Out, out.String())
	return err
}

// fieldKind says in a few words what a parameter takes.
func fieldKind(f plugin.Field) string {
	kind := f.Type
	if f.Required {
		kind += ", required"
	}
	if f.Secret {
		kind += ", secret"
	}
	if f.Default != nil {
		kind += fmt.Sprintf(", default %v", f.Default)
	}
	if len(f.Enum) > 0 {
		var values []string
		for _, v := range f.Enum {
			values = append(values, fmt.Sprint(v))
		}
		kind += ", one of " + strings.Join(values, ", ")
	}
	return kind
}

// modules gives the distinct module names of imports.
func modules(imports []string) []string {
	var out []string
	for _, i := range imports {
		if m, _, _ := strings.Cut(i, "."); !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// namesOf gives what is imported from one module.
func namesOf(module string, imports []string) []string {
	var out []string
	for _, i := range imports {
		if name, ok := strings.CutPrefix(i, module+"."); ok {
			out = append(out, name)
		}
	}
	return out
}
