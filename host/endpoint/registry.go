package endpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/plugin/watch"
	"github.com/tocsin-net/tocsin/host/sandbox"
)

// Installed is an endpoint plug-in as found in a folder, by its manifest alone.
type Installed struct {
	Path          string
	Name, Version string
	Hash          store.Hash // of the file, as it was when it was read last
}

// Problem is a file that could not be used. The others are used all the same.
type Problem struct {
	Path string
	Err  error // often a *plugin.Invalid, which lists everything that is wrong
}

// Registry knows the endpoint plug-ins of some folders and compiles those that are asked for, once each. It is safe for
// concurrent use.
type Registry struct {
	rt    *sandbox.Runtime
	store *store.Store // nil: plug-ins are used as they lie in the folders
	index *store.Index // of what lies in the folders; nil without a store
	log   *slog.Logger
	dirs  []string
	zone  *time.Location // of times in messages

	mu     sync.Mutex // mu guards what follows
	found  map[string]Installed
	types  map[string]*entry
	chosen map[string]choice
}

// NewRegistry makes an empty registry; call Scan to fill it.
func NewRegistry(rt *sandbox.Runtime, dirs ...string) *Registry {
	return &Registry{
		rt: rt, dirs: dirs, zone: time.UTC, log: slog.New(slog.DiscardHandler),
		found: map[string]Installed{}, types: map[string]*entry{}, chosen: map[string]choice{},
	}
}

// Use makes the registry take plug-ins from a store, into which those of the folders are copied first, and remember there
// which version runs. Call it before anything is opened.
func (r *Registry) Use(s *store.Store, log *slog.Logger) { r.store, r.index, r.log = s, s.Index(), log }

// In sets the time zone of times in messages; without it they are in UTC. Call it before anything is opened.
func (r *Registry) In(zone *time.Location) { r.zone = zone }

// Scan reads the manifests of all .wasm files in the folders; with a store, of those that changed since they were read last.
// Nothing is run or compiled, and the files' code is not kept in memory. Of two plug-ins with the same name the first in order of folder and file name is used, the other is a problem.
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
			if !watch.Plugin(f.Name()) {
				continue
			}
			path := filepath.Join(dir, f.Name())
			p, _, err := r.look(path)
			if err != nil {
				problems = append(problems, Problem{path, err})
				continue
			}
			if p.World != world {
				continue
			}
			if first, ok := found[p.Name]; ok {
				problems = append(problems, Problem{path, fmt.Errorf("the name %q is taken by %s, which is used: remove one of the two files", p.Name, first.Path)})
				continue
			}
			found[p.Name] = Installed{Path: path, Name: p.Name, Version: p.Version, Hash: p.Hash}
		}
	}
	r.saveIndex()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = found
	return problems
}

// look tells what is in a file. The package is nil if the file did not change since it was read.
func (r *Registry) look(path string) (store.Seen, *plugin.Package, error) {
	if r.index != nil {
		return r.index.Look(path)
	}
	p, err := plugin.Open(path)
	if err != nil {
		return store.Seen{}, nil, err
	}
	return store.Seen{Name: p.Manifest.Name, Version: p.Manifest.Version, World: p.Manifest.World, Hash: p.Hash}, p, nil
}

func (r *Registry) saveIndex() {
	if r.index == nil {
		return
	}
	if err := r.index.Save(); err != nil {
		r.log.Debug("what lies in the plug-in folder could not be remembered; it is read again at the next start", "error", err)
	}
}

// List gives the plug-ins found, by name.
func (r *Registry) List() []Installed {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Installed, 0, len(r.found))
	for _, i := range r.found {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Installed) int { return cmp.Compare(a.Name, b.Name) })
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

func (r *Registry) installed(name string) (Installed, error) {
	r.mu.Lock()
	i, ok := r.found[name]
	r.mu.Unlock()
	if ok {
		return i, nil
	}
	e := &UnknownTypeError{Name: name, Dirs: r.dirs}
	for _, i := range r.List() {
		e.Known = append(e.Known, i.Name)
	}
	return Installed{}, e
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
		if e.h != nil {
			errs = append(errs, e.h.Close(ctx))
		}
	}
	return errors.Join(errs...)
}
