package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
	"github.com/tocsin-net/tocsin/pdk/recipe"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// tables reads the [request] of every first-party plug-in that has one.
func tables(t *testing.T) map[string]map[string]any {
	t.Helper()
	all, err := filepath.Glob("../../manifests/*/manifest.toml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]any{}
	for _, path := range all {
		var m struct{ Request map[string]any }
		if _, err := toml.DecodeFile(path, &m); err == nil && m.Request != nil {
			found[filepath.Dir(path)] = m.Request
		}
	}
	return found
}

// inSlot is the slot as it is when a plug-in is packed.
func inSlot(t *testing.T, table map[string]any) string {
	t.Helper()
	b, err := json.Marshal(table)
	if err != nil {
		t.Fatal(err)
	}
	mark, rest, _ := strings.Cut(slot, "\n")
	if len(b) >= len(rest) {
		t.Fatalf("%d bytes do not fit", len(b))
	}
	return mark + "\n" + string(b) + rest[len(b):]
}

// TestVectors runs the vectors of the plug-ins natively; package app runs them in the sandbox. With TOCSIN_UPDATE=1 it writes
// their outputs anew, to be looked at before they are committed.
func TestVectors(t *testing.T) {
	for dir, table := range tables(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			e := load(inSlot(t, table))
			vectors := os.DirFS(filepath.Join(dir, "vectors"))
			if os.Getenv("TOCSIN_UPDATE") != "" {
				update(t, &e, filepath.Join(dir, "vectors"))
			}
			all, err := spec.ReadVectors(vectors)
			if err != nil || len(all) < 15 {
				t.Fatalf("%d vectors, %v", len(all), err)
			}
			pdktest.Run(t, &e, vectors)
		})
	}
}

func update(t *testing.T, e *pdk.Endpoint, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Name     string          `json:"name"`
			Function string          `json:"function"`
			Input    json.RawMessage `json:"input"`
			Output   json.RawMessage `json:"output"`
		}
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if v.Output, err = e.Call(v.Function, v.Input); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var out strings.Builder
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadme wants the example of package recipe's README to be one.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("../../pdk/recipe/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```toml\n")
	text, _, ok := strings.Cut(rest, "```")
	var m struct{ Request map[string]any }
	if _, err := toml.Decode(text, &m); err != nil || !ok || m.Request == nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if _, problems := recipe.Parse(m.Request); len(problems) > 0 {
		t.Error(problems)
	}
}

// TestEmpty wants a module that was not packed to say so.
func TestEmpty(t *testing.T) {
	for slot, want := range map[string]string{
		slot: "no [request] table", "mark\n{}...": "request.url: is missing", "mark\n[1]": "no [request] table", "": "no [request] table",
	} {
		e := load(slot)
		if _, err := e.Render(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
