package sandbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

const (
	// hostCalls bounds the calls of host functions in one call of a guest: at under 100 ns each, half a second. Eight
	// bytes travel with each, so it allows for messages of 16 MB both ways.
	hostCalls = 4 << 20
	// arenaSpare is what a guest may allocate for the host beyond input and output: log lines, errors.
	arenaSpare = 1 << 20
	// codeNotOffered is what an export returns to say that it stands for nothing; see pdk/spec/ABI.md.
	codeNotOffered = 2
)

// instance is one instance of a module: used by one goroutine at a time, which the pool takes care of.
type instance struct {
	m      *Module
	plugin *extism.Plugin
	env    env
	logs   guestLog
	calls  int
	broken bool // not to be used again
	// exports are the functions called so far. Asking for one makes a stack for it, which costs as much as a small call.
	exports map[string]api.Function
	// ctx is that of all calls: it tells the host functions and the SDK whose they are.
	ctx context.Context //nolint:containedctx // it is made once, for it holds values only and no caller's end
}

// instance makes a new instance and initialises it: no files, arguments, environment or network, a clock that stands
// still but for a tick at each reading, and the same random numbers each time, as is wazero's default.
func (m *Module) instance(ctx context.Context) (*instance, error) {
	in := &instance{m: m, logs: guestLog{log: m.log, hide: m.runtime.opts.Hide}, exports: map[string]api.Function{}}
	in.env.plugin, in.env.logs, in.env.hasMemory = m.name, &in.logs, m.hasMemory
	ctx = in.context(context.WithoutCancel(ctx))
	in.env.begin("_initialize", nil, arenaSpare, hostCalls, time.Now().Add(m.limits.Timeout))
	in.logs.begin(m.limits.LogBytes)
	p, err := m.compiled.Instance(ctx, extism.PluginInstanceConfig{
		ModuleConfig: wazero.NewModuleConfig().WithStdout(&in.logs).WithStderr(&in.logs),
	})
	if err != nil {
		return nil, m.startError(in, err)
	}
	in.plugin = p
	// The SDK's wrapper of host functions looks for the plug-in under this key.
	in.ctx = context.WithValue(in.context(context.Background()), extism.PluginCtxKey("plugin"), p)
	// The SDK initialises a module with its first call of anything. This one is watched, so that the guest is known.
	if _, _, err := p.CallWithContext(ctx, meter.YieldExport, nil); err != nil {
		return nil, errors.Join(m.startError(in, err), p.CloseWithContext(ctx))
	}
	m.stats.made.Add(1)
	m.stats.live.Add(1)
	return in, nil
}

// startError explains why a module could not be started.
func (m *Module) startError(in *instance, err error) error {
	e := in.explain("_initialize", err)
	var trap *TrapError
	if !errors.As(e, &trap) {
		return e
	}
	if trap.Reason == "unreachable" { // The trap code cannot be asked of what has not started.
		trap.Reason += ", or more instructions than a start may take"
	}
	return &CompileError{Plugin: m.name, Reason: "it does not start", Err: errors.New(trap.Reason)}
}

func (in *instance) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, envKey{}, &in.env)
}

// used is the fuel that the last call used; 0 if the guest ended itself.
func (in *instance) used() int64 {
	g := in.env.guest
	if g == nil || g.IsClosed() {
		return 0
	}
	left, err := in.invoke(meter.FuelExport)
	if err != nil {
		return 0
	}
	return max(0, int64(in.m.limits.Fuel)-max(0, int64(left)))
}

// invoke calls an export of the initialised guest and gives what it returns. It does by itself what remains of the SDK's call
// here: input, output and error texts go through the host functions of this package.
func (in *instance) invoke(export string) (uint64, error) {
	f := in.exports[export]
	if f == nil {
		if f = in.env.guest.ExportedFunction(export); f == nil {
			return 0, fmt.Errorf("it has no export %s", export)
		}
		if d := f.Definition(); len(d.ParamTypes()) > 0 || len(d.ResultTypes()) > 1 {
			return 0, fmt.Errorf("its export %s takes %d values and gives %d; it must take none and give one", export, len(d.ParamTypes()), len(d.ResultTypes()))
		}
		in.exports[export] = f
	}
	var stack [1]uint64
	err := f.CallWithStack(in.ctx, stack[:])
	return stack[0], err
}

// memory is the size of the guest's memory in bytes; 0 if it has none.
func (in *instance) memory() int64 {
	if in.env.guest == nil || !in.env.hasMemory {
		return 0
	}
	return int64(in.env.guest.Memory().Size())
}

func (in *instance) call(export string, input []byte) ([]byte, error) {
	m := in.m
	in.calls++
	deadline := time.Now().Add(m.limits.Timeout)
	in.env.begin(export, input, 2*m.limits.MaxOutput+arenaSpare, hostCalls, deadline)
	in.logs.begin(m.limits.LogBytes)
	code, err := in.invoke(export)
	m.stats.fuel.Add(in.used())
	if err != nil {
		in.broken = true
		return nil, in.cause(export, in.explain(export, err))
	}
	switch uint32(code) {
	case 0:
		return in.output(export)
	case codeNotOffered:
		return nil, fmt.Errorf("plug-in %s: %s: %w", m.name, export, ErrNotOffered)
	}
	msg := fmt.Sprintf("it returned %d without saying why", int32(code))
	if f := in.env.failure; f.at != 0 && f.at+f.size <= uint64(len(in.env.arena)) {
		if s := in.logs.shown(in.env.arena[f.at:f.at+f.size], 4096); s != "" {
			msg = s
		}
	}
	return nil, &GuestError{Plugin: m.name, Export: export, Message: msg}
}

// cause asks, after a trap, whether it was the meter that ended the call.
func (in *instance) cause(export string, err error) error {
	var trap *TrapError
	if !errors.As(err, &trap) || in.env.stopped != nil || in.env.guest != nil && in.env.guest.IsClosed() {
		return err
	}
	code, asked := in.invoke(meter.TrapExport)
	switch {
	case asked != nil:
	case int32(code) == meter.TrapNoFuel:
		return &FuelError{in.m.name, export, "instructions"}
	case int32(code) == meter.TrapTooDeep:
		return &FuelError{in.m.name, export, "nested calls"}
	}
	return err
}

// output copies what the guest set as its output.
func (in *instance) output(export string) ([]byte, error) {
	e, o := &in.env, in.env.output
	bad := func(format string, a ...any) error {
		return &OutputError{Plugin: in.m.name, Export: export, Reason: fmt.Sprintf(format, a...)}
	}
	switch {
	case !e.outputSet:
		return nil, bad("it set none")
	case o.size > uint64(in.m.limits.MaxOutput):
		return nil, bad("it is %d bytes long; the limit is %d", o.size, in.m.limits.MaxOutput)
	case o.size > 0 && (o.at < firstBlock || o.at > uint64(len(e.arena)) || o.size > uint64(len(e.arena))-o.at):
		return nil, bad("it lies outside of the memory that the guest was given")
	case o.size == 0:
		return []byte{}, nil
	}
	return append([]byte(nil), e.arena[o.at:o.at+o.size]...), nil
}

// explain turns the error of a call into one of ours. The instance is not used again.
func (in *instance) explain(export string, err error) error {
	if in.env.stopped != nil {
		return in.env.stopped
	}
	t := &TrapError{Plugin: in.m.name, Export: export}
	said := in.logs.said()
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		t.Reason = fmt.Sprintf("it ended itself with exit code %d", exit.ExitCode())
	} else {
		t.Reason = strings.TrimSuffix(firstLine(err.Error()), " (recovered by wazero)")
		if _, cause, ok := strings.Cut(t.Reason, "wasm error: "); ok {
			t.Reason = cause
		}
		t.Detail = clean(err.Error(), maxTail)
	}
	if said != "" {
		t.Reason += ": " + clean(said, 300)
		t.Detail = strings.TrimSpace(said + " " + t.Detail)
	}
	return t
}
