package app

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// TestServiceIsWatched reads the metrics of a running service, and has it retry a dead letter by the command line.
func TestServiceIsWatched(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}
	}))
	a := newRoom(t, "webhook", fmt.Sprintf("webhook_url = %q", url), "", "[api]\nlisten = \"127.0.0.1:0\"\n").start()
	al := &alert.Alert{ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "A test.", Flow: &alert.Flow{L4: "TCP"}}
	a.raise(al)
	a.settled("ops", alert.Dead, 1)
	refuse.Store(false)
	var out bytes.Buffer
	if err := RetryDeliveries(t.Context(), Listing{Streams: Streams{Out: &out}, Config: a.cfg.File}, nil, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "1 delivery is queued again: the running service sends it now") {
		t.Errorf("retry printed %q", out.String())
	}
	a.settled("ops", alert.Delivered, 1)
	unknown := alert.NewID().String()
	err := RetryDeliveries(t.Context(), Listing{Streams: Streams{Out: &out}, Config: a.cfg.File}, []string{unknown}, false)
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
		`tocsin_delivery_attempts_total{endpoint="webhook",outcome="delivered",recipient="ops"} 1`,
		`tocsin_delivery_attempts_total{endpoint="webhook",outcome="bad_payload",recipient="ops"}`,
		`tocsin_delivery_latency_seconds_count{endpoint="webhook"} 1`,
		`tocsin_deliveries{endpoint="webhook",recipient="ops",state="delivered"} 1`,
		`tocsin_recipient_alerts_matched_total{endpoint="webhook",recipient="ops"} 1`,
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
