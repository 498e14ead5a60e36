package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// TB is the part of testing.TB that ForTest needs. It keeps package testing out of programs.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

var built struct {
	mu   sync.Mutex // mu guards what follows
	once map[string]func() (*plugin.Package, error)
}

// ForTest returns a first-party plug-in, built from the source tree that the test runs in. It is built once for its source:
// the result is kept in the user's cache folder, where the test processes of one `go test ./...` share it. The package
// must not be changed.
func ForTest(tb TB, name string) *plugin.Package {
	tb.Helper()
	built.mu.Lock()
	get := built.once[name]
	if get == nil {
		if built.once == nil {
			built.once = map[string]func() (*plugin.Package, error){}
		}
		// The build outlives the test that asks first, as others wait for it.
		ctx := context.WithoutCancel(tb.Context())
		get = sync.OnceValues(func() (*plugin.Package, error) { return cached(ctx, name) })
		built.once[name] = get
	}
	built.mu.Unlock()
	p, err := get()
	if err != nil {
		tb.Fatalf("building the plug-in %s for a test: %v", name, err)
	}
	return p
}

// keep is how long an unused build stays in the cache.
const keep = 24 * time.Hour

// cached returns the package from the cache, and builds it there first if it is missing.
func cached(ctx context.Context, name string) (*plugin.Package, error) {
	top, err := Root(".")
	if err != nil {
		return nil, err
	}
	key, err := sourceKey(top, name)
	if err != nil {
		return nil, err
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // a home folder is not needed for tests
	}
	dir := filepath.Join(base, "tocsin", "test-plugins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	slot := filepath.Join(dir, name+"-"+key)
	file := filepath.Join(slot, name+".wasm")
	if p, err := plugin.Open(file); err == nil {
		now := time.Now()
		_ = os.Chtimes(slot, now, now) // marks it as used, for the clean-up only
		return p, nil
	}
	unlock, err := lock(ctx, slot+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Stat(file); err != nil {
		cleanUp(dir, name)
		if _, err := One(ctx, top, name, slot); err != nil {
			return nil, err
		}
	}
	return plugin.Open(file)
}

// sourceKey names all that goes into a plug-in: its source, the PDK, its manifest folder, the Go release, and the packer.
func sourceKey(top, name string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version())
	source := "plugins/" + Source(top, name)
	for _, dir := range []string{"go.mod", "pdk", source, source + "/testdata/vectors", "manifests/" + name, "host/plugin"} {
		err := filepath.WalkDir(filepath.Join(top, filepath.FromSlash(dir)), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a plug-in without vectors
			}
			if err != nil || e.IsDir() {
				if e != nil && e.IsDir() && e.Name() == "testdata" {
					return fs.SkipDir
				}
				return err
			}
			if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(e.Name(), ".") {
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(top, path)
			fmt.Fprintf(h, "%s %x\n", filepath.ToSlash(rel), sha256.Sum256(b))
			return err
		})
		if err != nil {
			return "", fmt.Errorf("plug-in %s: %w", name, err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:10]), nil
}

// A lock older than this belongs to a process that died.
const staleLock = 3 * time.Minute

// lock keeps other test processes from building the same. It is a folder, since making one is atomic on every system.
// Without it two builds would still be right, only wasteful: files are put in place by renaming.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			return func() { _ = os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > staleLock {
			_ = os.Remove(path)
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// cleanUp removes builds of the plug-in that no test has used for long.
func cleanUp(dir, name string) {
	old, _ := filepath.Glob(filepath.Join(dir, name+"-*"))
	for _, path := range old {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > keep {
			_ = os.RemoveAll(path)
		}
	}
}
