package deliver

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestNoDigest has an endpoint whose alerts are actions, such as bans: none is summed up, whatever the outage.
func TestNoDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if time.Since(begin) < 20*time.Minute {
				return status(500, "down")
			}
			return ok()
		}}
		out := newMemory(t)
		out.addMany(50, "a/ops", "x")
		b := start(t, out, x, endpointNamed("a", native{render: whole}, plugin.Manifest{Batch: plugin.Batch{Max: 10}}))
		b.untilEmpty(t)
		b.finish(t)
		if out.digests != 0 {
			t.Errorf("digests were asked for %d times", out.digests)
		}
	})
}

// TestProbe has an endpoint down: after a few failures it is left alone, then exactly one delivery at a time shows whether
// it is back, after longer and longer pauses, however much may go in parallel otherwise. Each time, what is old is put
// into digests first.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var busy, most atomic.Int32
		var down atomic.Bool
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if n := busy.Add(1); time.Since(begin) > time.Minute && down.Load() {
				most.Store(max(n, most.Load()))
			}
			defer busy.Add(-1)
			<-time.After(500 * time.Millisecond)
			if time.Since(begin) < 20*time.Minute {
				down.Store(true)
				return status(500, "down")
			}
			down.Store(false)
			return ok()
		}}
		out := newMemory(t)
		out.addMany(1000, "a/ops", "x")
		b := start(t, out, x, endpointNamed("a", native{render: whole}, plugin.Manifest{
			Batch: plugin.Batch{Max: 10}, Limits: plugin.Limits{Parallel: 4}, Features: plugin.Features{Digest: true},
		}))
		b.untilEmpty(t)
		b.finish(t)
		if n := most.Load(); n != 1 {
			t.Errorf("%d requests at a time asked whether it is back", n)
		}
		holds := b.holdsSeen()
		last := time.Duration(0)
		for i, h := range holds {
			pause := h.Until.Sub(begin)
			if i > 0 {
				pause = h.Until.Sub(holds[i-1].Until)
			}
			if pause < last && last < maxOutage {
				t.Errorf("pause %d is %v after %v", i, pause, last)
			}
			last = pause
		}
		if len(holds) < 10 || last < maxOutage || last > maxOutage+10*time.Second {
			t.Errorf("%d holds, the last after %v", len(holds), last)
		}
		if out.digests != len(holds)+1 {
			t.Errorf("%d holds, and digests were asked for %d times", len(holds), out.digests)
		}
	})
}

// TestRecalledHoldIsProbed has a restart in the middle of an outage: it goes on with one delivery.
func TestRecalledHoldIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		out.addMany(100, "a/ops", "x")
		hang := make(chan struct{})
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			<-hang
			return nil, &pdk.TransportError{Stage: egress.StageConnect, Message: "refused"}
		}}
		e := endpointNamed("a", native{}, plugin.Manifest{Limits: plugin.Limits{Parallel: 8}})
		b := start(t, out, x, e)
		synctest.Wait()
		if n := len(x.bodies()); n != 8 {
			t.Errorf("%d requests at first", n)
		}
		close(hang)
		synctest.Wait()
		b.finish(t)
		if len(out.holds) != 1 {
			t.Fatal("there is no hold")
		}
		hang = make(chan struct{})
		before := len(x.bodies())
		b = start(t, out, x, e)
		<-time.After(maxOutage)
		synctest.Wait()
		if n := len(x.bodies()) - before; n != 1 {
			t.Errorf("%d requests after the restart", n)
		}
		close(hang)
		b.finish(t)
	})
}

// TestRateSurvivesRestarts keeps the manifest's rate however often, and whenever, tocsin is started again.
func TestRateSurvivesRestarts(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			seed := rand.Uint64()
			rnd := rand.New(rand.NewPCG(seed, 2))
			rate := plugin.Rate{Count: 1 + rnd.IntN(10), Per: time.Duration(1+rnd.IntN(60)) * time.Second}
			out := newMemory(t)
			out.addMany(200, "a/ops", "x")
			x := &executor{}
			e := endpointNamed("a", native{}, plugin.Manifest{Rate: rate, Limits: plugin.Limits{Parallel: 1 + rnd.IntN(4)}})
			for range 8 {
				b := start(t, out, x, e)
				<-time.After(time.Duration(rnd.Int64N(int64(3 * rate.Per))))
				b.finish(t)
				<-time.After(time.Duration(rnd.Int64N(int64(rate.Per))))
			}
			slices.SortFunc(x.at, time.Time.Compare)
			for i := rate.Count; i < len(x.at); i++ {
				if apart := x.at[i].Sub(x.at[i-rate.Count]); apart < rate.Per {
					t.Fatalf("seed %d: %d in %v, but requests %d and %d are %v apart", seed, rate.Count, rate.Per, i-rate.Count, i, apart)
				}
			}
			if len(x.at) < 2*rate.Count {
				t.Errorf("seed %d: only %d requests of %+v", seed, len(x.at), rate)
			}
		})
	}
}

// TestHurry has a batch that waits for more: it goes once nothing more will come.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		out.add("a/ops", "x")
		b := start(t, out, &executor{}, endpointNamed("a", native{render: whole}, plugin.Manifest{Batch: plugin.Batch{Max: 10, Window: time.Hour}}))
		begin := time.Now()
		<-time.After(time.Second)
		b.Hurry()
		b.untilEmpty(t)
		out.add("a/ops", "y")
		b.untilEmpty(t)
		b.finish(t)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// slowHolds is an outbox that begins to write a hold, and waits.
type slowHolds struct {
	*memory
	gate  chan struct{}
	calls atomic.Int32
}

func (s *slowHolds) SetHold(ctx context.Context, h alert.Hold) error {
	s.calls.Add(1)
	<-s.gate
	return s.memory.SetHold(ctx, h)
}

func (s *slowHolds) ClearHold(ctx context.Context, endpoint string) error {
	s.calls.Add(1)
	<-s.gate
	return s.memory.ClearHold(ctx, endpoint)
}

// TestHoldsCross has the disk so slow that what it was told of a hold is out of date when it has stored it: what was told
// last stands in the end, and nobody waits for the disk but the first.
func TestHoldsCross(t *testing.T) {
	for name, c := range map[string]struct {
		first, then func(*runner)
		held        bool
	}{
		"a success during the write of a hold": {
			func(r *runner) { r.limits(t.Context(), time.Second, "429") }, func(r *runner) { r.works(t.Context()) }, false,
		},
		"a hold during its end": {
			func(r *runner) { r.works(t.Context()) }, func(r *runner) { r.limits(t.Context(), time.Hour, "429") }, true,
		},
		"a longer hold": {
			func(r *runner) { r.limits(t.Context(), time.Second, "429") }, func(r *runner) { r.limits(t.Context(), time.Hour, "429") }, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &slowHolds{memory: newMemory(t), gate: make(chan struct{})}
				p, err := New(Deps{Outbox: out, Executor: &executor{}, Endpoints: []Endpoint{endpointNamed("a", native{}, plugin.Manifest{})}, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				r := p.runners[0]
				r.recall(t.Context(), []alert.Hold{{Endpoint: "a", Until: time.Now()}})
				done := make(chan struct{})
				go func() { defer close(done); c.first(r) }()
				synctest.Wait()
				<-time.After(time.Minute)
				c.then(r)
				if n := out.calls.Load(); n != 1 {
					t.Errorf("%d writes at a time", n)
				}
				close(out.gate)
				<-done
				if h, stored := out.holds["a"]; stored != c.held || h != r.health.hold || r.health.onHold() != c.held {
					t.Errorf("stored %v: %+v, held in memory %v: %+v", stored, h, r.health.onHold(), r.health.hold)
				}
			})
		})
	}
}

// TestUnstoredHold has a hold that the disk does not take: nothing is leased over and over while it lasts.
func TestUnstoredHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &unheld{memory: newMemory(t)}
		x := &executor{}
		x.do = func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if len(x.bodies()) == 1 {
				return &pdk.Response{Status: 429, Headers: map[string]string{"retry-after": "60"}}, nil
			}
			return ok()
		}
		p, err := New(Deps{Outbox: out, Executor: x, Endpoints: []Endpoint{endpointNamed("a", native{}, plugin.Manifest{})}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		out.add("a/ops", "x")
		go func() { end <- p.Run(ctx) }()
		<-time.After(time.Second)
		out.addMany(3, "a/ops", "y")
		leases := out.leases.Load()
		<-time.After(58 * time.Second)
		if n := out.leases.Load() - leases; n > 1 || len(x.bodies()) != 1 {
			t.Errorf("%d leases during the hold, %d requests", n, len(x.bodies()))
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if n := len(x.bodies()); n != 5 {
			t.Errorf("%d requests after the hold", n)
		}
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}

// unheld is an outbox that stores no holds.
type unheld struct {
	*memory
	leases atomic.Int32
}

func (*unheld) SetHold(context.Context, alert.Hold) error { return errors.New("disk full") }

func (u *unheld) Lease(ctx context.Context, endpoint string, limit int) ([]alert.Delivery, error) {
	u.leases.Add(1)
	return u.memory.Lease(ctx, endpoint, limit)
}

// TestPause has a service that takes three requests and then says with the third, which it has taken, that no more are left
// for a while: it is obeyed, also across a restart, and nothing about it is a failure.
func TestPause(t *testing.T) {
	const rest = 10 * time.Second
	for name, outcome := range map[string]pdk.Outcome{"delivered": pdk.Delivered, "accepted": pdk.Accepted, "refused": pdk.Rejected} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sent atomic.Int32
				x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
					return status(200, map[bool]string{true: "none left"}[sent.Add(1)%3 == 0])
				}}
				g := native{classify: func(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
					v := pdk.Verdict{Outcome: pdk.Delivered}
					if in.Response.Body != "" {
						v.Outcome, v.RetryAfterMS = outcome, rest.Milliseconds()
					}
					return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
				}}
				out := newMemory(t)
				out.addMany(9, "a/ops", "x")
				e := endpointNamed("a", g, plugin.Manifest{Limits: plugin.Limits{Parallel: 1}, Features: plugin.Features{Digest: true}})
				b := start(t, out, x, e)
				<-time.After(time.Second)
				b.finish(t)
				b2 := start(t, out, x, e)
				took := b2.untilEmpty(t)
				b2.finish(t)
				if len(x.at) != 9 || took < 2*rest-time.Second || took > 2*rest+time.Second {
					t.Errorf("%d requests, the last after %v", len(x.at), took)
				}
				for i, at := range x.at {
					if i%3 == 0 && i > 0 && at.Sub(x.at[i-1]) < rest {
						t.Errorf("request %d came %v after the one that was to be the last", i, at.Sub(x.at[i-1]))
					}
				}
				for _, r := range out.rows {
					if len(r.history) != 1 || r.state == alert.Queued {
						t.Errorf("%v after %d attempts", r.state, len(r.history))
					}
				}
				if out.digests != 2 || b2.runners[0].health.outages+b2.runners[0].health.brokens != 0 {
					t.Errorf("digests were asked for %d times, %+v", out.digests, &b2.runners[0].health)
				}
			})
		})
	}
}

// TestPauseOfAPart has a batch of which a part is done, and with it the service's patience.
func TestPauseOfAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &executor{}
		g := native{render: whole, classify: func(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
			vs := []pdk.Verdict{{Outcome: pdk.Delivered}}
			if len(in.Request.Deliveries) > 1 {
				vs = []pdk.Verdict{
					{Outcome: pdk.Retry}, {Delivery: in.Request.Deliveries[0], Outcome: pdk.Accepted, RetryAfterMS: time.Hour.Milliseconds()},
				}
			}
			return &pdk.ClassifyOutput{Verdicts: vs}, nil
		}}
		out := newMemory(t)
		out.addMany(2, "a/ops", "x")
		b := start(t, out, x, endpointNamed("a", g, plugin.Manifest{Batch: plugin.Batch{Max: 10}}))
		b.untilEmpty(t)
		b.finish(t)
		if len(x.at) != 2 || x.at[1].Sub(x.at[0]) < time.Hour {
			t.Errorf("requests at %v", x.at)
		}
	})
}
