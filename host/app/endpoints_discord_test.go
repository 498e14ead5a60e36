package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/discord"
	"github.com/tocsin-net/tocsin/host/plugin"
)

const discordToken = "aSecretTokenOfAWebhook-0123456789_abcdefghijklmnop"

// discordRoom is a bed for a webhook, with parameters of the recipient.
func discordRoom(t testing.TB, fake *discord.Server, recipient string) *bed {
	t.Helper()
	fake.ID, fake.Token = "1100000000000000001", discordToken
	return newRoom(t, "discord", fmt.Sprintf("discord_url = %q", serving(t, fake)+fake.Path()), recipient)
}

// TestDiscord sends a burst, an alert that nobody would like to write, and something that begins and ends, through the real
// module to a strict stand-in.
func TestDiscord(t *testing.T) {
	fake := &discord.Server{Threads: []string{"77"}}
	b := discordRoom(t, fake, `discord_username = "tocsin", thread_id = "77"`).start()
	var burst []*alert.Alert
	for i := range 12 {
		burst = append(burst, benchAlert(i))
	}
	evil := benchAlert(12)
	evil.Message = strings.Repeat(`@everyone <@1> *_[x](http://x) <script> `+"`\r\n\u202e🚨", 2500) // 100 kB
	b.raise(append(burst, evil, scan(alert.Engage, "k"))...)
	b.settled("ops", alert.Delivered, 14)
	b.raise(scan(alert.Release, "k"))
	b.settled("ops", alert.Delivered, 15)
	got := fake.Taken()
	if len(got) != 3 {
		t.Fatalf("%d messages, want one of ten alerts, one of three, and one that was edited", len(got))
	}
	if invalid, _ := fake.Counts(); fake.Calls() != 4 || invalid != 0 {
		t.Errorf("%d requests, %d of them invalid", fake.Calls(), invalid)
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

// TestDiscordRateLimit has a webhook that takes three requests in two seconds, and says so: all arrive once and none is
// refused, but for the first, to which a limit that nobody could know of applies.
func TestDiscordRateLimit(t *testing.T) {
	fake := &discord.Server{Count: 3, Window: 2 * time.Second}
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"message":"You are being rate limited.","retry_after":0.25,"global":true}`)
		}
		return n == 1
	}
	b := discordRoom(t, fake, "").start()
	const n = 9
	for i := range n {
		b.raise(scan(alert.Engage, fmt.Sprint("k", i)))
	}
	b.settled("ops", alert.Delivered, n)
	if invalid, _ := fake.Counts(); len(fake.Taken()) != n || invalid != 0 {
		t.Errorf("%d messages, %d requests too many", len(fake.Taken()), invalid)
	}
}

// TestDiscordDeleted deletes first a message that a release would edit, and then the webhook, which is called once more.
func TestDiscordDeleted(t *testing.T) {
	fake := &discord.Server{}
	b := discordRoom(t, fake, "").start()
	b.raise(scan(alert.Engage, "k"))
	b.settled("ops", alert.Delivered, 1)
	fake.Remove(fake.Taken()[0].ID)
	b.raise(scan(alert.Release, "k"))
	b.settled("ops", alert.Delivered, 2)
	if got := fake.Taken(); len(got) != 1 || got[0].Edited != 0 || !strings.Contains(got[0].Content, "✅ Error · Ended · Scan") {
		t.Errorf("the end came as %+v", got)
	}
	fake.Delete()
	for i := range 40 {
		b.raise(benchAlert(i))
	}
	if hold := b.held("discord", ""); time.Until(hold.Until) < 23*time.Hour {
		t.Errorf("the endpoint is held as %+v", hold)
	}
	b.settled("ops", alert.Queued, 40)
	if _, after := fake.Counts(); after != 1 {
		t.Errorf("the deleted webhook was called %d times", after)
	}
	if out, err := b.try("ops", ""); err == nil || !strings.Contains(err.Error(), "the webhook was deleted") || strings.Contains(out+err.Error(), discordToken) {
		t.Errorf("a test says %v\n%s", err, out)
	}
}

// TestDiscordSamples sends every sample alert in both languages, as the test of a recipient does, and the worst one as a user would.
func TestDiscordSamples(t *testing.T) {
	fake := &discord.Server{}
	b := discordRoom(t, fake, "")
	want := b.samples(discordToken) + 1
	all := plugin.Samples()
	if out, err := b.try("ops", all[len(all)-1].Name); err != nil || strings.Contains(out, discordToken) {
		t.Errorf("%v\n%s", err, out)
	}
	got := fake.Taken()
	if len(got) != want || len(got[len(got)-1].Embeds) != 1 {
		t.Errorf("%d messages of %d", len(got), want)
	}
}
