package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

type figures struct {
	recipients []Recipient
	err        error
}

func (f *figures) Recipients(context.Context) ([]Recipient, error) { return f.recipients, f.err }

func (f *figures) Endpoints(context.Context) ([]Endpoint, error) {
	return []Endpoint{
		{Name: "bot", Type: "telegram", Held: true, Broken: true}, {Name: "hook", Type: "webhook"}, {Name: "busy", Type: "slack", Held: true},
	}, nil
}

func (f *figures) Plugins() []Plugin {
	return []Plugin{{
		Name: "webhook", Version: "1.2.0", Generation: 3, Calls: 10, Traps: 1, Time: 1500 * time.Millisecond, Fuel: 77, MaxMemory: 1 << 20,
	}}
}

func (f *figures) Capture() Capture {
	return Capture{Packets: 12, Bytes: 1200, Flows: 2, Drops: map[string]uint64{"truncated": 1}}
}

// retries records what the control socket asked for.
type retries struct {
	ids []string
	all bool
}

func (r *retries) Retry(_ context.Context, ids []string, all bool) (int, error) {
	if slices.Contains(ids, "unknown") {
		return 0, errors.New("no such delivery: unknown")
	}
	r.ids, r.all = ids, all
	return max(len(ids), 7*int(flag(all))), nil
}

func start(t *testing.T, f *figures) (*Server, *retries, string) {
	t.Helper()
	m := NewMetrics("1.2.3", slog.New(slog.DiscardHandler))
	if err := m.Register(f); err != nil {
		t.Fatal(err)
	}
	m.Alert("flow", "error", "store")
	m.Attempt("hook", "ops", "delivered", 20*time.Millisecond, time.Second)
	m.Attempt("hook", "ops", "retry", 20*time.Millisecond, 0)
	c := &retries{}
	socket := filepath.Join(t.TempDir(), "control.sock")
	s, err := New(Options{Listen: "127.0.0.1:0", Socket: socket, Metrics: m, Controls: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s, c, socket
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestMetrics(t *testing.T) {
	f := &figures{recipients: []Recipient{{
		Name: "ops", Endpoint: "hook", Matched: 9, Filtered: map[string]uint64{"severity": 4}, Dropped: map[string]uint64{"info": 2},
		Deliveries: map[string]int64{"queued": 3, "dead": 1}, Oldest: time.Now().Add(-time.Minute),
	}}}
	s, _, _ := start(t, f)
	code, page := get(t, s, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, page)
	}
	for _, want := range []string{
		`tocsin_alerts_total{action="store",entity="flow",severity="error"} 1`,
		`tocsin_build_info{goversion="go`,
		`tocsin_capture_packets_total 12`,
		`tocsin_capture_packets_dropped_total{reason="truncated"} 1`,
		`tocsin_deliveries{endpoint="hook",recipient="ops",state="queued"} 3`,
		`tocsin_deliveries_dropped_total{endpoint="hook",recipient="ops",severity="info"} 2`,
		`tocsin_delivery_attempts_total{endpoint="hook",outcome="retry",recipient="ops"} 1`,
		`tocsin_delivery_attempt_duration_seconds_count{endpoint="hook"} 2`,
		`tocsin_delivery_latency_seconds_count{endpoint="hook"} 1`,
		`tocsin_endpoint_broken{endpoint="bot",type="telegram"} 1`,
		`tocsin_endpoint_held{endpoint="bot",type="telegram"} 1`,
		`tocsin_endpoint_held{endpoint="hook",type="webhook"} 0`,
		`tocsin_endpoint_broken{endpoint="hook",type="webhook"} 0`,
		`tocsin_endpoint_held{endpoint="busy",type="slack"} 1`,
		`tocsin_endpoint_broken{endpoint="busy",type="slack"} 0`,
		`tocsin_plugin_errors_total{kind="trap",plugin="webhook"} 1`,
		`tocsin_plugin_call_seconds_total{plugin="webhook"} 1.5`,
		`tocsin_recipient_alerts_filtered_total{endpoint="hook",filter="severity",recipient="ops"} 4`,
		`go_goroutines`, `process_resident_memory_bytes`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if problems, err := testutil.CollectAndLint(&collector{source: f, log: slog.New(slog.DiscardHandler)}); err != nil || len(problems) > 0 {
		t.Errorf("names against the field's style: %v, %v", problems, err)
	}
	// A ledger that cannot be read costs its part of the page only.
	f.err = errors.New("the disk is gone")
	if code, page := get(t, s, "/metrics"); code != http.StatusOK || !strings.Contains(page, "tocsin_plugin_generation") {
		t.Errorf("status %d without the ledger: %s", code, page)
	}
}

func TestPages(t *testing.T) {
	s, _, _ := start(t, &figures{})
	for path, want := range map[string]int{
		"/": http.StatusOK, "/healthz": http.StatusOK, "/nothing": http.StatusNotFound,
		"/v1/deliveries/retry": http.StatusNotFound, // control is not on the network
	} {
		if code, page := get(t, s, path); code != want {
			t.Errorf("%s: status %d, want %d: %s", path, code, want, page)
		}
	}
	resp, err := http.Post("http://"+s.Addr().String()+"/metrics", "text/plain", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", resp.StatusCode)
	}
}

func TestControl(t *testing.T) {
	_, c, socket := start(t, &figures{})
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the control socket is %v, %v: only its owner may use it", info.Mode(), err)
	}
	client := NewClient(socket)
	if n, err := client.Retry(t.Context(), []string{"a", "b"}, false); n != 2 || err != nil || !slices.Equal(c.ids, []string{"a", "b"}) {
		t.Errorf("%d, %v, asked for %v", n, err, c.ids)
	}
	if n, err := client.Retry(t.Context(), nil, true); n != 7 || err != nil || !c.all {
		t.Errorf("all: %d, %v", n, err)
	}
	if _, err := client.Retry(t.Context(), []string{"unknown"}, false); err == nil || err.Error() != "no such delivery: unknown" {
		t.Errorf("error of the service: %v", err)
	}
	if _, err := NewClient(socket+".not").Retry(t.Context(), nil, true); !errors.Is(err, ErrNoService) {
		t.Errorf("without a service: %v", err)
	}
}

func TestControlBadInput(t *testing.T) {
	_, _, socket := start(t, &figures{})
	c := NewClient(socket)
	for _, body := range []string{"", "{", `{"idz":[]}`, `{"ids":"` + strings.Repeat("x", 2<<20) + `"}`} {
		resp, err := c.http.Post("http://tocsin/v1/deliveries/retry", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%.20q: status %d", body, resp.StatusCode)
		}
	}
}

func TestListenFailures(t *testing.T) {
	m := NewMetrics("", slog.New(slog.DiscardHandler))
	first, err := New(Options{Listen: "127.0.0.1:0", Metrics: m, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := New(Options{Listen: first.Addr().String(), Metrics: m}); err == nil || !strings.Contains(err.Error(), "another tocsin") {
		t.Errorf("an address in use: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "no", "folder.sock")
	if _, err := New(Options{Socket: socket, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), socket) {
		t.Errorf("a socket in no folder: %v", err)
	}
	// A socket that a dead process left behind is no obstacle.
	left := filepath.Join(t.TempDir(), "left.sock")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Socket: left, Controls: &retries{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func BenchmarkScrape(b *testing.B) {
	f := &figures{}
	for range 100 {
		f.recipients = append(f.recipients, Recipient{
			Name: "r" + time.Duration(len(f.recipients)).String(), Endpoint: "hook",
			Deliveries: map[string]int64{"queued": 1, "delivered": 2, "dead": 3}, Filtered: map[string]uint64{"severity": 4, "pool": 1},
		})
	}
	m := NewMetrics("", slog.New(slog.DiscardHandler))
	if err := m.Register(f); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
