package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

const (
	// outageAfter is the number of different requests that have to fail in a row before the whole endpoint waits.
	outageAfter = 5
	minOutage   = 2 * time.Second
	maxOutage   = time.Minute
	minBroken   = time.Minute
	maxBroken   = time.Hour
	maxHold     = 24 * time.Hour
)

// health is what is known of the endpoint as a whole. Requests are held by what stands here; the outbox keeps a copy for
// the next run, and so that others can see it.
type health struct {
	mu      sync.Mutex // mu guards what follows
	hold    alert.Hold // the last one set; Until may have passed
	held    bool       // there is a hold, or was one that no success has ended yet
	changes int        // of hold and held
	writing bool       // somebody brings the outbox up to date
	down    bool       // broken or in an outage: a single delivery is tried when the hold ends
	told    bool       // the user was told that it is broken
	outages int        // in a row
	brokens int        // in a row
	failing map[alert.ID]bool
	// awake is unset while a hold lasts: when work is looked for again, what is old may go into a digest. It is unset at
	// the start, too.
	awake bool
}

// digestDue tells, once after each hold and at the start, that work is looked for again.
func (h *health) digestDue() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.awake || h.held && time.Now().Before(h.hold.Until) {
		return false
	}
	h.awake = true
	return true
}

func (h *health) onTrial() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down
}

// onHold tells whether requests have to wait.
func (h *health) onHold() bool { return h.wait() > 0 }

// wait is how long requests have to wait; 0 or less: they need not.
func (h *health) wait() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.held {
		return 0
	}
	return time.Until(h.hold.Until)
}

// recall takes up the holds of an earlier run. A rate limit or an outage goes on; a broken configuration is tried at once,
// because a restart is what follows when somebody has mended it.
func (r *runner) recall(ctx context.Context, holds []alert.Hold) {
	for _, hold := range holds {
		if hold.Endpoint != r.Name {
			continue
		}
		h := &r.health
		h.mu.Lock()
		// Its end by the monotonic clock, so that setting the other one changes nothing.
		hold.Until = time.Now().Add(min(time.Until(hold.Until), maxHold))
		h.hold, h.held, h.down = hold, true, true
		if hold.Broken {
			h.hold.Until = time.Now()
		}
		h.mu.Unlock()
		if !hold.Broken {
			continue
		}
		if err := r.p.Outbox.ClearHold(ctx, r.Name); err != nil {
			r.log.Error("cannot clear the endpoint's hold", "error", err)
		}
	}
}

// works notes that the service answered a request properly, whatever it thought of the alert.
func (r *runner) works(ctx context.Context) {
	h := &r.health
	h.mu.Lock()
	if h.held && time.Now().Before(h.hold.Until) { // an answer from before the hold
		h.mu.Unlock()
		return
	}
	held, down, reason := h.held, h.down, h.hold.Reason
	h.hold, h.held, h.down, h.told, h.outages, h.brokens = alert.Hold{}, false, false, false, 0, 0
	clear(h.failing)
	if held {
		h.changes++
	}
	h.mu.Unlock()
	if held {
		r.keepHold(ctx)
	}
	if down {
		r.log.Info("the endpoint works again", "was", reason)
	}
}

// fails notes that a request, named by its first delivery, may be tried again. Several in a row make an outage.
func (r *runner) fails(ctx context.Context, first alert.ID, reason string) {
	h := &r.health
	h.mu.Lock()
	if h.held && time.Now().Before(h.hold.Until) { // begun before the hold
		h.mu.Unlock()
		return
	}
	if h.failing == nil {
		h.failing = map[alert.ID]bool{}
	}
	h.failing[first] = true
	if len(h.failing) < outageAfter && !h.down {
		h.mu.Unlock()
		return
	}
	clear(h.failing)
	h.outages++
	h.down = true
	until := time.Now().Add(grow(minOutage, maxOutage, h.outages))
	begins := h.outages == 1
	h.mu.Unlock()
	if r.setHold(ctx, alert.Hold{Endpoint: r.Name, Until: until, Reason: reason}, true) && begins {
		r.log.Warn("the endpoint fails again and again; its alerts wait", "until", until, "reason", reason)
	}
}

// limits obeys a service that asks to be left alone for a time.
func (r *runner) limits(ctx context.Context, wait time.Duration, reason string) {
	until := time.Now().Add(min(wait, maxHold))
	if r.setHold(ctx, alert.Hold{Endpoint: r.Name, Until: until, Reason: reason}, true) {
		r.log.Info("the service asks to wait; the endpoint's alerts are held", "until", until, "reason", reason)
	}
}

// pauses leaves a service alone that has done what was asked and wants no more for a time. That is no outage, so nothing is
// made of what waits meanwhile.
func (r *runner) pauses(ctx context.Context, wait time.Duration) {
	until := time.Now().Add(wait)
	const reason = "the service takes no more for now"
	if r.setHold(ctx, alert.Hold{Endpoint: r.Name, Until: until, Reason: reason}, false) {
		r.log.Debug("the service takes no more for now", "until", until)
	}
}

// breaks notes that the service, or the host, refuses the endpoint's configuration. The user is told once.
func (r *runner) breaks(ctx context.Context, wait time.Duration, reason string) {
	h := &r.health
	h.mu.Lock()
	if h.held && h.hold.Broken && time.Now().Before(h.hold.Until) { // another request of the same moment
		h.mu.Unlock()
		return
	}
	h.brokens++
	h.down = true
	until := time.Now().Add(min(max(wait, grow(minBroken, maxBroken, h.brokens)), maxHold))
	tell := !h.told
	h.told = true
	h.mu.Unlock()
	r.setHold(ctx, alert.Hold{Endpoint: r.Name, Until: until, Broken: true, Reason: reason}, true)
	if tell {
		r.log.Error("the endpoint is broken and needs you; its alerts are kept and it is tried from time to time", "reason", reason, "next", until)
	}
}

// setHold stores a hold unless a longer one is there; it tells whether it did. digest says that what is old after it may go
// into a digest.
func (r *runner) setHold(ctx context.Context, hold alert.Hold, digest bool) bool {
	h := &r.health
	h.mu.Lock()
	if h.held && h.hold.Until.After(hold.Until) && !hold.Broken {
		h.mu.Unlock()
		return false
	}
	h.hold, h.held, h.awake = hold, true, h.awake && !digest
	h.changes++
	h.mu.Unlock()
	r.keepHold(ctx)
	r.p.report(Result{Endpoint: r.Name, Hold: &hold, Reason: hold.Reason})
	return true
}

// keepHold brings the outbox's copy of the hold up to date. One goroutine at a time writes it, and looks again after each
// write: so the last change is what stays there, in whatever order writes of several would have reached the disk, and the
// others need not wait for it.
func (r *runner) keepHold(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	h := &r.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writing {
		return
	}
	h.writing = true
	for seen := -1; seen != h.changes; {
		seen = h.changes
		hold, held := h.hold, h.held
		h.mu.Unlock()
		if held {
			if err := r.p.Outbox.SetHold(ctx, hold); err != nil {
				r.log.Error("the endpoint's hold cannot be stored, and a restart would forget it", "error", err)
			}
		} else if err := r.p.Outbox.ClearHold(ctx, r.Name); err != nil {
			r.log.Error("cannot clear the endpoint's hold", "error", err)
		}
		h.mu.Lock()
	}
	h.writing = false
}

func grow(from, to time.Duration, n int) time.Duration {
	if n > 12 {
		return to
	}
	return min(from<<(max(n, 1)-1), to)
}

// doubts remembers deliveries that have to be rendered and sent alone, because a batch with them failed and nobody knows
// which one it was, and how often the plug-in failed on each. It is lost at a restart, which costs one more attempt.
type doubts struct {
	mu sync.Mutex // mu guards what follows
	of map[alert.ID]int
}

// maxDoubts bounds the memory; what is beyond goes in batches again.
const maxDoubts = 10_000

func (d *doubts) add(id alert.ID, failures int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of == nil {
		d.of = map[alert.ID]int{}
	}
	if _, ok := d.of[id]; !ok && len(d.of) >= maxDoubts {
		for k := range d.of {
			delete(d.of, k)
			break
		}
	}
	d.of[id] += failures
	return d.of[id]
}

func (d *doubts) has(id alert.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.of[id]
	return ok
}

func (d *doubts) drop(id alert.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.of, id)
}
