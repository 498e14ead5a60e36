package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// watched is a folder being watched, and what was told of it.
type watched struct {
	t       *testing.T
	dir     string
	changes chan Change
}

func start(t *testing.T, dir string, o Options) *watched {
	t.Helper()
	if o.Settle == 0 {
		o.Settle = 20 * time.Millisecond
	}
	w := &watched{t, dir, make(chan Change, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { New(dir, o).Run(ctx, func(_ context.Context, c Change) { w.changes <- c }) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func (w *watched) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// want waits for the next change.
func (w *watched) want(name string, gone bool) {
	w.t.Helper()
	select {
	case c := <-w.changes:
		if c != (Change{filepath.Join(w.dir, name), gone}) {
			w.t.Fatalf("got %+v, want %s, gone %v", c, name, gone)
		}
	case <-time.After(time.Minute):
		w.t.Fatalf("nothing was told; want %s, gone %v", name, gone)
	}
}

func TestFiles(t *testing.T) {
	w := start(t, t.TempDir(), Options{})
	path := func(name string) string { return filepath.Join(w.dir, name) }
	w.write("a.wasm", "one")
	w.want("a.wasm", false)
	w.write("a.wasm", "changed")
	w.want("a.wasm", false)
	if err := os.Truncate(path("a.wasm"), 2); err != nil {
		t.Fatal(err)
	}
	w.want("a.wasm", false)
	w.write(".new", "another")
	if err := os.Rename(path(".new"), path("a.wasm")); err != nil { // as careful programs replace a file
		t.Fatal(err)
	}
	w.want("a.wasm", false)
	if err := os.Rename(path("a.wasm"), path("b.wasm")); err != nil {
		t.Fatal(err)
	}
	seen := map[Change]bool{<-w.changes: true, <-w.changes: true}
	if !seen[Change{path("a.wasm"), true}] || !seen[Change{path("b.wasm"), false}] {
		t.Fatalf("got %v", seen)
	}
	for _, name := range []string{".b.wasm.swp", "b.wasm~", "b.wasm.tmp", ".#b.wasm", "#b.wasm#", "4913", "~b.wasm", "b.wasm.part"} {
		w.write(name, "an editor's")
	}
	if err := os.Remove(path("b.wasm")); err != nil {
		t.Fatal(err)
	}
	w.want("b.wasm", true) // and nothing of the others before it
	w.write("short.wasm", "here for a moment")
	if err := os.Remove(path("short.wasm")); err != nil {
		t.Fatal(err)
	}
	w.write("c.wasm", "last")
	w.want("c.wasm", false)
}

// TestHalfCopied writes a file in two parts with a pause that ends only when the first part was told: a watcher cannot
// know better, and tells of the whole afterwards.
func TestHalfCopied(t *testing.T) {
	w := start(t, t.TempDir(), Options{})
	f, err := os.Create(filepath.Join(w.dir, "a.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	w.want("a.wasm", false)
	if _, err := f.WriteString(" and whole"); err != nil {
		t.Fatal(err)
	}
	w.want("a.wasm", false)
}

// TestSlowCopy has a copy that pauses in the middle. What tells that it is not complete is, in turn: that the copying program still has
// the file open, and the file's content.
func TestSlowCopy(t *testing.T) {
	const whole = "all of it"
	pause := func(t *testing.T, w *watched) {
		t.Helper()
		select {
		case c := <-w.changes:
			t.Fatalf("%+v was told in the middle of the copy", c)
		case <-time.After(300 * time.Millisecond):
		}
	}
	isWhole := func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && string(b) == whole
	}
	t.Run("open", func(t *testing.T) {
		w := start(t, t.TempDir(), Options{Settle: time.Second})
		f, err := os.Create(filepath.Join(w.dir, "a.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, known := writing(f.Name()); !known {
			t.Skip("this system does not tell whether a file is open for writing")
		}
		if _, err := f.WriteString("half"); err != nil {
			t.Fatal(err)
		}
		pause(t, w)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		w.want("a.wasm", false)
	})
	t.Run("content", func(t *testing.T) {
		w := start(t, t.TempDir(), Options{Settle: time.Second, Whole: isWhole})
		w.write("a.wasm", whole[:4])
		pause(t, w)
		w.write("a.wasm", whole)
		w.want("a.wasm", false)
	})
}

func TestFolderComesAndGoes(t *testing.T) {
	top := t.TempDir()
	w := start(t, filepath.Join(top, "plugins"), Options{})
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("a.wasm", "one")
	w.want("a.wasm", false)
	away := filepath.Join(top, "away")
	if err := os.Rename(w.dir, away); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(away, "b.wasm"), []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, w.dir); err != nil {
		t.Fatal(err)
	}
	w.want("b.wasm", false) // and a.wasm, which is as it was, was never told as gone
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("c.wasm", "three")
	left := map[Change]bool{}
	for range 3 {
		select {
		case c := <-w.changes:
			left[c] = true
		case <-time.After(time.Minute):
			t.Fatalf("got %v only", left)
		}
	}
	for _, c := range []Change{{filepath.Join(w.dir, "a.wasm"), true}, {filepath.Join(w.dir, "b.wasm"), true}, {filepath.Join(w.dir, "c.wasm"), false}} {
		if !left[c] {
			t.Errorf("%+v was not told; got %v", c, left)
		}
	}
}

// TestRescan has a system that tells nothing: the folder is a link whose target is exchanged.
func TestRescan(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(top, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name, "a.wasm"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(top, "below", "plugins")
	if err := os.Mkdir(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "one"), link); err != nil {
		t.Skipf("no links here: %v", err)
	}
	w := start(t, link, Options{Rescan: 100 * time.Millisecond})
	w.want("a.wasm", false)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(top, "two"), link); err != nil {
		t.Fatal(err)
	}
	w.want("a.wasm", false)
}

func TestManyAtOnce(t *testing.T) {
	w := start(t, t.TempDir(), Options{})
	for i := range 200 {
		w.write(fmt.Sprintf("%03d.wasm", i), "x")
	}
	seen := map[string]bool{}
	for len(seen) < 200 {
		select {
		case c := <-w.changes:
			seen[c.Path] = true
		case <-time.After(time.Minute):
			t.Fatalf("%d of 200 were told", len(seen))
		}
	}
}

// TestReadOnly has a folder in which nothing can be made.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.wasm"), []byte("x"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	start(t, dir, Options{}).want("a.wasm", false)
}
