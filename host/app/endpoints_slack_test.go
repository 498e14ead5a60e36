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
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/fakes/slack"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// ownRate is a manifest's limit of its own requests, a message a second in chats.
var ownRate = regexp.MustCompile(`(?m)^per = "1s"$`)

// chatConfig is a folder with one endpoint "chat" of a type, recipients by name with their parameters, and the plug-in, which is
// let send a thousand requests in the time of one.
func chatConfig(t testing.TB, typ, params string, recipients ...[2]string) *config.Config {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	text := fmt.Sprintf("[[endpoint]]\nname = \"chat\"\ntype = %q\nparameters = { %s }\n", typ, params)
	for _, r := range recipients {
		text += fmt.Sprintf("[[recipient]]\nname = %q\nendpoint = \"chat\"\nparameters = { %s }\n", r[0], r[1])
	}
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	p := build.ForTest(t, typ)
	parts := p.Parts()
	if !ownRate.Match(parts.Manifest) {
		t.Fatalf("the manifest of %s has another [rate] by now: change this test", typ)
	}
	parts.Manifest = ownRate.ReplaceAll(parts.Manifest, []byte(`per = "1ms"`))
	wasm, err := plugin.Pack(p.Module(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, typ+".wasm"), wasm); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// chatService starts the service of a chatConfig.
func chatService(t testing.TB, cfg *config.Config) *App {
	t.Helper()
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
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

// raiseAll stores alerts and their deliveries at once, as a capture's keeper does.
func raiseAll(t testing.TB, a *App, alerts ...*alert.Alert) {
	t.Helper()
	entries := make([]outbox.Entry, len(alerts))
	for i, al := range alerts {
		entries[i] = outbox.Entry{Alert: al, Targets: a.router.Route(al, time.Now())}
	}
	if err := a.store.Store(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

// settledAs waits until the ledger has so many deliveries to a recipient in a state, and gives them, newest first.
func settledAs(t *testing.T, a *App, recipient string, state alert.State, n int) []outbox.Row {
	t.Helper()
	var out []outbox.Row
	waitFor(t, fmt.Sprintf("%d deliveries to %s that are %s", n, recipient, state), func() bool {
		rows, err := a.store.List(t.Context(), outbox.Filter{Recipient: recipient, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		out = out[:0]
		for i := range rows {
			if rows[i].State == state {
				out = append(out, rows[i])
			}
		}
		return len(out) >= n
	})
	return out
}

const slackToken = "xoxb-1234567890-abcdefghij"

func slackFake() *slack.Server {
	return &slack.Server{
		Token: slackToken, Hook: "/services/T0/B0/aVerySecretPath", HookTo: "C0123456789",
		Channels: []slack.Channel{{ID: "C0123456789", Name: "alerts", Member: true}, {ID: "C0000000002", Name: "private"}},
	}
}

func slackParams(url string) string {
	return fmt.Sprintf("slack_token = %q, slack_api_url = %q", slackToken, url+"/api")
}

// TestSlack sends alerts with a token through the real module to a strict stand-in: too fast at first, several in one message, one
// channel that the bot is not in beside one that it is, and a release that changes its engage's message.
func TestSlack(t *testing.T) {
	fake := slackFake()
	var firstAt, secondAt time.Time
	fake.Intercept = func(w http.ResponseWriter, _ string, n int) bool {
		switch n {
		case 1:
			firstAt = time.Now()
			slack.Limit(w, 1)
			return true
		case 2:
			secondAt = time.Now()
		}
		return false
	}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	a := chatService(t, chatConfig(t, "slack", slackParams(srv.URL), [2]string{"ops", `channel = "#alerts"`}, [2]string{"deaf", `channel = "C0000000002"`}))
	engage := scan(alert.Engage, "k")
	evil := benchAlert(3)
	evil.Title, evil.Message = "<script>&\u202e*_[", "<!channel> @everyone "+strings.Repeat("🚨&<>\r\n", 20_000)
	raiseAll(t, a, engage, benchAlert(1), benchAlert(2), evil)
	settledAs(t, a, "ops", alert.Delivered, 4)
	if secondAt.Sub(firstAt) < 900*time.Millisecond {
		t.Errorf("Retry-After was 1 s, the next request came after %v", secondAt.Sub(firstAt))
	}
	for _, r := range settledAs(t, a, "deaf", alert.Queued, 1) {
		if r.Reason != "" && !strings.Contains(r.Reason, "not_in_channel; check channel") {
			t.Errorf("the other channel's delivery says %q", r.Reason)
		}
	}
	raiseAll(t, a, scan(alert.Release, "k"))
	settledAs(t, a, "ops", alert.Delivered, 5)

	edited, shared, everything := 0, 0, ""
	for _, m := range fake.Messages() {
		edited += m.Edited
		headers := 0
		for _, b := range m.Blocks {
			if b.Type == "header" {
				headers++
			}
		}
		shared = max(shared, headers)
		everything += m.Shown() + "\n"
		if m.Edited > 0 && !strings.Contains(m.Shown(), "✅ Error · Scan · Ended") {
			t.Errorf("the changed message is %q", m.Shown())
		}
	}
	if edited != 1 || shared < 2 || !strings.Contains(everything, "The certificate of expired.example ran out 12 days ago.") {
		t.Errorf("%d messages changed, up to %d alerts in one:\n%s", edited, shared, everything)
	}
	for _, r := range fake.Refused() {
		if r != "chat.postMessage: not_in_channel: " {
			t.Errorf("refused: %s", r)
		}
	}
}

// TestSlackWithoutEdits has a workspace where messages cannot be changed: the release goes to the thread. What is refused for its
// form is sent as plain text, and what nobody knows of is no reason to stop the endpoint.
func TestSlackWithoutEdits(t *testing.T) {
	fake := slackFake()
	fake.NoEdits = true
	fake.Intercept = func(w http.ResponseWriter, method string, n int) bool {
		if n == 1 {
			_, _ = io.WriteString(w, `{"ok":false,"error":"msg_blocks_too_long"}`)
		}
		return n == 1
	}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	a := chatService(t, chatConfig(t, "slack", slackParams(srv.URL), [2]string{"ops", `channel = "C0123456789"`}))
	raiseAll(t, a, scan(alert.Engage, "k"))
	settledAs(t, a, "ops", alert.Delivered, 1)
	raiseAll(t, a, scan(alert.Release, "k"))
	settledAs(t, a, "ops", alert.Delivered, 2)
	m := fake.Messages()
	if len(m) != 2 || len(m[0].Blocks) != 0 || !strings.Contains(m[0].Text, "A scan.") || m[1].Thread != m[0].TS || !m[1].Broadcast {
		t.Errorf("messages %+v", m)
	}
}

// TestSlackWebhook posts through a webhook: what comes together in one message, again after a fault of Slack's, and no more once the
// channel is gone.
func TestSlackWebhook(t *testing.T) {
	fake := slackFake()
	gone := false
	fake.Intercept = func(w http.ResponseWriter, method string, n int) bool {
		switch {
		case method != "webhook":
			t.Errorf("the webhook's plug-in calls %s", method)
		case n == 2:
			http.Error(w, "rollup_error", http.StatusInternalServerError)
			return true
		case gone:
			http.Error(w, "channel_is_archived", http.StatusGone)
			return true
		}
		return false
	}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	cfg := chatConfig(t, "slack", fmt.Sprintf("slack_webhook = %q, slack_sender_username = \"tocsin\"", srv.URL+fake.Hook), [2]string{"ops", ""})
	a := chatService(t, cfg)
	raiseAll(t, a, scan(alert.Engage, "k"), benchAlert(1), benchAlert(4))
	settledAs(t, a, "ops", alert.Delivered, 3)
	m := fake.Messages()
	if len(m) != 1 || m[0].Username != "tocsin" || strings.Count(m[0].Shown(), "\n") < 8 {
		t.Errorf("messages %+v", m)
	}
	raiseAll(t, a, benchAlert(2))
	settledAs(t, a, "ops", alert.Delivered, 4)
	gone = true
	raiseAll(t, a, benchAlert(3))
	waitFor(t, "the endpoint to be held", func() bool {
		hs, err := a.store.Holds(t.Context())
		return err == nil && len(hs) == 1 && strings.Contains(hs[0].Reason, "channel_is_archived; make a new webhook")
	})
	if hs, _ := a.store.Holds(t.Context()); strings.Contains(fmt.Sprint(hs), "aVerySecretPath") {
		t.Error("the hold's reason has the secret")
	}
	if r := fake.Refused(); len(r) != 0 {
		t.Errorf("refused: %q", r)
	}
}

// TestSlackSamples sends every sample alert in both languages, as the test of a recipient does: the stand-in takes all of them. The
// test of a recipient whose channel the bot is not in says so and posts nothing.
func TestSlackSamples(t *testing.T) {
	fake := slackFake()
	srv := httptest.NewServer(fake)
	defer srv.Close()
	cfg := chatConfig(t, "slack", slackParams(srv.URL), [2]string{"ops", `channel = "C0123456789"`}, [2]string{"deaf", `channel = "C0000000002"`})
	out := sendSamples(t, cfg)
	if want := 2 * len(plugin.Samples()); len(fake.Messages()) != want || len(fake.Refused()) != 0 {
		t.Errorf("%d messages of %d; refused: %q\n%s", len(fake.Messages()), want, fake.Refused(), out)
	}
	if strings.Contains(out, slackToken) {
		t.Error("the secret is in the output")
	}
	o := TestOptions{Listing: Listing{Streams: Streams{Out: io.Discard, Err: io.Discard}, Config: cfg.File, Format: "jsonl"}, Timeout: time.Minute, LogLevel: "error"}
	err := TestRecipient(t.Context(), o, "deaf")
	if err == nil || !strings.Contains(err.Error(), "the bot is not in the channel") || len(fake.Messages()) != 2*len(plugin.Samples()) {
		t.Errorf("the test of a channel without the bot: %v", err)
	}
}

// sendSamples sends each sample alert to the first recipient of a configuration in English and Italian, as its test does, and gives
// what the test prints.
func sendSamples(t *testing.T, cfg *config.Config) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	target, err := openTarget(t.Context(), cfg, log, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := target.close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	x, err := newExecutor(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var out bytes.Buffer
	o := Listing{Streams: Streams{Out: &out}, Format: "jsonl"}
	w, err := o.writer(testColumns, paintTest)
	if err != nil {
		t.Fatal(err)
	}
	for _, target.recipient.Locale = range []string{"en", "it"} {
		for _, sample := range plugin.Samples() {
			s := &tester{target: target, x: x, w: w, of: sample.Name, limit: time.Minute}
			if s.send(t.Context(), sample.Alert); s.failed != nil {
				t.Errorf("%s: %v", sample.Name, s.failed)
			}
		}
	}
	return out.String()
}

// BenchmarkSlack measures alerts from the ledger to the stand-in, which checks each message. An operation is 1,000 alerts.
func BenchmarkSlack(b *testing.B) {
	srv := httptest.NewServer(slackFake())
	defer srv.Close()
	benchmarkChat(b, chatConfig(b, "slack", slackParams(srv.URL), [2]string{"ops", `channel = "C0123456789"`}))
}

func benchmarkChat(b *testing.B, cfg *config.Config) {
	b.Helper()
	const n = 1000
	a := chatService(b, cfg)
	alerts := make([]*alert.Alert, n)
	b.ReportAllocs()
	for b.Loop() {
		for i := range alerts {
			alerts[i] = benchAlert(i)
		}
		raiseAll(b, a, alerts...)
		if left, _, err := a.WaitIdle(b.Context()); err != nil || left != 0 {
			b.Fatalf("%d left, %v", left, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "alerts/s")
}
