package scaffold

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/sdk-examples"
)

// Module is the module that Go plug-ins require.
const Module = "github.com/tocsin-net/tocsin"

// Project is a folder to be written.
type Project struct {
	Language string // one of Languages
	Name     string // the endpoint type
	Dir      string // must not exist, or be empty
	// Clone is the folder with tocsin's source that a Go project is built against; Version, where Clone is empty, the
	// release of it. Other languages need neither.
	Clone, Version string
}

// ArgumentError says that a project cannot be made as it was described.
type ArgumentError struct{ Message string }

func (e *ArgumentError) Error() string { return e.Message }

func wrong(format string, a ...any) error { return &ArgumentError{fmt.Sprintf(format, a...)} }

// Languages are the languages that a project can be made in.
func Languages() []string { return sdkexamples.Languages() }

// namePattern is the one that a manifest's name must match.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Check tells what is wrong with the description, without looking at the folder. Its error is an *ArgumentError.
func (p *Project) Check() error {
	if strict.Nearest(p.Language, Languages()) != p.Language || p.Language == "" {
		text := fmt.Sprintf("there is no template in the language %q: it is one of %s", strict.OneLine(p.Language), strings.Join(Languages(), ", "))
		if near := strict.Nearest(p.Language, Languages()); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return wrong("%s", text)
	}
	if !namePattern.MatchString(p.Name) {
		return wrong("%q cannot be a plug-in's name: it begins with a letter from a to z and goes on with up to 31 of a-z, 0-9, - and _",
			strict.OneLine(p.Name))
	}
	if p.Language == "go" && p.Clone == "" && p.Version == "" {
		return wrong("a plug-in in Go is built against tocsin's source, which is not here: name a clone of it with --clone FOLDER")
	}
	return nil
}

//go:embed readme.md.tmpl
var readme string

// Write makes the project and returns its files, slash-separated. A description that is wrong, or a folder that holds
// something already, is an *ArgumentError, and nothing is written.
func Write(p Project) ([]string, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	switch entries, err := os.ReadDir(p.Dir); {
	case err == nil && len(entries) > 0:
		return nil, wrong("%s is not empty: name a folder that does not exist yet", p.Dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(p.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names := sorted(files)
	for _, name := range names {
		mode := fs.FileMode(0o644)
		if path.Ext(name) == ".sh" {
			mode = 0o755
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := root.WriteFile(name, files[name], mode); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// change is a text of the example that differs in a project.
type change struct{ file, old, new string }

func (p *Project) files() (map[string][]byte, error) {
	files, err := sdkexamples.Files(p.Language)
	if err != nil {
		return nil, err
	}
	changes := []change{
		{"manifest/manifest.toml", `name = "ntfy"`, fmt.Sprintf("name = %q", p.Name)},
		{"manifest/manifest.toml", `title = "ntfy"`, fmt.Sprintf("title = %q", p.Name)},
		{"manifest/manifest.toml", `authors = ["The tocsin authors"]`, `authors = ["Your name"]`},
		{"manifest/manifest.toml", "homepage = \"https://github.com/tocsin-net/tocsin\"\n", ""},
	}
	if p.Language == "go" {
		changes = append(changes, change{"main.go", "// Command ntfy is", "// Command " + p.Name + " is"},
			change{"main_test.go", `"../vectors"`, `"manifest/vectors"`})
		if files["go.mod"], err = p.goMod(); err != nil {
			return nil, err
		}
	}
	for _, c := range changes {
		if bytes.Count(files[c.file], []byte(c.old)) != 1 {
			return nil, fmt.Errorf("the example's file %s does not hold the line %q once", c.file, c.old)
		}
		files[c.file] = bytes.Replace(files[c.file], []byte(c.old), []byte(c.new), 1)
	}
	var text bytes.Buffer
	if err := template.Must(template.New("readme").Parse(readme)).Execute(&text, p); err != nil {
		return nil, err
	}
	files["README.md"] = text.Bytes()
	files[".gitignore"] = []byte("*.wasm\nnode_modules/\ntarget/\n")
	return files, nil
}

// goMod writes go.mod. Nothing of tocsin but its kit is linked, which needs the standard library only, so there is no go.sum
// to write.
func (p *Project) goMod() ([]byte, error) {
	version, release := "1.26", p.Version
	comment := ""
	if p.Clone != "" {
		clone, err := filepath.Abs(p.Clone)
		if err != nil {
			return nil, err
		}
		mod, err := os.ReadFile(filepath.Join(clone, "go.mod"))
		if err != nil || !bytes.Contains(mod, []byte("module "+Module+"\n")) {
			return nil, wrong("%s is no clone of %s: it has no go.mod of that module", p.Clone, Module)
		}
		for line := range strings.Lines(string(mod)) {
			if v, ok := strings.CutPrefix(line, "go "); ok {
				version = strings.TrimSpace(v)
			}
		}
		release = "v0.0.0"
		if strings.ContainsAny(clone, " \t\"'`") {
			clone = fmt.Sprintf("%q", clone)
		}
		comment = fmt.Sprintf("\n// The kit is taken from the clone of tocsin that `tocsin plugin new` was run with. With a release of tocsin, remove the\n"+
			"// next line and run: go get %s@latest\nreplace %s => %s\n", Module, Module, clone)
	}
	return fmt.Appendf(nil, "module example.org/%s\n\ngo %s\n\nrequire %s %s\n%s", p.Name, version, Module, release, comment), nil
}
