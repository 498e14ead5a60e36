package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/route"
)

func scan(action alert.Action, key string) *alert.Alert {
	return &alert.Alert{
		ID: alert.NewID(), Time: time.Now(), Check: "host/syn_scan", Entity: alert.EntityHost, Severity: alert.Error, Action: action, Key: key,
		Title: "Scan", Message: "A scan.", Host: &alert.Host{IP: netip.MustParseAddr("192.0.2.7"), VLAN: 3, Attacker: true},
	}
}

// TestReleaseGoesWhereItsEngageWent, through the router and the ledger: engage before a hold-up and release during it are
// sent; engage during it and release after it are not.
func TestReleaseGoesWhereItsEngageWent(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	w, err := route.NewWindow(route.Maintenance{Name: "noon", Schedule: "0 12 * * *", Duration: time.Hour, Location: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	router := func(r route.Rule) *route.Router {
		r.Recipient, r.Endpoint = "ops", "hook"
		out, err := route.New([]route.Rule{r})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	open, muted, window := router(route.Rule{}), router(route.Rule{Muted: true}), router(route.Rule{Maintenance: []*route.Window{w}})
	type step struct {
		r  *route.Router
		at time.Time
		a  *alert.Alert
	}
	before, during, after := noon.Add(-time.Minute), noon.Add(time.Minute), noon.Add(2*time.Hour)
	for name, c := range map[string]struct {
		steps []step
		want  int // deliveries
	}{
		"mute, engage before":        {[]step{{open, before, scan(alert.Engage, "k")}, {muted, during, scan(alert.Release, "k")}}, 2},
		"mute, engage during":        {[]step{{muted, during, scan(alert.Engage, "k")}, {open, after, scan(alert.Release, "k")}}, 0},
		"maintenance, engage before": {[]step{{window, before, scan(alert.Engage, "k")}, {window, during, scan(alert.Release, "k")}}, 2},
		"maintenance, engage during": {[]step{{window, during, scan(alert.Engage, "k")}, {window, after, scan(alert.Release, "k")}}, 0},
		"all during":                 {[]step{{window, during, scan(alert.Engage, "k")}, {window, during, scan(alert.Release, "k")}}, 0},
		"a round before, then held": {[]step{
			{window, before, scan(alert.Engage, "k")},
			{window, before, scan(alert.Release, "k")},
			{window, during, scan(alert.Engage, "k")},
			{window, after, scan(alert.Release, "k")},
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := outbox.Open(t.Context(), filepath.Join(t.TempDir(), "o.db"), outbox.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			for _, st := range c.steps {
				if err := s.Store(t.Context(), []outbox.Entry{{Alert: st.a, Targets: st.r.Route(st.a, st.at)}}); err != nil {
					t.Fatal(err)
				}
			}
			rows, err := s.List(t.Context(), outbox.Filter{})
			if err != nil || len(rows) != c.want {
				t.Errorf("%d deliveries, want %d; %v", len(rows), c.want, err)
			}
		})
	}
}

// TestRecipientCounters follows a service's counters: live, from another process, and after a restart.
func TestRecipientCounters(t *testing.T) {
	var refuse atomic.Bool
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Load() {
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}
	}))
	defer sink.Close()
	cfg := configured(t, sink.URL)
	text := "[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"" + sink.URL + "\" }\n" +
		"[[recipient]]\nname = \"quiet\"\nendpoint = \"hook\"\nsilence = \"1h\"\n" +
		"[[recipient]]\nname = \"severe\"\nendpoint = \"hook\"\nminimum_severity = \"emergency\"\n" +
		"[[recipient]]\nname = \"muted\"\nendpoint = \"hook\"\nmuted = true\n"
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	start := func() *App {
		a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = a.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	states := func(a *App) map[string]RecipientState {
		rs, err := a.Recipients(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]RecipientState{}
		for _, r := range rs {
			out[r.Recipient] = r
		}
		return out
	}
	a := start()
	send := func(al *alert.Alert) {
		if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: a.router.Route(al, time.Now())}}); err != nil {
			t.Fatal(err)
		}
	}
	refuse.Store(true)
	send(scan(alert.Engage, "k"))
	waitFor(t, "the dead letter", func() bool { return states(a)["quiet"].Dead == 1 })
	refuse.Store(false)
	send(scan(alert.Engage, "k"))
	waitFor(t, "the success", func() bool { return states(a)["quiet"].Delivered == 1 })
	send(scan(alert.Engage, "k"))
	send(scan(alert.Release, "k"))
	check := func(what string, got map[string]RecipientState) {
		t.Helper()
		q := got["quiet"]
		if q.Dead != 1 || q.Delivered != 1 || q.Silenced != 1 || q.Failed < 1 || q.Filtered != 1 || q.FilteredBy[outbox.NotFollowed] != 1 ||
			q.LastUse.IsZero() || !strings.Contains(q.LastError, "422") || q.LastErrorAt.IsZero() {
			t.Errorf("%s: quiet %+v", what, q)
		}
		if s := got["severe"]; s.Filtered != 4 || s.FilteredBy["severity"] != 4 || s.MinimumSeverity != "emergency" || !s.LastUse.IsZero() {
			t.Errorf("%s: severe %+v", what, s)
		}
		if m := got["muted"]; m.Filtered != 4 || m.FilteredBy["muted"] != 3 || m.FilteredBy[outbox.NotFollowed] != 1 || m.Held != "muted" {
			t.Errorf("%s: muted %+v", what, m)
		}
	}
	check("live", states(a))
	check("live, again", states(a)) // folding twice counts once
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := ListRecipients(t.Context(), Listing{Streams: Streams{Out: &out}, Config: cfg.File, Format: "jsonl"}); err != nil {
		t.Fatal(err)
	}
	listed := map[string]RecipientState{}
	for line := range strings.Lines(out.String()) {
		var r RecipientState
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		listed[r.Recipient] = r
	}
	check("listed", listed)
	a = start()
	check("after a restart", states(a))
	if err := a.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestMutedAtARestart: what waits for a recipient that the configuration mutes now is not sent after all.
func TestMutedAtARestart(t *testing.T) {
	var requests atomic.Int32
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		http.Error(w, "no", http.StatusServiceUnavailable)
	}))
	defer sink.Close()
	cfg := configured(t, sink.URL)
	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	var a *App
	start := func(extra string) {
		t.Helper()
		text := "[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"" + sink.URL + "\" }\n" +
			"[[recipient]]\nname = \"ops\"\nendpoint = \"hook\"\n" + extra
		if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(cfg.File)
		if err == nil {
			a, err = New(t.Context(), Deps{Config: c, Log: slog.New(slog.DiscardHandler)})
		}
		if err == nil {
			err = a.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		if err := a.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	start("")
	al := scan(alert.Store, "")
	if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: a.router.Route(al, time.Now())}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "an attempt", func() bool {
		rs, err := a.Recipients(t.Context())
		return err == nil && rs[0].Failed > 0
	})
	stop()
	tried := requests.Load()
	start("muted = true\n")
	defer stop()
	waitFor(t, "its turn", func() bool {
		rs, err := a.Recipients(t.Context())
		return err == nil && rs[0].Silenced == 1
	})
	if n := requests.Load(); n != tried {
		t.Errorf("%d requests after the recipient was muted", n-tried)
	}
}
