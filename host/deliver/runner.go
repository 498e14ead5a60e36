package deliver

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
)

// maxLead is up to how many deliveries are leased ahead of small batches, and as many again with other writes of the outbox. A
// crash makes all of them possible duplicates, so they are few.
const maxLead = 32

// maxUnsettled bounds the batches of an endpoint that are sent but not yet stored as such.
const maxUnsettled = 64

// runner serves one endpoint: a dispatcher that leases, and up to Limits.Parallel batches under way.
type runner struct {
	Endpoint
	p      *Pipeline
	log    *slog.Logger
	health health
	doubts doubts
	// ahead is what is leased and in no batch yet; the dispatcher's own.
	ahead   []alert.Delivery
	ordered int // the last n of Outbox.Ahead; likewise

	unsettled   chan struct{} // a place for each batch whose end is being stored
	group       group
	busy, turns int // guarded by p.mu: batches held, and how often something was looked for

	mu   sync.Mutex // mu guards what follows
	pace *pace
	rate plugin.Rate // that the pace was made for
}

func newRunner(p *Pipeline, e Endpoint) *runner {
	m := e.Manifest
	return &runner{
		Endpoint: e, p: p, log: p.Log.With("endpoint", e.Name), pace: newPace(m.Rate.Count, m.Rate.Per, nil), rate: m.Rate,
		unsettled: make(chan struct{}, maxUnsettled), group: group{storing: make(chan struct{}, 1)},
	}
}

// manifest is that of the version of the plug-in that serves now.
func (r *runner) manifest() *plugin.Manifest {
	if r.Live != nil {
		return r.Live()
	}
	return r.Manifest
}

// most is how many deliveries a batch may have.
func (r *runner) most() int { return min(max(r.manifest().Batch.Max, 1), maxBatch) }

// parallel is how many batches may be under way.
func (r *runner) parallel() int { return min(max(r.manifest().Limits.Parallel, 1), maxParallel) }

// policy is what a request may do now: as configured, with the time limit that the plug-in asks for where there is none.
func (r *runner) policy() egress.Policy {
	p := r.Policy
	if p.Timeout <= 0 {
		p.Timeout = r.manifest().Limits.Timeout
	}
	p.Timeout = min(p.Timeout, maxTimeout)
	return p
}

// turn waits until the rate limit allows a request; false if ctx was done first. The start is on disk before it comes, so
// that a restart, or a crash, does not begin anew. A version with another rate goes on from the starts there were.
func (r *runner) turn(ctx, work context.Context) bool {
	rate := r.manifest().Rate
	r.mu.Lock()
	if r.rate != rate {
		r.rate, r.pace = rate, newPace(rate.Count, rate.Per, r.pace.starts())
	}
	p := r.pace
	r.mu.Unlock()
	if p == nil {
		return ctx.Err() == nil
	}
	start := p.next()
	if err := r.p.Outbox.Started(work, r.Name, start, start.Add(-p.per)); err != nil {
		r.log.Warn("cannot store when a request began; a restart may exceed the rate limit", "error", err)
	}
	if wait := time.Until(start); wait > 0 {
		sleep(ctx, nil, wait)
	}
	return ctx.Err() == nil
}

// resume goes on from the requests of an earlier run.
func (r *runner) resume(ctx context.Context) {
	rate := r.manifest().Rate
	if rate.Count <= 0 || rate.Per <= 0 {
		return
	}
	starts, err := r.p.Outbox.Starts(ctx, r.Name)
	if err != nil {
		r.log.Warn("cannot read when the last requests began; the rate limit begins anew", "error", err)
	}
	now := time.Now()
	for i, t := range starts {
		if t.After(now) { // reserved, or written by another clock
			starts[i] = now
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate, r.pace = rate, newPace(rate.Count, rate.Per, starts)
}

// limited tells whether there is a rate limit.
func (r *runner) limited() bool {
	rate := r.manifest().Rate
	return rate.Count > 0 && rate.Per > 0
}

// order tells the outbox what the next lease will be, so that it comes with other writes. Under a rate limit and on trial there
// is no such lease while the one before, if it found something, is to be sent.
func (r *runner) order(ctx context.Context, found bool) {
	n := r.lead()
	if found && (r.limited() || r.health.onTrial()) {
		n = 0
	}
	if n == r.ordered {
		return
	}
	if err := r.p.Outbox.Ahead(ctx, r.Name, n); err != nil {
		r.log.Error("cannot give back deliveries that were leased ahead; they are sent by the next lease", "error", err)
	}
	r.ordered = n
}

// lead is how many deliveries are leased at once. Small batches are leased several at a time, for each lease is a
// transaction. Under a rate limit and on trial none is leased that cannot be sent soon.
func (r *runner) lead() int {
	switch most := r.most(); {
	case r.health.onTrial():
		return 1
	case r.limited():
		return most
	default:
		return max(most, maxLead/most*most)
	}
}

// run leases batches and delivers them until stop is done, and returns when the last one is settled. The next batch is
// leased while the one before is on its way.
func (r *runner) run(stop, work context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := newSlots(r.parallel)
	for {
		batch := r.next(stop, work)
		if batch == nil {
			break
		}
		if !slots.take(stop) {
			r.giveBackBatch(work, batch)
			r.end()
			break
		}
		r.group.begins()
		wg.Go(func() {
			defer r.end()
			var settling sync.WaitGroup
			r.deliver(stop, work, batch, &settling)
			r.group.ends()
			slots.give()
			settling.Wait()
		})
		if r.health.onTrial() { // the endpoint was down: one delivery shows whether it is back
			wg.Wait()
		}
	}
	if err := r.p.Outbox.Ahead(context.WithoutCancel(work), r.Name, 0); err != nil {
		r.log.Error("cannot give back deliveries that were leased ahead; they are sent after a restart", "error", err)
	}
	if len(r.ahead) > 0 { // they were leased, so they have to be given back
		r.giveBackBatch(work, r.ahead)
		r.keep(nil)
	}
}

// keep holds back deliveries that are leased but not yet in a batch, and says so to WaitIdle.
func (r *runner) keep(ahead []alert.Delivery) {
	if had := len(r.ahead) > 0; had != (len(ahead) > 0) {
		if had {
			defer r.end()
		} else {
			r.begin()
		}
	}
	r.ahead = ahead
}

// cut takes the next batch from what is leased: as many of one recipient as may go together.
func (r *runner) cut() []alert.Delivery {
	n, most := 1, r.most()
	if r.health.onTrial() {
		most = 1
	}
	for n < len(r.ahead) && n < most && r.ahead[n].Recipient == r.ahead[0].Recipient {
		n++
	}
	batch := slices.Clone(r.ahead[:n])
	r.begin()
	r.keep(r.ahead[n:])
	return batch
}

// next waits for due deliveries and leases a batch; nil when stop is done.
func (r *runner) next(stop, work context.Context) []alert.Delivery {
	wake := r.p.Outbox.Wake(r.Name)
	for failed := 0; stop.Err() == nil; {
		if len(r.ahead) > 0 {
			batch := r.cut()
			if len(r.ahead) == 0 && !r.health.onTrial() {
				batch = r.fill(stop, work, wake, batch)
			}
			return batch
		}
		// The outbox leases nothing either while the endpoint is on hold, once it knows.
		if wait := r.health.wait(); wait > 0 {
			sleep(stop, wake, wait)
			continue
		}
		r.begin()
		r.digest(work)
		// Not with stop: a lease that is cut off in the middle may be on disk all the same.
		leased, err := r.p.Outbox.Lease(work, r.Name, r.lead())
		if err == nil {
			r.order(work, len(leased) > 0)
		}
		if len(leased) > 0 {
			r.keep(leased)
			r.end()
			continue
		}
		var pause time.Duration
		if err == nil {
			pause, err = r.untilNext(work)
		}
		r.end()
		if err != nil {
			failed++
			pause = backoff(failed)
			r.log.Error("cannot take deliveries from the outbox; trying again", "after", pause, "error", err)
		} else {
			failed = 0
		}
		sleep(stop, wake, pause)
	}
	return nil
}

// digest has what waited through an outage put into digests, before the first delivery is sent that shows whether the
// endpoint is back.
func (r *runner) digest(ctx context.Context) {
	if !r.health.digestDue() || !r.manifest().Features.Digest {
		return
	}
	switch n, err := r.p.Outbox.Digest(ctx, r.Name); {
	case err != nil:
		r.log.Error("cannot make a digest of what has waited; it is sent one by one", "error", err)
	case n > 0:
		r.log.Info("deliveries that waited long go out as a digest", "deliveries", n)
	}
}

// untilNext is how long nothing will be due.
func (r *runner) untilNext(ctx context.Context) (time.Duration, error) {
	due, ok, err := r.p.Outbox.Next(ctx, r.Name)
	if err != nil || !ok {
		return time.Hour, err
	}
	// What is due but was not leased is about to change; asking in a tight loop would not help it.
	return max(time.Until(due), 20*time.Millisecond), nil
}

// fill waits up to the batch window for more deliveries of the same recipient, unless no more will come.
func (r *runner) fill(stop, work context.Context, wake <-chan struct{}, batch []alert.Delivery) []alert.Delivery {
	window, most := r.manifest().Batch.Window, r.most()
	if window <= 0 || len(batch) >= most {
		return batch
	}
	t := time.NewTimer(window)
	defer t.Stop()
	for wait := true; len(batch) < most; {
		more, err := r.p.Outbox.Lease(work, r.Name, most-len(batch))
		switch {
		case err != nil:
			return batch // the next lease meets the same error and reports it
		case len(more) > 0 && more[0].Recipient != batch[0].Recipient:
			r.keep(more)
			return batch
		case len(more) > 0:
			batch = append(batch, more...)
			continue
		case !wait:
			return batch
		}
		select {
		case <-wake:
		case <-t.C:
			wait = false // what came with the last tick goes along
		case <-r.p.rushed:
			wait = false
		case <-stop.Done():
			return batch
		}
	}
	return batch
}

// sleep waits for a signal, at most d.
func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// begin notes that the runner looks for work or has some; end takes it back.
func (r *runner) begin() {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.busy++
	r.turns++
}

func (r *runner) end() {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.busy--
	if r.busy == 0 {
		close(r.p.changed)
		r.p.changed = make(chan struct{})
	}
}
