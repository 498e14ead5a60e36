package app

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/report"
)

// BuildPlugins builds first-party plug-ins of the clone that the working folder lies in; without names, all.
func BuildPlugins(ctx context.Context, s Streams, names []string, out string) error {
	if len(names) == 0 {
		_, err := build.All(ctx, ".", out, s.Err)
		return err
	}
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	known, err := build.Names(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strict.Nearest(name, known) != name {
			text := fmt.Sprintf("there is no plug-in %q: it is one of %s", name, strings.Join(known, ", "))
			if near := strict.Nearest(name, known); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			return usage("%s", text)
		}
		b, err := build.One(ctx, root, name, out)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(s.Err, "plug-in %-12s %s, %s\n", b.Name, b.Path, report.Bytes(uint64(b.Size)))
	}
	return nil
}

// PackPlugin puts the files of a development folder into a module.
func PackPlugin(s Streams, module, dir, out string) error {
	wasm, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	packed, err := plugin.PackDir(dir, wasm)
	if err != nil {
		return err
	}
	p, err := plugin.Parse(module, packed)
	if err != nil {
		return err
	}
	if out == "" {
		out = p.Name() + ".wasm"
	}
	if err := os.WriteFile(out, packed, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s: %s, sha256 %x\n", out, report.Bytes(uint64(len(packed))), p.Hash)
	return err
}

// UnpackPlugin writes a plug-in as a development folder.
func UnpackPlugin(s Streams, file, dir string) error {
	p, err := plugin.Open(file)
	if err != nil {
		return err
	}
	if err := p.Unpack(dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s %s is in %s\n", p.Name(), p.Manifest.Version, dir)
	return err
}

// LintPlugins prints every mistake of the given packages, which may be author's folders that are built; the error says how many packages cannot be used.
func LintPlugins(s Streams, paths []string) error {
	broken := 0
	for _, path := range paths {
		problems := checkPlugin(path)
		bad := false
		for _, p := range problems {
			kind := "error"
			if p.Warning {
				kind = "warning"
			}
			bad = bad || !p.Warning
			if _, err := fmt.Fprintf(s.Out, "%s: %s: %s\n", path, kind, p); err != nil {
				return err
			}
		}
		switch {
		case bad:
			broken++
		case len(problems) == 0:
			if _, err := fmt.Fprintf(s.Out, "%s: fine\n", path); err != nil {
				return err
			}
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d plug-ins cannot be used", broken, len(paths))
	}
	return nil
}

// inspected is the JSON shape of `tocsin plugin inspect`.
type inspected struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Version     string            `json:"version"`
	World       string            `json:"world"`
	ABI         string            `json:"abi"`     // the version of the world's interface, "1.0"
	Description string            `json:"description"`
	Authors     []string          `json:"authors"`
	Licence     string            `json:"licence"`
	Homepage    string            `json:"homepage,omitempty"`
	Size        int               `json:"size"`
	SHA256      string            `json:"sha256"`
	Signed      bool              `json:"signed"`
	Wants       []string          `json:"wants"`
	Batch       int               `json:"batch"`
	Languages   []string          `json:"languages"`
	Vectors     int               `json:"vectors"`
	Parameters  []plugin.Field    `json:"parameters"`
	Imports     []string          `json:"imports"`
	Exports     []string          `json:"exports"`
	Outcomes    map[string]string `json:"outcomes,omitempty"`
	help        string
}

// InspectPlugin prints what a package says of itself. Nothing of it is run.
func InspectPlugin(s Streams, path, format string) error {
	p, err := plugin.Open(path)
	if err != nil {
		return err
	}
	about, help := p.Describe("en")
	m := p.Manifest
	in := inspected{
		Name: m.Name, Title: m.Title, Version: m.Version, World: p.ABI.World, ABI: p.ABI.Version(), Description: about,
		Authors: m.Authors, Licence: m.Licence, Homepage: m.Homepage, Size: len(p.Wasm), SHA256: fmt.Sprintf("%x", p.Hash),
		Signed: p.Sig != nil, Batch: max(1, m.Batch.Max), Languages: p.Languages(), Vectors: len(p.Vectors),
		Parameters: p.Fields("en"), Outcomes: m.Outcomes, help: help,
	}
	for _, w := range m.Net {
		in.Wants = append(in.Wants, fmt.Sprintf("network %s: %s", w.Host, w.Reason))
	}
	if m.Exec != nil {
		in.Wants = append(in.Wants, "scripts: "+m.Exec.Reason)
	}
	for _, i := range p.Imports {
		in.Imports = append(in.Imports, i.Module+"."+i.Name)
	}
	for _, e := range p.Exports {
		in.Exports = append(in.Exports, e.Name)
	}
	switch format {
	case "jsonl", "json":
		_, err = s.Out.Write(append(appendJSON(nil, in), '\n'))
		return err
	case "", "text":
		return in.print(s)
	}
	return usage("unknown format %q: it is jsonl or text", format)
}

func (in *inspected) print(s Streams) error {
	bold := report.Inspect(s.Out).Color
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s — %s\n%s\n\n", report.Bold(bold, in.Title), in.Version, in.Name, in.Description)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("world", "%s, ABI %s", in.World, in.ABI)
	row("by", "%s (%s) %s", strings.Join(in.Authors, ", "), in.Licence, in.Homepage)
	row("file", "%s, sha256 %s", report.Bytes(uint64(in.Size)), in.SHA256)
	signed := "no"
	if in.Signed {
		signed = "yes, not verified yet"
	}
	row("signed", "%s", signed)
	row("languages", "%s", strings.Join(in.Languages, ", "))
	row("batch", "up to %d alerts in a request", in.Batch)
	row("vectors", "%d", in.Vectors)
	row("exports", "%s", strings.Join(in.Exports, ", "))
	row("imports", "%d functions of %s", len(in.Imports), strings.Join(modules(in.Imports), ", "))
	for _, w := range in.Wants {
		row("wants", "%s", w)
	}
	b.WriteString("\nparameters\n")
	for _, f := range in.Parameters {
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
		fmt.Fprintf(&b, "  %-34s %s\n  %-34s %s\n", f.Path(), kind, "", f.Help)
	}
	if in.help != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(in.help))
	}
	_, err := fmt.Fprint(s.Out, b.String())
	return err
}

// modules gives the distinct module names of imports.
func modules(imports []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, i := range imports {
		m, _, _ := strings.Cut(i, ".")
		if !seen[m] {
			seen[m] = true
			out = append(out, m)
		}
	}
	return out
}
