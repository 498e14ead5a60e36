package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// afterOutage is an outbox in which deliveries wait: 100 old notices, 30 old warnings (at two recipients) and two old errors,
// and three young notices.
func afterOutage(t testing.TB) (*Store, *clock) {
	t.Helper()
	s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
	for i := range 100 {
		put(t, s, ranked(alert.Notice, fmt.Sprint("n", i)), "ops@hook")
	}
	for i := range 30 {
		put(t, s, ranked(alert.Warning, fmt.Sprint("w", i)), "ops@hook", "net@hook")
	}
	put(t, s, ranked(alert.Error, "e1"), "ops@hook")
	put(t, s, ranked(alert.Error, "e2"), "ops@hook")
	c.add(2 * time.Hour)
	for i := range 3 {
		put(t, s, ranked(alert.Notice, fmt.Sprint("young", i)), "ops@hook")
	}
	return s, c
}

func digests(t testing.TB, s *Store, want int) {
	t.Helper()
	n, err := s.Digest(t.Context(), "hook")
	ok(t, err)
	if n != want {
		t.Fatalf("%d deliveries went into digests, want %d", n, want)
	}
	consistent(t, s)
}

func TestDigest(t *testing.T) {
	s, _ := afterOutage(t)
	digests(t, s, 130+30)
	d := lease1(t, s, "hook")
	if d.Recipient != "ops" { // both are due: whose comes first does not matter
		settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
		d = lease1(t, s, "hook")
	}
	var a struct {
		Check, Title, Message, Advice, Severity, Entity string
		Digest                                          digestSummary
	}
	ok(t, json.Unmarshal(d.Alert, &a))
	if a.Check != "system/digest" || a.Title != "Digest of 130 alerts" || a.Severity != "warning" || a.Entity != "system" ||
		a.Digest.Alerts != 130 || a.Digest.BySeverity["notice"] != 100 || a.Digest.Hosts["10.0.0.2"] != 130 || len(a.Digest.Worst) != 5 {
		t.Errorf("digest %s", d.Alert)
	}
	for _, want := range []string{
		"130 alerts waited while hook could not be reached, from 2026-03-01 12:00 UTC to 2026-03-01 12:00 UTC",
		"notice 100, warning 30", "TLS certificate expired 130", "10.0.0.2 130", "w0 | w1",
	} {
		if !strings.Contains(a.Message, want) {
			t.Errorf("the message lacks %q: %s", want, a.Message)
		}
	}
	if !strings.Contains(a.Advice, "tocsin deliveries list --state digested --recipient ops") {
		t.Errorf("advice %s", a.Advice)
	}
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
	rows, err := s.List(t.Context(), Filter{States: []alert.State{alert.Digested}, Recipient: "ops", Limit: 500})
	ok(t, err)
	if len(rows) != 130 || !strings.Contains(rows[0].Reason, d.ID.String()) {
		t.Errorf("%d rows, %+v", len(rows), rows[0])
	}
	if n := count(t, s, "SELECT count(*) FROM digest WHERE delivery = ?", d.ID[:]); n != 0 {
		t.Error("a digest that arrived is still open")
	}
	got := map[string]bool{}
	for range 6 {
		ds, err := s.Lease(t.Context(), "hook", 10)
		ok(t, err)
		for _, d := range ds {
			got[message(t, d)] = true
		}
	}
	for _, want := range []string{"e1", "e2", "young0", "young1", "young2"} {
		if !got[want] {
			t.Errorf("%s was not sent on its own", want)
		}
	}
	consistent(t, s)
}

func TestNoDigest(t *testing.T) {
	s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
	for range 20 {
		put(t, s, ranked(alert.Notice, "few"), "ops@hook")
	}
	c.add(2 * time.Hour)
	for range 50 {
		put(t, s, ranked(alert.Notice, "young"), "ops@hook")
	}
	digests(t, s, 0)
	s.digest = DigestPolicy{}
	c.add(5 * time.Hour)
	digests(t, s, 0)
	leaseN(t, s, "hook", 100, 70)
}

// A digest that does not arrive gives back what it stands for, and that is never put into another.
func TestDigestDies(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Store, *clock, alert.Delivery){
		"dead": func(t *testing.T, s *Store, _ *clock, d alert.Delivery) {
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "refused"})
		},
		"dead, perhaps taken": func(t *testing.T, s *Store, _ *clock, d alert.Delivery) {
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "connection lost", Ambiguous: true})
			if n := count(t, s, `SELECT count(*) FROM delivery WHERE state = 0 AND ambiguous`); n != 100 {
				t.Errorf("%d of what it stood for are marked as in doubt", n)
			}
		},
		"skipped": func(t *testing.T, s *Store, _ *clock, d alert.Delivery) {
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Skipped})
		},
		"expired": func(t *testing.T, s *Store, c *clock, d alert.Delivery) {
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued})
			_, err := s.tx.conn.ExecContext(t.Context(), `UPDATE delivery SET since = 1 WHERE id = ?`, d.ID[:])
			ok(t, err)
			n, err := s.ExpireOlderThan(t.Context(), 72*time.Hour)
			ok(t, err)
			if n != 1 {
				t.Errorf("%d expired", n)
			}
		},
		"after a crash": func(t *testing.T, s *Store, _ *clock, d alert.Delivery) {
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Dead})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
			for range 100 {
				put(t, s, ranked(alert.Notice, "old"), "ops@hook")
			}
			c.add(2 * time.Hour)
			digests(t, s, 100)
			d := lease1(t, s, "hook")
			if name == "after a crash" {
				ok(t, s.Close())
				s = open(t, s.path, Options{Now: c.now, Digest: s.digest})
				s.chunk = chunk
				if d = lease1(t, s, "hook"); d.Attempt != 1 {
					t.Errorf("attempt %d", d.Attempt)
				}
			}
			end(t, s, c, d)
			consistent(t, s)
			digests(t, s, 0)
			if got := counts(t, s)["ops@hook"]; got.Queued != 100 || got.Digested != 0 || got.Skipped != 1 || got.Dead != 0 {
				t.Errorf("counts %+v", got)
			}
			if got, err := s.Show(t.Context(), d.ID); err != nil || !strings.HasSuffix(got.Reason, "what it stood for stands alone again") && name != "skipped" {
				t.Errorf("the digest: %+v, %v", got.Row, err)
			}
			var dead []alert.Settlement
			for _, d := range leaseN(t, s, "hook", 200, 100) {
				dead = append(dead, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "refused"})
			}
			// Both could be dead letters: a retry of all brings back what was to be told, once.
			settle(t, s, dead...)
			if n, err := s.RetryAll(t.Context(), Filter{}); n != 100 || err != nil {
				t.Errorf("%d retried, %v", n, err)
			}
			if err := s.Retry(t.Context(), d.ID); !errors.Is(err, ErrNotDead) || !strings.Contains(err.Error(), "skipped") {
				t.Errorf("the digest was retried: %v", err)
			}
			for _, d := range leaseN(t, s, "hook", 200, 100) {
				if strings.Contains(string(d.Alert), "system/digest") {
					t.Error("the digest came with what it stood for")
				}
			}
			consistent(t, s)
		})
	}
}

func TestDigestOfRemovedRecipient(t *testing.T) {
	s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
	for range 100 {
		put(t, s, ranked(alert.Notice, "old"), "ops@hook")
	}
	c.add(2 * time.Hour)
	digests(t, s, 100)
	ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook"}}, nil))
	if got := counts(t, s)["ops@hook"]; got.Dead != 100 || got.Skipped != 1 || got.Digested+got.Queued != 0 {
		t.Errorf("counts %+v", got)
	}
	consistent(t, s)
}

// While the outage goes on, what grows old joins the digest that waits, unless somebody may have got that already.
func TestDigestGrows(t *testing.T) {
	s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
	add := func(n int) {
		for range n {
			put(t, s, ranked(alert.Notice, "old"), "ops@hook")
		}
		c.add(2 * time.Hour)
	}
	add(90)
	digests(t, s, 90)
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Reason: "refused"})
	add(5)
	digests(t, s, 5)
	d2 := lease1(t, s, "hook")
	if d2.ID != d.ID || !strings.Contains(string(d2.Alert), `"Digest of 95 alerts"`) {
		t.Errorf("the digest did not grow: %s", d2.Alert)
	}
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Reason: "connection lost", Ambiguous: true})
	add(5)
	digests(t, s, 0)
	add(30)
	digests(t, s, 35)
	if n := count(t, s, "SELECT count(*) FROM digest"); n != 2 {
		t.Errorf("%d digests", n)
	}
}

// digestedEngages is an outbox of which 30 engages and the old release of one are in a digest, and the release of another
// and that of an engage which was sent before are not.
func digestedEngages(t *testing.T) (*Store, *clock) {
	t.Helper()
	s, c := bounded(t, Options{Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error}})
	host := func(key string, action alert.Action) *alert.Alert {
		a := hostAlert(key, action)
		a.Severity = alert.Warning
		return a
	}
	put(t, s, host("sent", alert.Engage), "ops@hook")
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered, ProviderID: "m1"})
	for i := range 30 {
		put(t, s, host(fmt.Sprint(i), alert.Engage), "ops@hook")
	}
	put(t, s, host("0", alert.Release), "ops@hook")
	put(t, s, host("sent", alert.Release), "ops@hook")
	c.add(2 * time.Hour)
	put(t, s, host("1", alert.Release), "ops@hook") // young: the digest does not tell of it
	digests(t, s, 31)
	return s, c
}

// A release goes where its engage went: into the digest if both are old, else out on its own once the digest has arrived.
func TestDigestedEngage(t *testing.T) {
	s, c := digestedEngages(t)
	d := lease1(t, s, "hook")
	if !strings.Contains(string(d.Alert), "Digest of 31 alerts") {
		t.Errorf("first came %s", d.Alert)
	}
	// While the digest is under way or waits for its next attempt, the release that has to follow it does not overtake it.
	if got := messages(t, leaseN(t, s, "hook", 10, 1)); got != "ops:sent" {
		t.Errorf("beside the digest came %s", got)
	}
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, NotBefore: c.now().Add(time.Minute), Reason: "refused"})
	c.add(time.Second)
	leaseN(t, s, "hook", 10, 0)
	c.add(time.Minute)
	leaseN(t, s, "hook", 1, 1)
	leaseN(t, s, "hook", 1, 0)
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered, ProviderID: "digest"})
	c.add(time.Millisecond)
	last := leaseN(t, s, "hook", 10, 1)[0]
	if message(t, last) != "1" || last.ProviderID != "" {
		t.Errorf("after the digest came %+v", last)
	}
	settle(t, s, alert.Settlement{Delivery: last.ID, State: alert.Delivered})
	if got := counts(t, s)["ops@hook"]; got.Digested != 31 || got.Queued != 0 {
		t.Errorf("counts %+v", got)
	}
	consistent(t, s)
}

// If the digest does not arrive, beginnings and ends go out on their own, in their order.
func TestDigestedEngageOfDeadDigest(t *testing.T) {
	s, c := digestedEngages(t)
	d := lease1(t, s, "hook")
	leaseN(t, s, "hook", 10, 1)
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "refused"})
	began, ended := map[string]bool{}, 0
	for range 5 {
		c.add(time.Second)
		var done []alert.Settlement
		ds, err := s.Lease(t.Context(), "hook", 10)
		ok(t, err)
		for _, d := range ds {
			key, release := message(t, d), strings.Contains(string(d.Alert), `"release"`)
			if release && !began[key] {
				t.Errorf("the end of %s came before its beginning", key)
			}
			if release {
				ended++
			}
			began[key] = true
			done = append(done, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
		}
		ok(t, s.Settle(t.Context(), done))
	}
	if len(began) != 30 || ended != 2 {
		t.Errorf("%d began, %d ended", len(began), ended)
	}
	consistent(t, s)
}

// watched is an outbox whose clock steps: wall can be set apart from the time that passes.
func watched(t testing.TB, path string) (*Store, *clock, *clock) {
	t.Helper()
	wall, mono := newClock(), newClock()
	s := open(t, path, Options{Now: wall.now})
	begin := mono.now()
	ok(t, s.do(t.Context(), "test", 0, func(*tx) error {
		s.wall.elapsed = func() time.Duration { return mono.now().Sub(begin) }
		return nil
	}))
	return s, wall, mono
}

// The clock is set while deliveries wait: none expires for it, none is sent earlier or later, and holds stay as long.
func TestClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{10 * 24 * time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			s, wall, mono := watched(t, filepath.Join(t.TempDir(), "o.db"))
			pass := func(d time.Duration) { wall.add(d); mono.add(d) }
			put(t, s, flowAlert("later"), "ops@hook")
			put(t, s, flowAlert("leased"), "ops@hook")
			ds := leaseN(t, s, "hook", 2, 2)
			settle(t, s, alert.Settlement{Delivery: ds[0].ID, State: alert.Queued, NotBefore: wall.now().Add(time.Minute)})
			put(t, s, flowAlert("now"), "ops@hook")
			ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "held", Until: wall.now().Add(5 * time.Minute), Reason: "429"}))
			put(t, s, flowAlert("held"), "x@held")
			wall.add(step)
			if n, err := s.ExpireOlderThan(t.Context(), 72*time.Hour); n != 0 || err != nil {
				t.Errorf("%d expired, %v", n, err)
			}
			if got := messages(t, leaseN(t, s, "hook", 5, 1)); got != "ops:now" {
				t.Errorf("leased %s", got)
			}
			pass(59 * time.Second)
			leaseN(t, s, "hook", 5, 0)
			pass(time.Second)
			if got := messages(t, leaseN(t, s, "hook", 5, 1)); got != "ops:later" {
				t.Errorf("leased %s", got)
			}
			leaseN(t, s, "held", 5, 0)
			pass(3*time.Minute + 59*time.Second)
			leaseN(t, s, "held", 5, 0)
			pass(time.Second)
			leaseN(t, s, "held", 5, 1)
			settle(t, s, alert.Settlement{Delivery: ds[1].ID, State: alert.Queued})
			back := leaseN(t, s, "hook", 5, 1)[0]
			if age := wall.now().Sub(back.Created); age != 5*time.Minute {
				t.Errorf("it is %v old", age)
			}
			if n, err := s.Prune(t.Context()); n != 0 || err != nil {
				t.Errorf("%d pruned, %v", n, err)
			}
			consistent(t, s)
		})
	}
}

// A clock that was set back while tocsin did not run delays nothing, and is made up for once, however often the outbox is opened
// afterwards; so is one that was set back while it ran.
func TestClockWasSetBack(t *testing.T) {
	for name, running := range map[string]bool{"between runs": false, "in a run": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "o.db")
			c := newClock()
			s := open(t, path, Options{Now: c.now})
			if running {
				begin := c.now()
				ok(t, s.do(t.Context(), "test", 0, func(*tx) error {
					s.wall.elapsed = func() time.Duration { return 0 } // no time passes in this run
					s.wall.at, s.wall.was = begin, 0
					return nil
				}))
			}
			put(t, s, flowAlert("x"), "ops@hook")
			d := lease1(t, s, "hook")
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, NotBefore: c.now().Add(time.Minute)})
			ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: c.now().Add(time.Minute)}))
			c.add(-time.Hour)
			if running {
				ok(t, s.Started(t.Context(), "other", c.now(), c.now())) // the first write notices
			}
			for range 3 {
				ok(t, s.Close())
				s = open(t, path, Options{Now: c.now})
			}
			c.add(59 * time.Second)
			leaseN(t, s, "hook", 1, 0)
			c.add(time.Second)
			if age := c.now().Sub(lease1(t, s, "hook").Created); age != time.Minute {
				t.Errorf("it is %v old", age)
			}
			consistent(t, s)
		})
	}
}
