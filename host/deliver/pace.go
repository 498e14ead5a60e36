package deliver

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	minBackoff = time.Second
	maxBackoff = 15 * time.Minute
	maxCount   = 10_000
)

// backoff is the wait before the next attempt: doubled with each, 1 s to 15 min, and spread over its upper half so that
// deliveries that failed together do not return together.
func backoff(attempt int) time.Duration {
	d := maxBackoff
	if shift := max(attempt, 1) - 1; shift < 10 {
		d = min(minBackoff<<shift, maxBackoff)
	}
	return d/2 + rand.N(d/2+1)
}

// pace keeps a rate limit: at most count starts in any stretch of time of the length per, not merely on average, as that
// is how services count.
type pace struct {
	per time.Duration

	mu    sync.Mutex // mu guards what follows
	times []time.Time
	at    int // index of the oldest start
}

// newPace makes a pace that goes on from earlier starts, oldest first; nil, which never waits, if there is no limit.
func newPace(count int, per time.Duration, starts []time.Time) *pace {
	if count <= 0 || per <= 0 {
		return nil
	}
	p := &pace{per: per, times: make([]time.Time, min(count, maxCount))}
	starts = starts[max(0, len(starts)-len(p.times)):]
	p.at = copy(p.times, starts) % len(p.times)
	return p
}

// starts are those that still count, oldest first.
func (p *pace) starts() []time.Time {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append(slices.Clone(p.times[p.at:]), p.times[:p.at]...)
	return slices.DeleteFunc(all, time.Time.IsZero)
}

// next reserves the next start and tells when it is.
func (p *pace) next() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := time.Now()
	if old := p.times[p.at]; !old.IsZero() {
		start = later(start, old.Add(p.per))
	}
	p.times[p.at] = start
	p.at = (p.at + 1) % len(p.times)
	return start
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
