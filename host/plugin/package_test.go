package plugin_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// custom makes a custom section.
func custom(name, body string) string {
	content := string(rune(len(name))) + name + body
	if len(content) > 127 {
		panic("too long for this helper")
	}
	return "\x00" + string(rune(len(content))) + content
}

func TestParseRefusesBadFiles(t *testing.T) {
	t.Parallel()
	head := string(tiny)
	manifest := custom("tocsin.manifest", "name = \"a\"\n")
	for _, tc := range []struct{ name, file, want string }{
		{"empty", "", "x.wasm: this is no WebAssembly module: the file is empty"},
		{"cut in the head", "\x00asm\x01", "x.wasm: this is no WebAssembly module: the file has 5 bytes only, so it is cut short"},
		{"ELF", "\x7fELF\x02\x01\x01\x00\x00", "x.wasm: this is no WebAssembly module: it looks like a Linux program; build it with GOOS=wasip1"},
		{"HTML", "<!doctype html>", "it looks like an HTML page; the download has probably failed"},
		{"WAT", "(module)", "it looks like WebAssembly text; translate it with wat2wasm"},
		{"unknown", "\x01\x02\x03\x04\x05\x06\x07\x08\x09", "x.wasm: this is no WebAssembly module: it begins with 01 02 03 04 05 06 07 08"},
		{"component", "\x00asm\x0d\x00\x01\x00", "at byte 4: this is a WebAssembly component, but tocsin takes core modules"},
		{"version 2", "\x00asm\x02\x00\x00\x00", "at byte 4: WebAssembly version 02 00 00 00 is unknown"},
		{"not packed", head, "x.wasm: this module is no tocsin plug-in: it has no tocsin.manifest section; make one with tocsin plugin pack"},
		{"no manifest", head + custom("tocsin.abi", "endpoint 1"), "x.wasm: the tocsin.manifest section is missing"},
		{"twice", head + manifest + manifest, "section tocsin.manifest: at byte 68: stands twice; the first is at byte 39"},
		{"after sig", head + manifest + custom("tocsin.sig", "s") + custom("other", ""), "stands after tocsin.sig, which began at byte 68 and must be the last"},
		{"newer section", head + manifest + custom("tocsin.manifst", ""), "section tocsin.manifst: at byte 68: this host does not know the section"},
		{"one GB claimed", head + "\x00\x80\x80\x80\x80\x04abc", "section custom: at byte 39: claims 1073741824 bytes but only 3 are left; the file is cut short"},
		{"length of 33 bits", head + "\x00\xff\xff\xff\xff\x1fabc", "section custom: at byte 40: a number is longer than 32 bits"},
		{"name too long for its section", head + "\x00\x03\x09ab", "a name of 9 bytes does not fit in the section"},
		{"control character", head + custom("a\x1b[2J", ""), `the name "a\x1b[2J" holds a control character`},
		{"not UTF-8", head + "\x00\x04\x03\xff\xfea", "a name is not valid UTF-8"},
		{"section id", head + "\x2a\x00", "at byte 39: section id 42 is unknown; the file is corrupt"},
		{"many imports", "\x00asm\x01\x00\x00\x00\x02\x05\xff\xff\xff\xff\x0f", "section import: at byte 10: has 4294967295 imports; a plug-in may have 1000 at most"},
		{"imports cut", "\x00asm\x01\x00\x00\x00\x02\x03\x01\x01e", "section import: at byte 13: ends in the middle"},
		{"export of no kind", "\x00asm\x01\x00\x00\x00\x07\x05\x01\x01a\x09\x00", "section export: at byte 13: 9 is no kind of import or export"},
		{"memory64", "\x00asm\x01\x00\x00\x00\x02\x08\x01\x01e\x01m\x02\x04\x01", "a memory of 64 bits is not supported"},
		{"ABI nonsense", head + manifest + custom("tocsin.abi", "endpoint one"), `tocsin.abi: "endpoint one" is no interface; want a world and a version, such as "endpoint 1.1"`},
		{"ABI of the future", head + manifest + custom("tocsin.abi", "endpoint 2"), "tocsin.abi: the plug-in needs endpoint ABI 2.0: this tocsin speaks endpoint 1.0"},
		{"unknown world", head + manifest + custom("tocsin.abi", "moon 1"), "the plug-in needs moon ABI 1.0: this tocsin speaks endpoint 1.0 to 1.1; update tocsin if"},
		{"templates no tar", head + manifest + custom("tocsin.templates", "hello"), "tocsin.templates: the archive cannot be read"},
		{"no lint", head + manifest + custom("tocsin.abi", "endpoint 1"), "tocsin.lint: the section is missing; write lint.schema.json"},
		{"no ABI", head + manifest, "tocsin.abi: the section is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := plugin.Parse("x.wasm", []byte(tc.file))
			var bad *plugin.Invalid
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestParseListsAllFaults(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.Manifest = append(parts.Manifest, "[batsch]\nmax = 1\n"...)
	parts.Lint = []byte(strings.Replace(goodSchema, `"minItems"`, `"minItem"`, 1))
	parts.Templates = map[string][]byte{"message.tmpl": []byte("{{define \"text\"}}\n{{T \"nope\"}}{{end}}"), "mesage.tmpl": nil}
	parts.Locales = map[string][]byte{"en.toml": []byte("a = 1\n"), "italian.html": nil}
	differ(t, check(t, parts), `manifest.toml:14: batsch: unknown key; did you mean "batch"?
lint.schema.json:13: #/properties/recipient/properties/names/minItem: unknown keyword; did you mean "minItems"?
locales/en.toml:1: a: must be text in quotes
locales/italian.html: the name must be a language and .toml, such as it.toml or pt-BR.toml
templates/mesage.tmpl: is no template of a plug-in; did you mean "message.tmpl"?
templates/message.tmpl:2: the text "nope" is not in locales/en.toml; add it`)
}

func TestParse(t *testing.T) {
	t.Parallel()
	b := pack(t, goodParts())
	p, err := plugin.Parse("dir/example.wasm", b)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name() != "example" || p.ABI != (plugin.ABI{World: "endpoint", Major: 1}) || p.Hash != sha256.Sum256(b) || p.Path != "dir/example.wasm" {
		t.Errorf("%q, ABI %v, path %q", p.Name(), p.ABI, p.Path)
	}
	m := p.Manifest
	if m.Batch.Max != 1 || m.Limits != (plugin.Limits{MemoryMB: 64, Timeout: 15 * time.Second, Parallel: 1}) || m.Message.Format != "text" || m.Message.Unit != "runes" {
		t.Errorf("defaults: %+v %+v %+v", m.Batch, m.Limits, m.Message)
	}
	if want := []plugin.Export{{Name: "render", Kind: "func"}}; !slices.Equal(p.Exports, want) || len(p.Imports) != 0 {
		t.Errorf("exports %v, imports %v", p.Exports, p.Imports)
	}
	differ(t, text(p.Check()), "")
	with := "\x00asm\x01\x00\x00\x00" + "\x02\x1a\x02\x01e\x03log\x00\x00\x04wasi\x06memory\x02\x01\x01\x80\x02" + custom("tocsin.x", "")
	if _, err := plugin.Parse("x", []byte(with)); err == nil || strings.Contains(err.Error(), "section import") {
		t.Errorf("imports of a function and a memory: %v", err)
	}
}

func TestPackIsReproducible(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.Templates = map[string][]byte{"message.tmpl": []byte(`{{define "text"}}x{{end}}`), "endpoint.html": []byte("<p>")}
	parts.Locales = map[string][]byte{"en.toml": nil, "it.toml": []byte("# niente\n"), "de.toml": nil}
	parts.Vectors = map[string][]byte{"a.json": []byte(`{"name": "a", "function": "render", "input": {}}`)}
	parts.Sig = []byte("to come")
	first := pack(t, parts)
	for range 10 {
		if !bytes.Equal(first, pack(t, parts)) {
			t.Fatal("the same parts gave other bytes")
		}
	}
	p, err := plugin.Parse("a", first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := plugin.Pack(p.Module(), p.Parts())
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("module and parts do not give the same package: %v", err)
	}
	if again, err = plugin.Pack(first, p.Parts()); err != nil || !bytes.Equal(first, again) {
		t.Errorf("packing a packed module does not give the same package: %v", err)
	}
	if !bytes.Equal(p.Module(), tiny) || string(p.Sig) != "to come" {
		t.Errorf("module of %d bytes, signature %q", len(p.Module()), p.Sig)
	}

	dir := filepath.Join(t.TempDir(), "new")
	if err := p.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	unpacked, err := plugin.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if unpacked.Hash != p.Hash {
		t.Error("unpacking and packing does not give the same package")
	}
	if err := p.Unpack(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("unpacking over a folder: %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "example.wasm")
	write(t, dir, map[string]string{"example.wasm": string(pack(t, goodParts()))})
	p, err := plugin.Load(file)
	if err != nil || p.Path != file {
		t.Fatal(p, err)
	}
	if _, err := plugin.Open(filepath.Join(dir, "none.wasm")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	dev := func(name string, files map[string]string) string {
		d := filepath.Join(dir, name)
		write(t, d, files)
		return d
	}
	good := map[string]string{"manifest.toml": goodManifest, "lint.schema.json": goodSchema, "example.wasm": string(tiny), "README.md": "", ".git/x": ""}
	if p, err := plugin.Load(dev("we[ir]d *", good)); err != nil || p.Name() != "example" {
		t.Errorf("development folder: %v", err)
	}
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", map[string]string{"x": ""}, "the folder holds no .wasm file; build the module into it"},
		{"two", map[string]string{"a.wasm": "", "b.wasm": ""}, "the folder holds 2 .wasm files, a.wasm and others; leave one in it"},
		{"no manifest", map[string]string{"a.wasm": string(tiny)}, "manifest.toml is missing; every plug-in needs one"},
		{"odd file", map[string]string{"a.wasm": string(tiny), "manifest.toml": goodManifest, "lint.schema": ""}, "lint.schema is no part of a plug-in"},
		{"no module", map[string]string{"a.wasm": "hello", "manifest.toml": goodManifest}, "module: this is no WebAssembly module"},
		{"world", map[string]string{"a.wasm": string(tiny), "manifest.toml": "world = \"moon\""}, `world is "moon"; it must be "endpoint" or "check"`},
		{"huge part", map[string]string{"a.wasm": string(tiny), "manifest.toml": "#" + strings.Repeat("x", 200<<10)}, "manifest.toml: is larger than 131072 bytes"},
		{"bad name", map[string]string{"a.wasm": string(tiny), "manifest.toml": goodManifest, "vectors/a|b.json": "{}"}, `"a|b.json" is not a name for a file`},
	} {
		d := dev(tc.name, tc.files)
		if _, err := plugin.Open(d); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), d) {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
	// A link out of the folder must not carry a secret of the host into a package.
	secret := filepath.Join(dir, "secret")
	write(t, dir, map[string]string{"secret": "shadow"})
	d := dev("link", good)
	if err := os.Mkdir(filepath.Join(d, "locales"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(d, "locales", "en.toml")); err != nil {
		t.Skip("no symbolic links here")
	}
	if _, err := plugin.Open(d); err == nil || strings.Contains(err.Error(), "shadow") {
		t.Errorf("link out of the folder: %v", err)
	}
}

func TestCheckFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parts := goodParts()
	parts.Manifest = bytes.Replace(parts.Manifest, []byte("1.2.3"), []byte("one"), 1)
	write(t, dir, map[string]string{"a.wasm": string(pack(t, parts)), "b.wasm": "hello"})
	if p, problems := plugin.CheckFile(filepath.Join(dir, "a.wasm")); p == nil || !strings.Contains(text(problems), "manifest.toml:3: version: \"one\" is no semantic version") {
		t.Errorf("%v", problems)
	}
	if _, err := plugin.Load(filepath.Join(dir, "a.wasm")); err == nil {
		t.Error("a package with a problem can be loaded")
	}
	if p, problems := plugin.CheckFile(filepath.Join(dir, "b.wasm")); p != nil || len(problems) != 1 {
		t.Errorf("%v", problems)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(tiny)
	f.Add(pack(f, goodParts()))
	for _, name := range []string{"webhook", "telegram", "shell"} {
		f.Add(firstParty(f, name).Wasm)
	}
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x02\x1a\x02\x01e\x03log\x00\x00\x04wasi\x06memory\x02\x01\x01\x80\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := plugin.Parse("f.wasm", b)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\x1b") {
				t.Fatalf("control characters in %q", err)
			}
			return
		}
		p.Check()
		p.Lint.Lint(map[string]any{"x": 1}, map[string]any{})
		again, err := plugin.Pack(p.Module(), p.Parts())
		if err != nil {
			t.Fatalf("a package that was read cannot be packed: %v", err)
		}
		if q, err := plugin.Parse("f.wasm", again); err != nil || q.Manifest.Name != p.Manifest.Name {
			t.Fatalf("packed again: %v", err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	file := filepath.Join(b.TempDir(), "telegram.wasm")
	if err := os.WriteFile(file, firstParty(b, "telegram").Wasm, 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plugin.Open(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	wasm := firstParty(b, "telegram").Wasm
	file := filepath.Join(b.TempDir(), "telegram.wasm")
	if err := os.WriteFile(file, wasm, 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plugin.Load(file); err != nil {
			b.Fatal(err)
		}
	}
}
