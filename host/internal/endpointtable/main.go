// Command endpointtable writes the README's table of what each first-party endpoint supports, from the manifests and the vectors:
//
//	go run ./host/internal/endpointtable
//
// Nothing in it is typed by hand, and its test fails where the README is out of date.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// The marks in the README that the table stands between.
const (
	begin = "<!-- endpoints: written by go run ./host/internal/endpointtable -->\n"
	end   = "<!-- /endpoints -->\n"
)

func main() {
	if err := run("."); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "endpointtable:", err)
		os.Exit(1)
	}
}

// run writes the table into the README of the clone that dir lies in.
func run(dir string) error {
	root, err := build.Root(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(root, "README.md")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := updated(root, old)
	if err != nil || bytes.Equal(text, old) {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// updated is the README with the table as it should be.
func updated(root string, readme []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(readme, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, errors.New("README.md: the marks are missing; write " + strings.TrimSpace(begin) + " and " + strings.TrimSpace(end) + ", each on a line of its own")
	}
	t, err := table(root)
	if err != nil {
		return nil, err
	}
	return slices.Concat(head, []byte(begin), []byte(t), []byte(end), tail), nil
}

// table is the table in Markdown, one line an endpoint type.
func table(root string) (string, error) {
	names, err := build.Names(root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| type | service | alerts a request | when it ends | repeats are dropped | probe | rate | languages | code |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, name := range names {
		p, err := plugin.OpenDir(filepath.Join(root, "manifests", name), nil)
		if err != nil {
			return "", err
		}
		if p.Manifest.World != "endpoint" {
			continue
		}
		m := p.Manifest
		probe, err := probes(root, p)
		if err != nil {
			return "", err
		}
		code := "Go"
		if m.Request != nil {
			code = "none"
		}
		cells := []string{
			name, m.Title, fmt.Sprint(m.Batch.Max), m.Features.OnRelease(), yes(m.Features.Idempotent), yes(probe), rate(m.Rate), languages(p), code,
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String(), nil
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "–"
}

func rate(r plugin.Rate) string {
	if r.Count == 0 {
		return "–"
	}
	per := r.Per.String()
	if strings.HasSuffix(per, "m0s") {
		per = strings.TrimSuffix(per, "0s")
	}
	if strings.HasSuffix(per, "h0m") {
		per = strings.TrimSuffix(per, "0m")
	}
	if r.Per == time.Second || r.Per == time.Minute || r.Per == time.Hour {
		per = strings.TrimPrefix(per, "1")
	}
	return fmt.Sprintf("%d/%s", r.Count, per)
}

func languages(p *plugin.Package) string {
	list := []string{"en"}
	for _, name := range slices.Sorted(maps.Keys(p.Locales)) {
		if l := strings.TrimSuffix(name, ".toml"); l != "en" {
			list = append(list, l)
		}
	}
	return strings.Join(list, ", ")
}

// probes tells whether there are steps that test a configuration: whether there is a vector that says so.
func probes(root string, p *plugin.Package) (bool, error) {
	vectors := maps.Clone(p.Vectors)
	if vectors == nil {
		vectors = map[string][]byte{}
	}
	files, err := filepath.Glob(filepath.Join(root, "plugins", p.Name(), "testdata", "vectors", "*.json"))
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if vectors[f], err = os.ReadFile(f); err != nil {
			return false, err
		}
	}
	for name, b := range vectors {
		var v struct {
			Function string
			Output   struct{ Steps []json.RawMessage }
		}
		if err := json.Unmarshal(b, &v); err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		if v.Function == "probe" && len(v.Output.Steps) > 0 {
			return true, nil
		}
	}
	return false, nil
}
