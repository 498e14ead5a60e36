package deliver

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/plugin"
)

// gated is an outbox whose Settle waits for a token.
type gated struct {
	*memory
	gate chan struct{}
	n    []int // settlements of each call
}

func (g *gated) Settle(ctx context.Context, ss []alert.Settlement) error {
	<-g.gate
	g.n = append(g.n, len(ss))
	return g.memory.Settle(ctx, ss)
}

// TestSettleTogether lets batches end one at a time, all but the first while that is being stored: they share the next
// transaction, and none is told to be settled before it is.
func TestSettleTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gated{memory: newMemory(t), gate: make(chan struct{})}
		r := newRunner(&Pipeline{Deps: Deps{Outbox: out, Log: slog.New(slog.DiscardHandler)}},
			Endpoint{Name: "a", Manifest: &plugin.Manifest{}, Guest: native{}})
		var mu sync.Mutex // guards ended
		ended := 0
		const batches = 5
		for range batches {
			out.add("a/ops", "x")
		}
		leased, err := out.Lease(t.Context(), "a", batches)
		if err != nil || len(leased) != batches {
			t.Fatalf("%d leased, %v", len(leased), err)
		}
		for _, d := range leased {
			go func() {
				it := &item{Delivery: d}
				r.settleTogether(t.Context(), []settled{{Settlement: alert.Settlement{Delivery: d.ID, State: alert.Delivered}, it: it}})
				mu.Lock()
				defer mu.Unlock()
				ended++
			}()
			synctest.Wait()
		}
		for _, want := range []int{0, 1, batches} {
			synctest.Wait()
			mu.Lock()
			if ended != want {
				t.Errorf("%d batches ended, want %d", ended, want)
			}
			mu.Unlock()
			if want < batches {
				out.gate <- struct{}{}
			}
		}
		if !slices.Equal(out.n, []int{1, batches - 1}) {
			t.Errorf("settled in calls of %v", out.n)
		}
		if r.group.next != nil {
			t.Error("the group is not idle at the end")
		}
	})
}

// TestSettleWaits: while other batches are on their way settlements wait for them, but not long, and many do not.
func TestSettleWaits(t *testing.T) {
	for name, c := range map[string]struct {
		n, sending int
		ends       time.Duration // 0: never
		want       time.Duration
	}{
		"alone":          {1, 0, 0, 0},
		"others come":    {1, 1, 0, gatherTime},
		"others ended":   {1, 1, time.Millisecond, time.Millisecond},
		"one of them":    {1, 2, time.Millisecond, gatherTime},
		"nearly as many": {gatherMost - 1, 1, 0, gatherTime},
		"as many":        {gatherMost, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := newMemory(t)
				r := newRunner(&Pipeline{Deps: Deps{Outbox: out, Log: slog.New(slog.DiscardHandler)}},
					Endpoint{Name: "a", Manifest: &plugin.Manifest{}, Guest: native{}})
				out.addMany(c.n, "a/ops", "x")
				leased, err := out.Lease(t.Context(), "a", c.n)
				if err != nil {
					t.Fatal(err)
				}
				var ss []settled
				for _, d := range leased {
					ss = append(ss, settled{Settlement: alert.Settlement{Delivery: d.ID, State: alert.Delivered}, it: &item{Delivery: d}})
				}
				for range c.sending {
					r.group.begins()
				}
				if c.ends > 0 {
					time.AfterFunc(c.ends, r.group.ends)
				}
				begin := time.Now()
				r.settleTogether(t.Context(), ss)
				if took := time.Since(begin); took != c.want {
					t.Errorf("it took %v, want %v", took, c.want)
				}
			})
		})
	}
}
