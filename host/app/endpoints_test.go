package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// A bed is a service in a folder of its own, with the plug-ins that its configuration names: what every test of an endpoint
// starts from.
type bed struct {
	*App // nil until start
	t    testing.TB
	cfg  *config.Config
}

// newBed makes the folder. The text is that of tocsin.toml, mostly of endpointTOML and recipientTOML.
func newBed(t testing.TB, text ...string) *bed {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	if err := os.WriteFile(cfg.File, []byte(strings.Join(text, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, cfg: cfg}
	for _, e := range cfg.Endpoints {
		b.install(e.Type, build.ForTest(t, e.Type).Wasm)
	}
	return b
}

// newRoom is a bed with one endpoint, which is called as its type is, one recipient of it, "ops", and what more says.
func newRoom(t testing.TB, typ, endpoint, recipient string, more ...string) *bed {
	t.Helper()
	return newBed(t, append([]string{endpointTOML(typ, typ, endpoint), recipientTOML("ops", typ, recipient)}, more...)...)
}

func endpointTOML(name, typ, params string) string {
	return fmt.Sprintf("[[endpoint]]\nname = %q\ntype = %q\nparameters = { %s }\n", name, typ, params)
}

// recipientTOML has what it is given as more behind the parameters, such as a filter.
func recipientTOML(name, endpoint, params string, more ...string) string {
	return fmt.Sprintf("[[recipient]]\nname = %q\nendpoint = %q\nparameters = { %s }\n%s\n", name, endpoint, params, strings.Join(more, "\n"))
}

// serving serves a stand-in on the loopback until the test is over, and gives its URL.
func serving(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func (b *bed) install(typ string, wasm []byte) {
	b.t.Helper()
	if err := replaceFile(filepath.Join(b.cfg.Plugins.Folder, typ+".wasm"), wasm); err != nil {
		b.t.Fatal(err)
	}
}

// rateTable is a manifest's limit of its own requests.
var rateTable = regexp.MustCompile(`(?m)^\[rate\]\n(?:[a-z]+ = .*\n)+`)

// unlimited takes the plug-ins' own rate limits out of their manifests, so that a test waits for nothing but what it is about.
func (b *bed) unlimited() *bed {
	b.t.Helper()
	for _, e := range b.cfg.Endpoints {
		p := build.ForTest(b.t, e.Type)
		parts := p.Parts()
		parts.Manifest = rateTable.ReplaceAll(parts.Manifest, nil)
		wasm, err := plugin.Pack(p.Module(), parts)
		if err == nil {
			p, err = plugin.Parse(e.Type+".wasm", wasm)
		}
		if err != nil || p.Manifest.Rate != (plugin.Rate{}) {
			b.t.Fatalf("%s still has a rate, %v: %v", e.Type, p.Manifest.Rate, err)
		}
		b.install(e.Type, wasm)
	}
	return b
}

// started starts a service, which stops when the test is over.
func started(t testing.TB, cfg *config.Config) *App {
	t.Helper()
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// start starts the service.
func (b *bed) start() *bed {
	b.t.Helper()
	b.App = started(b.t, b.cfg)
	return b
}

// raise stores alerts and their deliveries in one block, as a capture's keeper does.
func (b *bed) raise(alerts ...*alert.Alert) {
	b.t.Helper()
	entries := make([]outbox.Entry, len(alerts))
	for i, al := range alerts {
		entries[i] = outbox.Entry{Alert: al, Targets: b.router.Route(al, time.Now())}
	}
	if err := b.store.Store(b.t.Context(), entries); err != nil {
		b.t.Fatal(err)
	}
}

// rows are the ledger's deliveries to a recipient, or to all if it is empty, newest first.
func (b *bed) rows(recipient string) []outbox.Row {
	b.t.Helper()
	rows, err := b.store.List(b.t.Context(), outbox.Filter{Recipient: recipient, Limit: 10_000})
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// settled waits until the ledger has so many deliveries to a recipient in a state, and gives these.
func (b *bed) settled(recipient string, state alert.State, n int) []outbox.Row {
	b.t.Helper()
	var out []outbox.Row
	waitFor(b.t, fmt.Sprintf("%d deliveries to %q that are %v", n, recipient, state), func() bool {
		out = out[:0]
		for _, r := range b.rows(recipient) {
			if r.State == state {
				out = append(out, r)
			}
		}
		return len(out) >= n
	})
	return out
}

// ended waits until each delivery to a recipient has come to its end, and gives what became of them.
func (b *bed) ended(recipient string) (out []outbox.Row) {
	b.t.Helper()
	waitFor(b.t, "all deliveries", func() bool {
		out = b.rows(recipient)
		return !slices.ContainsFunc(out, func(r outbox.Row) bool { return r.State == alert.Queued || r.State == alert.Leased })
	})
	return out
}

// send raises alerts, and gives what became of each delivery to a recipient.
func (b *bed) send(recipient string, alerts ...*alert.Alert) map[alert.ID]outbox.Row {
	b.t.Helper()
	b.raise(alerts...)
	out := map[alert.ID]outbox.Row{}
	for _, r := range b.ended(recipient) {
		out[r.AlertID] = r
	}
	return out
}

// held waits until an endpoint is held as broken, for a reason that says something.
func (b *bed) held(endpoint, reason string) alert.Hold {
	b.t.Helper()
	var out alert.Hold
	waitFor(b.t, fmt.Sprintf("%s to be held for %q", endpoint, reason), func() bool {
		holds, err := b.store.Holds(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		for _, out = range holds {
			if out.Endpoint == endpoint && out.Broken && strings.Contains(out.Reason, reason) {
				return true
			}
		}
		return false
	})
	return out
}

func (b *bed) testing(sample string, out io.Writer) TestOptions {
	return TestOptions{
		Listing: Listing{Streams: Streams{Out: out, Err: out}, Config: b.cfg.File, Format: "jsonl"}, Timeout: time.Minute, Sample: sample, LogLevel: "error",
	}
}

// try is `tocsin recipient test` with a sample, and gives what it prints.
func (b *bed) try(recipient, sample string) (string, error) {
	var out bytes.Buffer
	err := TestRecipient(b.t.Context(), b.testing(sample, &out), recipient)
	return out.String(), err
}

// tryEndpoint is `tocsin endpoint test`, and gives what it prints.
func (b *bed) tryEndpoint(name string) (string, error) {
	var out bytes.Buffer
	err := TestEndpoint(b.t.Context(), b.testing("", &out), name)
	return out.String(), err
}

// languages are those of the samples that samples sends.
var languages = []string{"en", "it"}

// samples sends each sample alert to the first recipient in each language, as its test does, wants the secret in nothing that
// the test prints, and gives how many were sent.
func (b *bed) samples(secret string) int {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	target, err := openTarget(b.t.Context(), b.cfg, log, 0, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() {
		if err := target.close(context.Background()); err != nil {
			b.t.Error(err)
		}
	}()
	x, err := newExecutor(b.cfg, log)
	if err != nil {
		b.t.Fatal(err)
	}
	defer x.Close()
	var out bytes.Buffer
	listing := b.testing("", &out).Listing
	w, err := listing.writer(testColumns, paintTest)
	if err != nil {
		b.t.Fatal(err)
	}
	all := plugin.Samples()
	for _, target.recipient.Locale = range languages {
		for _, sample := range all {
			s := &tester{target: target, x: x, w: w, of: sample.Name, limit: time.Minute}
			if s.send(b.t.Context(), sample.Alert); s.failed != nil {
				b.t.Errorf("%s: %v", sample.Name, s.failed)
			}
		}
	}
	if text := out.String(); strings.Contains(text, secret) || strings.Contains(text, "failed") {
		b.t.Error(text)
	}
	return len(languages) * len(all)
}

// flowAt is a flow alert at a time.
func flowAt(i int, at time.Time) *alert.Alert {
	a := benchAlert(i)
	a.Time, a.Flow.First, a.Flow.Last = at, at.Add(-4*time.Second), at
	return a
}

// scanAt is an alert of a host that scans, or has ended to.
func scanAt(action alert.Action, at time.Time) *alert.Alert {
	a := scan(action, "host/syn_scan/192.0.2.7")
	a.Time, a.Host.Value, a.Host.Threshold, a.Category, a.Score = at, 412, 256, alert.Security, 100
	if action == alert.Release {
		a.Engaged = at.Add(-time.Minute)
	}
	return a
}
