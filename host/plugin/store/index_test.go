package store

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// packed is a small plug-in of a version.
func packed(t *testing.T, version string) []byte {
	t.Helper()
	b, err := plugin.Pack([]byte("\x00asm\x01\x00\x00\x00"), plugin.Parts{
		Manifest: []byte("name = \"example\"\nversion = \"" + version + "\"\nworld = \"endpoint\"\n"),
		Lint:     []byte(`{"type":"object","properties":{"endpoint":{"type":"object"},"recipient":{"type":"object"}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestIndex: a file that did not change is not read again, by another process either; one that did is, however it changed.
func TestIndex(t *testing.T) {
	s, dir := open(t), t.TempDir()
	file := filepath.Join(dir, "example.wasm")
	write := func(path, version string) {
		t.Helper()
		if err := os.WriteFile(path, packed(t, version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	later := 10 * time.Second // after the files were written
	look := func(x *Index, want string, read bool) {
		t.Helper()
		x.now = func() time.Time { return time.Now().Add(later) }
		seen, p, err := x.Look(file)
		if err != nil || seen.Version != want || seen.Name != "example" || seen.World != "endpoint" || (p != nil) != read {
			t.Errorf("got %+v, %v, read: %v; want version %s, read: %v", seen, err, p != nil, want, read)
		}
		if b, err := os.ReadFile(file); err != nil || hashOf(b) != seen.Hash {
			t.Errorf("the hash is not that of the file: %v", err)
		}
		if err := x.Save(); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "1.0.0")
	later = -time.Minute // as if the file were of this moment, however slow the machine is
	look(s.Index(), "1.0.0", true)
	look(s.Index(), "1.0.0", true) // it may have changed since within the clock's granularity
	later = 10 * time.Second
	look(s.Index(), "1.0.0", true)
	x := s.Index()
	look(x, "1.0.0", false)
	look(x, "1.0.0", false)

	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	back := func(path string) {
		t.Helper()
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" { // elsewhere such a change cannot be seen
		other := filepath.Join(dir, "other")
		write(other, "1.0.1") // of the same size
		back(other)
		if err := os.Rename(other, file); err != nil {
			t.Fatal(err)
		}
		look(s.Index(), "1.0.1", true)
		look(s.Index(), "1.0.1", false)
		write(file, "1.0.2")
		back(file)
		look(s.Index(), "1.0.2", true)
	} else {
		write(file, "1.0.20")
		look(s.Index(), "1.0.20", true)
		write(file, "1.0.2")
	}
	look(s.Index(), "1.0.2", runtime.GOOS != "linux" && runtime.GOOS != "darwin")

	x = s.Index()
	x.Forget(file)
	look(x, "1.0.2", true)
	for _, damage := range []string{"", "{", "[]", `{"form":"0","files":{}}`, `{"files":{"` + file + `":null}}`} {
		if err := os.WriteFile(filepath.Join(s.dir, fileIndex), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		look(s.Index(), "1.0.2", true)
		look(s.Index(), "1.0.2", false)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, fileIndex))
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range [][2]string{{form(), "of another tocsin"}, {`"name": "example"`, `"name": ""`}, {`"sha256": "`, `"sha256": "zz`}} {
		if err := os.WriteFile(filepath.Join(s.dir, fileIndex), []byte(strings.Replace(string(text), damage[0], damage[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		look(s.Index(), "1.0.2", true)
	}

	if err := os.WriteFile(file, []byte("\x00asm"), 0o600); err != nil {
		t.Fatal(err)
	}
	x = s.Index()
	for range 2 { // what is broken is told each time
		if _, _, err := x.Look(file); err == nil {
			t.Error("a broken file is taken")
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Look(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := x.Save(); err != nil || len(s.Index().entries) != 0 {
		t.Errorf("what is gone is remembered: %v", err)
	}
}

// TestIndexForgets: files that nobody asks for are left out, and folders are never remembered.
func TestIndexForgets(t *testing.T) {
	s, dir := open(t), t.TempDir()
	x := s.Index()
	x.now = func() time.Time { return time.Now().Add(time.Hour) }
	a, b, c := filepath.Join(dir, "a.wasm"), filepath.Join(dir, "b.wasm"), filepath.Join(dir, "c.wasm")
	if err := os.Mkdir(c, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{a, b} {
		if err := os.WriteFile(path, packed(t, "1.0.0"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string][]byte{"module.wasm": []byte("\x00asm\x01\x00\x00\x00"), "manifest.toml": []byte("name = \"c\"\nworld = \"endpoint\"\n"), "lint.schema.json": []byte("{}")} {
		if err := os.WriteFile(filepath.Join(c, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{a, b, c} {
		if _, _, err := x.Look(path); err != nil && path != c {
			t.Fatal(err)
		}
	}
	if err := x.Save(); err != nil || len(x.entries) != 2 {
		t.Fatalf("%d entries, %v", len(x.entries), err)
	}
	x = s.Index()
	if _, p, err := x.Look(b); p != nil || err != nil {
		t.Errorf("got %v, %v", p, err)
	}
	if err := x.Save(); err != nil || len(s.Index().entries) != 1 {
		t.Errorf("%d entries, %v", len(s.Index().entries), err)
	}
}

func hashOf(b []byte) Hash { return sha256.Sum256(b) }
