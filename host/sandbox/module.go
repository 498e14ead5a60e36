package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// Module is a compiled module with its pool of instances. It is safe for concurrent use.
type Module struct {
	name    string
	limits  Limits
	log     *slog.Logger
	runtime *Runtime

	compiled  *extism.CompiledPlugin
	cache     wazero.CompilationCache
	exports   []string
	hasMemory bool

	// slots holds one token for each instance that runs.
	slots chan struct{}
	size  int

	mu     sync.Mutex // mu guards what follows
	idle   []*instance
	closed bool

	stats counters
}

type counters struct {
	calls, nanos, guestErrors, traps, outOfFuel, badOutput, made, discarded, waits, live atomic.Int64
	memory, fuel                                                                         atomic.Int64
}

// Stats are a module's figures since it was compiled. A call is counted once, as fine or as one kind of failure.
type Stats struct {
	Calls       int64
	Time        time.Duration // spent in calls, without waiting for an instance
	Fuel        int64         // used by calls; see package meter for the unit
	GuestErrors int64         // errors that the guest reported
	Traps       int64         // calls that crashed
	OutOfFuel   int64         // calls stopped by a limit: instructions, nesting, host calls or time
	BadOutput   int64         // outputs that were none, too long or out of range
	Made        int64         // instances made, over time
	Live        int64         // instances now
	Discarded   int64         // instances thrown away after a fault, many calls or growth
	Waits       int64         // calls that had to wait for an instance
	MaxMemory   int64         // bytes: the most that an instance had
}

// Compile makes a module ready to be called. The bytes are checked (imports, validity), metered, compiled or taken from
// the cache, and one instance is made and initialised, so that a module that cannot start is found here. The error for a
// module at fault is a *CompileError.
func (r *Runtime) Compile(ctx context.Context, name string, wasm []byte, l Limits) (*Module, error) {
	l = l.filled()
	wasm, memory, err := prepare(name, wasm)
	if err != nil {
		return nil, err
	}
	cache, err := r.cache()
	if err != nil {
		return nil, fmt.Errorf("plug-in %s: compilation cache: %w", name, err)
	}
	m := &Module{
		name: name, limits: l, log: r.opts.Log.With("plugin", name), runtime: r, cache: cache,
		slots: make(chan struct{}, r.opts.Instances), size: r.opts.Instances, hasMemory: memory,
	}
	if wasm, err = metered(name, wasm, l); err != nil {
		return nil, errors.Join(err, m.free(ctx))
	}
	if err := m.compile(ctx, wasm); err != nil {
		return nil, errors.Join(err, m.free(ctx))
	}
	if err := r.add(m); err != nil {
		return nil, errors.Join(err, m.free(ctx))
	}
	return m, nil
}

func (m *Module) compile(ctx context.Context, wasm []byte) (err error) {
	defer func() { // The SDK and wazero's builders panic for some failures that other functions return.
		if p := recover(); p != nil {
			err = &CompileError{Plugin: m.name, Reason: "the compiler gave up on it", Err: fmt.Errorf("%v", p)}
		}
	}()
	ctx = experimental.WithFunctionListenerFactory(ctx, watch{})
	ctx = experimental.WithCompilationWorkers(ctx, goruntime.GOMAXPROCS(0))
	config := wazero.NewRuntimeConfig().WithCompilationCache(m.cache)
	m.compiled, err = extism.NewCompiledPlugin(ctx, extism.Manifest{
		Wasm:         []extism.Wasm{extism.WasmData{Data: wasm, Name: "main"}},
		AllowedHosts: []string{},
		// The two limits left out are 0 in a literal, which is meant: no HTTP, no variables.
		Memory: &extism.ManifestMemory{MaxPages: m.limits.MemoryPages},
	}, extism.PluginConfig{RuntimeConfig: config, EnableWasi: true}, envFunctions())
	if err != nil {
		return &CompileError{Plugin: m.name, Reason: notValid, Err: err}
	}
	in, err := m.instance(ctx)
	if err != nil {
		return err
	}
	for name := range in.plugin.Module().ExportedFunctions() {
		if name != meter.TrapExport && name != meter.FuelExport && name != meter.YieldExport {
			m.exports = append(m.exports, name)
		}
	}
	slices.Sort(m.exports)
	m.idle = append(m.idle, in)
	return nil
}

// Has reports whether the module exports a function of this name.
func (m *Module) Has(export string) bool {
	_, ok := slices.BinarySearch(m.exports, export)
	return ok
}

// Name is the name the module was compiled under.
func (m *Module) Name() string { return m.name }

// Call runs an export on an input and returns its output, which the caller owns. It waits for a free instance until ctx is
// done; a call that has begun is bounded by the module's limits. Errors of the guest are a *TrapError, *FuelError,
// *OutputError or *GuestError, or wrap ErrNotOffered.
func (m *Module) Call(ctx context.Context, export string, input []byte) ([]byte, error) {
	if !m.Has(export) {
		return nil, fmt.Errorf("plug-in %s: %s: %w", m.name, export, ErrNotOffered)
	}
	in, err := m.take(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	out, err := in.call(export, input)
	m.stats.calls.Add(1)
	m.stats.nanos.Add(int64(time.Since(began)))
	m.count(err)
	m.give(ctx, in)
	return out, err
}

func (m *Module) count(err error) {
	var (
		guest *GuestError
		trap  *TrapError
		fuel  *FuelError
		out   *OutputError
	)
	switch {
	case err == nil:
	case errors.As(err, &guest):
		m.stats.guestErrors.Add(1)
	case errors.As(err, &trap):
		m.stats.traps.Add(1)
	case errors.As(err, &fuel):
		m.stats.outOfFuel.Add(1)
	case errors.As(err, &out):
		m.stats.badOutput.Add(1)
	}
}

// Stats gives the module's figures.
func (m *Module) Stats() Stats {
	s := &m.stats
	return Stats{
		Calls: s.calls.Load(), Time: time.Duration(s.nanos.Load()), GuestErrors: s.guestErrors.Load(), Traps: s.traps.Load(),
		OutOfFuel: s.outOfFuel.Load(), BadOutput: s.badOutput.Load(), Made: s.made.Load(), Live: s.live.Load(),
		Discarded: s.discarded.Load(), Waits: s.waits.Load(), MaxMemory: s.memory.Load(), Fuel: s.fuel.Load(),
	}
}

// take gets an instance: an idle one, or a new one while there are fewer than allowed.
func (m *Module) take(ctx context.Context) (*instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case m.slots <- struct{}{}:
	default:
		m.stats.waits.Add(1)
		select {
		case m.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("plug-in %s: no instance was free: %w", m.name, ctx.Err())
		}
	}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		<-m.slots
		return nil, fmt.Errorf("plug-in %s: %w", m.name, ErrClosed)
	}
	if n := len(m.idle); n > 0 {
		in := m.idle[n-1]
		m.idle = m.idle[:n-1]
		m.mu.Unlock()
		return in, nil
	}
	m.mu.Unlock()
	in, err := m.instance(ctx)
	if err != nil {
		<-m.slots
		return nil, err
	}
	return in, nil
}

// give takes an instance back, or throws it away.
func (m *Module) give(ctx context.Context, in *instance) {
	defer func() { <-m.slots }()
	if mem := in.memory(); mem > 0 {
		for old := m.stats.memory.Load(); mem > old && !m.stats.memory.CompareAndSwap(old, mem); old = m.stats.memory.Load() {
		}
		// An instance near its limit would fail soon, in the middle of a call that a fresh one can serve.
		in.broken = in.broken || mem > int64(m.limits.MemoryPages)<<16/4*3
	}
	if in.broken || in.calls >= m.limits.Calls {
		m.stats.discarded.Add(1)
		m.end(ctx, in)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = append(m.idle, in)
}

func (m *Module) end(ctx context.Context, in *instance) {
	m.stats.live.Add(-1)
	if err := in.plugin.CloseWithContext(context.WithoutCancel(ctx)); err != nil {
		m.log.Debug("an instance could not be closed", "error", err)
	}
}

// Close lets calls under way end, as long as ctx lasts, and frees instances and code. Later calls give ErrClosed.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	for n := range m.size { // All slots taken: nothing runs any more.
		select {
		case m.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("plug-in %s: %d calls did not end in time: %w", m.name, m.size-n, ctx.Err())
		}
	}
	m.mu.Lock()
	idle := m.idle
	m.idle = nil
	m.mu.Unlock()
	for _, in := range idle {
		m.end(ctx, in)
	}
	for range m.size { // Let callers that wait find the module closed.
		<-m.slots
	}
	m.runtime.drop(m)
	return m.free(ctx)
}

// free gives back what the compiler made.
func (m *Module) free(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	if m.compiled != nil {
		errs = append(errs, m.compiled.Close(ctx))
	}
	return errors.Join(append(errs, m.cache.Close(ctx))...)
}

// watch attaches itself to WASI's functions, to a few of ours and to the one that a guest calls for each slice of its fuel,
// and to nothing else, so guest code runs as if it were not there. WASI's functions can take long for what they cost the guest,
// so each is charged; and the watched functions tell which memory the guest has.
//
// Go cannot interrupt compiled guest code, and its collector waits for all that runs. Each watched call runs on the Go side,
// where it can be stopped, so the collector waits for a slice at most; and time is up for a guest that computes, too.
type watch struct{}

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (w watch) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	if slices.Contains(f.ExportNames(), meter.YieldExport) {
		return w
	}
	_, bulk := bulkTypes[f.Name()]
	if m := f.ModuleName(); m == wasiModule || m == ourModule && (bulk || f.Name() == "input_length") {
		return w
	}
	return nil
}

// Before implements experimental.FunctionListener.
func (watch) Before(ctx context.Context, guest api.Module, f api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
	e, ok := ctx.Value(envKey{}).(*env)
	if !ok {
		return
	}
	e.guest = guest
	switch {
	case slices.Contains(f.ExportNames(), meter.YieldExport): // a slice of fuel is used up; what the guest calls itself tells nothing
		e.clock()
	case f.ModuleName() == wasiModule:
		e.charge()
		e.clock()
	}
}

// After implements experimental.FunctionListener.
func (watch) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

// Abort implements experimental.FunctionListener.
func (watch) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}
