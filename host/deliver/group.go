package deliver

import (
	"context"
	"sync"
)

// group gathers what became of batches while that of earlier ones is being stored, so that it shares a transaction: each
// waits for the disk, and of each the outbox writes several pages anew.
type group struct {
	mu   sync.Mutex // mu guards what follows
	busy bool       // somebody stores
	next *gathering // what waits for that; nil: nothing
}

// gathering is stored by the first who came to it.
type gathering struct {
	all  []settled
	turn chan struct{} // closed when it is next
	done chan struct{} // closed when all is stored
}

// settleTogether settles, together with what comes meanwhile if the endpoint is settling already. It returns when these
// are stored.
func (r *runner) settleTogether(ctx context.Context, ss []settled) {
	g := &r.group
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		r.settle(ctx, ss)
		g.pass()
		return
	}
	n, first := g.next, g.next == nil
	if first {
		n = &gathering{turn: make(chan struct{}), done: make(chan struct{})}
		g.next = n
	}
	n.all = append(n.all, ss...)
	g.mu.Unlock()
	if !first {
		<-n.done
		return
	}
	<-n.turn
	g.mu.Lock()
	g.next = nil // it is complete
	g.mu.Unlock()
	r.settle(ctx, n.all)
	close(n.done)
	g.pass()
}

// pass lets what has gathered be stored.
func (g *group) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy = g.next != nil; g.busy {
		close(g.next.turn)
	}
}
