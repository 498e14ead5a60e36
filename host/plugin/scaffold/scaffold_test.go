package scaffold

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
)

const clone = "../../.."

func TestMistakes(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		p    Project
		want string
	}{
		{"no language", Project{Name: "pager"}, "go, c, assemblyscript, rust"},
		{"unknown language", Project{Language: "python", Name: "pager"}, `language "python"`},
		{"misspelt language", Project{Language: "rsut", Name: "pager"}, `did you mean "rust"?`},
		{"no name", Project{Language: "c"}, `"" cannot be a plug-in's name`},
		{"capital letters", Project{Language: "c", Name: "Pager"}, "begins with a letter from a to z"},
		{"a path", Project{Language: "c", Name: "../pager"}, "cannot be a plug-in's name"},
		{"too long", Project{Language: "c", Name: strings.Repeat("a", 33)}, "cannot be a plug-in's name"},
		{"full folder", Project{Language: "c", Name: "pager", Dir: full}, "is not empty"},
		{"go without a clone", Project{Language: "go", Name: "pager"}, "--clone FOLDER"},
		{"go with a wrong clone", Project{Language: "go", Name: "pager", Clone: full}, "is no clone of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.p.Dir == "" {
				c.p.Dir = filepath.Join(t.TempDir(), "new")
			}
			_, err := Write(c.p)
			if _, ok := errors.AsType[*ArgumentError](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if c.p.Dir == full {
				return
			}
			if _, err := os.Stat(c.p.Dir); err == nil {
				t.Error("the folder was made all the same")
			}
		})
	}
}

// TestWrite packs what was written with an empty module: but for that, the package has no fault.
func TestWrite(t *testing.T) {
	for _, language := range Languages() {
		for _, name := range []string{"x", "my-pager_2", "a" + strings.Repeat("9", 31)} {
			dir := filepath.Join(t.TempDir(), "new")
			files, err := Write(Project{Language: language, Name: name, Dir: dir, Clone: clone})
			if err != nil {
				t.Fatal(err)
			}
			if !IsProject(dir) || IsProject(filepath.Join(dir, "manifest")) || len(files) < 30 {
				t.Errorf("%s: not a project of %d files", language, len(files))
			}
			if _, err := Pack(dir); err == nil || !strings.Contains(err.Error(), "run sh build.sh") {
				t.Errorf("packing without a module: %v", err)
			}
			if err := os.WriteFile(filepath.Join(dir, moduleFile), []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := Pack(dir)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name() != name || p.Manifest.Title != name {
				t.Errorf("%s: named %q, %q", language, p.Name(), p.Manifest.Title)
			}
			for _, problem := range p.Check() {
				if problem.Where != moduleFile {
					t.Errorf("%s, %s: %s", language, name, problem)
				}
			}
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil || !strings.HasPrefix(string(readme), "# "+name+", ") || strings.Contains(string(readme), "<no value>") {
				t.Errorf("%s: README.md: %v\n%s", language, err, readme)
			}
		}
	}
}

// TestGoOutside runs the native test of a Go project outside of the repository, without the network, against a clone whose
// path needs quotes in go.mod.
func TestGoOutside(t *testing.T) {
	top, err := filepath.Abs(clone)
	if err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "a b")
	if err := os.Symlink(top, odd); err != nil {
		odd = top // not everybody may make links on Windows
	}
	dir := filepath.Join(t.TempDir(), "pager")
	if _, err := Write(Project{Language: "go", Name: "pager", Dir: dir, Clone: odd}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off", "PWD="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestBuild(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	for _, c := range []struct{ name, script, want string }{
		{"fails", "echo \"what is wrong\" >&2\nexit 3", "what is wrong"},
		{"makes nothing", "exit 0", "made no module.wasm"},
		{"prints much", "i=0\nwhile [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done\nexit 1", "exit status 1"},
		{"works", "echo x > module.wasm", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, buildScript), []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Build(t.Context(), dir)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if e, ok := errors.AsType[*BuildError](err); !ok || !strings.Contains(err.Error(), c.want) || len(e.Output) > maxTail {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPackTellsAllProblems(t *testing.T) {
	dir := t.TempDir()
	if _, err := Write(Project{Language: "c", Name: "pager", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{moduleFile: "\x00asm\x01\x00\x00\x00", "manifest/manifest.toml": "naem = \"x\"\ntitel = \"x\"\nworld = \"endpoint\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Pack(dir)
	bad, ok := errors.AsType[*plugin.Invalid](err)
	if !ok || len(bad.Problems) < 2 || !strings.Contains(err.Error(), "manifest.toml:2: titel") {
		t.Fatalf("%v", err)
	}
}
