package app

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/msteams"
	"github.com/tocsin-net/tocsin/host/plugin"
)

const teamsSig = "aSecretKeyOfAWorkflow0123456789_abcdefgh"

func teamsTest(t *testing.T, fake *msteams.Server, recipient string) *hookTest {
	t.Helper()
	fake.Sig = teamsSig
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	return newHookTest(t, "msteams", fmt.Sprintf("teams_url = %q", fake.URL(srv.URL)), recipient)
}

// judged has npm's adaptivecards judge the cards that a workflow took.
func judged(t *testing.T, fake *msteams.Server) {
	t.Helper()
	var cards []string
	for _, c := range fake.Cards() {
		cards = append(cards, c.JSON)
	}
	problems, err := msteams.Validate(t.Context(), cards)
	if errors.Is(err, msteams.ErrNoValidator) {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal(err, ", and TOCSIN_SERVERS=required")
		}
		t.Skip(err)
	}
	if err != nil || len(problems) > 0 {
		t.Errorf("%v\n%s", err, strings.Join(problems, "\n"))
	}
}

// TestTeams sends a burst, an alert that nobody would like to write, and something that begins and ends, through the real
// module to a strict stand-in: all of them are accepted, and none is said to be delivered.
func TestTeams(t *testing.T) {
	fake := &msteams.Server{}
	h := teamsTest(t, fake, "").run()
	var burst []*alert.Alert
	for i := range 12 {
		burst = append(burst, benchAlert(i))
	}
	evil := benchAlert(12)
	evil.Message = strings.Repeat(`@everyone <at>x</at> *_[x](http://x) <script> "\`+"`\r\n\u202e🚨", 2500) // 100 kB
	h.raise(append(burst, evil, scan(alert.Engage, "k"))...)
	waitFor(t, "the burst", func() bool { return h.states()[alert.Accepted] == 14 })
	h.raise(scan(alert.Release, "k"))
	waitFor(t, "the end", func() bool { return h.states()[alert.Accepted] == 15 })
	got := fake.Cards()
	if len(got) != 3 || len(fake.Refused()) > 0 {
		t.Fatalf("%d cards, want one of ten alerts, one of four and one of the end; refused: %q", len(got), fake.Refused())
	}
	for i, want := range [][]string{slices.Repeat([]string{"attention"}, 10), slices.Repeat([]string{"attention"}, 4), {"good"}} {
		if !slices.Equal(got[i].Style, want) || got[i].Size > 20_000 {
			t.Errorf("card %d has %d bytes and the alerts %q, want %q", i, got[i].Size, got[i].Style, want)
		}
	}
	for _, want := range []string{
		"🟠 Error · TLS certificate expired", "The certificate of expired.example ran out 12 days ago.", "From: 10.0.0.0:40000 (attacker)",
		"To: 203.0.113.20:443 (victim) · expired.example", "Traffic: TLS · TCP · ↑ 1.8 kB ↓ 9.6 kB", "Score: 100 · flow/tls_certificate_expired",
		"💡 What to do: Renew the certificate; until then clients that check it refuse the service.",
	} {
		if !slices.Contains(got[0].Lines, want) {
			t.Errorf("the first card does not say %q", want)
		}
	}
	if got[2].Lines[0] != "✅ Error · Ended · Scan" {
		t.Errorf("the end is %q", got[2].Lines)
	}
	judged(t, fake)
}

// TestTeamsAnswers has a workflow that says it has enough, one that is turned off, and one that is gone.
func TestTeamsAnswers(t *testing.T) {
	fake := &msteams.Server{}
	fake.Intercept = func(w http.ResponseWriter, n int) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		msteams.Fail(w, http.StatusTooManyRequests, "WorkflowThrottled", "Too many requests.")
		return true
	}
	h := teamsTest(t, fake, "").run()
	begin := time.Now()
	h.raise(benchAlert(1))
	waitFor(t, "the alert", func() bool { return h.states()[alert.Accepted] == 1 })
	if took := time.Since(begin); took < time.Second || fake.Calls() != 2 {
		t.Errorf("%d requests in %v", fake.Calls(), took)
	}
	for state, want := range map[string]string{"off": "turn the workflow on again", "gone": "the workflow is gone or has a new address"} {
		fake.Turn(state)
		out, err := h.try("")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(out+err.Error(), teamsSig) {
			t.Errorf("%s: %v\n%s", state, err, out)
		}
	}
	h.raise(benchAlert(2))
	waitFor(t, "the endpoint to be held", func() bool {
		holds, err := h.store.Holds(t.Context())
		return err == nil && len(holds) == 1 && holds[0].Broken && h.states()[alert.Queued] == 1
	})
}

// TestTeamsSamples tests a recipient with every sample alert, as a user would, and with the worst one in another language.
func TestTeamsSamples(t *testing.T) {
	all := plugin.Samples()
	for recipient, samples := range map[string][]plugin.Sample{"": all, `locale = "it"`: all[len(all)-1:]} {
		fake := &msteams.Server{}
		h := teamsTest(t, fake, recipient)
		for _, s := range samples {
			if out, err := h.try(s.Name); err != nil || strings.Contains(out, teamsSig) {
				t.Errorf("%s: %v\n%s", s.Name, err, out)
			}
		}
		if got := fake.Cards(); len(got) != len(samples) || len(fake.Refused()) > 0 {
			t.Errorf("%d cards of %d; refused: %q", len(got), len(samples), fake.Refused())
		}
		judged(t, fake)
	}
}

// BenchmarkTeams renders ten alerts in the sandbox, and delivers alerts to the stand-in in cards of ten.
func BenchmarkTeams(b *testing.B) {
	fake := &msteams.Server{Sig: teamsSig}
	srv := httptest.NewServer(fake)
	defer srv.Close()
	newHookTest(b, "msteams", fmt.Sprintf("teams_url = %q", fake.URL(srv.URL)), "").bench(b)
}
