package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tocsin-net/tocsin"

type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string // direct, without tests
	Deps            []string
	Standard        bool
}

// list gives the packages of the module below the given folders, and every package that these import.
func list(t *testing.T, env []string, folders ...string) map[string]*pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Deps,Standard")
	for _, f := range folders {
		cmd.Args = append(cmd.Args, module+"/"+f)
	}
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	all := map[string]*pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
	return all
}

func under(path string, dirs ...string) bool {
	for _, d := range dirs {
		if full := module + "/" + d; path == full || strings.HasPrefix(path, full+"/") {
			return true
		}
	}
	return false
}

// TestImportDirections keeps the directions that docs/RATIONALE.md and the architecture page draw.
func TestImportDirections(t *testing.T) {
	all := list(t, nil, "...")
	stdOnly := func(p *pkg, but ...string) []string {
		var bad []string
		for _, i := range p.Imports {
			if q := all[i]; q != nil && !q.Standard && !under(i, but...) {
				bad = append(bad, i)
			}
		}
		return bad
	}
	siblings := []string{"host/route", "host/outbox", "host/deliver", "host/check", "host/history"}
	for path, p := range all {
		if !under(path, "capture", "host", "pdk", "plugins", "sdk-examples") {
			continue
		}
		var bad []string
		deny := func(why string, paths ...string) {
			for _, b := range paths {
				bad = append(bad, b+" ("+why+")")
			}
		}
		if under(path, "capture") {
			deny("capture stands below host", filter(p.Imports, func(i string) bool { return under(i, "host", "pdk", "plugins") })...)
		}
		if under(path, "capture/decode", "capture/dissect") {
			deny("decode and dissect stand alone", filter(p.Imports, func(i string) bool { return under(i, "capture") && !under(i, strings.TrimPrefix(path, module+"/")) })...)
		}
		if under(path, "host/alert") {
			deny("the alert model uses the standard library only", stdOnly(p, "host/alert")...)
		}
		if under(path, "pdk") {
			deny("the PDK uses the standard library only", stdOnly(p, "pdk")...)
		}
		if under(path, "plugins") {
			deny("a plug-in uses its PDK only", stdOnly(p, "pdk", strings.TrimPrefix(path, module+"/"))...)
		}
		if under(path, "host") && !under(path, "host/sandbox") {
			deny("only host/sandbox runs WebAssembly", filter(p.Imports, func(i string) bool {
				return strings.HasPrefix(i, "github.com/tetratelabs/wazero") || strings.HasPrefix(i, "github.com/extism/")
			})...)
		}
		for _, s := range siblings {
			if under(path, s) {
				deny("app joins these, they do not know each other", filter(p.Deps, func(i string) bool {
					return under(i, siblings...) && !under(i, s)
				})...)
			}
		}
		if under(path, "host/cmd") {
			deny("the command knows app and demo only", filter(p.Imports, func(i string) bool {
				return under(i, "capture", "host", "pdk") && !under(i, "host/app", "host/demo", "host/cmd")
			})...)
		}
		if under(path, "host") && !under(path, "host/app", "host/secret") {
			deny("app alone opens the store of secrets", filter(p.Imports, func(i string) bool { return under(i, "host/secret") })...)
		}
		if under(path, "host/secret") {
			deny("the store of secrets knows nothing of what they are for", filter(p.Imports, func(i string) bool { return under(i, "host", "pdk") && !under(i, "host/internal", "host/secret") })...)
		}
		if under(path, "host") && !under(path, "host/app", "host/demo", "host/cmd") {
			deny("nothing but the command stands above app", filter(p.Imports, func(i string) bool { return under(i, "host/app", "host/cmd") })...)
		}
		slices.Sort(bad)
		for _, b := range slices.Compact(bad) {
			t.Errorf("%s imports %s", path, b)
		}
	}
}

// TestGuestsStaySmall keeps reflection out of the modules: with encoding/json alone a module has 3.2 MB.
func TestGuestsStaySmall(t *testing.T) {
	heavy := []string{"encoding/json", "fmt", "net/http", "text/template", "html/template", "regexp"}
	for path, p := range list(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "plugins/...", "pdk", "sdk-examples/go") {
		if !under(path, "plugins", "sdk-examples") && path != module+"/pdk" {
			continue
		}
		for _, h := range heavy {
			if slices.Contains(p.Deps, h) {
				t.Errorf("%s links %s when built as a module: use what package pdk offers instead", path, h)
			}
		}
	}
}

func filter(in []string, keep func(string) bool) []string {
	var out []string
	for _, s := range in {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "..", "..", "..")
}

// TestFolders wants one package comment a folder, files of a readable length, plug-ins of 300 lines in all, and no folder that means nothing.
func TestFolders(t *testing.T) {
	top := root(t)
	comments := map[string][]string{}
	folders := map[string]bool{}
	lines := map[string]int{} // of each plug-in
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		if d.IsDir() {
			switch d.Name() {
			case ".git", "testdata", "node_modules", "target":
				return filepath.SkipDir
			case "utils", "util", "common", "helpers", "misc":
				t.Errorf("%s: a folder is named for what lives in it", rel)
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n := bytes.Count(src, []byte("\n"))
		if n > 600 && !strings.HasSuffix(rel, "_gen.go") {
			t.Errorf("%s has %d lines: 600 is the limit; split it by meaning", rel, n)
		}
		if strings.HasPrefix(rel, "plugins"+string(filepath.Separator)) && !strings.HasSuffix(rel, "_test.go") {
			lines[filepath.Dir(rel)] += n
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		folders[filepath.Dir(rel)] = folders[filepath.Dir(rel)] || !strings.HasSuffix(rel, "_test.go")
		if f.Doc != nil && !strings.HasSuffix(rel, "_test.go") {
			comments[filepath.Dir(rel)] = append(comments[filepath.Dir(rel)], filepath.Base(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range lines {
		if n > 300 {
			t.Errorf("%s has %d lines: 300 is the limit of a plug-in; what others could use too belongs into package pdk", dir, n)
		}
	}
	for dir, code := range folders {
		if got := comments[dir]; code && len(got) != 1 {
			t.Errorf("%s has %d package comments (%s): want exactly one that says what lives there and what may not", dir, len(got), strings.Join(got, ", "))
		}
	}
}
