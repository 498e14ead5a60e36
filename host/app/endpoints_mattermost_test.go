package app

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/mattermost"
)

const (
	mattermostToken = "tokentokentokentokentokent"
	mattermostTown  = "4xp9fdt77pncbef59f4k1qe83o"
	mattermostOther = "6xp9fdt77pncbef59f4k1qe83o"
)

func mattermostFake() *mattermost.Server {
	return &mattermost.Server{Token: mattermostToken, Channels: []mattermost.Channel{{ID: mattermostTown, Member: true}, {ID: mattermostOther}}}
}

// mattermostRoom is a bed with the recipient "ops" in the town square, and more recipients.
func mattermostRoom(t testing.TB, fake *mattermost.Server, more ...string) *bed {
	t.Helper()
	params := fmt.Sprintf("mattermost_url = %q, mattermost_token = %q", serving(t, fake)+"/", mattermostToken)
	return newRoom(t, "mattermost", params, inChannel(mattermostTown), more...).unlimited()
}

func inChannel(id string) string { return fmt.Sprintf("mattermost_channelname = %q", id) }

// critically makes an alert critical.
func critically(a *alert.Alert) *alert.Alert {
	a.Severity, a.Score = alert.Critical, 200
	return a
}

// TestMattermost sends alerts through the real module to a strict stand-in: too fast at first, several in one post, an answer that is
// lost, one channel that the bot is not in beside one that it is, and a release that changes its engage's post.
func TestMattermost(t *testing.T) {
	fake := mattermostFake()
	var first, second time.Time
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		switch n {
		case 1:
			first = time.Now()
			mattermost.Limit(w, 1)
			return true
		case 2:
			second = time.Now()
		}
		return false
	}
	var lost atomic.Bool
	fake.After = func(posts int) bool { return posts == 1 && lost.CompareAndSwap(false, true) }
	b := mattermostRoom(t, fake).start()
	evil := benchAlert(3)
	evil.Title, evil.Message = "<script>&\u202e*_[ @bob", "@channel @all @here "+strings.Repeat("🚨@x\r\n", 20_000)
	b.raise(critically(scan(alert.Engage, "k")))
	b.settled("ops", alert.Delivered, 1)
	if second.Sub(first) < 900*time.Millisecond {
		t.Errorf("Retry-After was 1 s, the next request came after %v", second.Sub(first))
	}
	if n := len(fake.Taken()); n != 1 {
		t.Errorf("after an answer that was lost there are %d posts", n)
	}
	b.raise(benchAlert(1), benchAlert(2), evil)
	b.settled("ops", alert.Delivered, 4)
	b.raise(critically(scan(alert.Release, "k")))
	b.settled("ops", alert.Delivered, 5)

	posts := fake.Taken()
	if len(posts) != 2 {
		t.Fatalf("%d posts: %+v", len(posts), posts)
	}
	if p := posts[0]; p.Edited != 1 || p.Priority != "urgent" || p.Message != "✅ **Scan** · Critical · Ended" || p.Attachments[0].Color != "#2E7D32" {
		t.Errorf("the engage's post is %+v", p)
	}
	if p := posts[1]; len(p.Attachments) != 3 || p.Priority != "" || !strings.Contains(p.Message, "(+2)") ||
		!strings.Contains(p.Attachments[0].Text, "The certificate of expired.example ran out 12 days ago") {
		t.Errorf("the other alerts' post is %+v", p)
	}
	if r := fake.Refused(); len(r) != 0 {
		t.Errorf("refused: %q", r)
	}
}

// TestMattermostRefusals has a server without priorities, where posts cannot be edited, and a channel without the bot.
func TestMattermostRefusals(t *testing.T) {
	fake := mattermostFake()
	fake.NoEdits, fake.NoPriority = true, true
	b := mattermostRoom(t, fake, recipientTOML("deaf", "mattermost", inChannel(mattermostOther))).start()
	b.raise(critically(scan(alert.Engage, "k")))
	b.settled("ops", alert.Delivered, 1)
	b.raise(critically(scan(alert.Release, "k")))
	b.settled("ops", alert.Delivered, 2)
	waitFor(t, "the other channel's refusal", func() bool {
		for _, r := range b.settled("deaf", alert.Queued, 1) {
			if strings.Contains(r.Reason, "api.context.permissions.app_error); check mattermost_channelname") {
				return true
			}
		}
		return false
	})
	p := fake.Taken()
	if len(p) != 2 || !strings.Contains(p[0].Message, "A scan") || len(p[0].Attachments) != 0 || p[1].Root != p[0].ID || p[1].Message != "✅ **Scan** · Critical · Ended" {
		t.Errorf("posts %+v", p)
	}
}

// TestMattermostToken has a token that is not valid any more: the endpoint is held, and the reason does not show it.
func TestMattermostToken(t *testing.T) {
	fake := mattermostFake()
	fake.Token = "another"
	b := mattermostRoom(t, fake).start()
	b.raise(benchAlert(1))
	if hold := b.held("mattermost", "api.context.session_expired.app_error); check mattermost_token"); strings.Contains(hold.Reason, mattermostToken) {
		t.Errorf("the secret is in %q", hold.Reason)
	}
}

// TestMattermostSamples sends every sample alert in both languages, as the test of a recipient does: the stand-in takes all of them.
func TestMattermostSamples(t *testing.T) {
	fake := mattermostFake()
	if want := mattermostRoom(t, fake).samples(mattermostToken); len(fake.Taken()) != want || len(fake.Refused()) != 0 {
		t.Errorf("%d posts of %d; refused: %q", len(fake.Taken()), want, fake.Refused())
	}
}
