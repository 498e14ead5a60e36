package app

import (
	"errors"
	"fmt"
	"net/http"
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

// teamsRoom is a bed for a workflow.
func teamsRoom(t testing.TB, fake *msteams.Server) *bed {
	t.Helper()
	fake.Sig = teamsSig
	return newRoom(t, "msteams", fmt.Sprintf("teams_url = %q", fake.URL(serving(t, fake))), "")
}

// judged has npm's adaptivecards judge the cards that a workflow took.
func judged(t *testing.T, fake *msteams.Server) {
	t.Helper()
	var cards []string
	for _, c := range fake.Taken() {
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
	b := teamsRoom(t, fake).start()
	var burst []*alert.Alert
	for i := range 12 {
		burst = append(burst, benchAlert(i))
	}
	evil := benchAlert(12)
	evil.Message = strings.Repeat(`@everyone <at>x</at> *_[x](http://x) <script> "\`+"`\r\n\u202e🚨", 2500) // 100 kB
	b.raise(append(burst, evil, scan(alert.Engage, "k"))...)
	b.settled("ops", alert.Accepted, 14)
	b.raise(scan(alert.Release, "k"))
	b.settled("ops", alert.Accepted, 15)
	got := fake.Taken()
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
	fake.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		msteams.Fail(w, http.StatusTooManyRequests, "WorkflowThrottled", "Too many requests.")
		return true
	}
	b := teamsRoom(t, fake).start()
	begin := time.Now()
	b.raise(benchAlert(1))
	b.settled("ops", alert.Accepted, 1)
	if took := time.Since(begin); took < time.Second || fake.Calls() != 2 {
		t.Errorf("%d requests in %v", fake.Calls(), took)
	}
	for state, want := range map[string]string{"off": "turn the workflow on again", "gone": "the workflow is gone or has a new address"} {
		fake.Turn(state)
		out, err := b.try("ops", "")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(out+err.Error(), teamsSig) {
			t.Errorf("%s: %v\n%s", state, err, out)
		}
	}
	b.raise(benchAlert(2))
	b.held("msteams", "")
	b.settled("ops", alert.Queued, 1)
}

// TestTeamsSamples sends every sample alert in both languages, as the test of a recipient does, and the worst one as a user would.
func TestTeamsSamples(t *testing.T) {
	fake := &msteams.Server{}
	b := teamsRoom(t, fake)
	want := b.samples(teamsSig) + 1
	all := plugin.Samples()
	if out, err := b.try("ops", all[len(all)-1].Name); err != nil || strings.Contains(out, teamsSig) {
		t.Errorf("%v\n%s", err, out)
	}
	if got := fake.Taken(); len(got) != want || len(fake.Refused()) > 0 {
		t.Errorf("%d cards of %d; refused: %q", len(got), want, fake.Refused())
	}
	judged(t, fake)
}
