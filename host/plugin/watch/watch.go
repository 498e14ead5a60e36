package watch

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options configure a Watcher. A zero field means its default.
type Options struct {
	// Settle is how long a file must not change before it is told; default 200 ms. One that is whole and that surely nobody writes
	// to is told after 40 ms already, one that is not whole or is open for writing after ten times Settle only.
	Settle time.Duration
	// Rescan is how often the folder is read whatever the system tells; default 30 s. A folder that is missing is looked
	// for each second, or each Rescan if that is shorter.
	Rescan time.Duration
	// Wanted picks files by their names; default Plugin.
	Wanted func(name string) bool
	// Whole tells whether a file looks complete by what is in it; nil: every file does. It is called from one goroutine
	// and should be quick.
	Whole func(path string) bool
	Log   *slog.Logger // default: nothing
}

// Change is one file that has changed, or is gone.
type Change struct {
	Path string
	Gone bool
}

// Watcher watches one folder.
type Watcher struct {
	dir string
	o   Options

	waiting map[string]wait        // files that have to stand still, by path
	told    map[string]os.FileInfo // what was told of, by path
	missing bool                   // the folder; told once

	mu    sync.Mutex // mu guards what follows
	queue []Change   // oldest first, one for each path
	ready chan struct{}
}

// wait is a file that changed a moment ago.
type wait struct {
	since time.Time   // it is as it is
	until time.Time   // when to look at it again
	info  os.FileInfo // nil: it was gone
}

// quick is for how long a file that seems to be done must not change: its writer may be about to begin again.
const quick = 40 * time.Millisecond

// New makes a watcher of a folder, which need not exist; call Run once.
func New(dir string, o Options) *Watcher {
	if o.Settle <= 0 {
		o.Settle = 200 * time.Millisecond
	}
	if o.Rescan <= 0 {
		o.Rescan = 30 * time.Second
	}
	if o.Wanted == nil {
		o.Wanted = Plugin
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{dir: filepath.Clean(dir), o: o, waiting: map[string]wait{}, told: map[string]os.FileInfo{}, ready: make(chan struct{}, 1)}
}

// Plugin tells whether a file of this name may be a plug-in: editors' and copying programs' temporary files are not.
func Plugin(name string) bool {
	return strings.HasSuffix(name, ".wasm") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "~") && !strings.HasPrefix(name, "#")
}

// Run calls change for each file that is there, then for each that changes, until ctx is done. Calls come one after the
// other; changes of one file that come while another is handled become one. Reading and watching go on meanwhile.
func (w *Watcher) Run(ctx context.Context, change func(context.Context, Change)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.ready:
			}
			for c, ok := w.next(); ok && ctx.Err() == nil; c, ok = w.next() {
				change(ctx, c)
			}
		}
	})
	w.watch(ctx)
}

// watch is the loop that looks at events and files.
func (w *Watcher) watch(ctx context.Context) {
	var events chan fsnotify.Event
	var errs chan error
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		w.o.Log.Warn("the system does not tell of changes; the plug-in folder is read now and then instead", "every", w.o.Rescan, "error", err)
	} else {
		defer fsw.Close()
		events, errs = fsw.Events, fsw.Errors
		_ = fsw.Add(filepath.Dir(w.dir)) // tells when the folder comes back; looking for it does too
	}
	attach := func() {
		if fsw == nil {
			return
		}
		_ = fsw.Remove(w.dir) // another folder may have its name by now
		if err := fsw.Add(w.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.o.Log.Warn("the plug-in folder cannot be watched; it is read now and then instead", "folder", w.dir, "every", w.o.Rescan, "error", err)
		}
	}
	attach()
	w.scan()
	timer := time.NewTimer(w.pause())
	defer timer.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			switch path := filepath.Clean(e.Name); {
			case path == w.dir && !e.Has(fsnotify.Chmod):
				attach()
				w.scan()
			case filepath.Dir(path) == w.dir && w.o.Wanted(filepath.Base(path)):
				w.touch(path)
			}
		case err := <-errs:
			w.o.Log.Debug("watching the plug-in folder", "error", err) // events were lost, most likely
			w.scan()
		case <-timer.C:
			if w.missing || time.Since(last) >= w.o.Rescan {
				last = time.Now()
				if w.missing {
					attach()
				}
				w.scan()
			}
			w.settle()
		}
		timer.Reset(w.pause())
	}
}

// pause is how long nothing has to be done.
func (w *Watcher) pause() time.Duration {
	d := w.o.Rescan
	if w.missing {
		d = min(d, time.Second)
	}
	for _, f := range w.waiting {
		d = min(d, time.Until(f.until))
	}
	return max(d, time.Millisecond)
}

// touch notes that a file has changed or may have.
func (w *Watcher) touch(path string) {
	info, err := os.Stat(path)
	if err != nil {
		info = nil
	}
	w.wait(path, info)
}

// wait begins to wait for a file, which is as info says, to stand still.
func (w *Watcher) wait(path string, info os.FileInfo) {
	now := time.Now()
	w.waiting[path] = wait{now, now.Add(min(quick, w.o.Settle)), info}
}

// rest is how long a file must not have changed. That it is complete cannot be known for sure, but much speaks for it or against it.
func (w *Watcher) rest(path string, info os.FileInfo) time.Duration {
	if info == nil || !info.Mode().IsRegular() { // opening a pipe may take for ever
		return w.o.Settle
	}
	open, known := writing(path)
	switch {
	case open, w.o.Whole != nil && !w.o.Whole(path):
		return 10 * w.o.Settle
	case known:
		return min(quick, w.o.Settle)
	}
	return w.o.Settle
}

// scan compares the folder with what was told of it.
func (w *Watcher) scan() {
	files, err := os.ReadDir(w.dir)
	if err != nil {
		if !w.missing {
			w.missing = true
			w.o.Log.Warn("the plug-in folder cannot be read; the plug-ins in use go on", "folder", w.dir, "error", err)
		}
		return // what runs goes on, and files that cannot be seen are not told as gone
	}
	if w.missing {
		w.missing = false
		w.o.Log.Info("the plug-in folder is back", "folder", w.dir)
	}
	there := map[string]bool{}
	for _, f := range files {
		if !w.o.Wanted(f.Name()) {
			continue
		}
		path := filepath.Join(w.dir, f.Name())
		there[path] = true
		if _, ok := w.waiting[path]; ok {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && !same(info, w.told[path]) {
			w.touch(path)
		}
	}
	for path := range w.told {
		if _, ok := w.waiting[path]; !ok && !there[path] {
			w.touch(path)
		}
	}
}

// settle tells of the files that have stood still for long enough.
func (w *Watcher) settle() {
	now := time.Now()
	for _, path := range slices.Sorted(maps.Keys(w.waiting)) {
		f := w.waiting[path]
		if now.Before(f.until) {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		if !same(info, f.info) {
			w.wait(path, info) // it still changes, and the system did not tell
			continue
		}
		if end := f.since.Add(w.rest(path, info)); now.Before(end) {
			f.until = end
			if again := now.Add(w.o.Settle); again.Before(end) {
				f.until = again // whoever writes to it may be done earlier
			}
			w.waiting[path] = f
			continue
		}
		delete(w.waiting, path)
		if info == nil {
			if _, known := w.told[path]; !known || w.gone() {
				continue
			}
			delete(w.told, path)
		} else {
			w.told[path] = info
		}
		w.push(Change{path, info == nil})
	}
}

// gone tells whether the folder as a whole is missing, which says nothing of its files.
func (w *Watcher) gone() bool {
	if _, err := os.Stat(w.dir); err != nil {
		w.scan() // which reports it
		return true
	}
	return false
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}

func (w *Watcher) push(c Change) {
	w.mu.Lock()
	w.queue = append(slices.DeleteFunc(w.queue, func(old Change) bool { return old.Path == c.Path }), c)
	w.mu.Unlock()
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *Watcher) next() (Change, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return Change{}, false
	}
	c := w.queue[0]
	w.queue = w.queue[1:]
	return c, true
}
