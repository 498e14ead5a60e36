package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

var batchOf20 = plugin.Manifest{Batch: plugin.Batch{Max: 20}}

// TestPoisonAlert has a plug-in that fails on one alert of a batch: all others arrive at once, and it becomes a dead
// letter that names the plug-in.
func TestPoisonAlert(t *testing.T) {
	trap := errors.New("wasm trap: out of bounds memory access")
	for name, g := range map[string]native{
		"render traps": {render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
			for _, d := range in.Deliveries {
				if d.Text == "poison" {
					return nil, trap
				}
			}
			return whole(in)
		}},
		"render leaves it out": {render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
			in.Deliveries = slices.DeleteFunc(slices.Clone(in.Deliveries), func(d pdk.Delivery) bool { return d.Text == "poison" })
			if len(in.Deliveries) == 0 {
				return &pdk.RenderOutput{}, nil
			}
			return whole(in)
		}},
		"classify traps": {render: whole, classify: func(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
			if strings.Contains(in.Response.Body, "poison") {
				return nil, trap
			}
			return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: pdk.Delivered}}}, nil
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			x := &executor{do: func(_ context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError) {
				return status(200, r.HTTP.Body)
			}}
			out := newMemory(t)
			var poison *row
			for i := range 20 {
				if i == 7 {
					poison = out.add("a/ops", "poison")
				} else {
					out.add("a/ops", fmt.Sprint("good", i))
				}
			}
			b := start(t, out, x, endpointNamed("a", g, batchOf20))
			var last time.Time
			for b.idle(t); ; b.idle(t) {
				good := 0
				for _, r := range out.rows {
					if out.get(r).state == alert.Delivered {
						good++
					}
				}
				if good == 19 {
					last = time.Now()
					break
				}
				<-time.After(time.Second)
			}
			b.untilEmpty(t)
			b.finish(t)
			if waited := last.Sub(begin); waited > 2*guestBackoff {
				t.Errorf("%s: the others waited %s", name, waited)
			}
			reason := poison.history[len(poison.history)-1].Reason
			if poison.state != alert.Dead || poison.Attempt != guestTries || !strings.Contains(reason, "the plug-in testing failed on this alert") {
				t.Errorf("%s: %s after %d: %s", name, poison.state, poison.Attempt, reason)
			}
			if poison.ambiguous != (name == "classify traps") {
				t.Errorf("%s: ambiguous is %v", name, poison.ambiguous)
			}
			if len(b.runners[0].doubts.of) != 0 {
				t.Errorf("%s: %d deliveries are still remembered", name, len(b.runners[0].doubts.of))
			}
		})
	}
}

// TestRefusedBatch has a service that refuses a batch for one alert in it.
func TestRefusedBatch(t *testing.T) {
	for _, code := range []int{400, 422} {
		synctest.Test(t, func(t *testing.T) {
			x := &executor{do: func(_ context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError) {
				if strings.Contains(r.HTTP.Body, "bad") {
					return status(code, "field message is wrong")
				}
				return ok()
			}}
			out := newMemory(t)
			for i := range 20 {
				out.add("a/ops", map[bool]string{true: "bad", false: "good"}[i == 3])
			}
			b := start(t, out, x, endpointNamed("a", native{render: whole}, batchOf20))
			if took := b.untilEmpty(t); took > time.Second {
				t.Errorf("took %s", took)
			}
			b.finish(t)
			for i, r := range out.rows {
				want := alert.Delivered
				if i == 3 {
					want = alert.Dead
				}
				if r.state != want {
					t.Errorf("%d: row %d is %s", code, i, r.state)
				}
			}
			if reason := out.rows[3].history[len(out.rows[3].history)-1].Reason; !strings.Contains(reason, "field message is wrong") {
				t.Errorf("reason %q", reason)
			}
		})
	}
}

func TestRenderRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := native{render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
			out := &pdk.RenderOutput{}
			for _, d := range in.Deliveries {
				switch {
				case d.Text == "bad" && d.Plain:
					out.Requests = append(out.Requests, one(in, d))
				case d.Text == "good":
					out.Requests = append(out.Requests, one(in, d))
				default:
					out.Rejected = append(out.Rejected, pdk.Verdict{
						Delivery: d.ID, Reason: "why " + d.Text,
						Outcome: map[string]pdk.Outcome{"never": pdk.Rejected, "skip": pdk.Skipped}[d.Text],
					})
				}
			}
			return out, nil
		}}
		out := newMemory(t)
		want := map[string]alert.State{"good": alert.Delivered, "bad": alert.Delivered, "worse": alert.Dead, "never": alert.Dead, "skip": alert.Skipped}
		rows := map[string]*row{}
		for text := range want {
			rows[text] = out.add("a/ops", text)
		}
		b := start(t, out, &executor{}, endpointNamed("a", g, batchOf20))
		b.untilEmpty(t)
		b.finish(t)
		for text, state := range want {
			r := rows[text]
			if r.state != state {
				t.Errorf("%s is %s", text, r.state)
			}
			if text != "good" && !strings.Contains(r.history[0].Reason, "why "+text) {
				t.Errorf("%s: reason %q", text, r.history[0].Reason)
			}
		}
	})
}

type composer func(alertJSON []byte, locale string, plain bool) (string, string, error)

func (c composer) Compose(a []byte, locale string, plain bool) (string, string, error) {
	return c(a, locale, plain)
}

func TestCompose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := endpointNamed("a", native{}, batchOf20)
		e.Composer = composer(func(a []byte, locale string, plain bool) (string, string, error) {
			var doc struct{ Message string }
			if err := json.Unmarshal(a, &doc); err != nil {
				return "", "", err
			}
			if strings.HasPrefix(doc.Message, "bad") && !plain || doc.Message == "bad twice" {
				return "", "", errors.New("message.tmpl:3: no such field")
			}
			return "subject", "<" + doc.Message + " " + locale + ">", nil
		})
		out := newMemory(t)
		rows := []*row{out.add("a/dev", "good"), out.add("a/dev", "bad"), out.add("a/dev", "bad twice"), out.add("a/gone", "x"), out.add("a/dev", "y")}
		rows[4].Alert = json.RawMessage(`{"id":7`)
		b := start(t, out, &executor{}, e)
		b.untilEmpty(t)
		b.finish(t)
		if got := b.x.bodies(); !slices.Equal(got, []string{"<good it>;", "plain:<bad it>;"}) {
			t.Errorf("sent %q", got)
		}
		for i, says := range map[int]string{2: "message.tmpl:3", 3: "recipient gone is not configured", 4: "cannot be read"} {
			if r := rows[i]; r.state != alert.Dead || !strings.Contains(r.history[len(r.history)-1].Reason, says) {
				t.Errorf("row %d: %s %+v", i, r.state, r.history)
			}
		}
	})
}

// TestHostRefusals are judged by the host: the plug-in is not asked.
func TestHostRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		x := &executor{do: func(_ context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError) {
			switch {
			case strings.HasSuffix(r.HTTP.Body, "invalid;"):
				return nil, &pdk.TransportError{Stage: egress.StageInvalid, Message: "header with a line break"}
			case time.Since(begin) < time.Second:
				return nil, &pdk.TransportError{Stage: egress.StageDenied, Message: "10.0.0.1 is a private address"}
			}
			return ok()
		}}
		g := native{classify: func(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
			if in.Error != nil {
				t.Errorf("the plug-in was asked about %+v", in.Error)
			}
			return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: pdk.Delivered}}}, nil
		}}
		out := newMemory(t)
		denied, invalid := out.add("a/ops", "denied"), out.add("a/ops", "invalid")
		b := start(t, out, x, endpointNamed("a", g, plugin.Manifest{}))
		b.untilEmpty(t)
		b.finish(t)
		if denied.state != alert.Delivered || denied.Attempt != 1 || invalid.state != alert.Dead || !strings.Contains(invalid.history[0].Reason, "line break") {
			t.Errorf("denied %+v, invalid %+v", denied, invalid)
		}
		if holds := b.holdsSeen(); len(holds) != 1 || !holds[0].Broken || !strings.Contains(holds[0].Reason, "private address") {
			t.Errorf("holds %+v", holds)
		}
	})
}

// TestMixedAnswer settles each delivery of one request by its own verdict, as a bulk interface needs it.
func TestMixedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		g := native{render: whole, classify: func(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
			if !first {
				return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: pdk.Delivered}}}, nil
			}
			first = false
			ids := in.Request.Deliveries
			return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{
				{Delivery: ids[0], Outcome: pdk.Duplicate},
				{Delivery: ids[1], Outcome: pdk.Rejected, Reason: "mapping"},
				{Delivery: ids[2], Outcome: pdk.Retry, Reason: "busy"},
				{Delivery: "unknown", Outcome: pdk.Delivered},
				{Outcome: pdk.Delivered, ProviderID: "rest"},
			}}, nil
		}}
		out := newMemory(t)
		for i := range 5 {
			out.add("a/ops", fmt.Sprint(i))
		}
		b := start(t, out, &executor{}, endpointNamed("a", g, batchOf20))
		b.untilEmpty(t)
		b.finish(t)
		want := []alert.State{alert.Duplicate, alert.Dead, alert.Delivered, alert.Delivered, alert.Delivered}
		for i, r := range out.rows {
			if r.state != want[i] {
				t.Errorf("row %d is %s", i, r.state)
			}
		}
		if out.rows[2].Attempt != 2 || out.rows[3].history[0].ProviderID != "rest" || len(b.holdsSeen()) != 0 {
			t.Errorf("%+v %+v", out.rows[2], out.rows[3])
		}
	})
}
