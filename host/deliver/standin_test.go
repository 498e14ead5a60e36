package deliver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestStandIns has a plug-in that passes alerts on: it sees stand-ins, and the service the alerts.
func TestStandIns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		g := native{render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
			body := "["
			q := one(in, in.Deliveries...)
			for _, d := range in.Deliveries {
				seen = append(seen, string(d.Alert.Raw)+d.Text+d.Alert.Title)
				body += string(d.Alert.Raw) + ","
			}
			q.HTTP.Body = body + "]"
			return &pdk.RenderOutput{Requests: []pdk.Request{q}}, nil
		}}
		out := newMemory(t)
		hostile := standIn("00000000-0000-7000-8000-000000000000")
		for _, text := range []string{"one", hostile, "three"} {
			out.add("a/ops", text)
		}
		x := &executor{}
		b := start(t, out, x, endpointNamed("a", g, plugin.Manifest{Message: plugin.Message{PassAlerts: true}, Batch: plugin.Batch{Max: 3}}))
		b.untilEmpty(t)
		b.finish(t)
		var want []string
		for i, r := range out.rows {
			if seen[i] != standIn(r.ID.String()) {
				t.Errorf("the plug-in was given %s", seen[i])
			}
			want = append(want, string(r.Alert)+",")
		}
		if got := x.bodies(); !slices.Equal(got, []string{"[" + strings.Join(want, "") + "]"}) {
			t.Errorf("sent %q", got)
		}
	})
}

// TestStandInsMissing has versions that render something else: nothing of it is sent.
func TestStandInsMissing(t *testing.T) {
	for name, body := range map[string]string{
		"none": "Hello", "another": standIn("00000000-0000-7000-8000-000000000000"), "twice": "%[1]s%[1]s", "cut": standInHead,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := native{render: func(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
					q := one(in, in.Deliveries...)
					q.HTTP.Body = body
					if strings.Contains(body, "%") {
						q.HTTP.Body = fmt.Sprintf(body, in.Deliveries[0].Alert.Raw)
					}
					return &pdk.RenderOutput{Requests: []pdk.Request{q}}, nil
				}}
				out := newMemory(t)
				r := out.add("a/ops", "x")
				x := &executor{}
				b := start(t, out, x, endpointNamed("a", g, plugin.Manifest{Message: plugin.Message{PassAlerts: true}}))
				b.untilEmpty(t)
				b.finish(t)
				if got := out.get(r); got.state != alert.Dead || len(x.bodies()) != 0 || !strings.Contains(got.history[0].Reason, "the request ") {
					t.Errorf("%+v, sent %q", got, x.bodies())
				}
			})
		})
	}
}

// An alert cannot be mistaken for a stand-in, and a request without a body is refused.
func TestPutAlertsRefuses(t *testing.T) {
	j := job{request: &pdk.Request{Ban: &pdk.BanRequest{}}, items: []*item{{in: pdk.Delivery{ID: "x"}}}}
	if err := putAlerts(&j); err != nil {
		t.Errorf("without stand-ins: %v", err)
	}
	j.items[0].in.Alert.Raw = []byte(standIn("x"))
	if err := putAlerts(&j); err == nil || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
}
