package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

func TestVerdictsBecomeStates(t *testing.T) {
	for _, c := range []struct {
		outcome pdk.Outcome
		state   alert.State
		tries   int
	}{
		{pdk.Delivered, alert.Delivered, 1},
		{pdk.Accepted, alert.Accepted, 1},
		{pdk.Duplicate, alert.Duplicate, 1},
		{pdk.Skipped, alert.Skipped, 1},
		{pdk.BadPayload, alert.Dead, 2}, // once more as plain text
		{pdk.Rejected, alert.Dead, 1},
		{pdk.Outcome("nonsense"), alert.Dead, guestTries},
		{pdk.Outcome(""), alert.Dead, guestTries},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := native{classify: func(*pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
				return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: c.outcome, Reason: "because\nso", ProviderID: "p1"}}}, nil
			}}
			out := newMemory(t)
			d := out.add("a/ops", "hello")
			b := start(t, out, &executor{}, endpointNamed("a", g, plugin.Manifest{}))
			b.untilEmpty(t)
			b.finish(t)
			if d.state != c.state || d.Attempt != c.tries {
				t.Errorf("%q: state %s after %d attempts", c.outcome, d.state, d.Attempt)
			}
			last := d.history[len(d.history)-1]
			if c.outcome.Valid() && !strings.Contains(last.Reason, "because so") {
				t.Errorf("%q: reason %q", c.outcome, last.Reason)
			}
			if c.outcome == pdk.Delivered && (last.ProviderID != "p1" || last.Status != 200) {
				t.Errorf("settled as %+v", last)
			}
			if d.state == alert.Dead && c.outcome == pdk.BadPayload && !slices.Equal(b.x.bodies(), []string{"hello;", "plain:hello;"}) {
				t.Errorf("sent %q", b.x.bodies())
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			return nil, &pdk.TransportError{Stage: egress.StageTimeout, Message: "hooks.example:443 did not answer", Ambiguous: true}
		}}
		out := newMemory(t)
		d := out.add("a/ops", "hello")
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{}))
		took := b.untilEmpty(t)
		b.finish(t)
		if d.state != alert.Dead || !d.ambiguous || took < 71*time.Hour || took > 72*time.Hour {
			t.Errorf("state %s, ambiguous %v, after %s", d.state, d.ambiguous, took)
		}
		if last := d.history[len(d.history)-1].Reason; last != "given up after 72h0m0s: hooks.example:443 did not answer" {
			t.Errorf("reason %q", last)
		}
		for i := 1; i < len(x.at); i++ {
			full := maxBackoff
			if i < 11 {
				full = min(time.Second<<(i-1), maxBackoff)
			}
			if got := x.at[i].Sub(x.at[i-1]); got < full/2 || got > full+100*time.Millisecond {
				t.Fatalf("the wait after attempt %d was %s, want %s to %s", i, got, full/2, full)
			}
		}
	})
}

// TestRateLimitHoldsTheEndpoint wants one 429 to hold everything for that endpoint, and nothing else.
func TestRateLimitHoldsTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		limited := true
		x := &executor{do: func(_ context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if strings.HasPrefix(r.HTTP.Body, "a") && limited {
				limited = false
				return &pdk.Response{Status: 429, Headers: map[string]string{"retry-after": "30"}}, nil
			}
			return ok()
		}}
		out := newMemory(t)
		for i := range 5 {
			out.add("a/ops", fmt.Sprintf("a%d", i))
			out.add("a/dev", fmt.Sprintf("a-dev%d", i))
		}
		out.add("b/ops", "b")
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Batch: plugin.Batch{Max: 3}}), endpointNamed("b", native{}, plugin.Manifest{}))
		left, next := b.idle(t)
		if left != 1 || next.Sub(begin) != 30*time.Second || len(b.x.bodies()) != 2 || out.holds["a"].Until.Sub(begin) != 30*time.Second {
			t.Errorf("%d left until %s, sent %q, holds %v", left, next.Sub(begin), b.x.bodies(), out.holds)
		}
		b.untilEmpty(t)
		b.finish(t)
		for i, r := range out.rows {
			if r.state != alert.Delivered {
				t.Errorf("row %d is %s", i, r.state)
			}
			want := 1
			if i == 0 {
				want = 2
			}
			if r.Attempt != want { // those that were only held are not counted
				t.Errorf("row %d has %d attempts, want %d", i, r.Attempt, want)
			}
		}
		if len(out.holds) != 0 {
			t.Errorf("left %v", out.holds)
		}
	})
}

// TestHoldSurvivesRestart takes the hold from the outbox alone.
func TestHoldSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		begin := time.Now()
		out.holds["a"] = alert.Hold{Endpoint: "a", Until: begin.Add(time.Minute), Reason: "rate limit"}
		out.holds["b"] = alert.Hold{Endpoint: "b", Until: begin.Add(time.Hour), Broken: true, Reason: "wrong token"}
		out.add("a/ops", "a")
		out.add("b/ops", "b")
		b := start(t, out, &executor{}, endpointNamed("a", native{}, plugin.Manifest{}), endpointNamed("b", native{}, plugin.Manifest{}))
		b.untilEmpty(t)
		b.finish(t)
		if got := b.x.bodies(); !slices.Equal(got, []string{"b;", "a;"}) || b.x.at[0] != begin || b.x.at[1].Sub(begin).Round(time.Second) != time.Minute {
			t.Errorf("sent %q at %v", got, b.x.at)
		}
		if len(out.holds) != 0 {
			t.Errorf("left %v", out.holds)
		}
	})
}

// TestBrokenEndpoint keeps every alert, tells the user once and tries from time to time.
func TestBrokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if time.Since(begin) < 4*time.Hour {
				return status(401, "")
			}
			return ok()
		}}
		out := newMemory(t)
		for i := range 50 {
			out.add("a/ops", strconv.Itoa(i))
		}
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Limits: plugin.Limits{Parallel: 4}}))
		b.untilEmpty(t)
		b.finish(t)
		holds := b.holdsSeen()
		if n := len(holds); n < 6 || n > 12 || !holds[0].Broken || !strings.Contains(holds[0].Reason, "wrong token") {
			t.Errorf("%d holds: %+v", n, holds)
		}
		if n := len(x.at); n > 50+12+4 {
			t.Errorf("a broken endpoint was asked %d times", n-50)
		}
		for i, r := range out.rows {
			if r.state != alert.Delivered || r.Attempt != 1 {
				t.Errorf("row %d is %s after %d attempts", i, r.state, r.Attempt)
			}
		}
	})
}

// TestOutage stops hammering a service that is down, and goes on at once when it is back.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if time.Since(begin) < time.Hour {
				return nil, &pdk.TransportError{Stage: egress.StageConnect, Message: "refused"}
			}
			return ok()
		}}
		out := newMemory(t)
		for i := range 1000 {
			out.add("a/ops", strconv.Itoa(i))
		}
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{}))
		took := b.untilEmpty(t)
		b.finish(t)
		if n := len(x.at) - 1000; n > 100 {
			t.Errorf("a service that was down was asked %d times within an hour", n)
		}
		if took > time.Hour+maxBackoff+maxOutage {
			t.Errorf("took %s", took)
		}
		late := 0
		for _, r := range out.rows {
			if r.state != alert.Delivered {
				t.Fatalf("a delivery is %s", r.state)
			}
			if len(r.history) == 1 {
				late++
			}
		}
		if late < 900 {
			t.Errorf("only %d deliveries were spared a failing attempt", late)
		}
	})
}

// TestHangingEndpointDelaysNoOther has one endpoint that never answers.
func TestHangingEndpointDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &executor{do: func(ctx context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			if strings.HasPrefix(r.HTTP.Body, "hang") {
				<-ctx.Done()
				return nil, &pdk.TransportError{Stage: egress.StageRead, Message: "stopped", Ambiguous: true}
			}
			return ok()
		}}
		out := newMemory(t)
		hung, behind := out.add("a/ops", "hang"), out.add("a/ops", "behind")
		for i := range 100 {
			out.add("b/ops", strconv.Itoa(i))
		}
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Batch: plugin.Batch{Max: 2}}), endpointNamed("b", native{}, plugin.Manifest{}))
		synctest.Wait()
		for _, r := range out.rows[2:] {
			if s := out.get(r).state; s != alert.Delivered {
				t.Fatalf("a delivery of the other endpoint is %s", s)
			}
		}
		begin := time.Now()
		b.finish(t)
		if took := time.Since(begin); took != defaultDrain {
			t.Errorf("the stop took %s", took)
		}
		// The one that was sent counts, as the service may have taken it; the one behind it never began.
		if hung.state != alert.Queued || hung.Attempt != 1 || !hung.ambiguous || behind.state != alert.Queued || behind.Attempt != 0 || len(behind.history) != 0 {
			t.Errorf("hung %+v, behind %+v", hung, behind)
		}
		if len(b.holdsSeen()) != 0 {
			t.Error("the stop was taken for an outage")
		}
	})
}

// TestPartsInDoubt marks the deliveries that a broken connection may have carried, and no others of the batch.
func TestPartsInDoubt(t *testing.T) {
	e := &pdk.TransportError{Stage: egress.StageSend, Ambiguous: true, Parts: []pdk.Part{{Name: "a", Ambiguous: true}, {Name: "b"}}}
	for delivery, want := range map[string]bool{"a": true, "b": false, "unknown": true} {
		if got := inDoubt(e, delivery); got != want {
			t.Errorf("%s: got %v", delivery, got)
		}
	}
	if inDoubt(&pdk.TransportError{}, "a") {
		t.Error("in doubt without a reason")
	}
}

// TestDrain lets what is under way end, and takes nothing new.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			<-time.After(5 * time.Second)
			return ok()
		}}
		out := newMemory(t)
		first := out.add("a/ops", "1")
		for range 3 {
			out.add("a/ops", "more")
		}
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Batch: plugin.Batch{Max: 3}}))
		<-time.After(time.Second)
		begin := time.Now()
		b.finish(t)
		if took := time.Since(begin); took != 4*time.Second {
			t.Errorf("the stop took %s", took)
		}
		if first.state != alert.Delivered || len(x.bodies()) != 1 {
			t.Errorf("first %s, sent %q", first.state, x.bodies())
		}
		for _, r := range out.rows[1:] {
			if r.state != alert.Queued || r.Attempt != 0 {
				t.Errorf("%+v", r)
			}
		}
		if _, _, err := b.WaitIdle(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("WaitIdle after the end: %v", err)
		}
	})
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := native{render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
			sizes = append(sizes, len(in.Deliveries))
			if want := map[bool]string{true: "it", false: "en"}[strings.HasPrefix(in.Deliveries[0].Text, "dev")]; in.Locale != want {
				t.Errorf("locale %q for %q", in.Locale, in.Deliveries[0].Text)
			}
			return whole(in)
		}}
		out := newMemory(t)
		b := start(t, out, &executor{}, endpointNamed("a", g, plugin.Manifest{Batch: plugin.Batch{Max: 10, Window: 2 * time.Second}}))
		synctest.Wait()
		begin := time.Now()
		for range 4 { // within the window: one batch
			out.add("a/ops", "ops")
			<-time.After(300 * time.Millisecond)
		}
		b.idle(t)
		if took := time.Since(begin); took != 2*time.Second || !slices.Equal(sizes, []int{4}) {
			t.Errorf("batches %v after %s", sizes, took)
		}
		begin = time.Now()
		out.addMany(20, "a/ops", "ops") // full batches need not wait
		b.idle(t)
		if took := time.Since(begin); took != 0 || !slices.Equal(sizes, []int{4, 10, 10}) {
			t.Errorf("batches %v after %s", sizes, took)
		}
		out.add("a/ops", "ops") // another recipient ends the wait and is not lost
		synctest.Wait()
		out.add("a/dev", "dev")
		b.idle(t)
		if !slices.Equal(sizes, []int{4, 10, 10, 1, 1}) {
			t.Errorf("batches %v", sizes)
		}
		out.add("a/ops", "ops") // a stop ends the wait, too
		synctest.Wait()
		b.finish(t)
		for _, r := range out.rows[:26] {
			if r.state != alert.Delivered {
				t.Errorf("a delivery is %s", r.state)
			}
		}
		if last := out.rows[26]; last.state != alert.Queued || last.Attempt != 0 {
			t.Errorf("the last is %+v", last)
		}
	})
}

func TestRateOfTheManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		for range 100 {
			out.add("a/ops", "x")
		}
		x := &executor{}
		m := plugin.Manifest{Rate: plugin.Rate{Count: 20, Per: time.Minute}, Limits: plugin.Limits{Parallel: 3}}
		b := start(t, out, x, endpointNamed("a", native{}, m))
		b.untilEmpty(t)
		b.finish(t)
		for i := range x.at {
			if i >= 20 && x.at[i].Sub(x.at[i-20]) < time.Minute {
				t.Fatalf("requests %d and %d are %s apart", i-20, i, x.at[i].Sub(x.at[i-20]))
			}
		}
		if took := x.at[99].Sub(x.at[0]); took != 4*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestWaitIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			<-time.After(time.Second)
			return ok()
		}}
		b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Limits: plugin.Limits{Parallel: 2}}), endpointNamed("b", native{}, plugin.Manifest{}))
		if left, _ := b.idle(t); left != 0 {
			t.Errorf("%d left of nothing", left)
		}
		for i := range 20 { // asked right after adding, it must not say that all is done
			d, e := out.add("a/ops", "x"), out.add("b/ops", "x")
			b.idle(t)
			if out.get(d).state != alert.Delivered || out.get(e).state != alert.Delivered {
				t.Fatalf("round %d: idle, but not delivered", i)
			}
		}
		out.add("a/ops", "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := b.WaitIdle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		b.finish(t)
	})
}

func TestOutboxTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		out.settleErr = 5
		d := out.add("a/ops", "x")
		b := start(t, out, &executor{}, endpointNamed("a", native{}, plugin.Manifest{}))
		b.untilEmpty(t)
		b.finish(t)
		if d.state != alert.Delivered || len(b.x.bodies()) != 1 {
			t.Errorf("%s after %q", d.state, b.x.bodies())
		}
	})
}

type passing struct{ error }

func (passing) Temporary() bool { return true }

// A full disk is waited out for as long as it takes: nothing is sent twice for it. A stop does not wait.
func TestOutboxFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newMemory(t)
		out.settleErr, out.trouble = 500, fmt.Errorf("store: %w", passing{errors.New("the disk is full")})
		d := out.add("a/ops", "x")
		b := start(t, out, &executor{}, endpointNamed("a", native{}, plugin.Manifest{}))
		begin := time.Now()
		b.untilEmpty(t)
		if d.state != alert.Delivered || len(b.x.bodies()) != 1 || time.Since(begin) < 30*time.Minute {
			t.Errorf("%s after %q, %v", d.state, b.x.bodies(), time.Since(begin))
		}
		out.mu.Lock()
		out.settleErr = 1e6
		out.mu.Unlock()
		out.add("a/ops", "y")
		<-time.After(time.Hour)
		begin = time.Now()
		b.finish(t)
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("the stop took %v", took)
		}
	})
}

// Whether a service drops repeats is told with each settlement.
func TestIdempotent(t *testing.T) {
	for _, drops := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			x := &executor{do: func(context.Context, *pdk.Request) (*pdk.Response, *pdk.TransportError) {
				if n++; n == 1 {
					return nil, &pdk.TransportError{Stage: egress.StageConnect, Message: "connection lost", Ambiguous: true}
				}
				return ok()
			}}
			out := newMemory(t)
			d := out.add("a/ops", "x")
			b := start(t, out, x, endpointNamed("a", native{}, plugin.Manifest{Features: plugin.Features{Idempotent: drops}}))
			b.untilEmpty(t)
			b.finish(t)
			if len(d.history) != 2 || !d.history[0].Ambiguous || d.history[1].Ambiguous || d.history[1].Idempotent != drops {
				t.Errorf("%v: %+v", drops, d.history)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	e := endpointNamed("a", native{}, plugin.Manifest{})
	for name, d := range map[string]Deps{
		"no outbox": {Executor: &executor{}},
		"no guest":  {Executor: &executor{}, Outbox: newMemory(t), Endpoints: []Endpoint{{Name: "a", Manifest: e.Manifest}}},
		"two":       {Executor: &executor{}, Outbox: newMemory(t), Endpoints: []Endpoint{e, e}},
	} {
		if _, err := New(d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
