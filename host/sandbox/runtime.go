package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
)

// Options configure a Runtime.
type Options struct {
	// CacheDir keeps compiled code between runs. It is made with mode 0700 and refused if others may write to it, since
	// what lies there is executed. Empty: nothing is kept.
	CacheDir string
	// Log gets what guests log, with the plug-in's name. Nil: nothing.
	Log *slog.Logger
	// Hide takes out of a guest's text what must not be shown, before it is logged or becomes part of an error. It is called from
	// several goroutines. Placeholders of secrets are hidden after it. Nil: nothing else is.
	Hide func(text string) string
	// Instances bounds how many instances of a module run at once; 0 means GOMAXPROCS, at least 2.
	Instances int
}

// Limits bound one module. A zero field means its default.
type Limits struct {
	MemoryPages uint32        // of 64 KiB, for each instance; default 512, which is 32 MiB
	Fuel        uint64        // about one instruction each, for each call; default 4e9
	StackDepth  uint32        // nested calls; default as in package meter
	MaxOutput   int           // bytes; default 4 MiB
	Timeout     time.Duration // of a call, as far as host calls can tell; default 5 s
	LogBytes    int           // for each call; default 16 KiB
	Calls       int           // after which an instance is replaced by a fresh one; default 10,000
}

func (l Limits) filled() Limits {
	def := func(v, d int) int {
		if v <= 0 {
			return d
		}
		return v
	}
	l.MemoryPages = uint32(min(def(int(l.MemoryPages), 512), 65536))
	if l.Fuel == 0 {
		l.Fuel = 4e9
	}
	if l.Timeout <= 0 {
		l.Timeout = 5 * time.Second
	}
	l.MaxOutput = def(l.MaxOutput, 4<<20)
	l.LogBytes = def(l.LogBytes, 16<<10)
	l.Calls = def(l.Calls, 10_000)
	return l
}

// Runtime compiles modules. It is safe for concurrent use. Each module gets a WebAssembly runtime of its own, because
// compiled code is freed only with the runtime; what they share is the cache on disk.
type Runtime struct {
	opts Options

	mu      sync.Mutex // mu guards what follows
	modules map[*Module]struct{}
	closed  bool
}

// New checks the cache folder and makes a Runtime; close it when no module is needed any more.
func New(o Options) (*Runtime, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Hide == nil {
		o.Hide = func(text string) string { return text }
	}
	if o.Instances <= 0 {
		o.Instances = max(2, goruntime.GOMAXPROCS(0))
	}
	if o.CacheDir != "" {
		dir, err := filepath.Abs(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("cache folder: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the cache folder for compiled plug-ins: %w", err)
		}
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("cache folder: %w", err)
		}
		if err := ownFolder(dir, info); err != nil {
			return nil, err
		}
		o.CacheDir = dir
	}
	return &Runtime{opts: o, modules: map[*Module]struct{}{}}, nil
}

// cache opens the cache of compiled code; without a folder it lives in memory. The caller closes it.
func (r *Runtime) cache() (wazero.CompilationCache, error) {
	if r.opts.CacheDir == "" {
		return wazero.NewCompilationCache(), nil
	}
	return wazero.NewCompilationCacheWithDir(r.opts.CacheDir)
}

// Close closes every module and waits for calls that are under way, until ctx is done.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	open := make([]*Module, 0, len(r.modules))
	for m := range r.modules {
		open = append(open, m)
	}
	r.mu.Unlock()
	var errs []error
	for _, m := range open {
		errs = append(errs, m.Close(ctx))
	}
	return errors.Join(errs...)
}

// Open is the number of modules that were compiled and not closed yet.
func (r *Runtime) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.modules)
}

func (r *Runtime) add(m *Module) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.modules[m] = struct{}{}
	return nil
}

func (r *Runtime) drop(m *Module) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.modules, m)
}
