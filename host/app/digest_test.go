package app

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
)

// TestDigestAfterAnOutage has a service that is down while alerts pile up: when it is back the first message that it takes
// is one digest, through the same plug-in, and after it come the severe ones, each on its own.
func TestDigestAfterAnOutage(t *testing.T) {
	type message struct {
		Alerts []struct{ Check, Title, Severity, Message string }
	}
	var mu sync.Mutex // guards what follows
	down, tries := true, 0
	var got []message
	url := serving(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if tries++; down || err != nil {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		var m message
		if err := json.Unmarshal(body, &m); err != nil {
			t.Errorf("%v in %s", err, body)
		}
		got = append(got, m)
	}))
	cfg := configured(t, url)
	over := 20
	cfg.Delivery.DigestOver = &over
	cfg.Delivery.DigestAfter = 1 // a nanosecond: all that waits is old
	drop(t, cfg, batched(t, 1, "0s"))
	a := &bed{App: started(t, cfg), t: t, cfg: cfg}
	store := func(n int, sev alert.Severity) {
		alerts := make([]*alert.Alert, n)
		for i := range alerts {
			alerts[i] = benchAlert(i)
			alerts[i].Severity = sev
		}
		a.raise(alerts...)
	}
	store(5, alert.Warning)
	waitFor(t, "the endpoint to be held", func() bool {
		hs, err := a.store.Holds(t.Context())
		return err == nil && len(hs) == 1
	})
	store(100, alert.Warning)
	store(3, alert.Critical)
	mu.Lock()
	down = false
	mu.Unlock()
	waitFor(t, "all deliveries", func() bool {
		left, _, err := a.WaitIdle(t.Context())
		return err == nil && left == 0
	})
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 4 {
		t.Fatalf("%d messages arrived: %+v", len(got), got)
	}
	if d := got[0].Alerts; len(d) != 1 || d[0].Check != "system/digest" || d[0].Title != "Digest of 105 alerts" || !strings.Contains(d[0].Message, "By severity: warning 105") {
		t.Errorf("the first message was %+v", got[0])
	}
	for _, m := range got[1:] {
		if len(m.Alerts) != 1 || m.Alerts[0].Severity != "critical" {
			t.Errorf("then came %+v", m)
		}
	}
	counts, err := a.Ledger().Counts(t.Context())
	if err != nil || len(counts) != 1 || counts[0].Digested != 105 || counts[0].Delivered != 4 || counts[0].Queued+counts[0].Dead != 0 {
		t.Errorf("the ledger says %+v, %v", counts, err)
	}
}
