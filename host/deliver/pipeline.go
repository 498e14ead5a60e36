package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

const (
	defaultMaxAge = 72 * time.Hour
	defaultDrain  = 20 * time.Second
	maxBatch      = 500
	maxParallel   = 64 // as much as a manifest may ask for
	maxTimeout    = 5 * time.Minute
)

// ErrStopped is returned by WaitIdle when Run has ended.
var ErrStopped = errors.New("the delivery pipeline has stopped")

// Outbox is the durable queue. Every leased delivery is settled exactly once. Methods are called concurrently.
type Outbox interface {
	// Lease takes up to max due deliveries of an endpoint, all of one recipient; none while it is on hold.
	Lease(ctx context.Context, endpoint string, max int) ([]alert.Delivery, error)
	// Ahead says that Lease will be asked for up to n deliveries of an endpoint next, so that they may be leased with other
	// writes. It holds until the next call; with 0 all that was leased that way and not taken is given back.
	Ahead(ctx context.Context, endpoint string, n int) error
	Settle(ctx context.Context, s []alert.Settlement) error
	SetHold(ctx context.Context, h alert.Hold) error
	ClearHold(ctx context.Context, endpoint string) error
	Holds(ctx context.Context) ([]alert.Hold, error)
	// Digest puts what grew old during an outage of the endpoint into digests, as far as the user wants that.
	Digest(ctx context.Context, endpoint string) (n int, err error)
	// Started notes when a request of an endpoint with a rate limit begins, and forgets those before old; Starts gives
	// what was noted, oldest first.
	Started(ctx context.Context, endpoint string, at, old time.Time) error
	Starts(ctx context.Context, endpoint string) ([]time.Time, error)
	// Wake is signalled when work for the endpoint may be due. The pipeline is its only receiver.
	Wake(endpoint string) <-chan struct{}
	// Next tells when the first waiting delivery is due, holds included; ok is false if none waits.
	Next(ctx context.Context, endpoint string) (due time.Time, ok bool, err error)
}

// Executor does requests; *egress.Executor is one.
type Executor interface {
	Do(ctx context.Context, r *pdk.Request, p egress.Policy) (*pdk.Response, *pdk.TransportError)
}

// Guest is an endpoint type: the two functions of its plug-in. Safe for concurrent use.
type Guest interface {
	Render(ctx context.Context, in *pdk.RenderInput) (*pdk.RenderOutput, error)
	Classify(ctx context.Context, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error)
}

// Composer renders an alert's JSON with the plug-in's message template. Safe for concurrent use.
type Composer interface {
	Compose(alertJSON []byte, locale string, plain bool) (subject, text string, err error)
}

// Endpoint is one configured endpoint with its recipients.
type Endpoint struct {
	Name, TypeName string
	Manifest       *plugin.Manifest
	// Live, if set, gives the manifest of the version of the plug-in that serves now: its batch, rate and limits hold from
	// the next request on. It is called concurrently.
	Live  func() *plugin.Manifest
	Guest Guest
	// Composer may be nil: the text is then the alert's message.
	Composer Composer
	// Params has placeholders in place of secrets; Policy.Secrets replaces them.
	Params     pdk.Params
	Policy     egress.Policy
	Recipients map[string]Recipient
}

// Recipient is where an endpoint's messages go.
type Recipient struct {
	Name   string
	Params pdk.Params
	Locale string // default "en"
}

// Deps are what a Pipeline works with.
type Deps struct {
	Outbox    Outbox
	Executor  Executor
	Endpoints []Endpoint
	Log       *slog.Logger // default slog.Default()
	// MaxAge is the age at which a delivery that still fails is given up; default 72 h.
	MaxAge time.Duration
	// Drain is how long requests under way may take to end after Run's context is done; default 20 s.
	Drain time.Duration
	// OnResult, if set, is called after each attempt was settled and for each hold. It is called concurrently and must
	// not block.
	OnResult func(Result)
}

// Result tells what became of one attempt, or, with Hold set, that an endpoint was stopped. It holds no secrets.
type Result struct {
	Endpoint, Recipient string
	Delivery            alert.ID
	Attempt             int
	State               alert.State
	Outcome             pdk.Outcome
	Status              int
	Took                time.Duration
	Created             time.Time // when the delivery was queued
	Reason              string
	NotBefore           time.Time // of the next attempt, if State is Queued
	Hold                *alert.Hold
}

// Pipeline delivers what is in the outbox.
type Pipeline struct {
	Deps
	runners []*runner
	done    chan struct{}
	rush    func()        // closes rushed, once
	rushed  chan struct{} // closed by Hurry

	mu      sync.Mutex    // mu guards what follows, and the busy and turns of every runner
	changed chan struct{} // closed and replaced whenever a runner has nothing to do any more
}

// New checks the endpoints and makes a pipeline; Run starts it.
func New(d Deps) (*Pipeline, error) {
	if d.Outbox == nil || d.Executor == nil {
		return nil, errors.New("deliver: an outbox and an executor are needed")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.MaxAge <= 0 {
		d.MaxAge = defaultMaxAge
	}
	if d.Drain <= 0 {
		d.Drain = defaultDrain
	}
	p := &Pipeline{Deps: d, done: make(chan struct{}), changed: make(chan struct{}), rushed: make(chan struct{})}
	p.rush = sync.OnceFunc(func() { close(p.rushed) })
	seen := map[string]bool{}
	for i := range d.Endpoints {
		e := &d.Endpoints[i]
		switch {
		case e.Name == "" || e.Manifest == nil || e.Guest == nil:
			return nil, fmt.Errorf("deliver: endpoint %d (%q) lacks a name, a manifest or its plug-in", i+1, e.Name)
		case seen[e.Name]:
			return nil, fmt.Errorf("deliver: there are two endpoints named %q", e.Name)
		}
		seen[e.Name] = true
		p.runners = append(p.runners, newRunner(p, *e))
	}
	return p, nil
}

// Run delivers until ctx is done; call it once. Each endpoint has workers of its own, so that one that hangs delays no
// other. At the end nothing more is leased, requests under way get the drain time, and all that was not sent goes back to
// the outbox as if it had never been taken.
func (p *Pipeline) Run(ctx context.Context) error {
	defer close(p.done)
	// work outlives ctx by the drain time: it carries everything that must not be cut off at once.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(p.Drain, cut) })()

	holds, err := p.Outbox.Holds(work)
	if err != nil {
		return fmt.Errorf("deliver: read which endpoints are on hold: %w", err)
	}
	var wg sync.WaitGroup
	for _, r := range p.runners {
		wg.Go(func() {
			r.recall(work, holds)
			r.resume(work)
			r.run(ctx, work)
		})
	}
	wg.Wait()
	return nil
}

// Hurry says that no more alerts will come, so that no batch waits for more. It lasts until the end.
func (p *Pipeline) Hurry() { p.rush() }

// WaitIdle returns when nothing is due and nothing is under way: left is the number of endpoints for which deliveries wait
// all the same, for a retry or because of a hold, and next is when the first of them is due. It fails when ctx is done,
// and with ErrStopped when Run has ended.
func (p *Pipeline) WaitIdle(ctx context.Context) (left int, next time.Time, err error) {
	for {
		p.mu.Lock()
		changed, busy, turns := p.changed, false, 0
		for _, r := range p.runners {
			busy = busy || r.busy > 0
			turns += r.turns
		}
		p.mu.Unlock()
		if !busy {
			var due bool
			if left, next, due, err = p.waiting(ctx); err != nil {
				return 0, time.Time{}, err
			}
			p.mu.Lock()
			same := true
			for _, r := range p.runners {
				turns -= r.turns
				same = same && r.busy == 0
			}
			p.mu.Unlock()
			if !due && same && turns == 0 {
				return left, next, nil
			}
		}
		select {
		case <-changed:
		case <-p.done:
			return 0, time.Time{}, ErrStopped
		case <-ctx.Done():
			return 0, time.Time{}, ctx.Err()
		}
	}
}

// waiting asks the outbox what waits for later, and whether something is due now.
func (p *Pipeline) waiting(ctx context.Context) (left int, next time.Time, due bool, err error) {
	for _, r := range p.runners {
		at, ok, err := p.Outbox.Next(ctx, r.Name)
		if err != nil {
			return 0, time.Time{}, false, err
		}
		if !ok {
			continue
		}
		if !at.After(time.Now()) {
			return 0, time.Time{}, true, nil
		}
		left++
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return left, next, false, nil
}

func (p *Pipeline) report(r Result) {
	if p.OnResult != nil {
		p.OnResult(r)
	}
}
