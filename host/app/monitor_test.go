package app

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/api"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/route"
)

// watchedLedger is as much of a service as its metrics need: an outbox and a router.
func watchedLedger(t *testing.T, path string, rules ...route.Rule) (*App, *monitor) {
	t.Helper()
	a := &App{cfg: &config.Config{}, log: slog.New(slog.DiscardHandler)}
	var err error
	if a.store, err = outbox.Open(t.Context(), path, outbox.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if a.router, err = route.New(rules); err != nil {
		t.Fatal(err)
	}
	m, err := newMonitor(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return a, m
}

// TestNotFollowedInMetrics: a release whose engage did not go to the recipient is counted as filtered, since the start as
// everything else, and not as matched.
func TestNotFollowedInMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tocsin.db")
	for range 2 { // the second start finds the counts of the first in the ledger
		a, m := watchedLedger(t, path, route.Rule{Recipient: "ops", Endpoint: "hook"})
		for i, action := range []alert.Action{alert.Release, alert.Engage, alert.Release, alert.Release} {
			al := benchAlert(0)
			al.Action, al.Key = action, "k"
			if i == 0 {
				al.Key = "other " + al.ID.String()
			}
			if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: a.router.Route(al, time.Now())}}); err != nil {
				t.Fatal(err)
			}
		}
		rs, err := m.Recipients(t.Context())
		if err != nil || len(rs) != 1 {
			t.Fatalf("%+v, %v", rs, err)
		}
		if r := rs[0]; r.Matched != 3 || len(r.Filtered) != 1 || r.Filtered[outbox.NotFollowed] != 1 {
			t.Errorf("matched %d, filtered %v", r.Matched, r.Filtered)
		}
		if err := a.store.FlushUsage(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeldEndpoints: an endpoint is held until its hold ends; a broken one until it works again, though it is tried.
func TestHeldEndpoints(t *testing.T) {
	a, m := watchedLedger(t, filepath.Join(t.TempDir(), "tocsin.db"))
	for _, name := range []string{"free", "limited", "over", "broken", "tried"} {
		a.cfg.Endpoints = append(a.cfg.Endpoints, config.Endpoint{Name: name, Type: "webhook"})
	}
	for _, h := range []alert.Hold{
		{Endpoint: "limited", Until: time.Now().Add(time.Hour)},
		{Endpoint: "over", Until: time.Now().Add(-time.Second)},
		{Endpoint: "broken", Until: time.Now().Add(time.Hour), Broken: true},
		{Endpoint: "tried", Until: time.Now().Add(-time.Second), Broken: true},
		{Endpoint: "removed", Until: time.Now().Add(time.Hour)},
	} {
		if err := a.store.SetHold(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.Endpoints(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []api.Endpoint{
		{Name: "free", Type: "webhook"},
		{Name: "limited", Type: "webhook", Held: true},
		{Name: "over", Type: "webhook"},
		{Name: "broken", Type: "webhook", Held: true, Broken: true},
		{Name: "tried", Type: "webhook", Held: true, Broken: true},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}
