package deliver

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
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
