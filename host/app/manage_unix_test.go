//go:build unix

package app

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestWriteOut writes files that are new, that are there, and that are none: the umask and modes hold, and links and pipes stay.
func TestWriteOut(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o027))
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	holds := func(name, want string, mode fs.FileMode) {
		t.Helper()
		got, err := os.ReadFile(in(name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
		if info, err := os.Lstat(in(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}

	must(writeOut(in("new/page"), []byte("1")))
	holds("new/page", "1", 0o640)
	for _, mode := range []fs.FileMode{0o600, 0o664} {
		must(os.Chmod(in("new/page"), mode))
		must(writeOut(in("new/page"), []byte(mode.String())))
		holds("new/page", mode.String(), mode)
	}
	left, err := os.ReadDir(in("new"))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}

	must(os.WriteFile(in("aim"), []byte("a longer text"), 0o600))
	must(os.Symlink("aim", in("link")))
	must(writeOut(in("link"), []byte("2")))
	holds("aim", "2", 0o600)
	must(os.Symlink("none", in("dangling")))
	must(writeOut(in("dangling"), []byte("3")))
	holds("none", "3", 0o640)
	for _, name := range []string{"link", "dangling"} {
		if info, err := os.Lstat(in(name)); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s is a link no more: %v, %v", name, info, err)
		}
	}

	must(os.Symlink("new", in("folder")))
	if err := writeOut(in("folder"), nil); ExitCode(err) != ExitUsage {
		t.Errorf("a link to a folder: %v", err)
	}

	// As /dev/stdout is: a link to what is no plain file.
	must(syscall.Mkfifo(in("pipe"), 0o600))
	must(os.Symlink("pipe", in("stdout")))
	r, err := os.OpenFile(in("pipe"), os.O_RDWR, 0)
	must(err)
	defer func() { _ = r.Close() }()
	for _, name := range []string{"pipe", "stdout"} {
		must(writeOut(in(name), []byte(name)))
		got := make([]byte, len(name))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != name {
			t.Errorf("the pipe gave %q, %v", got, err)
		}
	}
}
