package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
)

const (
	canaryCalls = 20
	canaryTime  = 10 * time.Minute
	// drainTime is for calls of an old generation that are under way. The meter ends each of them long before.
	drainTime = time.Minute
)

// Handle is an endpoint type whose plug-in may be replaced while it is in use. Each version that serves is a generation.
// A call is served by the generation of the moment it begins; one that a swap cuts off is made again on the next, so that
// a caller never sees a swap. It is safe for concurrent use.
//
// A new generation is on trial for its first calls. The old one stays ready meanwhile: a call that fails on the new one is
// made again on the old one, whose answer counts. When the new one fails where the old one does not, more often than the
// old one ever did, it is swapped back. A call on which both fail says nothing about the version.
type Handle struct {
	name   string
	log    *slog.Logger
	canary int
	trial  time.Duration
	// ended is told, in a goroutine of its own, how a trial ended: with an error, the old generation serves again.
	ended func(g *generation, err error)

	current atomic.Pointer[generation]
	after   sync.WaitGroup // what swaps leave to be done

	mu     sync.Mutex // mu guards swaps and what follows
	closed bool
}

// generation is one version of a plug-in, serving.
type generation struct {
	typ           *Type
	number        int
	file          string // where it came from
	since         time.Time
	calls, faults atomic.Int64
	trial         atomic.Pointer[trial] // nil once it has proved itself
}

// trial is a new generation's time of proof.
type trial struct {
	old   *generation
	left  atomic.Int64 // calls
	spare atomic.Int64 // failures left that the old one would have had too, going by its rate
	timer *time.Timer
}

func (g *generation) hash() store.Hash { return store.Hash(g.typ.pkg.Hash) }

func newHandle(name string, t *Type, number int, file string, log *slog.Logger) *Handle {
	h := &Handle{name: name, log: log, canary: canaryCalls, trial: canaryTime}
	h.current.Store(&generation{typ: t, number: number, file: file, since: time.Now()})
	return h
}

// Name is the endpoint type that users write.
func (h *Handle) Name() string { return h.name }

// Type is the version that serves now. It may be closed at any time after a swap; use it for what it says of itself.
func (h *Handle) Type() *Type { return h.current.Load().typ }

// Manifest is that of the version that serves now.
func (h *Handle) Manifest() *plugin.Manifest { return h.Type().Manifest() }

// serving lists the versions that may serve a call now: the current one and, during a trial, the one before.
func (h *Handle) serving() []*Type {
	g := h.current.Load()
	if t := g.trial.Load(); t != nil {
		return []*Type{g.typ, t.old.typ}
	}
	return []*Type{g.typ}
}

// fault tells whether an error is the doing of the guest, rather than of the caller or of a swap.
func fault(err error) bool {
	if err == nil {
		return false
	}
	var (
		trap   *sandbox.TrapError
		fuel   *sandbox.FuelError
		output *sandbox.OutputError
		guest  *sandbox.GuestError
		start  *sandbox.CompileError
		answer *AnswerError
	)
	return errors.As(err, &trap) || errors.As(err, &fuel) || errors.As(err, &output) || errors.As(err, &guest) ||
		errors.As(err, &start) || errors.As(err, &answer)
}

// do makes a call on the generation of the moment. f may be called more than once; the last call's result counts.
func (h *Handle) do(f func(t *Type) error) error {
	for {
		g := h.current.Load()
		err := f(g.typ)
		if (errors.Is(err, sandbox.ErrClosed) || fault(err)) && h.current.Load() != g {
			continue // swapped meanwhile
		}
		g.calls.Add(1)
		if fault(err) {
			g.faults.Add(1)
		}
		t := g.trial.Load()
		if t == nil {
			return err
		}
		if fault(err) {
			oldErr := f(t.old.typ)
			if errors.Is(oldErr, sandbox.ErrClosed) {
				continue // the trial has just ended
			}
			if fault(oldErr) {
				t.old.faults.Add(1)
			} else if t.spare.Add(-1) < 0 {
				h.back(g, t, err)
				return oldErr
			}
			err = oldErr
		}
		if t.left.Add(-1) <= 0 {
			h.keep(g, t)
		}
		return err
	}
}

// swap makes a type the current generation, on trial. What was on trial before is given up: both are measured against
// the last version that proved itself. It returns the generation, or nil if the handle was closed.
func (h *Handle) swap(typ *Type, number int, file string) *generation {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	cur := h.current.Load()
	old, before := cur, cur.trial.Load()
	if before != nil {
		old = before.old
	}
	g := &generation{typ: typ, number: number, file: file, since: time.Now()}
	t := &trial{old: old}
	t.left.Store(int64(h.canary))
	if n := old.calls.Load(); n > 0 {
		t.spare.Store(old.faults.Load() * int64(h.canary) / n)
	}
	g.trial.Store(t)
	h.current.Store(g)
	t.timer = time.AfterFunc(h.trial, func() { h.keep(g, t) })
	if before != nil {
		before.timer.Stop()
		h.drain(cur)
	}
	return g
}

// keep ends a trial well.
func (h *Handle) keep(g *generation, t *trial) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.current.Load() != g || !g.trial.CompareAndSwap(t, nil) {
		return
	}
	t.timer.Stop()
	h.drain(t.old)
	h.tell(g, nil)
}

// back ends a trial badly: the old generation serves again.
func (h *Handle) back(g *generation, t *trial, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.current.Load() != g || g.trial.Load() != t {
		return
	}
	t.timer.Stop()
	h.current.Store(t.old) // first, so that a call that finds no trial finds another generation
	g.trial.Store(nil)
	h.drain(g)
	h.tell(g, err)
}

func (h *Handle) tell(g *generation, err error) {
	if h.ended != nil {
		h.after.Go(func() { h.ended(g, err) })
	}
}

// drain closes a generation that serves no more, when the calls it still has have ended.
func (h *Handle) drain(g *generation) {
	h.after.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := g.typ.Close(ctx); err != nil {
			h.log.Warn("an old version of a plug-in could not be closed", "plugin", h.name, "generation", g.number, "error", err)
		}
	})
}

// Close ends what swaps left to be done and closes the versions that serve.
func (h *Handle) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	g := h.current.Load()
	t := g.trial.Load()
	h.mu.Unlock()
	err := g.typ.Close(ctx)
	if t != nil {
		t.timer.Stop()
		err = errors.Join(err, t.old.typ.Close(ctx))
	}
	h.after.Wait()
	return err
}

// Render is Type.Render of the version that serves. Parameters need no defaults: the version's own are filled in. A batch
// that is larger than the version takes is rendered in parts.
func (h *Handle) Render(ctx context.Context, in *pdk.RenderInput) (out *pdk.RenderOutput, err error) {
	err = h.do(func(t *Type) error {
		own := *in
		own.Endpoint, own.Recipient = t.pkg.Lint.Fill(in.Endpoint, in.Recipient)
		most := max(1, t.Manifest().Batch.Max)
		if len(in.Deliveries) <= most {
			out, err = t.Render(ctx, &own)
			return err
		}
		all := new(pdk.RenderOutput)
		for rest := in.Deliveries; len(rest) > 0; {
			n := min(most, len(rest))
			own.Deliveries, rest = rest[:n], rest[n:]
			part, err := t.Render(ctx, &own)
			if err != nil {
				return err
			}
			all.Requests = append(all.Requests, part.Requests...)
			all.Rejected = append(all.Rejected, part.Rejected...)
		}
		out = all
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Classify is Type.Classify of the version that serves, which may be a later one than that which rendered the request.
func (h *Handle) Classify(ctx context.Context, in *pdk.ClassifyInput) (out *pdk.ClassifyOutput, err error) {
	err = h.do(func(t *Type) error {
		out, err = t.Classify(ctx, in)
		return err
	})
	return out, err
}

// Compose renders an alert with the message template of the version that serves. During a trial a template that fails is
// replaced by the old version's, which is no fault of the module.
func (h *Handle) Compose(alertJSON []byte, locale string, plain bool) (subject, text string, err error) {
	g := h.current.Load()
	subject, text, err = g.typ.pkg.Compose(alertJSON, locale, plain)
	if t := g.trial.Load(); err != nil && t != nil {
		return t.old.typ.pkg.Compose(alertJSON, locale, plain)
	}
	return subject, text, err
}

// HandleStatus is a snapshot of a type that is in use: of the generation that serves, from when it was compiled. A new generation
// begins at zero.
type HandleStatus struct {
	Name, Version string
	Hash          store.Hash
	File          string // where it came from
	Generation    int    // counts every version that ever served, from 1
	Since         time.Time
	OnTrial       bool
	Calls, Faults int64 // batches and answers handled; those that the manifest's outcomes answered are among them
	// Stats are the calls of the module: their number, time, fuel and failures, its memory, and waits for an instance. What the
	// trial of a version and its vectors called is among them.
	Stats sandbox.Stats
}

// Statuses gives a snapshot of every type in use, by name. It costs a few loads of counters for each.
func (r *Registry) Statuses() []HandleStatus {
	var all []HandleStatus
	for _, h := range r.handles() {
		all = append(all, h.Status())
	}
	return all
}

// Status tells which version serves and how it does.
func (h *Handle) Status() HandleStatus {
	g := h.current.Load()
	return HandleStatus{
		Name: h.name, Version: g.typ.Manifest().Version, Hash: g.hash(), File: g.file, Generation: g.number, Since: g.since,
		OnTrial: g.trial.Load() != nil, Calls: g.calls.Load(), Faults: g.faults.Load(), Stats: g.typ.Stats(),
	}
}
