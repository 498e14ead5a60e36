package app

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
)

// TestServiceIsWatched reads the metrics of a running service, and has it retry a dead letter by the command line.
func TestServiceIsWatched(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}
	}))
	defer sink.Close()
	cfg := configured(t, sink.URL)
	text := "[api]\nlisten = \"127.0.0.1:0\"\n[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"" + sink.URL +
		"\" }\n[[recipient]]\nname = \"all\"\nendpoint = \"hook\"\n"
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	al := &alert.Alert{ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "A test.", Flow: &alert.Flow{L4: "TCP"}}
	if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: a.router.Route(al, time.Now())}}); err != nil {
		t.Fatal(err)
	}
	state := func(s alert.State) func() bool {
		return func() bool {
			rows, err := a.store.List(t.Context(), outbox.Filter{})
			return err == nil && len(rows) == 1 && rows[0].State == s
		}
	}
	waitFor(t, "the dead letter", state(alert.Dead))
	refuse.Store(false)
	var out bytes.Buffer
	if err := RetryDeliveries(t.Context(), Listing{Streams: Streams{Out: &out}, Config: cfg.File}, nil, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "1 delivery is queued again: the running service sends it now") {
		t.Errorf("retry printed %q", out.String())
	}
	waitFor(t, "the delivery", state(alert.Delivered))
	unknown := alert.NewID().String()
	err = RetryDeliveries(t.Context(), Listing{Streams: Streams{Out: &out}, Config: cfg.File}, []string{unknown}, false)
	if err == nil || !strings.Contains(err.Error(), unknown) {
		t.Errorf("a delivery that does not exist: %v", err)
	}

	resp, err := http.Get("http://" + a.monitor.server.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	for _, want := range []string{
		`tocsin_delivery_attempts_total{endpoint="hook",outcome="delivered",recipient="all"} 1`,
		`tocsin_delivery_attempts_total{endpoint="hook",outcome="bad_payload",recipient="all"}`,
		`tocsin_delivery_latency_seconds_count{endpoint="hook"} 1`,
		`tocsin_deliveries{endpoint="hook",recipient="all",state="delivered"} 1`,
		`tocsin_recipient_alerts_matched_total{endpoint="hook",recipient="all"} 1`,
		`tocsin_plugin_info{plugin="webhook",version="0.1.0"} 1`,
		`tocsin_plugin_calls_total{plugin="webhook"}`,
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(string(page))
	}
}
