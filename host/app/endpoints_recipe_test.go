package app

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/internal/fakes/declared"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/sandbox"
)

// declaredCase is one of the endpoints that are written as data: how it is configured, and what its service makes of a release.
type declaredCase struct {
	endpoint  func(url string) string // its parameters
	wrong     string                  // what stands in place of the token
	token     string
	recipient string // its parameters
	edits     bool   // a release changes the message
	closes    bool
	accepted  bool // the service only takes what it is sent
}

var declaredCases = map[string]declaredCase{
	"ntfy": {
		endpoint: params("ntfy_url = %q, ntfy_token = %q", declared.NtfyToken), token: declared.NtfyToken, wrong: "tk_wrong",
		recipient: `ntfy_topic = "tocsin-7hJ2kq"`, edits: true,
	},
	"gotify": {endpoint: params("gotify_url = %q, gotify_token = %q", declared.GotifyToken), token: declared.GotifyToken, wrong: "Awrong"},
	"pushover": {
		endpoint: params("pushover_url = %q, pushover_token = %q", declared.PushoverToken), token: declared.PushoverToken, wrong: strings.Repeat("x", 30),
		recipient: fmt.Sprintf("pushover_user = %q", declared.PushoverUser),
	},
	"googlechat": {
		endpoint: func(url string) string {
			return fmt.Sprintf("googlechat_url = %q", url+"/v1/spaces/AAAA/messages?key=k&token="+declared.GoogleChatToken)
		},
		token: declared.GoogleChatToken, wrong: "wrong",
	},
	"rocketchat": {
		endpoint: params(`rocketchat_url = %q, rocketchat_token = %q, rocketchat_user_id = "`+declared.RocketChatUser+`"`, declared.RocketChatToken),
		token:    declared.RocketChatToken, wrong: strings.Repeat("w", 43), recipient: `rocketchat_channel = "#alerts"`, edits: true,
	},
	"opsgenie": {
		endpoint: params("opsgenie_url = %q, opsgenie_key = %q", declared.OpsgenieToken), token: declared.OpsgenieToken, wrong: strings.Repeat("w", 36),
		closes: true, accepted: true,
	},
	"matrix": {
		endpoint: params("matrix_url = %q, matrix_token = %q", declared.MatrixToken), token: declared.MatrixToken, wrong: "wrong",
		recipient: `matrix_room = "!room:example.org"`, edits: true,
	},
	"splunk": {endpoint: params("splunk_url = %q, splunk_token = %q", declared.SplunkToken), token: declared.SplunkToken, wrong: strings.Repeat("w", 36)},
}

func params(format, token string) func(string) string {
	return func(url string) string { return fmt.Sprintf(format, url+"/", token) }
}

// TestDeclared sends alerts through each endpoint that is written as data, from the ledger through the real module to a strict
// stand-in: one that is ordinary, one that nobody would like to write, something that begins and ends, and an answer that asks to wait.
func TestDeclared(t *testing.T) {
	for _, name := range declared.Names() {
		c, ok := declaredCases[name]
		if !ok {
			t.Fatalf("%s is not tested", name)
		}
		t.Run(name, func(t *testing.T) {
			fake := declared.New(name)
			url := serving(t, fake)
			if n := len(build.ForTest(t, name).Module()); n > 2_600_000 {
				t.Errorf("the module has %d bytes", n)
			}
			// The first use of a plug-in runs its vectors in the sandbox; package plugins/recipe runs them natively.
			b := newRoom(t, name, c.endpoint(url), c.recipient).start()
			state := alert.Delivered
			if c.accepted {
				state = alert.Accepted
			}

			fake.FailNext(429, "{}", "1")
			evil := benchAlert(12)
			evil.Message = strings.Repeat(`@everyone <@1> <users/all> *_[x](http://x) <script> & `+"`\r\n\u202e🚨", 2000) // 100 kB
			evil.Title = strings.Repeat("é🚨", 300)
			b.raise(benchAlert(0), evil, scan(alert.Engage, "host/scan|198.51.100.66 ä"))
			b.settled("ops", state, 3)
			b.raise(scan(alert.Release, "host/scan|198.51.100.66 ä"))
			b.settled("ops", state, 4)
			if bad := fake.Refused(); len(bad) > 0 {
				t.Errorf("refused: %.2000s", bad)
			}
			got := fake.Messages()
			want, edited, closed := 4, 0, 0
			if c.edits || c.closes {
				want = 3
			}
			for _, m := range got {
				edited += m.Edited
				if m.Closed {
					closed++
				}
				if name != "splunk" && strings.ContainsAny(m.Text, "\u202e\r") { // which gets the alert as it is
					t.Errorf("a message turns the writing: %.200q", m.Text)
				}
			}
			if len(got) != want || (edited == 1) != c.edits || (closed == 1) != c.closes {
				t.Errorf("%d messages, %d edited, %d closed", len(got), edited, closed)
			}
			if !strings.Contains(got[0].Text, "203.0.113.20") && !strings.Contains(fmt.Sprint(got), "203.0.113.20") {
				t.Errorf("the message does not say who: %+v", got[0])
			}
		})
	}
}

// TestDeclaredProbe tests each configuration as a user does: nothing is posted before the steps were right, and a wrong token is found.
func TestDeclaredProbe(t *testing.T) {
	for name, c := range declaredCases {
		t.Run(name, func(t *testing.T) {
			fake := declared.New(name)
			url := serving(t, fake)
			if out, err := newRoom(t, name, c.endpoint(url), c.recipient).try("ops", ""); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			posted := len(fake.Messages())
			wrong := strings.Replace(c.endpoint(url), c.token, c.wrong, 1)
			out, err := newRoom(t, name, wrong, c.recipient).try("ops", "")
			if err == nil || strings.Contains(out, c.wrong) && len(c.wrong) > 5 {
				t.Errorf("a wrong token: %v\n%s", err, out)
			}
			if len(fake.Messages()) != posted {
				t.Error("something was posted with a wrong token")
			}
			if bad := fake.Refused(); len(bad) > 0 {
				t.Errorf("refused: %v", bad)
			}
		})
	}
}

func loaded(t testing.TB, name string) *endpoint.Type {
	t.Helper()
	rt, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	typ, err := endpoint.Load(t.Context(), rt, build.ForTest(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return typ
}
