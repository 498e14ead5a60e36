package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/plugin/watch"
)

// ReloadOptions configure a Reloader. A zero field means its default.
type ReloadOptions struct {
	// Fits tells whether the configuration's parameters suit a version that wants to take over. Nil: always. It is called
	// from one goroutine at a time.
	Fits func(ctx context.Context, t *Type) error
	// Serving is told which versions of a type may serve from now on, and what it is granted, whenever one of the two
	// changes, before a new version serves its first call. It may be called from several goroutines.
	Serving func(name string, types []*Type, granted *store.Grants)
	// Canary is for how many calls a new version is on trial; default 20. CanaryTime bounds the trial; default 10 minutes.
	Canary     int
	CanaryTime time.Duration
	// Settle and Rescan are those of the folder's watcher.
	Settle, Rescan time.Duration
	// OnChange, if set, is told what became of a file each time it was looked at.
	OnChange func(FileStatus)
}

// State is what became of a file of the plug-in folder.
type State string

// The states of a file.
const (
	Serving     State = "serving"     // its version serves, or was swapped in a moment ago
	Available   State = "available"   // a sound manifest, of a type that no endpoint uses
	Waiting     State = "pending"     // another version serves; Reason says what this one waits for
	Quarantined State = "quarantined" // it failed in use
	Unusable    State = "unusable"    // Reason says what is wrong with it
	Deleted     State = "deleted"     // what it brought goes on serving
)

// FileStatus is what is known of a file of the plug-in folder.
type FileStatus struct {
	Path          string
	Name, Version string // empty if the file cannot be read
	Hash          store.Hash
	State         State
	Reason        string
}

// Reloader takes new versions of the plug-ins in use from the folder while they are in use. A version that is bad, does not
// fit or wants more than it was granted never stops the one that serves, and neither does a file that is deleted: what came
// in through the folder runs from the store, until a version replaces it or somebody removes the plug-in.
type Reloader struct {
	r *Registry
	o ReloadOptions

	work sync.Mutex // work lets one file be looked at at a time

	mu    sync.Mutex // mu guards what follows
	files map[string]FileStatus
}

// NewReloader makes a reloader for a registry that uses a store; call Sync, then Run.
func NewReloader(r *Registry, o ReloadOptions) *Reloader {
	l := &Reloader{r: r, o: o, files: map[string]FileStatus{}}
	for _, h := range r.handles() {
		h.mu.Lock()
		if o.Canary > 0 {
			h.canary = o.Canary
		}
		if o.CanaryTime > 0 {
			h.trial = o.CanaryTime
		}
		h.ended = func(g *generation, err error) { l.ended(h, g, err) }
		h.mu.Unlock()
	}
	return l
}

// Sync looks at every file of the folder once, so that what changed while nothing watched is taken in before the first
// alert is sent.
func (l *Reloader) Sync(ctx context.Context) {
	if err := l.r.store.Prune(l.inUse()...); err != nil {
		l.r.log.Warn("the plug-in store could not be tidied up", "error", err)
	}
	for _, dir := range l.r.dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // the watcher reports it
		}
		for _, f := range files {
			if watch.Plugin(f.Name()) {
				l.look(ctx, filepath.Join(dir, f.Name()), false)
			}
		}
	}
	l.r.saveIndex()
}

func (l *Reloader) inUse() []store.Hash {
	var all []store.Hash
	for _, h := range l.r.handles() {
		for _, t := range h.serving() {
			all = append(all, store.Hash(t.pkg.Hash))
		}
	}
	return all
}

// Run follows the folders, and the grants, until ctx is done.
func (l *Reloader) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, dir := range l.r.dirs {
		w := watch.New(dir, watch.Options{Settle: l.o.Settle, Rescan: l.o.Rescan, Whole: plugin.Whole, Log: l.r.log})
		wg.Go(func() {
			w.Run(ctx, func(ctx context.Context, c watch.Change) {
				if c.Gone {
					l.gone(ctx, c.Path)
				} else {
					l.look(ctx, c.Path, false)
				}
			})
		})
	}
	grants := watch.New(l.r.store.GrantsDir(), watch.Options{
		Settle: l.o.Settle, Rescan: l.o.Rescan,
		Wanted: func(name string) bool { return !strings.HasPrefix(name, ".") },
	})
	wg.Go(func() {
		grants.Run(ctx, func(ctx context.Context, c watch.Change) {
			name, _, _ := strings.Cut(filepath.Base(c.Path), ".")
			l.regrant(ctx, name)
		})
	})
	wg.Wait()
	l.r.saveIndex()
	for _, h := range l.r.handles() { // nothing serves any more: what was on trial is tried anew at the next start
		l.update(h.name, func(rec *store.Record) { rec.Trial = nil })
	}
	return nil
}

// Files tells what is known of the folders' files, by path.
func (l *Reloader) Files() []FileStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.files), func(a, b FileStatus) int { return strings.Compare(a.Path, b.Path) })
}

// Status is Registry.Statuses.
func (l *Reloader) Status() []HandleStatus { return l.r.Statuses() }

// look takes in a file. The same content is looked at once, unless again is set.
func (l *Reloader) look(ctx context.Context, path string, again bool) {
	l.work.Lock()
	defer l.work.Unlock()
	l.mu.Lock()
	old := l.files[path]
	l.mu.Unlock()
	f := FileStatus{Path: path, State: Unusable}
	seen, p, err := l.r.look(path)
	if err == nil {
		f.Name, f.Version, f.Hash = seen.Name, seen.Version, seen.Hash
		if !again && f.Hash == old.Hash && old.State != Deleted && !(old.State == Serving && l.moved(f)) {
			return
		}
		if !l.judge(ctx, seen.World, p, &f) { // it is to be used: what is in the file counts, not what was known of it
			l.r.index.Forget(path)
			f = FileStatus{Path: path, State: Unusable}
			if seen, p, err = l.r.look(path); err == nil {
				f.Name, f.Version, f.Hash = seen.Name, seen.Version, seen.Hash
				l.judge(ctx, seen.World, p, &f)
			}
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // gone since; that is told too
	case err != nil:
		f.Reason = err.Error()
	}
	l.note(f, old)
}

// moved tells whether a version that was served from this file is not served any more.
func (l *Reloader) moved(f FileStatus) bool {
	h := l.r.handle(f.Name)
	return h != nil && h.current.Load().hash() != f.Hash
}

// note remembers what became of a file and reports it once.
func (l *Reloader) note(f, old FileStatus) {
	l.mu.Lock()
	if f.State == Serving { // a file that was renamed was told as deleted, perhaps
		maps.DeleteFunc(l.files, func(_ string, other FileStatus) bool { return other.State == Deleted && other.Name == f.Name })
	}
	l.files[f.Path] = f
	l.mu.Unlock()
	if f.State != old.State || f.Reason != old.Reason || f.Hash != old.Hash {
		log := l.r.log.With("file", f.Path, "plugin", f.Name, "version", f.Version)
		switch f.State {
		case Unusable:
			log.Warn("a plug-in file cannot be used; what serves goes on", "reason", f.Reason)
		case Waiting:
			log.Warn("a new version of a plug-in waits; the old one serves", "reason", f.Reason)
		case Quarantined:
			log.Error("a version of a plug-in is in quarantine and is not used", "reason", f.Reason)
		case Deleted:
			log.Warn("a plug-in's file was deleted; its version serves on until tocsin plugin remove and a restart")
		case Serving, Available:
			log.Debug("a plug-in file was looked at", "state", f.State)
		}
	}
	if l.o.OnChange != nil {
		l.o.OnChange(f)
	}
}

// judge decides what becomes of a sound file. It reports false, and decides nothing, if that needs the package and it is nil.
func (l *Reloader) judge(ctx context.Context, of string, p *plugin.Package, f *FileStatus) bool {
	h := l.r.handle(f.Name)
	switch {
	case of != world || h == nil:
		f.State = Available
		return true
	case l.taken(f) != "":
		f.Reason = fmt.Sprintf("the name %q is taken by %s: remove one of the two files", f.Name, l.taken(f))
		return true
	}
	if g := h.current.Load(); g.hash() == f.Hash {
		f.State = Serving
		if g.trial.Load() == nil {
			l.settled(h, f)
		}
		return true
	}
	if p == nil {
		return false
	}
	state, err := l.offer(ctx, h, p, f)
	f.State = state
	if err != nil {
		f.Reason = err.Error()
	}
	if state == Waiting {
		l.pend(f)
	}
	return true
}

// taken gives the other file that brings the same plug-in, if there is one.
func (l *Reloader) taken(f *FileStatus) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, other := range l.files {
		if path == f.Path || other.Name != f.Name || other.State == Unusable || other.State == Quarantined || other.State == Deleted {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// offer brings a version up beside the one that serves and swaps it in, on trial.
func (l *Reloader) offer(ctx context.Context, h *Handle, p *plugin.Package, f *FileStatus) (State, error) {
	s := l.r.store
	if err := l.r.refused(f.Name, f.Hash); err != nil {
		return Quarantined, err
	}
	if bad := slices.DeleteFunc(p.Check(), func(p plugin.Problem) bool { return p.Warning }); len(bad) > 0 {
		return Unusable, &plugin.Invalid{Name: f.Path, Problems: bad}
	}
	if _, err := s.Put(p.Wasm); err != nil { // what runs is what the store holds, byte by byte
		return Unusable, err
	}
	grants, err := s.Grants(f.Name)
	if err != nil {
		return Unusable, err
	}
	if missing := grants.Missing(store.Wishes(p.Manifest)); len(missing) > 0 {
		return Waiting, fmt.Errorf("it wants %s; tocsin plugin grant %s lets it in", wants(p.Manifest, missing), f.Name)
	}
	p.Zone = l.r.zone
	t, err := Load(ctx, l.r.rt, p)
	if err != nil {
		return Unusable, err
	}
	state := Unusable
	if err = t.Prove(ctx); err == nil {
		state = Waiting
		if l.o.Fits != nil {
			err = l.o.Fits(ctx, t)
		}
	}
	if err == nil {
		l.serving(h, grants, t)
		if err = l.swap(h, t, f.Path); err == nil {
			l.serving(h, grants) // without a version that was on trial until now
		}
	}
	if err != nil {
		return state, errors.Join(err, t.Close(context.WithoutCancel(ctx)))
	}
	return Serving, nil
}

func (l *Reloader) swap(h *Handle, t *Type, file string) error {
	number := h.current.Load().number + 1
	if rec, err := l.r.store.Record(h.name); err == nil && rec != nil {
		number = max(number, rec.Generation+1)
	}
	g := h.swap(t, number, file)
	if g == nil {
		return errors.New("tocsin is stopping; it is looked at again at the next start")
	}
	l.update(h.name, func(rec *store.Record) {
		rec.Trial = &store.Trial{Version: t.Manifest().Version, Hash: g.hash(), File: file, Generation: number, Since: g.since.UTC().Truncate(time.Second)}
		if rec.Pending != nil && rec.Pending.File == file {
			rec.Pending = nil
		}
	})
	l.r.log.Info("a new version of a plug-in serves, on trial", "plugin", h.name, "version", t.Manifest().Version, "generation", number, "file", file)
	return nil
}

// wants words wishes with the plug-in's own reasons.
func wants(m *plugin.Manifest, missing []store.Wish) string {
	var out []string
	for _, w := range missing {
		what := "to reach " + string(w)
		switch w {
		case store.WishExec:
			what = "to run scripts"
		case store.WishBan:
			what = "to ban addresses with fail2ban"
		case store.WishSyslog:
			what = "to write to this machine's syslog"
		}
		out = append(out, fmt.Sprintf("%s (%s)", what, oneLine(w.Reason(m), 200)))
	}
	return strings.Join(out, ", ")
}

// serving tells the host what may serve from now on.
func (l *Reloader) serving(h *Handle, grants *store.Grants, more ...*Type) {
	if l.o.Serving != nil {
		l.o.Serving(h.name, append(more, h.serving()...), grants)
	}
}

// pend remembers on disk that a version waits.
func (l *Reloader) pend(f *FileStatus) {
	l.update(f.Name, func(rec *store.Record) {
		rec.Pending = &store.Pending{Version: f.Version, Hash: f.Hash, File: f.Path, Reason: f.Reason, Since: time.Now().UTC().Truncate(time.Second)}
	})
}

// settled remembers on disk where the version that serves lies, and that nothing from there waits any more.
func (l *Reloader) settled(h *Handle, f *FileStatus) {
	l.update(h.name, func(rec *store.Record) {
		rec.File = f.Path
		if rec.Pending != nil && rec.Pending.File == f.Path {
			rec.Pending = nil
		}
	})
}

// update changes a plug-in's record, if it has one.
func (l *Reloader) update(name string, change func(*store.Record)) {
	rec, err := l.r.store.Record(name)
	if err == nil && rec != nil {
		before := *rec
		if change(rec); *rec != before {
			err = l.r.store.SetRecord(rec)
		}
	}
	if err != nil {
		l.r.log.Warn("the state of a plug-in could not be remembered", "plugin", name, "error", err)
	}
}

// ended is told by a handle how a trial went.
func (l *Reloader) ended(h *Handle, g *generation, failed error) {
	l.work.Lock()
	defer l.work.Unlock()
	log := l.r.log.With("plugin", h.name, "version", g.typ.Manifest().Version, "generation", g.number)
	if failed == nil {
		if h.current.Load() != g {
			return // the next one serves already
		}
		l.update(h.name, func(rec *store.Record) {
			waits := rec.Pending
			*rec = *record(h.name, g)
			rec.Pending = waits
		})
		log.Info("the trial of a new version ended well")
	} else {
		reason := "it failed where the version before does not: " + oneLine(failed.Error(), maxReason)
		q := store.Quarantined{
			Name: h.name, Version: g.typ.Manifest().Version, Hash: g.hash(), File: g.file, Reason: reason, Since: time.Now().UTC().Truncate(time.Second),
		}
		if err := l.r.store.Quarantine(q); err != nil {
			log.Error("a version could not be put in quarantine; it will be tried again at the next start", "error", err)
		}
		l.update(h.name, func(rec *store.Record) {
			if rec.Trial != nil && rec.Trial.Hash == g.hash() {
				rec.Trial = nil
			}
		})
		l.mu.Lock()
		old, ok := l.files[g.file]
		l.mu.Unlock()
		if f := old; ok && old.Hash == g.hash() {
			f.State, f.Reason = Quarantined, reason
			l.note(f, old)
		} else {
			log.Error("a version of a plug-in was put in quarantine", "reason", reason)
		}
	}
	if grants, err := l.r.store.Grants(h.name); err == nil {
		l.serving(h, grants)
	}
}

// gone notes that a file was deleted, and looks again at those whose name it took.
func (l *Reloader) gone(ctx context.Context, path string) {
	l.work.Lock()
	l.mu.Lock()
	old, known := l.files[path]
	delete(l.files, path)
	var others []string
	for p, f := range l.files {
		if known && f.Name == old.Name {
			others = append(others, p)
		}
	}
	l.mu.Unlock()
	h := l.r.handle(old.Name)
	if known && h != nil && len(others) == 0 && h.current.Load().file == path {
		old.State, old.Reason = Deleted, ""
		l.note(old, FileStatus{})
	}
	l.work.Unlock()
	slices.Sort(others)
	for _, p := range others {
		l.look(ctx, p, true)
	}
}

// regrant takes up changed grants: at once for what serves, and for what waits.
func (l *Reloader) regrant(ctx context.Context, name string) {
	h := l.r.handle(name)
	if h == nil {
		return
	}
	l.work.Lock()
	grants, err := l.r.store.Grants(name)
	if err != nil {
		l.r.log.Warn("the grants of a plug-in cannot be read; those read before hold", "plugin", name, "error", err)
	} else {
		l.serving(h, grants)
	}
	l.work.Unlock()
	for _, f := range l.Files() {
		if f.Name == name && f.State == Waiting {
			l.look(ctx, f.Path, true)
		}
	}
}
