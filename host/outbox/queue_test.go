package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

func message(t testing.TB, d alert.Delivery) string {
	t.Helper()
	var m struct{ Message string }
	ok(t, json.Unmarshal(d.Alert, &m))
	return m.Message
}

func messages(t testing.TB, ds []alert.Delivery) string {
	t.Helper()
	var out []string
	for _, d := range ds {
		out = append(out, d.Recipient+":"+message(t, d))
	}
	return strings.Join(out, " ")
}

func TestLeaseOrder(t *testing.T) {
	s, c := fresh(t)
	put(t, s, flowAlert("1"), "ops@hook")
	c.add(time.Second)
	put(t, s, flowAlert("2"), "net@hook", "chat@telegram")
	c.add(time.Second)
	put(t, s, flowAlert("3"), "ops@hook", "net@hook")
	first := leaseN(t, s, "hook", 1, 1)
	if got := messages(t, first); got != "ops:1" {
		t.Errorf("first %s", got)
	}
	if d := first[0]; d.Attempt != 1 || !d.Created.Equal(newClock().t) || d.Endpoint != "hook" || d.Plain || d.ProviderID != "" {
		t.Errorf("lease %+v", d)
	}
	// The oldest waits at net now: a batch is one recipient's, and no other endpoint's.
	if got := messages(t, leaseN(t, s, "hook", 10, 2)); got != "net:2 net:3" {
		t.Errorf("second %s", got)
	}
	// A retry is due later than what is new.
	settle(t, s, alert.Settlement{Delivery: first[0].ID, State: alert.Queued, NotBefore: c.now().Add(time.Minute)})
	if got := messages(t, leaseN(t, s, "hook", 10, 1)); got != "ops:3" {
		t.Errorf("third %s", got)
	}
	leaseN(t, s, "hook", 10, 0)
	c.add(59 * time.Second)
	leaseN(t, s, "hook", 10, 0)
	c.add(time.Second)
	again := leaseN(t, s, "hook", 10, 1)
	if again[0].ID != first[0].ID || again[0].Attempt != 2 {
		t.Errorf("the retry came as %+v", again[0])
	}
	leaseN(t, s, "unknown", 10, 0)
	leaseN(t, s, "telegram", 0, 0)
	leaseN(t, s, "telegram", 1, 1)
	consistent(t, s)
}

// A recipient for which much waits does not hold up the others of its endpoint.
func TestRecipientsTakeTurns(t *testing.T) {
	s, c := fresh(t)
	for range 30 {
		put(t, s, flowAlert("old"), "ops@hook")
	}
	c.add(time.Hour)
	put(t, s, flowAlert("b"), "net@hook", "dev@hook")
	var got []string
	for _, n := range []int{10, 1, 1, 10, 10} {
		got = append(got, leaseN(t, s, "hook", 10, n)[0].Recipient)
	}
	if order := strings.Join(got, " "); order != "ops net dev ops ops" {
		t.Errorf("served %s", order)
	}
}

// What was noted of requests outlives the process; what is old is forgotten.
func TestStarts(t *testing.T) {
	s, c := fresh(t)
	for range 5 {
		ok(t, s.Started(t.Context(), "hook", c.now(), c.now().Add(-2*time.Second)))
		ok(t, s.Started(t.Context(), "hook", c.now(), c.now().Add(-2*time.Second)))
		c.add(time.Second)
	}
	path, last := s.path, c.now().Add(-time.Second)
	ok(t, s.Close())
	s = open(t, path, Options{Now: c.now})
	got, err := s.Starts(t.Context(), "hook")
	ok(t, err)
	if len(got) != 6 || got[5].Before(last) || got[5].After(last.Add(2*time.Millisecond)) || got[0].Before(last.Add(-2*time.Second)) {
		t.Errorf("starts %v, the last at %v", got, last)
	}
	if got, err := s.Starts(t.Context(), "other"); len(got) != 0 || err != nil {
		t.Errorf("of another %v, %v", got, err)
	}
}

func TestSettle(t *testing.T) {
	s, c := fresh(t)
	put(t, s, flowAlert("x"), "ops@hook")
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, NotBefore: c.now().Add(time.Hour), Uncounted: true, Reason: "drain"})
	c.add(time.Hour)
	d = lease1(t, s, "hook")
	if d.Attempt != 1 {
		t.Errorf("an uncounted attempt was counted: %d", d.Attempt)
	}
	settle(t, s, alert.Settlement{
		Delivery: d.ID, State: alert.Queued, Plain: true, Reason: "HTTP 400", Status: 400, Took: 1500 * time.Microsecond, Ambiguous: true,
	})
	c.add(time.Second)
	d = lease1(t, s, "hook")
	if d.Attempt != 2 || !d.Plain {
		t.Errorf("second attempt %+v", d)
	}
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered, Status: 200, ProviderID: "m1"})
	err := s.Settle(t.Context(), []alert.Settlement{{Delivery: d.ID, State: alert.Delivered}})
	if !errors.Is(err, ErrNotLeased) || !strings.Contains(err.Error(), d.ID.String()) {
		t.Errorf("settled twice: %v", err)
	}
	got, err := s.Show(t.Context(), d.ID)
	ok(t, err)
	if got.State != alert.Delivered || got.ProviderID != "m1" || !got.PossibleDuplicate || got.Attempts != 2 || len(got.History) != 2 {
		t.Fatalf("ledger: %+v", got)
	}
	h := got.History[0]
	want := Attempt{
		N: 1, At: newClock().t.Add(time.Hour), Took: 1500 * time.Microsecond, State: "queued", Status: 400, Ambiguous: true, Reason: "HTTP 400",
	}
	if h != want {
		t.Errorf("first attempt %+v, want %+v", h, want)
	}
	if h := got.History[1]; h.N != 2 || h.State != "delivered" || h.Status != 200 {
		t.Errorf("second attempt %+v", h)
	}
	consistent(t, s)
}

// One settlement that is wrong leaves the others of its call alone.
func TestSettleValidOnes(t *testing.T) {
	s, _ := fresh(t)
	for i := range 4 {
		put(t, s, flowAlert(fmt.Sprint(i)), "ops@hook")
	}
	ds := leaseN(t, s, "hook", 4, 4)
	stray := alert.NewID()
	err := s.Settle(t.Context(), []alert.Settlement{
		{Delivery: ds[0].ID, State: alert.Accepted},
		{Delivery: stray, State: alert.Delivered},
		{Delivery: ds[1].ID, State: alert.Duplicate},
		{Delivery: ds[2].ID, State: alert.Leased},
		{Delivery: ds[1].ID, State: alert.Dead},
	})
	if !errors.Is(err, ErrNotLeased) || !strings.Contains(err.Error(), stray.String()) || !strings.Contains(err.Error(), ds[2].ID.String()) {
		t.Errorf("error %v", err)
	}
	counts, err := s.Counts(t.Context())
	ok(t, err)
	want := EndpointCount{Endpoint: "hook", Recipient: "ops", Leased: 2, Accepted: 1, Duplicate: 1}
	if len(counts) != 1 || counts[0] != want {
		t.Errorf("counts %+v, want %+v", counts, want)
	}
	consistent(t, s)
}

// A service that drops repeats makes no duplicates, whatever became of earlier attempts.
func TestSettleIdempotent(t *testing.T) {
	s, _ := fresh(t)
	put(t, s, flowAlert("x"), "ops@hook")
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Ambiguous: true, Idempotent: true, Reason: "connection lost"})
	if got, err := s.Show(t.Context(), d.ID); err != nil || !got.History[0].Ambiguous {
		t.Errorf("%+v, %v", got, err)
	}
	lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered, Idempotent: true})
	if got, err := s.Show(t.Context(), d.ID); err != nil || got.PossibleDuplicate || got.State != alert.Delivered {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSettleIdempotentMany: what a service that drops repeats took is settled many at a time, too; the marks of earlier
// attempts go where it does, and stay where it does not.
func TestSettleIdempotentMany(t *testing.T) {
	for _, drops := range []bool{true, false} {
		s, _ := fresh(t)
		for i := range bulk {
			put(t, s, flowAlert(fmt.Sprint(i)), "ops@hook")
		}
		var vs []alert.Settlement
		for i, d := range leaseN(t, s, "hook", bulk, bulk) {
			vs = append(vs, alert.Settlement{Delivery: d.ID, State: alert.Queued, Ambiguous: i%4 == 0, Idempotent: drops})
		}
		settle(t, s, vs...)
		leaseN(t, s, "hook", bulk, bulk)
		for i := range vs {
			vs[i].State, vs[i].Ambiguous = alert.Delivered, false
		}
		ok(t, s.do(t.Context(), "test", bulk, func(x *tx) error {
			n, err := s.settleBulk(x, vs)
			if n != bulk {
				t.Errorf("%d settled in one statement", n)
			}
			return err
		}))
		want := map[bool]int{true: 0, false: bulk / 4}[drops]
		if n := count(t, s, `SELECT count(*) FROM delivery WHERE ambiguous AND state = 2`); n != want {
			t.Errorf("a service that drops repeats %v: %d marks, want %d", drops, n, want)
		}
		consistent(t, s)
	}
}

// Settlements that are alike share statements; one among them that is not, or that comes twice, is found all the same.
func TestSettleMany(t *testing.T) {
	s, _ := fresh(t)
	for i := range 100 {
		put(t, s, flowAlert(fmt.Sprint(i)), "ops@hook")
	}
	ds := leaseN(t, s, "hook", 100, 100)
	var vs []alert.Settlement
	for i, d := range ds {
		v := alert.Settlement{Delivery: d.ID, State: alert.Delivered, Status: 200, Took: time.Duration(i) * time.Millisecond}
		switch i {
		case 20:
			vs = append(vs, vs[19])
		case 40:
			v.ProviderID = "m40"
		case 60:
			v = alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "refused"}
		case 80:
			v.State = alert.Accepted
		}
		vs = append(vs, v)
	}
	if err := s.Settle(t.Context(), vs); !errors.Is(err, ErrNotLeased) || strings.Count(err.Error(), "not leased") != 1 {
		t.Errorf("error %v", err)
	}
	if got, want := counts(t, s)["ops@hook"], (EndpointCount{Endpoint: "hook", Recipient: "ops", Delivered: 98, Accepted: 1, Dead: 1}); got != want {
		t.Errorf("counts %+v", got)
	}
	for _, i := range []int{0, 19, 40, 99} {
		d, err := s.Show(t.Context(), ds[i].ID)
		ok(t, err)
		if len(d.History) != 1 || d.History[0].Took != time.Duration(i)*time.Millisecond || d.History[0].Status != 200 || (d.ProviderID != "") != (i == 40) {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM tried"); n != 100 {
		t.Errorf("%d attempts", n)
	}
	consistent(t, s)
}

func TestHold(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "o.db"), newClock()
	s, err := Open(t.Context(), path, Options{Now: c.now})
	ok(t, err)
	put(t, s, flowAlert("x"), "ops@hook", "chat@telegram")
	until := c.now().Add(time.Minute)
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: until, Broken: true, Reason: "401: the key was refused"}))
	leaseN(t, s, "hook", 1, 0)
	leaseN(t, s, "telegram", 1, 1)
	ok(t, s.Close())
	s = open(t, path, Options{Now: c.now}) // it survives
	holds, err := s.Holds(t.Context())
	ok(t, err)
	if len(holds) != 1 || holds[0] != (alert.Hold{Endpoint: "hook", Until: until, Broken: true, Reason: "401: the key was refused"}) {
		t.Errorf("holds %+v", holds)
	}
	leaseN(t, s, "hook", 1, 0)
	due, waits, err := s.Next(t.Context(), "hook")
	if err != nil || !waits || !due.Equal(until) {
		t.Errorf("next %v %v %v, want the end of the hold", due, waits, err)
	}
	c.add(time.Minute)
	d := lease1(t, s, "hook") // its time has passed
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Uncounted: true})
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: c.now().Add(time.Hour)}))
	leaseN(t, s, "hook", 1, 0)
	drain(s, "hook")
	ok(t, s.ClearHold(t.Context(), "hook"))
	if !woken(s, "hook") {
		t.Error("clearing a hold wakes nobody")
	}
	ok(t, s.ClearHold(t.Context(), "hook"))
	lease1(t, s, "hook")
	if holds, _ := s.Holds(t.Context()); len(holds) != 0 {
		t.Errorf("holds %+v", holds)
	}
	if n := count(t, s, "SELECT count(*) FROM hold"); n != 0 {
		t.Errorf("%d holds stored", n)
	}
}

func woken(s *Store, endpoint string) bool {
	select {
	case <-s.Wake(endpoint):
		return true
	default:
		return false
	}
}

func drain(s *Store, endpoint string) { woken(s, endpoint) }

func TestWakeAndNext(t *testing.T) {
	s, c := fresh(t)
	next := func(want time.Time) {
		t.Helper()
		due, found, err := s.Next(t.Context(), "hook")
		if err != nil || found == want.IsZero() || !due.Equal(want) {
			t.Errorf("next %v %v %v, want %v", due, found, err, want)
		}
	}
	next(time.Time{})
	if woken(s, "hook") {
		t.Error("woken without work")
	}
	put(t, s, flowAlert("x"), "ops@hook", "net@hook")
	if !woken(s, "hook") || woken(s, "hook") || woken(s, "telegram") {
		t.Error("want one signal for hook only")
	}
	next(c.now())
	d, e := lease1(t, s, "hook"), lease1(t, s, "hook")
	next(time.Time{})
	later := c.now().Add(time.Minute)
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
	if woken(s, "hook") {
		t.Error("woken by a success")
	}
	settle(t, s, alert.Settlement{Delivery: e.ID, State: alert.Queued, NotBefore: later})
	if !woken(s, "hook") {
		t.Error("a retry wakes nobody")
	}
	next(later)
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: later.Add(time.Hour)}))
	next(later.Add(time.Hour))
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: later.Add(time.Minute)}))
	if !woken(s, "hook") {
		t.Error("a hold that ends earlier than the one before wakes nobody")
	}
	c.add(time.Minute)
	leaseN(t, s, "hook", 1, 0)
}

// A release is sent after its engage has ended, with the id that the service gave the engage.
func TestReleaseFollowsEngage(t *testing.T) {
	s, c := fresh(t)
	engage, release := hostAlert("syn_scan 10.0.0.9", alert.Engage), hostAlert("syn_scan 10.0.0.9", alert.Release)
	engage.Message, release.Message = "begin", "end"
	put(t, s, engage, "ops@hook", "late@chat")
	put(t, s, release, "ops@hook", "late@chat", "other@mail")
	put(t, s, flowAlert("unrelated"), "ops@hook")

	batch := leaseN(t, s, "hook", 10, 2)
	if got := messages(t, batch); got != "ops:begin ops:unrelated" {
		t.Fatalf("first batch %s", got)
	}
	leaseN(t, s, "hook", 10, 0) // the engage is under way
	settle(t, s, alert.Settlement{Delivery: batch[0].ID, State: alert.Queued, NotBefore: c.now().Add(time.Minute)})
	c.add(engagePoll)
	leaseN(t, s, "hook", 10, 0) // the engage waits for another attempt
	c.add(time.Minute)
	retry := leaseN(t, s, "hook", 10, 1)
	if got := messages(t, retry); got != "ops:begin" {
		t.Fatalf("second batch %s", got)
	}
	settle(t, s, alert.Settlement{Delivery: retry[0].ID, State: alert.Accepted, ProviderID: "msg-42"})
	d := lease1(t, s, "hook")
	if message(t, d) != "end" || d.ProviderID != "msg-42" {
		t.Errorf("release %s with provider id %q", message(t, d), d.ProviderID)
	}
	// Another recipient's engage was given up: the release goes all the same, without an id.
	x := lease1(t, s, "chat")
	settle(t, s, alert.Settlement{Delivery: x.ID, State: alert.Dead, Reason: "gone"})
	if d := lease1(t, s, "chat"); message(t, d) != "end" || d.ProviderID != "" {
		t.Errorf("release %+v", d)
	}
	// And one that never got an engage is not held up.
	lease1(t, s, "mail")
	// The next condition of that name has its own engage.
	second, end2 := hostAlert("syn_scan 10.0.0.9", alert.Engage), hostAlert("syn_scan 10.0.0.9", alert.Release)
	put(t, s, second, "ops@hook")
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Delivered, ProviderID: "msg-43"})
	put(t, s, end2, "ops@hook")
	if d := lease1(t, s, "hook"); d.ProviderID != "msg-43" {
		t.Errorf("second release has %q", d.ProviderID)
	}
	consistent(t, s)
}

// A release that was passed over while its engage was being sent is due as soon as that has ended.
func TestReleaseIsCalled(t *testing.T) {
	s, _ := fresh(t)
	put(t, s, hostAlert("k", alert.Engage), "ops@hook")
	put(t, s, hostAlert("k", alert.Release), "ops@hook")
	engage := lease1(t, s, "hook")
	leaseN(t, s, "hook", 10, 0)
	drain(s, "hook")
	settle(t, s, alert.Settlement{Delivery: engage.ID, State: alert.Delivered, ProviderID: "m"})
	if !woken(s, "hook") {
		t.Error("nobody was woken")
	}
	if d := lease1(t, s, "hook"); d.ProviderID != "m" {
		t.Errorf("release with provider id %q", d.ProviderID)
	}
}

// A release goes out although its engage was skipped: a script that wants releases only.
func TestReleaseOfSkippedEngage(t *testing.T) {
	s, _ := fresh(t)
	put(t, s, hostAlert("k", alert.Engage), "ops@hook")
	put(t, s, hostAlert("k", alert.Release), "ops@hook")
	engage := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: engage.ID, State: alert.Skipped, Reason: "releases only"})
	release := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: release.ID, State: alert.Delivered})
}

// A release whose engage sorts behind it, both due, in a batch too small for both.
func TestReleaseBehindRetriedEngage(t *testing.T) {
	s, c := fresh(t)
	put(t, s, hostAlert("k", alert.Engage), "ops@hook")
	e := lease1(t, s, "hook")
	put(t, s, hostAlert("k", alert.Release), "ops@hook")
	settle(t, s, alert.Settlement{Delivery: e.ID, State: alert.Queued, NotBefore: c.now().Add(time.Second)})
	c.add(time.Hour)
	for _, limit := range []int{1, 5} {
		d := leaseN(t, s, "hook", limit, 1)[0]
		if d.ID != e.ID {
			t.Fatalf("leased %s before its engage", message(t, d))
		}
		settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, Uncounted: true})
	}
}

// A process that dies with leases leaves them to the next under the same ids.
func TestLeasesOfDeadProcess(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "o.db"), newClock()
	s, err := Open(t.Context(), path, Options{Now: c.now})
	ok(t, err)
	put(t, s, flowAlert("x"), "ops@hook", "ops2@hook")
	d := lease1(t, s, "hook")
	done := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: done.ID, State: alert.Delivered})
	ok(t, s.Close())
	c.add(time.Second)
	s = open(t, path, Options{Now: c.now})
	consistent(t, s)
	err = s.Settle(t.Context(), []alert.Settlement{{Delivery: d.ID, State: alert.Delivered}})
	if !errors.Is(err, ErrNotLeased) {
		t.Errorf("a lease of the dead process was settled: %v", err)
	}
	again := lease1(t, s, "hook")
	if again.ID != d.ID || again.Attempt != 1 {
		t.Errorf("leased %v attempt %d, want %v attempt 1", again.ID, again.Attempt, d.ID)
	}
	settle(t, s, alert.Settlement{Delivery: again.ID, State: alert.Delivered})
	got, err := s.Show(t.Context(), d.ID)
	ok(t, err)
	if !got.PossibleDuplicate || len(got.History) != 2 || !got.History[0].Ambiguous || got.History[0].Took != time.Second {
		t.Errorf("ledger %+v", got)
	}
	consistent(t, s)
}

// Writers, leasers, holders and readers at once: every delivery ends exactly once.
func TestConcurrent(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "o.db"), Options{})
	const writers, calls, per = 4, 8, 6
	endpoints := []string{"hook", "chat"}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var writing, all sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range calls {
				var es []Entry
				for range per {
					es = append(es, Entry{flowAlert("x"), to(fmt.Sprintf("r%d@hook", i%3), fmt.Sprintf("c%d@chat", w))})
				}
				if err := s.Store(ctx, es); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex // mu guards ended
	ended := map[alert.ID]int{}
	total := func() int { mu.Lock(); defer mu.Unlock(); return len(ended) }
	for i := range 4 {
		endpoint := endpoints[i%2]
		all.Go(func() {
			for ctx.Err() == nil && total() < 2*writers*calls*per {
				ds, err := s.Lease(ctx, endpoint, 10)
				if err != nil {
					t.Error(err)
					return
				}
				if len(ds) == 0 {
					if err := s.ClearHold(ctx, endpoint); err != nil {
						t.Error(err)
					}
					continue
				}
				var out []alert.Settlement
				for _, d := range ds {
					v := alert.Settlement{Delivery: d.ID, State: alert.Delivered}
					if d.Recipient != ds[0].Recipient {
						t.Errorf("a batch of %s and %s", d.Recipient, ds[0].Recipient)
					}
					switch rand.IntN(4) {
					case 0:
						v.State, v.Uncounted = alert.Queued, true
					case 1:
						v.State = alert.Queued
					default:
						mu.Lock()
						ended[d.ID]++
						mu.Unlock()
					}
					out = append(out, v)
				}
				if err := s.Settle(ctx, out); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil && total() < 2*writers*calls*per {
			if _, err := s.Counts(ctx); err != nil {
				t.Error(err)
			}
			if _, err := s.List(ctx, Filter{States: []alert.State{alert.Queued}, Limit: 5}); err != nil {
				t.Error(err)
			}
			if _, _, err := s.Next(ctx, "hook"); err != nil {
				t.Error(err)
			}
			if err := s.SetHold(ctx, alert.Hold{Endpoint: endpoints[rand.IntN(2)], Until: time.Now().Add(time.Second)}); err != nil {
				t.Error(err)
			}
		}
	})
	writing.Wait()
	all.Wait()
	if got := total(); got != 2*writers*calls*per {
		t.Errorf("%d deliveries ended, want %d", got, 2*writers*calls*per)
	}
	for id, n := range ended {
		if n != 1 {
			t.Errorf("%v ended %d times", id, n)
		}
	}
	consistent(t, s)
}
