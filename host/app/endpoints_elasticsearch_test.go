package app

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/fakes/elasticsearch"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// configuredFor is a folder with one endpoint of a type, one recipient "siem", and the plug-in.
func configuredFor(t testing.TB, typ, endpoint, recipient string) *config.Config {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	text := fmt.Sprintf("[[endpoint]]\nname = \"service\"\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = \"siem\"\nendpoint = \"service\"\nparameters = { %s }\n",
		typ, endpoint, recipient)
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

// serviceFor starts a service with one endpoint of a type and one recipient.
func serviceFor(t testing.TB, typ, endpoint, recipient string) *App {
	t.Helper()
	a, err := New(t.Context(), Deps{Config: configuredFor(t, typ, endpoint, recipient), Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = a.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// sendAll hands alerts to a service in one block, and waits until each delivery has come to its end.
func sendAll(t testing.TB, a *App, alerts ...*alert.Alert) map[alert.ID]*outbox.Row {
	t.Helper()
	entries := make([]outbox.Entry, len(alerts))
	for i, al := range alerts {
		entries[i] = outbox.Entry{Alert: al, Targets: a.router.Route(al, time.Now())}
	}
	if err := a.store.Store(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	out := map[alert.ID]*outbox.Row{}
	deadline := time.Now().Add(time.Minute)
	for {
		rows, err := a.store.List(t.Context(), outbox.Filter{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		clear(out)
		open := 0
		for i := range rows {
			out[rows[i].AlertID] = &rows[i]
			if rows[i].State == alert.Queued || rows[i].State == alert.Leased {
				open++
			}
		}
		if open == 0 {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries are still on their way: %+v", open, rows[0])
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// expired is a flow alert at a time.
func expired(i int, at time.Time) *alert.Alert {
	a := benchAlert(i)
	a.Time = at
	a.Flow.First, a.Flow.Last = at.Add(-4*time.Second), at
	return a
}

func scanning(action alert.Action, at time.Time) *alert.Alert {
	a := scan(action, "host/syn_scan/192.0.2.7")
	a.Time, a.Host.Attacker, a.Host.Value, a.Host.Threshold = at, true, 412, 256
	a.Category, a.Score = alert.Security, 100
	if action == alert.Release {
		a.Engaged = at.Add(-time.Minute)
	}
	return a
}

// TestElasticsearch sends alerts through the real module to a strict stand-in: in batches, one of them refused, one put off,
// one known already, and the whole in doubt once.
func TestElasticsearch(t *testing.T) {
	day := time.Date(2026, 3, 14, 23, 59, 58, 0, time.UTC)
	alerts := []*alert.Alert{scanning(alert.Engage, day), scanning(alert.Release, day.Add(time.Minute))}
	for i := range 120 {
		alerts = append(alerts, expired(i, day.Add(time.Duration(i/60)*time.Second*2)))
	}
	evil := expired(7, day)
	evil.Title, evil.Message = "<script>\u202e@everyone*_[", strings.Repeat("\"\r\n{\"create\":{}}\x00🚨", 10_000)
	bad, busy := alerts[50].ID.String(), alerts[60].ID.String()
	node := &elasticsearch.Server{
		APIKey: "dG9jc2luOnNlY3JldA==",
		Item: func(id string, n int) (int, string, string) {
			switch {
			case id == bad:
				return http.StatusBadRequest, "document_parsing_exception", "[1:7] failed to parse field [x] of type [long]"
			case id == busy && n == 2:
				return http.StatusServiceUnavailable, "unavailable_shards_exception", "primary shard is not active"
			}
			return 0, "", ""
		},
		Intercept: func(w http.ResponseWriter, n int) bool {
			if n == 1 {
				elasticsearch.Fail(w, http.StatusServiceUnavailable, "cluster_block_exception", "state not recovered / initialized")
			}
			return n == 1
		},
	}
	srv := httptest.NewServer(node)
	defer srv.Close()
	a := serviceFor(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = "%s/_bulk", api_key = %q`, srv.URL, node.APIKey), "")
	rows := sendAll(t, a, append(alerts, evil)...)
	for id, r := range rows {
		switch {
		case id.String() == bad:
			if r.State != alert.Dead || !strings.Contains(r.Reason, "failed to parse field [x]") {
				t.Errorf("the refused one: %+v", r)
			}
		case r.State != alert.Delivered:
			t.Errorf("%s: %v, %s", id, r.State, r.Reason)
		}
	}
	docs := node.Documents()
	byIndex := map[string]int{}
	for _, d := range docs {
		byIndex[d.Index]++
	}
	if len(docs) != 122 || byIndex["alerts-ntopng-2026.03.14"] != 61 || byIndex["alerts-ntopng-2026.03.15"] != 61 {
		t.Errorf("%d documents in %v", len(docs), byIndex)
	}
	if sizes := node.Bulks(); slices.Max(sizes) < 100 {
		t.Errorf("the batches are small: %v", sizes)
	}
	i := slices.IndexFunc(docs, func(d elasticsearch.Document) bool { return d.ID == evil.ID.String() })
	if m, _ := docs[i].Source["message"].(string); len(m) > 4096 || !strings.HasSuffix(m, "…") || strings.ContainsAny(m, "\r\n\x00") {
		t.Errorf("the hostile message has %d bytes: %.60q", len(m), m)
	}
	// The same alert once more, as after an answer that was lost: it is there already.
	again := serviceFor(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q, api_key = %q`, srv.URL, node.APIKey), "")
	if r := sendAll(t, again, alerts[2])[alerts[2].ID]; r.State != alert.Duplicate || len(node.Documents()) != len(docs) {
		t.Errorf("again: %+v", r)
	}
}

// TestElasticsearchFailureStore wants what went there told from what is in the stream.
func TestElasticsearchFailureStore(t *testing.T) {
	const stream = "logs-ntopng.alerts-default"
	node := &elasticsearch.Server{
		Streams: []string{stream}, FailureStore: true, Mappings: map[string]string{"destination.domain": "long"},
		User: "tocsin", Password: "s3cret-pass",
	}
	srv := httptest.NewServer(node)
	defer srv.Close()
	a := serviceFor(t, "elasticsearch",
		fmt.Sprintf(`elasticsearch_url = %q, elasticsearch_username = "tocsin", elasticsearch_password = "s3cret-pass", mode = "data_stream"`, srv.URL), "")
	at := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	odd, fine := expired(1, at), scanning(alert.Engage, at)
	rows := sendAll(t, a, odd, fine)
	if r := rows[odd.ID]; r.State != alert.Accepted || !strings.Contains(r.Reason, "failure store") {
		t.Errorf("the odd one: %+v", r)
	}
	if r := rows[fine.ID]; r.State != alert.Delivered {
		t.Errorf("the other: %+v", r)
	}
	for _, d := range node.Documents() {
		if d.Index != stream {
			t.Errorf("a document is in %s", d.Index)
		}
	}
}

// tryOut runs `tocsin recipient test` and gives what it prints.
func tryOut(t *testing.T, cfg *config.Config) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := TestRecipient(t.Context(), TestOptions{
		Listing: Listing{Streams: Streams{Out: &out, Err: &out}, Config: cfg.File, Format: "jsonl"}, Timeout: time.Minute, LogLevel: "error",
	}, "siem")
	return out.String(), err
}

func TestElasticsearchProbe(t *testing.T) {
	node := &elasticsearch.Server{APIKey: "dG9jc2luOnNlY3JldA=="}
	srv := httptest.NewServer(node)
	defer srv.Close()
	for _, c := range []struct {
		name, key string
		readOnly  bool
		step      string // that fails
		want      string
	}{
		{"fine", node.APIKey, false, "", "May it write there?"},
		{"wrong key", "d3Jvbmctd3Jvbmc=", false, "auth", "check api_key"},
		{"may not write", node.APIKey, true, "permission", "create_doc and auto_configure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node.ReadOnly = c.readOnly
			before := len(node.Documents())
			out, err := tryOut(t, configuredFor(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q, api_key = %q`, srv.URL, c.key), ""))
			if (err == nil) != (c.step == "") || !strings.Contains(out, c.want) || strings.Contains(out, c.key) {
				t.Errorf("error %v\n%s", err, out)
			}
			if c.step != "" && (!strings.Contains(out, `"step":"`+c.step+`","result":"failed"`) || len(node.Documents()) != before) {
				t.Errorf("want a failure of %s:\n%s", c.step, out)
			}
		})
	}
}

// BenchmarkElasticsearch has the stand-in check each document against the schema.
func BenchmarkElasticsearch(b *testing.B) {
	srv := httptest.NewServer(&elasticsearch.Server{})
	defer srv.Close()
	benchmarkEndpoint(b, configuredFor(b, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q`, srv.URL), ""))
}
