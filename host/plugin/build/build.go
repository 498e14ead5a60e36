package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sync/errgroup"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// modulePath is the module whose plug-ins are built.
const modulePath = "github.com/tocsin-net/tocsin"

// parallel is how many plug-ins are built at once. The go command uses all processors for each by itself.
const parallel = 2

// Built is a plug-in that was made.
type Built struct {
	Name    string
	Path    string // of the package
	Module  int    // bytes of the bare module
	Size    int    // bytes of the package
	Hash    [32]byte
	Changed bool // the file was written; false if it held the same bytes already
	Took    time.Duration
}

// ErrNoSource is returned where the source of tocsin is not at hand, as for an installed binary.
var ErrNoSource = errors.New("the source of tocsin is not here")

// Root finds the top folder of tocsin's source, from dir upwards.
func Root(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := start; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil && declares(b) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%w: no go.mod of %s in %s or above; run it in a clone of the repository, or take plug-ins that are built already",
				ErrNoSource, modulePath, start)
		}
	}
}

// declares tells whether a go.mod is the one of tocsin.
func declares(gomod []byte) bool {
	for line := range strings.Lines(string(gomod)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "module" {
			return strings.Trim(f[1], `"`) == modulePath
		}
	}
	return false
}

// shared is the source of the module that plug-ins without source of their own share; their manifest has [request].
const shared = "recipe"

// Source is the folder below plugins that a plug-in's module is built from: its own, or the shared one. Empty: there is neither.
func Source(root, name string) string {
	if info, err := os.Stat(filepath.Join(root, "plugins", name)); err == nil && info.IsDir() {
		return name
	}
	var m struct{ Request map[string]any }
	if _, err := toml.DecodeFile(filepath.Join(root, "manifests", name, "manifest.toml"), &m); err != nil || m.Request == nil {
		return ""
	}
	return shared
}

// Names lists the plug-ins below root that have a manifest and can be built, sorted.
func Names(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "manifests"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && Source(root, e.Name()) != "" {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// All builds every plug-in of the source tree that root lies in, into the folder out, which is made if need be. Each that is
// done is a line on progress. The results are sorted by name. All goes on after a failure and returns every error joined,
// with what was built.
func All(ctx context.Context, root, out string, progress io.Writer) ([]Built, error) {
	top, err := Root(root)
	if err != nil {
		return nil, err
	}
	names, err := Names(top)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: there is no plug-in to build", filepath.Join(top, "plugins"))
	}
	var (
		mu   sync.Mutex // mu guards what follows, and progress
		done []Built
		errs []error
		g    errgroup.Group
	)
	compileShared := sync.OnceValues(func() ([]byte, error) { return compile(ctx, top, shared) })
	make1 := func(name string) {
		b, err := one(ctx, top, name, out, compileShared)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
			_, _ = fmt.Fprintf(progress, "plug-in %-12s failed\n", name)
			return
		}
		done = append(done, b)
		state := "unchanged"
		if b.Changed {
			state = "built"
		}
		_, _ = fmt.Fprintf(progress, "plug-in %-12s %s, %.2f MB, %.1f s\n", name, state, float64(b.Size)/1e6, b.Took.Seconds())
	}
	// The first goes alone: two go commands at once with an empty cache would each compile the standard library.
	make1(names[0])
	g.SetLimit(parallel)
	for _, name := range names[1:] {
		g.Go(func() error {
			make1(name)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	slices.SortFunc(done, func(a, b Built) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return done, errors.Join(errs...)
}

// One builds one plug-in and writes it to out/<name>.wasm, in one step: readers see the old file or the new one. A file that
// holds the same bytes already is left alone. A package that fails its own check is an error and not written.
func One(ctx context.Context, root, name, out string) (Built, error) {
	top, err := Root(root)
	if err != nil {
		return Built{}, err
	}
	return one(ctx, top, name, out, func() ([]byte, error) { return compile(ctx, top, shared) })
}

func one(ctx context.Context, top, name, out string, compileShared func() ([]byte, error)) (Built, error) {
	start := time.Now()
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return Built{}, fmt.Errorf("%q is no plug-in's name", name)
	}
	source := Source(top, name)
	if source == "" {
		return Built{}, fmt.Errorf("plug-in %s: there is no folder plugins/%s in %s, and no [request] in its manifest", name, name, top)
	}
	compileOwn := func() ([]byte, error) { return compile(ctx, top, source) }
	if source == shared {
		compileOwn = compileShared
	}
	wasm, err := compileOwn()
	if err != nil {
		return Built{}, err
	}
	parts, err := partsOf(top, name)
	if err != nil {
		return Built{}, fmt.Errorf("plug-in %s: %w", name, err)
	}
	packed, err := plugin.Pack(wasm, parts)
	if err != nil {
		return Built{}, fmt.Errorf("plug-in %s: %w", name, err)
	}
	if err := check(name, packed); err != nil {
		return Built{}, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return Built{}, err
	}
	b := Built{Name: name, Path: filepath.Join(out, name+".wasm"), Module: len(wasm), Size: len(packed), Hash: sha256.Sum256(packed)}
	if b.Changed, err = write(b.Path, packed); err != nil {
		return Built{}, fmt.Errorf("plug-in %s: %w", name, err)
	}
	b.Took = time.Since(start)
	return b, nil
}

// check reads the package back and refuses it if anything is wrong with it.
func check(name string, packed []byte) error {
	p, err := plugin.Parse(name+".wasm", packed)
	if err != nil {
		return fmt.Errorf("plug-in %s: %w", name, err)
	}
	var bad []error
	for _, problem := range p.Check() {
		if !problem.Warning {
			bad = append(bad, fmt.Errorf("manifests/%s/%s", name, problem))
		}
	}
	if p.Name() != name {
		bad = append(bad, fmt.Errorf("manifests/%s/manifest.toml: name: is %q, but the folder is %s", name, p.Name(), name))
	}
	return errors.Join(bad...)
}

// Shared builds the module that plug-ins without source of their own share, of the source tree that root lies in.
func Shared(ctx context.Context, root string) ([]byte, error) {
	top, err := Root(root)
	if err != nil {
		return nil, err
	}
	return compile(ctx, top, shared)
}

// compile makes the module of plugins/<name>. The same source and Go release give the same bytes on every machine.
func compile(ctx context.Context, top, name string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(top, "plugins", name)); err != nil {
		return nil, fmt.Errorf("plug-in %s: there is no folder plugins/%s in %s", name, name, top)
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("plug-in %s: building needs the go command, which is not in PATH; install Go from https://go.dev/dl", name)
	}
	dir, err := os.MkdirTemp("", "tocsin-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, name+".wasm")
	// c-shared makes a reactor: a module whose functions are called one by one, instead of a program with a main.
	cmd := exec.CommandContext(ctx, goTool, "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w",
		"-o", file, "./plugins/"+name)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "PWD="+top)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("plug-in %s: %w", name, ctx.Err())
		}
		return nil, fmt.Errorf("plug-in %s: go build: %w\n%s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	return os.ReadFile(file)
}

// write puts data in a file by way of a temporary one beside it, unless the file holds it already.
func write(path string, data []byte) (changed bool, err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return false, err
	}
	return true, os.Rename(f.Name(), path)
}

// partsOf reads what a first-party package carries beside its module: the files of manifests/<name>, and the vectors, which
// lie with the source that they test.
func partsOf(top, name string) (plugin.Parts, error) {
	parts, err := plugin.ReadDir(filepath.Join(top, "manifests", name))
	if err != nil {
		return parts, err
	}
	dir := filepath.Join(top, "plugins", name, "testdata", "vectors")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return parts, err
	}
	if parts.Vectors == nil {
		parts.Vectors = map[string][]byte{}
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return parts, err
		}
		parts.Vectors[e.Name()] = b
	}
	return parts, nil
}
