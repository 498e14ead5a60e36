package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// crashed opens what a crash of this moment would leave on disk.
func crashed(t *testing.T, s *Store, o Options) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "o.db")
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(s.path + end)
		ok(t, err)
		ok(t, os.WriteFile(path+end, b, 0o600))
	}
	return open(t, path, o)
}

// stored stores alerts for ops@hook in one transaction.
func stored(t *testing.T, s *Store, texts ...string) {
	t.Helper()
	var es []Entry
	for _, text := range texts {
		es = append(es, Entry{flowAlert(text), to("ops@hook")})
	}
	ok(t, s.Store(t.Context(), es))
}

func texts(t *testing.T, ds []alert.Delivery) string {
	t.Helper()
	var out []string
	for _, d := range ds {
		out = append(out, message(t, d))
	}
	return strings.Join(out, " ")
}

// What was in memory when the process died is found: what was being sent may have arrived, what waited has not.
func TestFreshAfterCrash(t *testing.T) {
	s, c := fresh(t)
	stored(t, s, "done", "sending", "failed")
	ds := leaseN(t, s, "hook", 3, 3)
	c.add(time.Second)
	settle(t, s, alert.Settlement{Delivery: ds[0].ID, State: alert.Delivered, Status: 200},
		alert.Settlement{Delivery: ds[2].ID, State: alert.Queued, NotBefore: c.now().Add(time.Hour), Reason: "HTTP 503", Status: 503})
	ok(t, s.Ahead(t.Context(), "hook", 1))
	stored(t, s, "ahead", "waits")
	c.add(time.Minute)

	after := crashed(t, s, Options{Now: c.now})
	consistent(t, after)
	rows, err := after.List(t.Context(), Filter{})
	ok(t, err)
	got := map[string]string{}
	for _, r := range rows {
		d, err := after.Show(t.Context(), r.ID)
		ok(t, err)
		doubt := 0
		for _, h := range d.History {
			if h.Ambiguous && strings.Contains(h.Reason, "tocsin ended") {
				doubt++
			}
		}
		got[message(t, alert.Delivery{Alert: r.Alert})] = fmt.Sprint(r.State, " ", r.Attempts, " ", len(d.History), " ", doubt)
	}
	for text, want := range map[string]string{
		"done": "delivered 1 1 0", "sending": "queued 1 1 1", "failed": "queued 1 1 0", "ahead": "queued 1 1 1", "waits": "queued 0 0 0",
	} {
		if got[text] != want {
			t.Errorf("%s: %s, want %s (state, attempts, recorded, in doubt)", text, got[text], want)
		}
	}
	again := leaseN(t, after, "hook", 10, 3)
	if got := texts(t, again); got != "sending ahead waits" {
		t.Errorf("sent again: %s", got)
	}
	settle(t, after, alert.Settlement{Delivery: again[0].ID, State: alert.Delivered})
	if d, err := after.Show(t.Context(), again[0].ID); err != nil || !d.PossibleDuplicate {
		t.Errorf("%+v, %v: it is no possible duplicate", d, err)
	}
}

// Another process reads what is in memory here as if it were in the indexes.
func TestFreshIsRead(t *testing.T) {
	s, c := fresh(t)
	stored(t, s, "done", "sending")
	c.add(time.Second)
	ds := leaseN(t, s, "hook", 2, 2)
	settle(t, s, alert.Settlement{Delivery: ds[0].ID, State: alert.Delivered})
	c.add(time.Second)
	stored(t, s, "waits")
	since := c.now()
	c.add(time.Second)
	stored(t, s, "waits too")
	for name, r := range map[string]*Store{"owner": s, "reader": open(t, s.path, Options{ReadOnly: true, Now: c.now})} {
		for want, states := range map[string][]alert.State{
			"waits too,waits": {alert.Queued}, "sending": {alert.Leased}, "waits too,waits,sending": {alert.Queued, alert.Leased},
			"waits too,waits,sending,done": nil, "sending,done": {alert.Leased, alert.Delivered}, "waits too,waits,done": {alert.Queued, alert.Delivered},
		} {
			rows, err := r.List(t.Context(), Filter{States: states})
			ok(t, err)
			var got []string
			for _, row := range rows {
				got = append(got, message(t, alert.Delivery{Alert: row.Alert}))
				if row.State == alert.Leased && (row.Attempts != 1 || !row.Changed.Equal(newClock().t.Add(time.Second))) {
					t.Errorf("%s: leased %+v", name, row)
				}
			}
			if got := strings.Join(got, ","); got != want {
				t.Errorf("%s: %v lists %s, want %s", name, states, got, want)
			}
		}
		want := EndpointCount{Endpoint: "hook", Recipient: "ops", Queued: 2, Leased: 1, Delivered: 1, Oldest: since}
		if got := counts(t, r)["ops@hook"]; got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	consistent(t, s)
}

// What Ahead asked for is leased by the transaction that stores it; what nobody comes for was never leased.
func TestAhead(t *testing.T) {
	s, c := fresh(t)
	transactions := 0
	ok(t, s.do(t.Context(), "test", 0, func(*tx) error {
		s.wall.elapsed = func() time.Duration { transactions++; return c.now().Sub(newClock().t) }
		return nil
	}))
	ok(t, s.Ahead(t.Context(), "hook", 2))
	stored(t, s, "a", "b", "c", "d", "e")
	if due, found, err := s.Next(t.Context(), "hook"); err != nil || !found || due.After(c.now()) {
		t.Errorf("next is %v, %v, %v", due, found, err)
	}
	first := leaseN(t, s, "hook", 1, 1)
	second := leaseN(t, s, "hook", 5, 1)
	if got := texts(t, append(first, second...)); got != "a b" || transactions != 1 {
		t.Errorf("%s in %d transactions", got, transactions)
	}
	settle(t, s, alert.Settlement{Delivery: first[0].ID, State: alert.Delivered})
	if got := counts(t, s)["ops@hook"]; got.Leased != 3 || got.Queued != 1 {
		t.Errorf("nothing was leased with the settlement: %+v", got)
	}
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: c.now().Add(time.Second)}))
	leaseN(t, s, "hook", 5, 0)
	if got := counts(t, s)["ops@hook"]; got.Leased != 1 || got.Queued != 3 {
		t.Errorf("what was leased ahead of a hold is not given back: %+v", got)
	}
	c.add(time.Second)
	stored(t, s, "f")
	ok(t, s.Ahead(t.Context(), "hook", 0))
	stored(t, s, "g")
	if got := counts(t, s)["ops@hook"]; got.Leased != 1 || got.Queued != 5 {
		t.Errorf("what nobody comes for is leased: %+v", got)
	}
	all := leaseN(t, s, "hook", 10, 5)
	if got := texts(t, all); got != "c d e f g" {
		t.Errorf("then %s", got)
	}
	for _, d := range all {
		if d.Attempt != 1 {
			t.Errorf("%s: attempt %d", message(t, d), d.Attempt)
		}
	}
	consistent(t, s)
}

// meanwhile is a context that does something once it is asked whether it has ended.
type meanwhile struct {
	context.Context
	do func()
}

func (m *meanwhile) Err() error {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Context.Err()
}

// What is leased ahead while Lease is on its way to the writer goes first, since it is older.
func TestAheadOrder(t *testing.T) {
	s, _ := fresh(t)
	ok(t, s.Ahead(t.Context(), "hook", 1))
	ctx := &meanwhile{t.Context(), func() {
		stored(t, s, "a")
		stored(t, s, "b")
	}}
	for _, want := range []string{"a", "b"} {
		ds, err := s.Lease(ctx, "hook", 1)
		ok(t, err)
		if got := texts(t, ds); got != want {
			t.Errorf("leased %q, want %q", got, want)
		}
	}
	consistent(t, s)
}

// What was leased for nobody when the outbox is closed was never sent.
func TestAheadIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	s, err := Open(t.Context(), path, Options{})
	ok(t, err)
	ok(t, s.Ahead(t.Context(), "hook", 1))
	stored(t, s, "a", "b")
	ok(t, s.Close())
	s = open(t, path, Options{})
	consistent(t, s)
	for _, d := range leaseN(t, s, "hook", 3, 2) {
		if got, err := s.Show(t.Context(), d.ID); err != nil || got.Attempts != 1 || len(got.History) != 0 {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// The oldest goes first, whether it is in memory or in the indexes.
func TestFreshOrder(t *testing.T) {
	s, c := fresh(t)
	stored(t, s, "a")
	a := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: a.ID, State: alert.Queued, NotBefore: c.now().Add(2 * time.Second)})
	c.add(time.Second)
	stored(t, s, "b", "c")
	c.add(2 * time.Second)
	stored(t, s, "d")
	for _, want := range []string{"b c", "a d"} {
		ds := leaseN(t, s, "hook", 10, 2)
		if got := texts(t, ds); got != want {
			t.Errorf("leased %s, want %s", got, want)
		}
	}
	consistent(t, s)
}

// What is too much for the memory goes into the indexes, and keeps its place.
func TestFreshBound(t *testing.T) {
	s, _ := fresh(t)
	const more = 50
	var want []string
	for len(want) < maxFresh+more {
		var some []string
		for range min(500, maxFresh+more-len(want)) {
			some = append(some, fmt.Sprint(len(want)))
			want = append(want, fmt.Sprint(len(want)))
		}
		stored(t, s, some...)
	}
	if n := count(t, s, "SELECT count(*) FROM delivery WHERE state = 0"); n != more {
		t.Errorf("%d are in the indexes, want %d", n, more)
	}
	var got []string
	for round := range 100 {
		ds, err := s.Lease(t.Context(), "hook", 1000)
		ok(t, err)
		if len(ds) == 0 {
			break
		}
		got = append(got, texts(t, ds))
		if round < 3 {
			stored(t, s, "later")
			want = append(want, "later")
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Error("they were not leased in the order in which they were stored")
	}
	consistent(t, s)
}

// A transaction that fails leaves what is in memory as it was.
func TestFreshUndone(t *testing.T) {
	s, _ := fresh(t)
	stored(t, s, "a", "b", "c")
	a := lease1(t, s, "hook")
	ok(t, s.Ahead(t.Context(), "hook", 1))
	broken := errors.New("broken")
	for _, classic := range []bool{false, true} {
		do := s.doFresh
		if classic {
			do = s.do
		}
		err := do(context.Background(), "test", 1, func(x *tx) error {
			if err := s.insert(x, Entry{flowAlert("never"), to("ops@hook")}, []byte(`{}`), 1); err != nil {
				return err
			}
			if err := s.settle(x, &alert.Settlement{Delivery: a.ID, State: alert.Delivered}); err != nil {
				return err
			}
			if _, _, err := s.take(x, s.endpointOf(x, "hook"), 2); err != nil {
				return err
			}
			return broken
		})
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		consistent(t, s)
	}
	settle(t, s, alert.Settlement{Delivery: a.ID, State: alert.Delivered})
	if got := texts(t, leaseN(t, s, "hook", 10, 1)) + " " + texts(t, leaseN(t, s, "hook", 10, 1)); got != "b c" {
		t.Errorf("leased %s", got)
	}
	if got := counts(t, s)["ops@hook"]; got.Leased != 2 || got.Delivered != 1 || got.Queued != 0 {
		t.Errorf("%+v", got)
	}
	consistent(t, s)
}
