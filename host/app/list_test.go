package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestListBesideAService lists plug-ins while a service takes in one version after the other: on trial, proved, waiting,
// failed, and deleted while on trial.
func TestListBesideAService(t *testing.T) {
	cfg := configured(t, "http://127.0.0.1:9/")
	const text = "[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"http://127.0.0.1:9/\" }\n"
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
	h, err := a.registry.Handle(t.Context(), "webhook")
	if err != nil {
		t.Fatal(err)
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
	renders(t, h, 20)
	waitFor(t, "the trial to end", is("0.2.0", "in use"))
	if rows := list(); len(rows) != 1 {
		t.Errorf("got %+v", rows)
	}

	// A version that crashes is put in quarantine, and the one before serves on from the store.
	drop(t, cfg, webhookVersion(t, "0.3.0", crashes))
	waitFor(t, "the version to be on trial", is("0.3.0", "on trial"))
	renders(t, h, 1)
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

// renders makes n calls, none of which may fail.
func renders(t *testing.T, h *endpoint.Handle, n int) {
	t.Helper()
	for range n {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"webhook_url": "http://127.0.0.1:9/"}, Recipient: pdk.Params{}, Deliveries: []pdk.Delivery{{ID: "d"}}}
		if _, err := h.Render(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLimitsOfANewVersion: requests at once and the time that they may take are those of the version that serves, and of both
// versions while one is on trial.
func TestLimitsOfANewVersion(t *testing.T) {
	cfg := configured(t, "http://127.0.0.1:9/")
	version := func(version, timeout, parallel string) []byte {
		p := build.ForTest(t, "webhook")
		parts := p.Parts()
		parts.Manifest = []byte(strings.NewReplacer(`"0.1.0"`, `"`+version+`"`, `timeout = "15s"`, `timeout = "`+timeout+`"`,
			`parallel = 4`, `parallel = `+parallel).Replace(string(parts.Manifest)))
		wasm, err := plugin.Pack(p.Module(), parts)
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	drop(t, cfg, version("0.1.0", "15s", "4"))
	a := started(t, cfg)
	h, err := a.registry.Handle(t.Context(), "webhook")
	if err != nil {
		t.Fatal(err)
	}
	holds := func(timeout time.Duration, parallel int) func() bool {
		return func() bool {
			return a.lives[0].policy.Load().Timeout == timeout && h.Manifest().Limits.Parallel == parallel
		}
	}
	waitFor(t, "the first version's limits", holds(15*time.Second, 4))
	drop(t, cfg, version("0.2.0", "40s", "9"))
	waitFor(t, "the limits of a version that takes more time", holds(40*time.Second, 9))
	drop(t, cfg, version("0.3.0", "5s", "2"))
	waitFor(t, "the limits of a version on trial, beside the first one", holds(15*time.Second, 2))
	renders(t, h, 20)
	waitFor(t, "its own limits once it has proved itself", holds(5*time.Second, 2))
}
