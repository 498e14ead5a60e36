package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/slack"
)

const slackToken = "xoxb-1234567890-abcdefghij"

func slackFake() *slack.Server {
	return &slack.Server{
		Token: slackToken, Hook: "/services/T0/B0/aVerySecretPath", HookTo: "C0123456789",
		Channels: []slack.Channel{{ID: "C0123456789", Name: "alerts", Member: true}, {ID: "C0000000002", Name: "private"}},
	}
}

// slackRoom is a bed with a token, the recipient "ops" in a channel, and more recipients.
func slackRoom(t testing.TB, fake *slack.Server, channel string, more ...string) *bed {
	t.Helper()
	params := fmt.Sprintf("slack_token = %q, slack_api_url = %q", slackToken, serving(t, fake)+"/api")
	return newRoom(t, "slack", params, fmt.Sprintf("channel = %q", channel), more...).unlimited()
}

// slackDeaf is a recipient in a channel that the bot is not in.
var slackDeaf = recipientTOML("deaf", "slack", `channel = "C0000000002"`)

// TestSlack sends alerts with a token through the real module to a strict stand-in: too fast at first, several in one message, one
// channel that the bot is not in beside one that it is, and a release that changes its engage's message.
func TestSlack(t *testing.T) {
	fake := slackFake()
	var firstAt, secondAt time.Time
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
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
	b := slackRoom(t, fake, "#alerts", slackDeaf).start()
	engage := scan(alert.Engage, "k")
	evil := benchAlert(3)
	evil.Title, evil.Message = "<script>&\u202e*_[", "<!channel> @everyone "+strings.Repeat("🚨&<>\r\n", 20_000)
	b.raise(engage, benchAlert(1), benchAlert(2), evil)
	b.settled("ops", alert.Delivered, 4)
	if secondAt.Sub(firstAt) < 900*time.Millisecond {
		t.Errorf("Retry-After was 1 s, the next request came after %v", secondAt.Sub(firstAt))
	}
	for _, r := range b.settled("deaf", alert.Queued, 1) {
		if r.Reason != "" && !strings.Contains(r.Reason, "not_in_channel; check channel") {
			t.Errorf("the other channel's delivery says %q", r.Reason)
		}
	}
	b.raise(scan(alert.Release, "k"))
	b.settled("ops", alert.Delivered, 5)

	edited, shared, everything := 0, 0, ""
	for _, m := range fake.Taken() {
		edited += m.Edited
		headers := 0
		for _, block := range m.Blocks {
			if block.Type == "header" {
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
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			_, _ = io.WriteString(w, `{"ok":false,"error":"msg_blocks_too_long"}`)
		}
		return n == 1
	}
	b := slackRoom(t, fake, "C0123456789").start()
	b.raise(scan(alert.Engage, "k"))
	b.settled("ops", alert.Delivered, 1)
	b.raise(scan(alert.Release, "k"))
	b.settled("ops", alert.Delivered, 2)
	m := fake.Taken()
	if len(m) != 2 || len(m[0].Blocks) != 0 || !strings.Contains(m[0].Text, "A scan.") || m[1].Thread != m[0].TS || !m[1].Broadcast {
		t.Errorf("messages %+v", m)
	}
}

// TestSlackWebhook posts through a webhook: what comes together in one message, again after a fault of Slack's, and no more once the
// channel is gone.
func TestSlackWebhook(t *testing.T) {
	fake := slackFake()
	gone := false
	fake.Intercept = func(w http.ResponseWriter, r *http.Request, n int) bool {
		switch {
		case r.URL.Path != fake.Hook:
			t.Errorf("the webhook's plug-in calls %s", r.URL.Path)
		case n == 2:
			http.Error(w, "rollup_error", http.StatusInternalServerError)
			return true
		case gone:
			http.Error(w, "channel_is_archived", http.StatusGone)
			return true
		}
		return false
	}
	b := newRoom(t, "slack", fmt.Sprintf("slack_webhook = %q, slack_sender_username = \"tocsin\"", serving(t, fake)+fake.Hook), "").unlimited().start()
	b.raise(scan(alert.Engage, "k"), benchAlert(1), benchAlert(4))
	b.settled("ops", alert.Delivered, 3)
	m := fake.Taken()
	if len(m) != 1 || m[0].Username != "tocsin" || strings.Count(m[0].Shown(), "\n") < 8 {
		t.Errorf("messages %+v", m)
	}
	b.raise(benchAlert(2))
	b.settled("ops", alert.Delivered, 4)
	gone = true
	b.raise(benchAlert(3))
	if hold := b.held("slack", "channel_is_archived; make a new webhook"); strings.Contains(fmt.Sprint(hold), "aVerySecretPath") {
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
	b := slackRoom(t, fake, "C0123456789", slackDeaf)
	want := b.samples(slackToken)
	if _, err := b.try("deaf", ""); err == nil || !strings.Contains(err.Error(), "the bot is not in the channel") {
		t.Errorf("the test of a channel without the bot: %v", err)
	}
	if len(fake.Taken()) != want || len(fake.Refused()) != 0 {
		t.Errorf("%d messages of %d; refused: %q", len(fake.Taken()), want, fake.Refused())
	}
}
