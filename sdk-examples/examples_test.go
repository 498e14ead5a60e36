package sdkexamples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/scaffold"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/sdk-examples"
)

// project makes an author's folder in a language and builds it; the test is skipped where the toolchain is missing, or fails
// with TOCSIN_GUESTS=required, as in CI.
func project(t testing.TB, language string) string {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("TOCSIN_GUESTS") == "required" {
			t.Fatalf("%s: run .ci/guests", what)
		}
		t.Skipf("%s; .ci/guests installs it", what)
	}
	dir := filepath.Join(t.TempDir(), "ntfy")
	if _, err := scaffold.Write(scaffold.Project{Language: language, Name: "ntfy", Dir: dir, Clone: ".."}); err != nil {
		t.Fatal(err)
	}
	// offline runs a package manager, so that a test never depends on the network; .ci/guests has fetched what is needed.
	offline := func(name string, args ...string) bool {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return err == nil
	}
	switch language {
	case "c":
		for _, tool := range []string{"clang", "wasm-ld"} {
			if _, err := exec.LookPath(tool); err != nil {
				missing(tool + " is not installed")
			}
		}
	case "assemblyscript":
		if !offline("npm", "ci", "--offline", "--ignore-scripts", "--no-audit", "--no-fund") {
			missing("the AssemblyScript compiler is not at hand")
		}
	case "rust":
		if !offline("cargo", "fetch", "--locked", "--offline") {
			missing("the crates are not at hand")
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		t.Setenv("CARGO_NET_OFFLINE", "true")
		t.Setenv("TARGET_DIR", filepath.Join(cache, "tocsin", "guests", "rust")) // the standard library takes minutes to build
	}
	if err := scaffold.Build(t.Context(), dir); err != nil {
		if strings.Contains(err.Error(), "exit status 69") { // build.sh: a tool is missing
			missing(err.Error())
		}
		t.Fatal(err)
	}
	return dir
}

// TestExamples builds the endpoint in each language as an author does, runs the shared vectors in the sandbox, and wants the
// same requests of all for every sample alert.
func TestExamples(t *testing.T) {
	rt, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	var first [][]any
	for _, language := range sdkexamples.Languages() {
		t.Run(language, func(t *testing.T) {
			pkg, err := scaffold.Pack(project(t, language))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pkg.Check() {
				t.Errorf("package: %s", p)
			}
			// A module made with a PDK of Extism's, or with none, needs nothing of tocsin's own.
			if language != "go" {
				for _, i := range pkg.Imports {
					if i.Module != "extism:host/env" {
						t.Errorf("it imports %s from %s", i.Name, i.Module)
					}
				}
			}
			typ, err := endpoint.Load(t.Context(), rt, pkg)
			if err != nil {
				t.Fatal(err)
			}
			defer typ.Close(t.Context())
			vectors, err := typ.Vectors()
			if err != nil || len(vectors) < 20 {
				t.Fatalf("%d vectors, %v", len(vectors), err)
			}
			for range 3 { // nothing is kept between calls
				for _, err := range typ.RunVectors(t.Context(), vectors) {
					t.Error(err)
				}
			}
			all := requests(t, typ)
			if first == nil {
				first = [][]any{all}
			}
			for i, s := range plugin.Samples() {
				if !reflect.DeepEqual(all[i], first[0][i]) {
					t.Errorf("sample %q: got %v, want %v", s.Name, all[i], first[0][i])
				}
			}
			if s := typ.Stats(); s.Traps+s.GuestErrors+s.OutOfFuel+s.BadOutput > 0 {
				t.Errorf("faults: %+v", s)
			}
		})
	}
}

// requests gives what the endpoint makes of each sample, as JSON values.
func requests(t *testing.T, typ *endpoint.Type) []any {
	t.Helper()
	var all []any
	for _, s := range plugin.Samples() {
		text, err := typ.Package().Render(&s.Alert, "it", false)
		if err != nil {
			t.Fatal(err)
		}
		out, err := typ.Render(t.Context(), &pdk.RenderInput{
			Now: 1718000100000, Locale: "it",
			Endpoint:   pdk.Params{"server_url": "https://ntfy.example.org", "access_token": "placeholder"},
			Recipient:  pdk.Params{"topic": "t"},
			Deliveries: []pdk.Delivery{{ID: s.Alert.ID, Alert: s.Alert, Text: text.Text, Subject: text.Subject, Attempt: 1}},
		})
		if err != nil {
			t.Fatalf("sample %q: %v", s.Name, err)
		}
		var v any
		if err := json.Unmarshal(out.AppendJSON(nil), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestFiles(t *testing.T) {
	if _, err := sdkexamples.Files("cobol"); err == nil {
		t.Error("there is an example in COBOL")
	}
	for _, language := range sdkexamples.Languages() {
		files, err := sdkexamples.Files(language)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"build.sh", "manifest/manifest.toml", "manifest/lint.schema.json", "manifest/vectors/render-one.json"} {
			if files[want] == nil {
				t.Errorf("%s: no %s", language, want)
			}
		}
		// Every file of the folder is taken along: the list in files.go is by hand.
		err = filepath.WalkDir(language, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && slices.Contains([]string{"node_modules", "target"}, e.Name()) {
				return filepath.SkipDir
			}
			rel, _ := filepath.Rel(language, path)
			if !e.IsDir() && filepath.Ext(path) != ".wasm" && files[filepath.ToSlash(rel)] == nil {
				t.Errorf("files.go does not list %s", path)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkRender is a call of render with ten alerts, in each language.
func BenchmarkRender(b *testing.B) {
	rt, err := sandbox.New(sandbox.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close(b.Context())
	in := &pdk.RenderInput{
		Now: 1718000100000, Locale: "en",
		Endpoint: pdk.Params{"server_url": "https://ntfy.example.org"}, Recipient: pdk.Params{"topic": "t"},
	}
	for _, s := range plugin.Samples()[:10] {
		in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: s.Alert.ID, Alert: s.Alert, Text: strings.Repeat(s.Alert.Message+"\n", 6), Subject: s.Alert.Title, Attempt: 1})
	}
	for _, language := range sdkexamples.Languages() {
		b.Run(language, func(b *testing.B) {
			pkg, err := scaffold.Pack(project(b, language))
			if err != nil {
				b.Fatal(err)
			}
			typ, err := endpoint.Load(b.Context(), rt, pkg)
			if err != nil {
				b.Fatal(err)
			}
			defer typ.Close(b.Context())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := typ.Render(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(pkg.Module())), "module-bytes")
		})
	}
}
