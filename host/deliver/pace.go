package deliver

import (
	"context"
	"math/rand/v2"
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

// newPace makes a pace; nil, which never waits, if there is no limit.
func newPace(count int, per time.Duration) *pace {
	if count <= 0 || per <= 0 {
		return nil
	}
	return &pace{per: per, times: make([]time.Time, min(count, maxCount))}
}

// wait waits for its turn; false if ctx was done first.
func (p *pace) wait(ctx context.Context) bool {
	if p == nil {
		return ctx.Err() == nil
	}
	p.mu.Lock()
	now := time.Now()
	start := now
	if old := p.times[p.at]; !old.IsZero() {
		start = later(now, old.Add(p.per))
	}
	p.times[p.at] = start
	p.at = (p.at + 1) % len(p.times)
	p.mu.Unlock()
	if start.After(now) {
		sleep(ctx, nil, start.Sub(now))
	}
	return ctx.Err() == nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
