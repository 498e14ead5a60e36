package deliver

import (
	"context"
	"sync"
	"time"
)

const (
	// gatherTime is for how long what became of a batch waits for others that are on their way, so that they share a transaction.
	// After a crash all of it is a possible duplicate, so it is short.
	gatherTime = 2 * time.Millisecond
	// gatherMost is how many settlements do not wait, gatherBatches of how many batches: they have a bounded number of places.
	gatherMost    = 256
	gatherBatches = maxUnsettled / 2
)

// group gathers what became of batches while others are on their way, and while that of earlier ones is being stored: each
// transaction waits for the disk, and of each the outbox writes several pages anew.
type group struct {
	storing chan struct{} // holds a token while settlements are stored; no mutex, so that tests see who waits

	mu      sync.Mutex // mu guards what follows
	sending int        // batches that are on their way
	next    *gathering // nil: nothing waits
}

// gathering is stored by the first who came to it.
type gathering struct {
	all  []settled
	n    int           // batches
	now  bool          // full is closed
	full chan struct{} // closed when it shall not wait
	done chan struct{} // closed when all is stored
}

// begins says that a batch is on its way, ends that it is not any more, but for its settlements.
func (g *group) begins() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sending++
}

func (g *group) ends() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sending--
	g.hurry()
}

// hurry ends the wait of what has gathered if there is no reason for it; mu is held.
func (g *group) hurry() {
	if n := g.next; n != nil && !n.now && (g.sending == 0 || len(n.all) >= gatherMost || n.n >= gatherBatches) {
		n.now = true
		close(n.full)
	}
}

// settleTogether settles, together with what comes meanwhile. It returns when these are stored.
func (r *runner) settleTogether(ctx context.Context, ss []settled) {
	g := &r.group
	g.mu.Lock()
	n, first := g.next, g.next == nil
	if first {
		n = &gathering{full: make(chan struct{}), done: make(chan struct{})}
		g.next = n
	}
	n.all = append(n.all, ss...)
	n.n++
	g.hurry()
	g.mu.Unlock()
	if !first {
		<-n.done
		return
	}
	sleep(ctx, n.full, gatherTime)
	g.storing <- struct{}{}
	defer func() { <-g.storing }()
	g.mu.Lock()
	g.next = nil // it is complete
	g.mu.Unlock()
	r.settle(ctx, n.all)
	close(n.done)
}
