package outbox

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

const quiet = 10 * time.Minute

// hushed opens an outbox of which recipient ops has a silence window, and loud has none.
func hushed(t testing.TB) (*Store, *clock) {
	t.Helper()
	s, c := fresh(t)
	provisionQuiet(t, s)
	return s, c
}

func provisionQuiet(t testing.TB, s *Store) {
	t.Helper()
	ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook", Type: "webhook"}},
		[]RecipientRow{{Name: "ops", Endpoint: "hook", Silence: quiet}, {Name: "loud", Endpoint: "hook"}}))
}

// putSame stores an alert for ops under a silence key.
func putSame(t testing.TB, s *Store, a *alert.Alert, key string) {
	t.Helper()
	ok(t, s.Store(t.Context(), []Entry{{a, []alert.Target{{Recipient: "ops", Endpoint: "hook", Silence: key}}}}))
}

func states(t testing.TB, s *Store) string {
	t.Helper()
	rows, err := s.List(t.Context(), Filter{})
	ok(t, err)
	var out []string
	for i := range rows {
		out = append(out, rows[len(rows)-1-i].State.String())
	}
	return strings.Join(out, " ")
}

func wantStates(t testing.TB, s *Store, want string) {
	t.Helper()
	if got := states(t, s); got != want {
		t.Errorf("states %s, want %s", got, want)
	}
}

// TestSilenceBySuccess: what fails silences nothing, what succeeds silences what waits and what comes, for the window.
func TestSilenceBySuccess(t *testing.T) {
	s, c := hushed(t)
	for i := range 4 {
		putSame(t, s, flowAlert(fmt.Sprint(i)), "k")
	}
	putSame(t, s, flowAlert("other"), "k2")
	// One of each key at a time, in one batch and over several.
	batch := leaseN(t, s, "hook", 10, 2)
	if got := messages(t, batch); got != "ops:0 ops:other" {
		t.Errorf("batch %s", got)
	}
	leaseN(t, s, "hook", 10, 0)
	c.add(samePoll)
	leaseN(t, s, "hook", 10, 0)
	// The first is dead, the second is to be tried again later: the third is tried now.
	settle(t, s, alert.Settlement{Delivery: batch[0].ID, State: alert.Dead, Reason: "HTTP 404"})
	batch = leaseN(t, s, "hook", 10, 1)
	settle(t, s, alert.Settlement{Delivery: batch[0].ID, State: alert.Queued, NotBefore: c.now().Add(time.Hour), Reason: "HTTP 500"})
	third := leaseN(t, s, "hook", 10, 1)[0]
	if got := messages(t, []alert.Delivery{third}); got != "ops:2" {
		t.Errorf("third %s", got)
	}
	settle(t, s, alert.Settlement{Delivery: third.ID, State: alert.Accepted})
	wantStates(t, s, "dead silenced accepted silenced leased")
	rows, err := s.List(t.Context(), Filter{States: []alert.State{alert.Silenced}})
	ok(t, err)
	want := fmt.Sprintf("silenced: same as %s at %s, window 10m0s", third.ID, c.now().UTC().Format(time.RFC3339))
	if rows[0].Reason != want {
		t.Errorf("reason %q, want %q", rows[0].Reason, want)
	}
	// What comes within the window is silenced at once, under this key and for this recipient only.
	c.add(quiet - time.Second)
	putSame(t, s, flowAlert("late"), "k")
	ok(t, s.Store(t.Context(), []Entry{{flowAlert("loud"), []alert.Target{{Recipient: "loud", Endpoint: "hook", Silence: "k"}}}}))
	wantStates(t, s, "dead silenced accepted silenced leased silenced queued")
	if n := leaseN(t, s, "hook", 10, 1); n[0].Recipient != "loud" {
		t.Errorf("leased %+v", n)
	}
	// The window began with the success, and what it silenced did not make it longer.
	c.add(time.Second)
	putSame(t, s, flowAlert("again"), "k")
	if got := messages(t, leaseN(t, s, "hook", 10, 1)); got != "ops:again" {
		t.Errorf("after the window %s", got)
	}
	counts, err := s.Counts(t.Context())
	ok(t, err)
	if c := counts[1]; c.Recipient != "ops" || c.Silenced != 3 || c.Accepted != 1 || c.Dead != 1 || c.Leased != 2 {
		t.Errorf("counts %+v", c)
	}
	consistent(t, s)
}

// TestSilenceAtLease: what was queued before the window began, and beyond what one transaction ends, meets it at its lease.
func TestSilenceAtLease(t *testing.T) {
	s, _ := hushed(t)
	for i := range 3 * chunk {
		putSame(t, s, flowAlert(fmt.Sprint(i)), "k")
	}
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Duplicate})
	leaseN(t, s, "hook", 1, 0)
	if n := count(t, s, `SELECT count(*) FROM delivery WHERE state = ?`, int64(alert.Silenced)); n != 3*chunk-1 {
		t.Errorf("%d silenced, want %d", n, 3*chunk-1)
	}
	consistent(t, s)
}

// TestSilenceGivenBack: a lease that is given back untried keeps its place, and silences nothing.
func TestSilenceGivenBack(t *testing.T) {
	s, c := hushed(t)
	putSame(t, s, flowAlert("1"), "k")
	putSame(t, s, flowAlert("2"), "k")
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Uncounted: true})
	if again := leaseN(t, s, "hook", 10, 1)[0]; again.ID != d.ID {
		t.Errorf("leased %s", messages(t, []alert.Delivery{again}))
	}
	// Another process, another configuration: without a window both go, though they have keys.
	ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook", Type: "webhook"}}, []RecipientRow{{Name: "ops", Endpoint: "hook"}}))
	c.add(samePoll)
	leaseN(t, s, "hook", 10, 1)
	consistent(t, s)
}

func TestSilenceSurvivesRestart(t *testing.T) {
	c := newClock()
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := open(t, path, Options{Now: c.now})
	provisionQuiet(t, s)
	putSame(t, s, flowAlert("1"), "k")
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Delivered})
	putSame(t, s, flowAlert("2"), "k2") // under way when the process dies
	lease1(t, s, "hook")
	putSame(t, s, flowAlert("3"), "k2")
	ok(t, s.Close())
	c.add(quiet - time.Second)
	s = open(t, path, Options{Now: c.now})
	putSame(t, s, flowAlert("4"), "k")
	wantStates(t, s, "delivered queued queued silenced")
	if got := messages(t, leaseN(t, s, "hook", 10, 1)); got != "ops:2" {
		t.Errorf("leased %s", got)
	}
	// The configuration has the last word on how long a window is.
	ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook", Type: "webhook"}}, []RecipientRow{{Name: "ops", Endpoint: "hook", Silence: time.Minute}}))
	putSame(t, s, flowAlert("5"), "k")
	wantStates(t, s, "delivered leased queued silenced queued")
	c.add(time.Hour)
	_, err := s.Prune(t.Context())
	ok(t, err)
	if n := count(t, s, `SELECT count(*) FROM silence`); n != 0 {
		t.Errorf("%d windows are kept that are over", n)
	}
	consistent(t, s)
}

// TestSilenceReleases: the release of a silenced engage is silenced, whenever that comes out; any other is sent.
func TestSilenceReleases(t *testing.T) {
	s, c := hushed(t)
	follow := []alert.Target{{Recipient: "ops", Endpoint: "hook", Follow: true}}
	release := func() { ok(t, s.Store(t.Context(), []Entry{{hostAlert("h", alert.Release), follow}})) }
	putSame(t, s, hostAlert("h", alert.Engage), "k")
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Delivered, ProviderID: "m1"})
	release()
	if d := lease1(t, s, "hook"); d.ProviderID != "m1" {
		t.Errorf("release %+v", d)
	} else {
		settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
	}
	// The condition flaps: this engage is silenced as it comes, so its release is filtered.
	putSame(t, s, hostAlert("h", alert.Engage), "k")
	release()
	wantStates(t, s, "delivered delivered silenced")
	if u, err := s.Usage(t.Context()); err != nil || u["ops"].Filtered[NotFollowed] != 1 {
		t.Errorf("usage %+v, %v", u, err)
	}
	// This one waits behind another of its key while its release comes, and is silenced then.
	c.add(quiet)
	putSame(t, s, flowAlert("first"), "k")
	first := lease1(t, s, "hook")
	putSame(t, s, hostAlert("h", alert.Engage), "k")
	release()
	leaseN(t, s, "hook", 10, 0)
	settle(t, s, alert.Settlement{Delivery: first.ID, State: alert.Delivered})
	c.add(samePoll)
	leaseN(t, s, "hook", 10, 0)
	wantStates(t, s, "delivered delivered silenced delivered silenced silenced")
	consistent(t, s)
}

// TestFollow: a release goes where its engage went and nowhere else.
func TestFollow(t *testing.T) {
	s, _ := fresh(t)
	send := func(a *alert.Alert, targets ...alert.Target) { ok(t, s.Store(t.Context(), []Entry{{a, targets}})) }
	follows := func(r string) alert.Target { return alert.Target{Recipient: r, Endpoint: "hook", Follow: true} }
	plain := func(r string) alert.Target { return alert.Target{Recipient: r, Endpoint: "hook"} }
	// An earlier round went to muted, too; then it was muted.
	send(hostAlert("h", alert.Engage), plain("ops"), plain("muted"))
	send(hostAlert("h", alert.Release), follows("ops"), follows("muted"))
	send(hostAlert("h", alert.Engage), plain("ops"))
	send(hostAlert("h", alert.Release), follows("ops"), follows("muted"), follows("new"))
	// Engage and release of one call; a release that nothing began.
	ok(t, s.Store(t.Context(), []Entry{
		{hostAlert("h2", alert.Engage), []alert.Target{plain("muted")}},
		{hostAlert("h2", alert.Release), []alert.Target{follows("ops"), follows("muted")}},
		{hostAlert("h3", alert.Release), []alert.Target{follows("ops")}},
	}))
	rows, err := s.List(t.Context(), Filter{})
	ok(t, err)
	got := map[string]int{}
	for _, r := range rows {
		got[r.Recipient]++
	}
	if want := map[string]int{"ops": 4, "muted": 4}; !reflect.DeepEqual(got, want) {
		t.Errorf("deliveries %v, want %v", got, want)
	}
	u, err := s.Usage(t.Context())
	ok(t, err)
	for r, want := range map[string]uint64{"ops": 2, "muted": 1, "new": 1} {
		if n := u[r].Filtered[NotFollowed]; n != want {
			t.Errorf("%s: %d releases were not followed, want %d", r, n, want)
		}
	}
	consistent(t, s)
}

// TestUsage: the counters are there at once, and after a flush for another process and after a restart.
func TestUsage(t *testing.T) {
	s, c := fresh(t)
	put(t, s, flowAlert("1"), "ops@hook")
	put(t, s, flowAlert("2"), "ops@hook")
	ds := leaseN(t, s, "hook", 2, 2)
	c.add(time.Second)
	settle(t, s, alert.Settlement{Delivery: ds[0].ID, State: alert.Queued, Reason: "HTTP 500"},
		alert.Settlement{Delivery: ds[1].ID, State: alert.Dead, Reason: "HTTP 404"})
	failedAt := c.now()
	c.add(time.Minute)
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Queued, Uncounted: true, Reason: "drain"})
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Delivered})
	s.AddFiltered("ops", "severity", 3)
	s.AddFiltered("ops", "severity", 2)
	s.AddFiltered("net", "pool", 1)
	want := map[string]Usage{
		"ops": {Filtered: map[string]uint64{"severity": 5}, Failed: 2, LastUse: fromMS(toMS(c.now())), LastError: "HTTP 404", LastErrorAt: fromMS(toMS(failedAt))},
		"net": {Filtered: map[string]uint64{"pool": 1}},
	}
	check := func(what string, s *Store) {
		t.Helper()
		if got, err := s.Usage(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", what, got, err, want)
		}
	}
	check("live", s)
	for range 2 { // the second writes nothing
		ok(t, s.FlushUsage(t.Context()))
	}
	other := open(t, s.path, Options{ReadOnly: true})
	check("another process", other)
	ok(t, other.Close())
	s.AddFiltered("net", "pool", 1) // lost: not flushed
	ok(t, s.Close())
	check("after a restart", open(t, s.path, Options{}))
}

// TestUsageOfFailedFlush: counts whose transaction fails at its commit are written by the next flush.
func TestUsageOfFailedFlush(t *testing.T) {
	s, _ := fresh(t)
	stored := func() int { return count(t, s, `SELECT count(*) FROM usage`) }
	exec := func(query string) {
		t.Helper()
		_, err := s.tx.conn.ExecContext(t.Context(), query)
		ok(t, err)
	}
	s.AddFiltered("ops", "severity", 3)
	exec(`CREATE TABLE spoilt (n INTEGER REFERENCES recipient(seq) DEFERRABLE INITIALLY DEFERRED)`)
	exec(`CREATE TRIGGER spoil AFTER INSERT ON usage BEGIN INSERT INTO spoilt VALUES (-1); END`)
	if err := s.FlushUsage(t.Context()); err == nil || stored() != 0 {
		t.Fatalf("the commit did not fail: %v, %d rows", err, stored())
	}
	exec(`DROP TRIGGER spoil`)
	ok(t, s.FlushUsage(t.Context()))
	if stored() != 1 {
		t.Error("what a failed flush had taken was never written")
	}
}

// BenchmarkSilence measures a storm of the same alert: stored while the window is open, and waiting when it opens; an
// operation is one alert.
func BenchmarkSilence(b *testing.B) {
	storm := func(n int) []Entry {
		es := make([]Entry, n)
		for i := range es {
			es[i] = Entry{flowAlert("again"), []alert.Target{{Recipient: "ops", Endpoint: "hook", Silence: "flow/x\tflow\t10.0.0.2\t10.0.0.1"}}}
		}
		return es
	}
	b.Run("open", func(b *testing.B) {
		s, _ := hushed(b)
		ok(b, s.Store(b.Context(), storm(1)))
		settle(b, s, alert.Settlement{Delivery: lease1(b, s, "hook").ID, State: alert.Delivered})
		es := storm(b.N)
		b.ReportAllocs()
		b.ResetTimer()
		for len(es) > 0 {
			n := min(len(es), 100)
			ok(b, s.Store(b.Context(), es[:n]))
			es = es[n:]
		}
	})
	b.Run("waiting", func(b *testing.B) {
		s, c := hushed(b)
		s.chunk = 500
		for left := b.N + 1; left > 0; left -= 2000 {
			ok(b, s.Store(b.Context(), storm(min(left, 2000))))
		}
		b.ReportAllocs()
		b.ResetTimer()
		first := lease1(b, s, "hook")
		leaseN(b, s, "hook", 1, 0) // the others are put off
		settle(b, s, alert.Settlement{Delivery: first.ID, State: alert.Delivered})
		c.add(samePoll)
		for more := true; more; {
			leaseN(b, s, "hook", 1, 0)
			_, more, _ = s.Next(b.Context(), "hook")
		}
	})
}
