package build_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

func TestRoot(t *testing.T) {
	t.Parallel()
	root, err := build.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "manifests")); err != nil {
		t.Error(err)
	}
	if _, err := build.Root(t.TempDir()); !errors.Is(err, build.ErrNoSource) || !strings.Contains(err.Error(), "run it in a clone of the repository") {
		t.Errorf("outside the source: %v", err)
	}
	other := t.TempDir()
	write(t, other, "go.mod", "module example.org/other\n")
	if _, err := build.Root(other); !errors.Is(err, build.ErrNoSource) {
		t.Errorf("another module: %v", err)
	}
}

// TestFirstParty builds what tocsin ships, as the demo does: twice, the second time without writing anything.
func TestFirstParty(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	var progress bytes.Buffer
	first, err := build.All(t.Context(), ".", out, &progress)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range first {
		names = append(names, b.Name)
		if !b.Changed || b.Size <= b.Module {
			t.Errorf("%+v", b)
		}
		p, err := plugin.Load(b.Path)
		if err != nil {
			t.Fatal(err)
		}
		if p.Hash != b.Hash || !slices.Contains(p.Exports, plugin.Export{Name: "render", Kind: "func"}) {
			t.Errorf("%s: exports %v", b.Name, p.Exports)
		}
		t.Logf("%s: module %.2f MB, package %.2f MB", b.Name, float64(b.Module)/1e6, float64(b.Size)/1e6)
	}
	for _, want := range []string{"shell", "telegram", "webhook"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s was not built; there are %v", want, names)
		}
	}
	if n := strings.Count(progress.String(), "built"); n != len(first) {
		t.Errorf("progress: %q", progress.String())
	}
	again, err := build.All(t.Context(), ".", out, &progress)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range again {
		if b.Changed || b.Hash != first[i].Hash {
			t.Errorf("%s: the same source gave another file", b.Name)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// source is a source tree with one plug-in that needs nothing but Go.
func source(t *testing.T, code, manifest string) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "go.mod", "module github.com/tocsin-net/tocsin\n\ngo 1.26\n")
	write(t, root, "plugins/mine/main.go", code)
	write(t, root, "manifests/mine/manifest.toml", manifest)
	write(t, root, "manifests/mine/lint.schema.json", `{"properties": {"endpoint": {}, "recipient": {}}}`)
	return root
}

const (
	code = "package main\n\n//go:wasmexport render\nfunc render() int32 { return 0 }\n\nfunc main() {}\n"
	good = "name = \"mine\"\ntitle = \"M\"\nversion = \"1.0.0\"\nworld = \"endpoint\"\ndescription = \"d\"\nlicence = \"MIT\"\nhelp = \"h\"\n"
)

func TestOne(t *testing.T) {
	t.Parallel()
	root, out := source(t, code, good), t.TempDir()
	b, err := build.One(t.Context(), root, "mine", out)
	if err != nil || !b.Changed || b.Path != filepath.Join(out, "mine.wasm") {
		t.Fatalf("%+v, %v", b, err)
	}
	before, err := os.ReadFile(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, plugin, code, manifest string
		want                         []string
	}{
		{"no such plug-in", "yours", code, good, []string{"plug-in yours: there is no folder plugins/yours in "}},
		{"path", "../mine", code, good, []string{`"../mine" is no plug-in's name`}},
		{"does not compile", "mine", code + "nonsense", good, []string{"plug-in mine: go build: exit status 1", "plugins/mine/main.go:7"}},
		{"manifest with faults", "mine", code, good + "homepage = \"x\"\n[message]\nformat = \"hmtl\"\n", []string{
			`manifests/mine/manifest.toml:8: homepage: "x" is no web address`, `manifests/mine/manifest.toml:10: message.format: "hmtl" is unknown; did you mean "html"?`,
		}},
		{"another name", "mine", code, strings.Replace(good, `"mine"`, `"yours"`, 1), []string{`name: is "yours", but the folder is mine`}},
		{"exports nothing", "mine", "package main\n\nfunc main() {}\n", good, []string{"the module exports no function render"}},
	} {
		_, err := build.One(t.Context(), source(t, tc.code, tc.manifest), tc.plugin, out)
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s:\ngot  %v\nwant %s", tc.name, err, want)
			}
		}
	}
	if after, err := os.ReadFile(b.Path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a failed build touched the good file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := build.One(ctx, root, "mine", out); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := build.All(t.Context(), source(t, "package main\n\nfunc main() { x }\n", good), out, &bytes.Buffer{}); err == nil {
		t.Error("All hides a failure")
	}
}

// TestForTest asks for one plug-in from many tests at once; they share one build.
func TestForTest(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("LocalAppData", t.TempDir())
	t.Setenv("GOCACHE", goCache)
	t.Setenv("GOMODCACHE", goModCache)
	got := make(chan *plugin.Package)
	for range 4 {
		go func() { got <- build.ForTest(t, "shell") }()
	}
	first := <-got
	for range 3 {
		if p := <-got; p != first {
			t.Error("built more than once")
		}
	}
	if first.Name() != "shell" {
		t.Errorf("got %s", first.Name())
	}
}
