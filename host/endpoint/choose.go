package endpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
)

// choice is the version of a type that is used: the one that ran last, or the one in the folder.
type choice struct {
	path   string
	file   string     // where in the folder it came from
	hash   store.Hash // zero without a store
	number int        // its generation
	proved bool       // it ran before: its vectors need not be run again
}

// entry is a type being compiled, or compiled: the first who asks compiles, the others wait.
type entry struct {
	once sync.Once
	h    *Handle // written under the registry's mu
	err  error
}

// choose picks the version to use. With a store that is the version that ran last, whatever lies in the folder now: a
// Reloader takes in what is new there, as at any other time.
func (r *Registry) choose(name string) (choice, error) {
	r.mu.Lock()
	c, ok := r.chosen[name]
	r.mu.Unlock()
	if ok {
		return c, nil
	}
	c, err := r.last(name)
	if err != nil {
		return c, err
	}
	if c.path == "" {
		if c, err = r.fromFolder(name, nil); err != nil {
			return c, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.chosen[name] = c
	return c, nil
}

// last is the version that ran last; an empty choice if there is none that could be used.
func (r *Registry) last(name string) (choice, error) {
	if r.store == nil {
		return choice{}, nil
	}
	rec, err := r.store.Record(name)
	if err != nil || rec == nil {
		return choice{}, err
	}
	if _, err := r.store.Load(rec.Hash); err != nil {
		r.log.Warn("the version of a plug-in that ran last cannot be used; the one in the folder is taken", "plugin", name, "version", rec.Version, "error", err)
		return choice{}, nil
	}
	return choice{path: r.store.Path(rec.Hash), file: rec.File, hash: rec.Hash, number: max(1, rec.Generation), proved: true}, nil
}

// fromFolder is the version in the folder, copied into the store, if granted, unless it is nil, agrees to its wishes. The file
// is read anew, and what it is judged by is what is copied.
func (r *Registry) fromFolder(name string, granted func(*plugin.Manifest) error) (choice, error) {
	i, err := r.installed(name)
	if err != nil {
		return choice{}, err
	}
	c := choice{path: i.Path, file: i.Path, number: 1}
	if r.store == nil {
		return c, nil
	}
	p, err := plugin.Open(i.Path)
	if err != nil {
		return c, err
	}
	if store.Hash(p.Hash) != i.Hash {
		r.index.Forget(i.Path)
	}
	if p.Manifest.Name != name {
		return c, fmt.Errorf("%s was replaced by another plug-in, %s, since the folder was read", i.Path, p.Manifest.Name)
	}
	if err := r.refused(name, p.Hash); err != nil {
		return c, fmt.Errorf("%s: %w", i.Path, err)
	}
	if granted != nil {
		if err := granted(p.Manifest); err != nil {
			return c, err
		}
	}
	if bad := slices.DeleteFunc(p.Check(), func(p plugin.Problem) bool { return p.Warning }); len(bad) > 0 {
		return c, &plugin.Invalid{Name: i.Path, Problems: bad}
	}
	if c.hash, err = r.store.Put(p.Wasm); err != nil {
		return c, err
	}
	c.path = r.store.Path(c.hash)
	if rec, err := r.store.Record(name); err == nil && rec != nil {
		c.number = rec.Generation + 1
	}
	return c, nil
}

// refused tells why a version must not run: it is in quarantine.
func (r *Registry) refused(name string, h store.Hash) error {
	q, err := r.store.Quarantined(h)
	if err != nil || q == nil {
		return err
	}
	return fmt.Errorf("this version of %s (%s) is in quarantine since %s: %s; install another, or this one again with tocsin plugin install --lift-quarantine",
		name, h.Short(), q.Since.Format(time.DateOnly), q.Reason)
}

// Open reads the package of an endpoint type and checks all of it, without compiling it: for what needs its schema or its
// templates only.
func (r *Registry) Open(name string) (*plugin.Package, error) {
	c, err := r.choose(name)
	if err != nil {
		return nil, err
	}
	if r.store != nil {
		p, err := r.store.Load(c.hash)
		if err == nil {
			p.Path, p.Zone = c.file, r.zone // messages name the file that people know
		}
		return p, err
	}
	p, err := plugin.Load(c.path)
	if err != nil {
		return nil, err
	}
	if p.Manifest.Name != name {
		return nil, fmt.Errorf("%s was replaced by another plug-in, %s, since the folder was read", c.path, p.Manifest.Name)
	}
	p.Zone = r.zone
	return p, nil
}

// Type gives an endpoint type as it is now; see Handle.
func (r *Registry) Type(ctx context.Context, name string) (*Type, error) {
	h, err := r.Handle(ctx, name)
	if err != nil {
		return nil, err
	}
	return h.Type(), nil
}

// Handle gives an endpoint type, compiled when it is asked for the first time; a version that never ran must pass its own
// vectors. A failure is not remembered. The registry owns the handle: Close closes it.
func (r *Registry) Handle(ctx context.Context, name string) (*Handle, error) {
	r.mu.Lock()
	e := r.types[name]
	if e == nil {
		e = new(entry)
		r.types[name] = e
	}
	r.mu.Unlock()
	e.once.Do(func() {
		h, err := r.compile(ctx, name)
		r.mu.Lock()
		defer r.mu.Unlock()
		e.h, e.err = h, err
	})
	if e.err != nil {
		r.mu.Lock()
		if r.types[name] == e {
			delete(r.types, name)
		}
		r.mu.Unlock()
	}
	return e.h, e.err
}

func (r *Registry) compile(ctx context.Context, name string) (*Handle, error) {
	p, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	c, err := r.choose(name)
	if err != nil {
		return nil, err
	}
	t, err := Load(ctx, r.rt, p)
	if err != nil {
		return nil, err
	}
	if r.store != nil && !c.proved {
		if err := t.Prove(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), t.Close(ctx))
		}
	}
	return newHandle(name, t, c.number, c.file, r.log), nil
}

// Prove runs the vectors that the package carries. Its error names each that failed.
func (t *Type) Prove(ctx context.Context) error {
	vectors, err := t.Vectors()
	if err != nil {
		return err
	}
	failed := t.RunVectors(ctx, vectors)
	t.proof = t.module.Stats()
	var lines []string
	for _, file := range slices.Sorted(maps.Keys(failed)) {
		if len(lines) == 3 {
			lines = append(lines, fmt.Sprintf("and %d more", len(failed)-3))
			break
		}
		lines = append(lines, fmt.Sprintf("%s: %v", file, failed[file]))
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("plug-in %s fails %d of its %d test vectors: %s", t.Manifest().Name, len(failed), len(vectors), strings.Join(lines, "; "))
}

// errNotGranted says that a version wants more than was granted.
var errNotGranted = errors.New("it was not granted what it wants")

// TryFolder makes the registry use the folder's version of types in place of the version that ran last, where there is
// another one that was granted what it wishes. It is for a start whose configuration does not fit what ran last. Types that
// were compiled before are closed. It tells whether anything is different now.
func (r *Registry) TryFolder(ctx context.Context) bool {
	if r.store == nil {
		return false
	}
	r.mu.Lock()
	names := slices.Collect(maps.Keys(r.chosen))
	r.mu.Unlock()
	changed := false
	for _, name := range names {
		old, err := r.choose(name)
		if err != nil || !old.proved {
			continue
		}
		i, err := r.installed(name)
		if err != nil || i.Hash == old.hash {
			continue
		}
		c, err := r.fromFolder(name, func(m *plugin.Manifest) error {
			grants, err := r.store.Grants(name)
			if err == nil && len(grants.Missing(store.Wishes(m))) > 0 {
				err = errNotGranted
			}
			return err
		})
		if err != nil {
			continue
		}
		changed = true
		r.mu.Lock()
		r.chosen[name] = c
		e := r.types[name]
		delete(r.types, name)
		r.mu.Unlock()
		if e != nil && e.h != nil {
			_ = e.h.Close(ctx) // nothing uses it: its parameters did not fit
		}
	}
	return changed
}

// Adopt remembers, for each type that was compiled, that its version runs, and grants its wishes if this is the first use
// of the plug-in. Call it when the configuration that asked for the types is found to be right.
func (r *Registry) Adopt() error {
	if r.store == nil {
		return nil
	}
	var errs []error
	for _, h := range r.handles() {
		errs = append(errs, r.adopt(h))
	}
	return errors.Join(errs...)
}

func (r *Registry) adopt(h *Handle) error {
	g := h.current.Load()
	grants, err := r.store.Grants(h.name)
	if err != nil {
		return err
	}
	if !grants.Known {
		if err := r.store.Grant(h.name, "configuration", store.Wishes(g.typ.Manifest())...); err != nil {
			return err
		}
	}
	rec, err := r.store.Record(h.name)
	if err != nil {
		return err
	}
	if rec != nil && rec.Hash == g.hash() && rec.File == g.file && rec.Trial == nil {
		return nil
	}
	return r.store.SetRecord(record(h.name, g))
}

func record(name string, g *generation) *store.Record {
	return &store.Record{
		Name: name, Version: g.typ.Manifest().Version, Hash: g.hash(), File: g.file, Generation: g.number,
		Since: g.since.UTC().Truncate(time.Second),
	}
}

// handles lists the types that are in use, by name.
func (r *Registry) handles() []*Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Handle
	for _, name := range slices.Sorted(maps.Keys(r.types)) {
		if h := r.types[name].h; h != nil {
			all = append(all, h)
		}
	}
	return all
}

// handle gives a type that is in use; nil if it is not.
func (r *Registry) handle(name string) *Handle {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.types[name]; e != nil {
		return e.h
	}
	return nil
}
