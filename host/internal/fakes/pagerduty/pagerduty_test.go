package pagerduty

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// TestStrict has the stand-in take what PagerDuty's description allows, and refuse the rest in its words.
func TestStrict(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	s := &Server{Key: key}
	event := func(action, rest string) string {
		return `{"routing_key":"` + key + `","event_action":"` + action + `"` + rest + `}`
	}
	payload := `,"payload":{"summary":"s","severity":"error","source":"h"}`
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v2/enqueue", event("trigger", `,"dedup_key":"k"`+payload), 202, `"dedup_key":"k"`},
		{"/v2/enqueue", event("trigger", payload), 202, "Event processed"},
		{"/v2/enqueue", event("resolve", `,"dedup_key":"k"`), 202, "Event processed"},
		{"/v2/enqueue", event("resolve", `,"dedup_key":"nobody"`), 202, "Event processed"},
		{"/v2/change/enqueue", `{"routing_key":"` + key + `","payload":{"summary":"s"}}`, 202, "Change event processed"},
		{"/v2/enqueue", event("resolve", ""), 400, "dedup_key"},
		{"/v2/enqueue", event("trigger", ""), 400, "payload"},
		{"/v2/enqueue", event("closed", payload), 400, "'event_action' is invalid"},
		{"/v2/enqueue", event("trigger", strings.Replace(payload, "error", "fatal", 1)), 400, "'payload.severity' is invalid"},
		{"/v2/enqueue", event("trigger", strings.Replace(payload, `"s"`, `"`+strings.Repeat("x", 1025)+`"`, 1)), 400, "'payload.summary' is invalid"},
		{"/v2/enqueue", event("trigger", `,"dedup_key":"`+strings.Repeat("x", 256)+`"`+payload), 400, "'dedup_key' is invalid"},
		{"/v2/enqueue", event("trigger", `,"unknown":1`+payload), 400, "unknown"},
		{"/v2/enqueue", "{", 400, "JSON parse error"},
		{"/v2/enqueue", strings.Replace(event("trigger", payload), key, "short", 1), 400, "Length of 'routing_key' is incorrect"},
		{"/v2/enqueue", strings.Replace(event("trigger", payload), key, strings.Repeat("z", 32), 1), 400, "routing key"},
		{"/v2/enqueue", event("trigger", payload) + strings.Repeat(" ", 512<<10), 413, "too large"},
		{"/v1/enqueue", event("trigger", payload), 404, ""},
	} {
		if status, answer := standin.Ask(t, s, http.MethodPost, c.path, c.body); status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%.80s: %d %s, want %d %s", c.body, status, answer, c.status, c.says)
		}
	}
	if a := s.Taken(); len(a) != 2 || !a[0].Resolved || a[1].Resolved || s.Dropped() != 1 || len(s.Changes()) != 1 {
		t.Errorf("%+v, %d dropped", a, s.Dropped())
	}
}
