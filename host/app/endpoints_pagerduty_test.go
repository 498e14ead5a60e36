package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/fakes/pagerduty"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk"
)

// endpointConfig is a configuration of the given text, in a folder with one plug-in.
func endpointConfig(t testing.TB, typ, text string) *config.Config {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, typ+".wasm"), build.ForTest(t, typ).Wasm); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func pagerdutyConfig(t testing.TB, url string) *config.Config {
	return endpointConfig(t, "pagerduty", "[[recipient]]\nname = \"oncall\"\nendpoint = \"pd\"\n[[endpoint]]\nname = \"pd\"\ntype = \"pagerduty\"\n[endpoint.parameters]\n"+
		"pagerduty_integration_key = \""+pagerdutyKey+"\"\npagerduty_api_url = \""+url+"\"\npagerduty_client_url = \"https://wiki.example/runbook\"\n")
}

// minuteRate is a manifest's limit of its own requests, so many a minute.
var minuteRate = regexp.MustCompile(`(?m)^per = "1m"$`)

// benchmarkEndpoint renders ten alerts in the sandbox, and delivers a thousand in an operation, as fast as the service takes them.
func benchmarkEndpoint(b *testing.B, cfg *config.Config) {
	b.Helper()
	name := cfg.Endpoints[0].Type
	p := build.ForTest(b, name)
	parts := p.Parts()
	parts.Manifest = minuteRate.ReplaceAll(parts.Manifest, []byte(`per = "1ms"`))
	wasm, err := plugin.Pack(p.Module(), parts)
	if err == nil {
		err = replaceFile(filepath.Join(cfg.Plugins.Folder, name+".wasm"), wasm)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Run("render", func(b *testing.B) {
		t, err := openTarget(b.Context(), cfg, slog.New(slog.DiscardHandler), 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer func() {
			if err := t.close(context.Background()); err != nil {
				b.Error(err)
			}
		}()
		in := &pdk.RenderInput{Now: 1, Locale: "en"}
		in.Endpoint, in.Recipient = t.typ.Package().Lint.Fill(t.endpoint.Params, t.recipient.Params)
		for i := range 10 {
			raw, err := json.Marshal(benchAlert(i))
			if err != nil {
				b.Fatal(err)
			}
			d := pdk.Delivery{ID: alert.NewID().String(), Attempt: 1}
			if err := d.Alert.DecodeJSON(raw); err != nil {
				b.Fatal(err)
			}
			d.Alert.Raw = raw
			if d.Subject, d.Text, err = t.typ.Package().Compose(raw, "en", false); err != nil {
				b.Fatal(err)
			}
			in.Deliveries = append(in.Deliveries, d)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := t.typ.Render(b.Context(), in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deliver", func(b *testing.B) { benchmarkChat(b, cfg) })
}

// BenchmarkPagerDuty has the stand-in check each event.
func BenchmarkPagerDuty(b *testing.B) {
	srv := httptest.NewServer(&pagerduty.Server{Key: pagerdutyKey})
	defer srv.Close()
	benchmarkEndpoint(b, pagerdutyConfig(b, srv.URL))
}

const pagerdutyKey = "0123456789abcdef0123456789ABCDEF"

// flowAt is a flow alert at a time.
func flowAt(i int, at time.Time) *alert.Alert {
	a := benchAlert(i)
	a.Time, a.Flow.First, a.Flow.Last = at, at.Add(-4*time.Second), at
	return a
}

// scanAt is an alert of a host that scans.
func scanAt(action alert.Action, at time.Time) *alert.Alert {
	a := scan(action, "host/syn_scan/192.0.2.7")
	a.Time, a.Host.Value, a.Host.Threshold, a.Category, a.Score = at, 412, 256, alert.Security, 100
	if action == alert.Release {
		a.Engaged = at.Add(-time.Minute)
	}
	return a
}

// TestPagerDuty sends alerts through the real module to a strict stand-in: one that begins and ends, one without an end, one that is
// hostile and long, a rate limit and an outage on the way.
func TestPagerDuty(t *testing.T) {
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	evil := flowAt(1, at)
	evil.Title, evil.Message, evil.Interface = "<script>@everyone*_[", strings.Repeat("\"\r\n&<> \u202egnp\x00🚨", 7000), "eth\u202e0\r\nX: y"
	evil.Flow.Hostname = strings.Repeat("h", 100_000)
	fake := &pagerduty.Server{Key: pagerdutyKey, Intercept: func(w http.ResponseWriter, n int) bool {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"status":"throttle exceeded","message":"Requests for this service are arriving too quickly."}`, http.StatusTooManyRequests)
		case 2:
			http.Error(w, `{"status":"error","message":"Internal Server Error"}`, http.StatusInternalServerError)
		}
		return n <= 2
	}}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	a := chatService(t, pagerdutyConfig(t, srv.URL))
	begin := scanAt(alert.Engage, at)
	raiseAll(t, a, begin, flowAt(0, at), evil)
	settledAs(t, a, "oncall", alert.Delivered, 3)
	raiseAll(t, a, scanAt(alert.Release, at.Add(time.Minute)))
	for _, r := range settledAs(t, a, "oncall", alert.Delivered, 4) {
		if r.AlertID == begin.ID && r.ProviderID != begin.Key {
			t.Errorf("the engage is known as %q, want %q", r.ProviderID, begin.Key)
		}
	}
	alerts := fake.Alerts()
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
	srv := httptest.NewServer(fake)
	defer srv.Close()
	out := sendSamples(t, pagerdutyConfig(t, srv.URL))
	if strings.Contains(out, pagerdutyKey) || strings.Contains(out, "failed") {
		t.Error(out)
	}
	for _, a := range fake.Alerts() {
		if a.Payload.Severity != "info" {
			t.Errorf("a test pages with %+v", a.Event)
		}
	}
}

// TestPagerDutyKey has an integration key that is wrong: the endpoint is held and says what to do, and the test tells so without
// paging anybody.
func TestPagerDutyKey(t *testing.T) {
	fake := &pagerduty.Server{Key: strings.Repeat("x", 32)}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	cfg := pagerdutyConfig(t, srv.URL)
	test := func() (string, error) {
		var out bytes.Buffer
		o := TestOptions{Listing: Listing{Streams: Streams{Out: &out, Err: &out}, Config: cfg.File, Format: "jsonl"}, Timeout: time.Minute, LogLevel: "error"}
		err := TestEndpoint(t.Context(), o, "pd")
		return out.String(), err
	}
	out, err := test()
	if err == nil || !strings.Contains(out, "check pagerduty_integration_key") || strings.Contains(out+err.Error(), pagerdutyKey) {
		t.Errorf("got %v, %s", err, out)
	}
	fake.Key = pagerdutyKey
	if out, err := test(); err != nil || len(fake.Changes()) != 1 || len(fake.Alerts()) != 0 {
		t.Errorf("got %v, %d changes, %d alerts, %s", err, len(fake.Changes()), len(fake.Alerts()), out)
	}
	fake.Key = strings.Repeat("x", 32)
	a := chatService(t, cfg)
	raiseAll(t, a, flowAt(0, time.Now()))
	waitFor(t, "the endpoint to be held", func() bool {
		hs, err := a.store.Holds(t.Context())
		return err == nil && len(hs) == 1 && strings.Contains(hs[0].Reason, "check pagerduty_integration_key")
	})
}
