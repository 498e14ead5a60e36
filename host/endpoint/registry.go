package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/sandbox"
)

// Installed is an endpoint plug-in as found in a folder, by its manifest alone.
type Installed struct {
	Path     string
	Manifest *plugin.Manifest
	Hash     [32]byte // SHA-256 of the file
}

// Problem is a file that could not be used. The others are used all the same.
type Problem struct {
	Path string
	Err  error // often a *plugin.Invalid, which lists everything that is wrong
}

// Registry knows the endpoint plug-ins of some folders and compiles those that are asked for, once each. It is safe for
// concurrent use.
type Registry struct {
	rt   *sandbox.Runtime
	dirs []string

	mu    sync.Mutex // mu guards what follows
	found map[string]Installed
	types map[string]*entry
}

// entry is a type being compiled, or compiled: the first who asks compiles, the others wait.
type entry struct {
	once sync.Once
	t    *Type
	err  error
}

// NewRegistry makes an empty registry; call Scan to fill it.
func NewRegistry(rt *sandbox.Runtime, dirs ...string) *Registry {
	return &Registry{rt: rt, dirs: dirs, found: map[string]Installed{}, types: map[string]*entry{}}
}

// Scan reads the manifests of all .wasm files in the folders. Nothing is run or compiled, and the files' code is not kept
// in memory. Of two plug-ins with the same name the first in order of folder and file name is used, the other is a problem.
// What was compiled before stays as it is. A folder that cannot be read is a problem too.
func (r *Registry) Scan() []Problem {
	var problems []Problem
	found := map[string]Installed{}
	for _, dir := range r.dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = errors.New("the plug-in folder does not exist: make it and put plug-ins there, or correct the configuration")
			}
			problems = append(problems, Problem{dir, err})
			continue
		}
		for _, f := range files {
			if name := f.Name(); !strings.HasSuffix(name, ".wasm") || strings.HasPrefix(name, ".") {
				continue
			}
			path := filepath.Join(dir, f.Name())
			p, err := plugin.Open(path)
			if err != nil {
				problems = append(problems, Problem{path, err})
				continue
			}
			if p.Manifest.World != "endpoint" {
				continue
			}
			if first, ok := found[p.Manifest.Name]; ok {
				problems = append(problems, Problem{path, fmt.Errorf("the name %q is taken by %s, which is used: remove one of the two files", p.Manifest.Name, first.Path)})
				continue
			}
			found[p.Manifest.Name] = Installed{Path: path, Manifest: p.Manifest, Hash: p.Hash}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = found
	return problems
}

// List gives the plug-ins found, by name.
func (r *Registry) List() []Installed {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Installed, 0, len(r.found))
	for _, i := range r.found {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Installed) int { return cmp.Compare(a.Manifest.Name, b.Manifest.Name) })
	return all
}

// UnknownTypeError says that no plug-in offers an endpoint type.
type UnknownTypeError struct {
	Name  string
	Known []string // what there is, by name
	Dirs  []string // where it was looked for
}

func (e *UnknownTypeError) Error() string {
	where := strings.Join(e.Dirs, ", ")
	if len(e.Known) == 0 {
		return fmt.Sprintf("no plug-in offers the endpoint type %q: there is none at all in %s", e.Name, where)
	}
	return fmt.Sprintf("no plug-in in %s offers the endpoint type %q; there are: %s", where, e.Name, strings.Join(e.Known, ", "))
}

// Open reads the package of an endpoint type and checks all of it, without compiling it: for what needs its schema or its
// templates only.
func (r *Registry) Open(name string) (*plugin.Package, error) {
	i, err := r.installed(name)
	if err != nil {
		return nil, err
	}
	p, err := plugin.Load(i.Path)
	if err != nil {
		return nil, err
	}
	if p.Manifest.Name != name {
		return nil, fmt.Errorf("%s was replaced by another plug-in, %s, since the folder was read", i.Path, p.Manifest.Name)
	}
	return p, nil
}

func (r *Registry) installed(name string) (Installed, error) {
	r.mu.Lock()
	i, ok := r.found[name]
	r.mu.Unlock()
	if ok {
		return i, nil
	}
	e := &UnknownTypeError{Name: name, Dirs: r.dirs}
	for _, i := range r.List() {
		e.Known = append(e.Known, i.Manifest.Name)
	}
	return Installed{}, e
}

// Type gives an endpoint type, compiled when it is asked for the first time. A failure is not remembered. The registry
// owns the type: Close closes it.
func (r *Registry) Type(ctx context.Context, name string) (*Type, error) {
	r.mu.Lock()
	e := r.types[name]
	if e == nil {
		e = new(entry)
		r.types[name] = e
	}
	r.mu.Unlock()
	e.once.Do(func() {
		var p *plugin.Package
		if p, e.err = r.Open(name); e.err == nil {
			e.t, e.err = Load(ctx, r.rt, p)
		}
	})
	if e.err != nil {
		r.mu.Lock()
		if r.types[name] == e {
			delete(r.types, name)
		}
		r.mu.Unlock()
	}
	return e.t, e.err
}

// Close closes the types that were compiled.
func (r *Registry) Close(ctx context.Context) error {
	r.mu.Lock()
	types := r.types
	r.types = map[string]*entry{}
	r.mu.Unlock()
	var errs []error
	for _, e := range types {
		e.once.Do(func() { e.err = errors.New("the registry was closed") })
		if e.t != nil {
			errs = append(errs, e.t.Close(ctx))
		}
	}
	return errors.Join(errs...)
}
