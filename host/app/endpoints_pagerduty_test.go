package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/pagerduty"
)

const pagerdutyKey = "0123456789abcdef0123456789ABCDEF"

// pagerdutyRoom is a bed for an integration.
func pagerdutyRoom(t testing.TB, fake *pagerduty.Server) *bed {
	t.Helper()
	return newRoom(t, "pagerduty", fmt.Sprintf(`pagerduty_integration_key = %q, pagerduty_api_url = %q, pagerduty_client_url = "https://wiki.example/runbook"`,
		pagerdutyKey, serving(t, fake)), "")
}

// TestPagerDuty sends alerts through the real module to a strict stand-in: one that begins and ends, one without an end, one that is
// hostile and long, a rate limit and an outage on the way.
func TestPagerDuty(t *testing.T) {
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	evil := flowAt(1, at)
	evil.Title, evil.Message, evil.Interface = "<script>@everyone*_[", strings.Repeat("\"\r\n&<> \u202egnp\x00🚨", 7000), "eth\u202e0\r\nX: y"
	evil.Flow.Hostname = strings.Repeat("h", 100_000)
	fake := &pagerduty.Server{Key: pagerdutyKey}
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly."}`, http.StatusTooManyRequests)
		case 2:
			http.Error(w, `{"status":"error","message":"Internal Server Error"}`, http.StatusInternalServerError)
		}
		return n <= 2
	}
	b := pagerdutyRoom(t, fake).start()
	begin := scanAt(alert.Engage, at)
	b.raise(begin, flowAt(0, at), evil)
	b.settled("ops", alert.Delivered, 3)
	b.raise(scanAt(alert.Release, at.Add(time.Minute)))
	for _, r := range b.settled("ops", alert.Delivered, 4) {
		if r.AlertID == begin.ID && r.ProviderID != begin.Key {
			t.Errorf("the engage is known as %q, want %q", r.ProviderID, begin.Key)
		}
	}
	alerts := fake.Taken()
	if len(alerts) != 3 || fake.Dropped() != 0 {
		t.Fatalf("%d alerts, %d resolves dropped", len(alerts), fake.Dropped())
	}
	for i := range alerts {
		p := &alerts[i]
		if p.Client != "tocsin" || p.ClientURL != "https://wiki.example/runbook" || strings.ContainsAny(p.Payload.Summary+p.Payload.Source+p.Payload.Group, "\u202e\r\n\x00") {
			t.Errorf("%+v", p.Event)
		}
		if p.DedupKey != begin.Key {
			if p.Resolved || p.Payload.Class != "flow/tls_certificate_expired" || p.Payload.Severity != "error" {
				t.Errorf("%+v", p)
			}
			continue
		}
		text, _ := p.Payload.Details["text"].(string)
		if !p.Resolved || p.Events != 2 || p.Payload.Source != "192.0.2.7" || p.Payload.Summary != "Scan: A scan." || p.Payload.Details["attacker"] != "192.0.2.7" ||
			!strings.Contains(text, "🟠 Error · score 100 · Started\n") {
			t.Errorf("the scan became %+v", p)
		}
	}
}

// TestPagerDutySamples sends every sample alert in both languages, as the test of a recipient does: the stand-in takes all of them.
func TestPagerDutySamples(t *testing.T) {
	fake := &pagerduty.Server{Key: pagerdutyKey}
	pagerdutyRoom(t, fake).samples(pagerdutyKey)
	for _, a := range fake.Taken() {
		if a.Payload.Severity != "info" {
			t.Errorf("a test pages with %+v", a.Event)
		}
	}
}

// TestPagerDutyKey has an integration key that is wrong: the endpoint is held and says what to do, and the test tells so without
// paging anybody.
func TestPagerDutyKey(t *testing.T) {
	fake := &pagerduty.Server{Key: strings.Repeat("x", 32)}
	b := pagerdutyRoom(t, fake)
	out, err := b.tryEndpoint("pagerduty")
	if err == nil || !strings.Contains(out, "check pagerduty_integration_key") || strings.Contains(out+err.Error(), pagerdutyKey) {
		t.Errorf("got %v, %s", err, out)
	}
	fake.Key = pagerdutyKey
	if out, err := b.tryEndpoint("pagerduty"); err != nil || len(fake.Changes()) != 1 || len(fake.Taken()) != 0 {
		t.Errorf("got %v, %d changes, %d alerts, %s", err, len(fake.Changes()), len(fake.Taken()), out)
	}
	fake.Key = strings.Repeat("x", 32)
	b.start().raise(flowAt(0, time.Now()))
	b.held("pagerduty", "check pagerduty_integration_key")
}
