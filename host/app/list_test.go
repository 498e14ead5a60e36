package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/outbox"
)

// TestListBesideAService lists plug-ins while a service takes in one version after the other: on trial, proved, waiting,
// failed, and deleted while on trial.
func TestListBesideAService(t *testing.T) {
	srv := httptest.NewServer(&receiver{seen: map[string]int{}})
	defer srv.Close()
	cfg := configured(t, srv.URL)
	text := "[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"" + srv.URL + "\" }\n"
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list := func() map[string]pluginRow {
		t.Helper()
		var out bytes.Buffer
		if err := ListPlugins(t.Context(), Listing{Streams: Streams{Out: &out, Err: &out}, Config: cfg.File, Format: "jsonl"}); err != nil {
			t.Fatal(err)
		}
		rows := map[string]pluginRow{}
		for line := range bytes.Lines(out.Bytes()) {
			var r pluginRow
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			rows[r.Version] = r
		}
		return rows
	}
	want := func(version, state, reason string, rows map[string]pluginRow) {
		t.Helper()
		if r := rows[version]; r.State != state || !strings.Contains(r.Reason, reason) {
			t.Errorf("%s is %q (%s), want %q (%s)", version, r.State, r.Reason, state, reason)
		}
	}

	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	want("0.1.0", "available", "", list())
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		// What was on trial did not prove itself: the one before is taken at the next start.
		rows := list()
		want("0.2.0", "in use", "its file is not in the plug-in folder any more", rows)
		if len(rows) != 1 {
			t.Errorf("got %+v", rows)
		}
	}()
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("0.1.0", "in use", "", list())
	send := func(n int) {
		t.Helper()
		for range n {
			al := &alert.Alert{ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "x", Flow: &alert.Flow{L4: "TCP"}}
			if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: []alert.Target{{Endpoint: "hook", Recipient: "all"}}}}); err != nil {
				t.Fatal(err)
			}
			if _, _, err := a.WaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	is := func(version, state string) func() bool {
		return func() bool { return list()[version].State == state }
	}

	drop(t, cfg, webhookVersion(t, "0.2.0", nil))
	waitFor(t, "the version to be on trial", is("0.2.0", "on trial"))
	rows := list()
	want("0.2.0", "on trial", "0.1.0 stands by until it has proved itself", rows)
	want("0.1.0", "stands by", "0.2.0 is on trial; this version serves again if", rows)
	if rows["0.2.0"].Generation != 2 || rows["0.1.0"].Generation != 1 || len(rows) != 2 {
		t.Errorf("got %+v", rows)
	}
	send(30)
	waitFor(t, "the trial to end", is("0.2.0", "in use"))
	if rows := list(); len(rows) != 1 {
		t.Errorf("got %+v", rows)
	}

	// A version that crashes is put in quarantine, and the one before serves on from the store.
	drop(t, cfg, webhookVersion(t, "0.3.0", crashes))
	waitFor(t, "the version to be on trial", is("0.3.0", "on trial"))
	send(1)
	waitFor(t, "the version to be in quarantine", is("0.3.0", "quarantined"))
	rows = list()
	want("0.3.0", "quarantined", "it failed where the version before does not: ", rows)
	want("0.2.0", "in use", "it serves from the store until another version takes over", rows)

	drop(t, cfg, webhookVersion(t, "0.4.0", nil))
	waitFor(t, "the next version to be on trial", is("0.4.0", "on trial"))
	if err := os.Remove(filepath.Join(cfg.Plugins.Folder, "webhook.wasm")); err != nil {
		t.Fatal(err)
	}
	rows = list()
	want("0.4.0", "on trial", "it serves since", rows)
	want("0.2.0", "stands by", "", rows)
}
