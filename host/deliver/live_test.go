package deliver

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestVersionChanges has a plug-in whose next version takes smaller batches, more slowly: it is obeyed from then on.
func TestVersionChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serves atomic.Pointer[plugin.Manifest]
		serves.Store(&plugin.Manifest{Batch: plugin.Batch{Max: 20}})
		e := endpointNamed("a", native{render: whole}, *serves.Load())
		e.Live = serves.Load
		x := &executor{}
		out := newMemory(t)
		out.addMany(20, "a/ops", "x")
		b := start(t, out, x, e)
		b.untilEmpty(t)
		if got := x.bodies(); len(got) != 1 {
			t.Fatalf("got %q", got)
		}
		synctest.Wait() // the worker sleeps: it asks for the limits when it wakes
		serves.Store(&plugin.Manifest{Batch: plugin.Batch{Max: 5}, Rate: plugin.Rate{Count: 1, Per: 10 * time.Second}})
		begin := time.Now()
		out.addMany(20, "a/ops", "x")
		b.untilEmpty(t)
		b.finish(t)
		if got := x.bodies(); len(got) != 5 {
			t.Errorf("got %q", got)
		}
		if took := time.Since(begin); took < 30*time.Second {
			t.Errorf("four requests took %v: the rate was not kept", took)
		}
	})
}

// TestLimitsChange has versions that allow three requests at once, then five, then one, while all that may be under way
// hang: more begin without waiting for any of them, and fewer as soon as enough have ended. The time limit changes too.
func TestLimitsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var serves atomic.Pointer[plugin.Manifest]
		limits := func(parallel int, timeout time.Duration) {
			serves.Store(&plugin.Manifest{Batch: plugin.Batch{Max: 1}, Limits: plugin.Limits{Parallel: parallel, Timeout: timeout}})
		}
		limits(3, time.Minute)
		e := endpointNamed("a", native{render: whole}, *serves.Load())
		e.Live = serves.Load
		var busy atomic.Int32
		end := make(chan struct{})
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			busy.Add(1)
			defer busy.Add(-1)
			<-end
			return ok()
		}}
		out := newMemory(t)
		for range 20 {
			out.add("a/ops", "x")
		}
		b := start(t, out, x, e)
		want := func(n int32, timeout time.Duration) {
			t.Helper()
			synctest.Wait()
			if got := busy.Load(); got != n {
				t.Errorf("%d requests are under way, want %d", got, n)
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			if got := x.policies[len(x.policies)-1].Timeout; got != timeout {
				t.Errorf("the last request may take %v, want %v", got, timeout)
			}
		}
		want(3, time.Minute)
		limits(5, 2*time.Minute)
		<-time.After(lookAgain)
		want(5, 2*time.Minute)
		limits(1, time.Hour)
		<-time.After(lookAgain)
		want(5, 2*time.Minute)
		for n := int32(4); n >= 1; n-- {
			end <- struct{}{}
			want(n, 2*time.Minute)
		}
		end <- struct{}{}
		want(1, maxTimeout)
		close(end)
		b.untilEmpty(t)
		b.finish(t)
	})
}
