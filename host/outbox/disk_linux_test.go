package outbox

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
)

// A full disk refuses what comes, keeps what was stored, and is forgotten once there is space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Skipf("needs the right to mount a small tmpfs (root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	ok(t, os.WriteFile(ballast, make([]byte, 800<<10), 0o600))
	path := filepath.Join(dir, "o.db")
	s, err := Open(t.Context(), path, Options{})
	ok(t, err)
	defer func() { ok(t, s.Close()) }()
	var stored int
	batch := func() []Entry {
		var es []Entry
		for range 20 {
			es = append(es, Entry{flowAlert(strings.Repeat("x", 500)), to("ops@hook")})
		}
		return es
	}
	for {
		if err = s.Store(t.Context(), batch()); err != nil {
			break
		}
		if stored += 20; stored > 100000 {
			t.Fatal("the disk is never full")
		}
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "free some space") {
		t.Fatalf("a full disk gave %v", err)
	}
	if err := s.Store(t.Context(), batch()); !errors.Is(err, ErrFull) {
		t.Errorf("and then %v", err)
	}
	if n := count(t, s, "SELECT count(*) FROM alert"); n != stored {
		t.Errorf("%d alerts there, %d stored", n, stored)
	}
	ok(t, os.Remove(ballast))
	ok(t, s.Store(t.Context(), batch()))
	stored += 20
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
	consistent(t, s)
	ok(t, s.Close())
	s, err = Open(t.Context(), path, Options{})
	ok(t, err)
	if n := count(t, s, "SELECT count(*) FROM alert"); n != stored {
		t.Errorf("%d alerts after opening again, %d stored", n, stored)
	}
	consistent(t, s)
	t.Logf("%d alerts fitted", stored)
}

func TestNoPermission(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Chmod(filepath.Dir(dir), 0o755))
	closed, readable := filepath.Join(dir, "closed"), filepath.Join(dir, "readable")
	ok(t, os.Mkdir(closed, 0o755))
	ok(t, os.Mkdir(readable, 0o755))
	s, err := Open(t.Context(), filepath.Join(readable, "o.db"), Options{})
	ok(t, err)
	ok(t, s.Close())
	ok(t, os.Chmod(filepath.Join(readable, "o.db"), 0o444))
	ok(t, os.Chmod(readable, 0o777))
	ok(t, os.Remove(filepath.Join(readable, "o.db.lock")))
	ok(t, os.Chmod(closed, 0o555))
	results := make(chan error, 2)
	go func() {
		// The right of another user for this thread only. It is not given back: the thread ends with the goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				results <- err
				results <- err
				return
			}
		}
		for _, d := range []string{closed, readable} {
			s, err := Open(t.Context(), filepath.Join(d, "o.db"), Options{})
			if err == nil {
				_ = s.Close()
			}
			results <- err
		}
	}()
	for _, want := range []string{"permission denied", "read-only"} {
		err := <-results
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "let the user that runs tocsin write") {
			t.Errorf("want %q with what to do, got %v", want, err)
		}
	}
}
