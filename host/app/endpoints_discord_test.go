package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/fakes/discord"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk"
)

// hookTest is a service with one endpoint of a type that posts to a webhook, and the recipient "ops" with a language.
type hookTest struct {
	*App
	cfg *config.Config
	t   testing.TB
}

func newHookTest(t testing.TB, typ, endpoint, recipient string) *hookTest {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	text := fmt.Sprintf("[[endpoint]]\nname = \"room\"\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = \"ops\"\nendpoint = \"room\"\n%s\n", typ, endpoint, recipient)
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
	return &hookTest{cfg: cfg, t: t}
}

// run starts the service.
func (h *hookTest) run() *hookTest {
	h.t.Helper()
	var err error
	if h.App, err = New(h.t.Context(), Deps{Config: h.cfg, Log: slog.New(slog.DiscardHandler)}); err == nil {
		err = h.Start(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := h.Stop(context.Background()); err != nil {
			h.t.Error(err)
		}
	})
	return h
}

// raise stores alerts in one block.
func (h *hookTest) raise(alerts ...*alert.Alert) {
	h.t.Helper()
	entries := make([]outbox.Entry, len(alerts))
	for i, al := range alerts {
		entries[i] = outbox.Entry{Alert: al, Targets: h.router.Route(al, time.Now())}
	}
	if err := h.store.Store(h.t.Context(), entries); err != nil {
		h.t.Fatal(err)
	}
}

// states counts the deliveries in each state.
func (h *hookTest) states() map[alert.State]int {
	h.t.Helper()
	rows, err := h.store.List(h.t.Context(), outbox.Filter{Limit: 10_000})
	if err != nil {
		h.t.Fatal(err)
	}
	n := map[alert.State]int{}
	for i := range rows {
		n[rows[i].State]++
	}
	return n
}

// try tests the recipient as a user would, and gives what was printed.
func (h *hookTest) try(sample string) (string, error) {
	var out bytes.Buffer
	err := TestRecipient(h.t.Context(), TestOptions{
		Listing: Listing{Streams: Streams{Out: &out, Err: io.Discard}, Config: h.cfg.File, Format: "jsonl"},
		Timeout: time.Minute, Sample: sample, LogLevel: "error",
	}, "ops")
	return out.String(), err
}

const discordToken = "aSecretTokenOfAWebhook-0123456789_abcdefghijklmnop"

func discordTest(t *testing.T, fake *discord.Server, recipient string) *hookTest {
	t.Helper()
	fake.ID, fake.Token = "1100000000000000001", discordToken
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	return newHookTest(t, "discord", fmt.Sprintf("discord_url = %q", srv.URL+fake.Path()), recipient)
}

// TestDiscord sends a burst, an alert that nobody would like to write, and something that begins and ends, through the real
// module to a strict stand-in.
func TestDiscord(t *testing.T) {
	fake := &discord.Server{Threads: []string{"77"}}
	h := discordTest(t, fake, `parameters = { discord_username = "tocsin", thread_id = "77" }`).run()
	var burst []*alert.Alert
	for i := range 12 {
		burst = append(burst, benchAlert(i))
	}
	evil := benchAlert(12)
	evil.Message = strings.Repeat(`@everyone <@1> *_[x](http://x) <script> `+"`\r\n\u202e🚨", 2500) // 100 kB
	h.raise(append(burst, evil, scan(alert.Engage, "k"))...)
	waitFor(t, "the burst", func() bool { return h.states()[alert.Delivered] == 14 })
	h.raise(scan(alert.Release, "k"))
	waitFor(t, "the end", func() bool { return h.states()[alert.Delivered] == 15 })
	got := fake.Messages()
	if len(got) != 3 {
		t.Fatalf("%d messages, want one of ten alerts, one of three, and one that was edited", len(got))
	}
	if calls, invalid, _ := fake.Counts(); calls != 4 || invalid != 0 {
		t.Errorf("%d requests, %d of them invalid", calls, invalid)
	}
	for i, m := range got {
		if m.Username != "tocsin" || m.Thread != "77" || len(m.Pings) > 0 {
			t.Errorf("message %d is by %q in %q and mentions %q", i, m.Username, m.Thread, m.Pings)
		}
	}
	for _, want := range []struct{ message, embeds int }{{0, 10}, {1, 3}, {2, 1}} {
		if n := len(got[want.message].Embeds); n != want.embeds {
			t.Errorf("message %d has %d embeds, want %d", want.message, n, want.embeds)
		}
	}
	if e := got[0].Embeds[0]; e.Title != "🟠 Error · TLS certificate expired" || e.Color != 0xf97316 || !strings.Contains(e.Description, "203.0.113.20:443") {
		t.Errorf("the first alert is %+v", e)
	}
	if e := got[2].Embeds[0]; got[2].Edited != 1 || e.Title != "✅ Error · Ended · Scan" || e.Color != 0x22c55e {
		t.Errorf("the scan is %+v", got[2])
	}
}

// TestDiscordRateLimit has a webhook that takes three requests in 300 ms: all arrive once, in order, and few are refused.
func TestDiscordRateLimit(t *testing.T) {
	fake := &discord.Server{Count: 3, Window: 300 * time.Millisecond}
	h := discordTest(t, fake, "").run()
	const n = 9
	for i := range n {
		h.raise(scan(alert.Engage, fmt.Sprint("k", i)))
	}
	waitFor(t, "all", func() bool { return h.states()[alert.Delivered] == n })
	if _, invalid, _ := fake.Counts(); len(fake.Messages()) != n || invalid == 0 || invalid > n/3 {
		t.Errorf("%d messages, %d requests too many", len(fake.Messages()), invalid)
	}
}

// TestDiscordDeleted deletes first a message that a release would edit, and then the webhook, which is called once more.
func TestDiscordDeleted(t *testing.T) {
	fake := &discord.Server{}
	h := discordTest(t, fake, "").run()
	h.raise(scan(alert.Engage, "k"))
	waitFor(t, "the beginning", func() bool { return h.states()[alert.Delivered] == 1 })
	fake.Remove(fake.Messages()[0].ID)
	h.raise(scan(alert.Release, "k"))
	waitFor(t, "the end", func() bool { return h.states()[alert.Delivered] == 2 })
	if got := fake.Messages(); len(got) != 1 || got[0].Edited != 0 || !strings.Contains(got[0].Content, "✅ Error · Ended · Scan") {
		t.Errorf("the end came as %+v", got)
	}
	fake.Delete()
	for i := range 40 {
		h.raise(benchAlert(i))
	}
	waitFor(t, "the endpoint to be held", func() bool {
		holds, err := h.store.Holds(t.Context())
		return err == nil && len(holds) == 1 && holds[0].Broken && time.Until(holds[0].Until) > 23*time.Hour && h.states()[alert.Queued] == 40
	})
	if _, _, after := fake.Counts(); after != 1 {
		t.Errorf("the deleted webhook was called %d times", after)
	}
	if out, err := h.try(""); err == nil || !strings.Contains(err.Error(), "the webhook was deleted") || strings.Contains(out+err.Error(), discordToken) {
		t.Errorf("a test says %v\n%s", err, out)
	}
}

// TestDiscordSamples tests a recipient with every sample alert, as a user would, and with the worst one in another language.
func TestDiscordSamples(t *testing.T) {
	all := plugin.Samples()
	for recipient, samples := range map[string][]plugin.Sample{"": all, `locale = "it"`: all[len(all)-1:]} {
		fake := &discord.Server{}
		h := discordTest(t, fake, recipient)
		for _, s := range samples {
			if out, err := h.try(s.Name); err != nil || strings.Contains(out, discordToken) {
				t.Errorf("%s: %v\n%s", s.Name, err, out)
			}
		}
		if got := fake.Messages(); len(got) != len(samples) || len(got[len(got)-1].Embeds) != 1 {
			t.Errorf("%d messages of %d", len(got), len(samples))
		}
	}
}

// BenchmarkDiscord renders ten alerts in the sandbox, and delivers alerts to the stand-in in messages of ten.
func BenchmarkDiscord(b *testing.B) {
	fake := &discord.Server{ID: "11", Token: discordToken}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	newHookTest(b, "discord", fmt.Sprintf("discord_url = %q", srv.URL+fake.Path()), "").bench(b)
}

func (h *hookTest) bench(b *testing.B) {
	h.run()
	b.Run("render", func(b *testing.B) {
		b.ReportAllocs()
		name := h.cfg.Endpoints[0].Type
		handle, err := h.registry.Handle(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		in := &pdk.RenderInput{Now: 1, Locale: "en", Endpoint: pdk.Params{"discord_url": "x", "teams_url": "x"}}
		for i := range 10 {
			raw, err := json.Marshal(benchAlert(i))
			if err != nil {
				b.Fatal(err)
			}
			in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: alert.NewID().String(), Attempt: 1})
			d := &in.Deliveries[i]
			if err := d.Alert.DecodeJSON(raw); err != nil {
				b.Fatal(err)
			}
			d.Alert.Raw = raw
			if d.Subject, d.Text, err = handle.Type().Package().Compose(raw, "en", false); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if _, err := handle.Render(b.Context(), in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("deliver", func(b *testing.B) {
		const round = 1000
		done := func() uint64 {
			counts, err := h.Ledger().Counts(b.Context())
			if err != nil || len(counts) > 1 {
				b.Fatal(err, counts)
			}
			if len(counts) == 0 {
				return 0
			}
			return uint64(counts[0].Delivered + counts[0].Accepted)
		}
		want := done()
		for b.Loop() {
			alerts := make([]*alert.Alert, round)
			for i := range alerts {
				alerts[i] = benchAlert(i)
			}
			h.raise(alerts...)
			for want += round; done() < want; {
				runtime.Gosched()
			}
		}
		b.ReportMetric(round*float64(b.N)/b.Elapsed().Seconds(), "alerts/s")
	})
}
