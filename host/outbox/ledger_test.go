package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// kill makes a dead letter of the next delivery of an endpoint.
func kill(t testing.TB, s *Store, endpoint, reason string) alert.ID {
	t.Helper()
	d := lease1(t, s, endpoint)
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: reason, Status: 410})
	return d.ID
}

func counts(t testing.TB, s *Store) map[string]EndpointCount {
	t.Helper()
	cs, err := s.Counts(t.Context())
	ok(t, err)
	out := map[string]EndpointCount{}
	for _, c := range cs {
		out[c.Recipient+"@"+c.Endpoint] = c
	}
	return out
}

func TestCountsAndList(t *testing.T) {
	s, c := fresh(t)
	ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook"}, {Name: "idle"}},
		[]RecipientRow{{Name: "ops", Endpoint: "hook"}, {Name: "nobody", Endpoint: "idle"}}))
	var alerts []*alert.Alert
	for i := range 4 {
		alerts = append(alerts, flowAlert(fmt.Sprint(i)))
		put(t, s, alerts[i], "ops@hook", "chat@telegram")
		c.add(time.Minute)
	}
	gone := kill(t, s, "hook", "410 gone")
	lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "telegram").ID, State: alert.Delivered})
	start := newClock().t
	got := counts(t, s)
	for name, want := range map[string]EndpointCount{
		"ops@hook":      {Endpoint: "hook", Recipient: "ops", Queued: 2, Leased: 1, Dead: 1, Oldest: start.Add(2 * time.Minute)},
		"chat@telegram": {Endpoint: "telegram", Recipient: "chat", Queued: 3, Delivered: 1, Oldest: start.Add(time.Minute)},
		"nobody@idle":   {Endpoint: "idle", Recipient: "nobody"},
	} {
		if got[name] != want {
			t.Errorf("%s: %+v, want %+v", name, got[name], want)
		}
	}
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all":        {Filter{}, "chat3 ops3 chat2 ops2 chat1 ops1 chat0 ops0"},
		"recipient":  {Filter{Recipient: "ops"}, "ops3 ops2 ops1 ops0"},
		"endpoint":   {Filter{Endpoint: "telegram"}, "chat3 chat2 chat1 chat0"},
		"unknown":    {Filter{Recipient: "nix"}, ""},
		"dead":       {Filter{States: []alert.State{alert.Dead}}, "ops0"},
		"leased":     {Filter{States: []alert.State{alert.Leased}}, "ops1"},
		"queued":     {Filter{States: []alert.State{alert.Queued}, Endpoint: "hook"}, "ops3 ops2"},
		"two states": {Filter{States: []alert.State{alert.Dead, alert.Delivered}}, "chat0 ops0"},
		"one alert":  {Filter{Alert: alerts[2].ID}, "chat2 ops2"},
		"limit":      {Filter{Limit: 3}, "chat3 ops3 chat2"},
	} {
		rows, err := s.List(t.Context(), c.f)
		ok(t, err)
		if got := rowNames(t, rows); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	var paged []Row
	for f := (Filter{Limit: 3}); ; {
		page, err := s.List(t.Context(), f)
		ok(t, err)
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		f.Before = page[len(page)-1].ID
	}
	if got := rowNames(t, paged); got != "chat3 ops3 chat2 ops2 chat1 ops1 chat0 ops0" {
		t.Errorf("pages: %s", got)
	}
	d, err := s.Show(t.Context(), gone)
	ok(t, err)
	b, err := json.Marshal(&d)
	ok(t, err)
	var back struct {
		ID, State, Reason string
		Alert             struct{ ID, Check string }
		History           []struct{ State, Reason string }
	}
	ok(t, json.Unmarshal(b, &back))
	if back.ID != gone.String() || back.State != "dead" || back.Reason != "410 gone" || back.Alert.ID != alerts[0].ID.String() ||
		len(back.History) != 1 || back.History[0].State != "dead" {
		t.Errorf("shown as %s", b)
	}
	if _, err := s.Show(t.Context(), alert.NewID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown delivery: %v", err)
	}
	consistent(t, s)
}

func rowNames(t testing.TB, rows []Row) string {
	t.Helper()
	var out []string
	for _, r := range rows {
		var m struct{ Message string }
		ok(t, json.Unmarshal(r.Alert, &m))
		out = append(out, r.Recipient+m.Message)
	}
	return strings.Join(out, " ")
}

func TestRetry(t *testing.T) {
	s, c := fresh(t)
	put(t, s, flowAlert("x"), "ops@hook")
	put(t, s, flowAlert("y"), "ops@hook")
	id := kill(t, s, "hook", "410 gone")
	drain(s, "hook")
	c.add(100 * time.Hour)
	other := lease1(t, s, "hook")
	err := s.Retry(t.Context(), id, other.ID)
	if !errors.Is(err, ErrNotDead) || !strings.Contains(err.Error(), other.ID.String()) || !strings.Contains(err.Error(), "leased") {
		t.Errorf("retrying a leased one: %v", err)
	}
	if n := counts(t, s)["ops@hook"].Dead; n != 1 {
		t.Errorf("%d dead after a retry that failed", n)
	}
	if err := s.Retry(t.Context(), alert.NewID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("retrying an unknown one: %v", err)
	}
	ok(t, s.Retry(t.Context(), id))
	if !woken(s, "hook") {
		t.Error("a retry wakes nobody")
	}
	d := lease1(t, s, "hook")
	if d.ID != id || d.Attempt != 1 || !d.Created.Equal(c.now()) {
		t.Errorf("leased again %+v, want the same id, attempt 1 and its age from now", d)
	}
	settle(t, s, alert.Settlement{Delivery: id, State: alert.Delivered})
	got, err := s.Show(t.Context(), id)
	ok(t, err)
	if got.Attempts != 2 || len(got.History) != 2 || got.History[0].Status != 410 || !got.Created.Equal(newClock().t) {
		t.Errorf("ledger %+v", got)
	}
	consistent(t, s)
}

func TestRetryAll(t *testing.T) {
	s, _ := fresh(t)
	const n = 2*chunk + 10
	var es []Entry
	for i := range n {
		es = append(es, Entry{flowAlert(fmt.Sprint(i)), to([]string{"ops@hook", "net@hook", "chat@telegram"}[i%3])})
	}
	ok(t, s.Store(t.Context(), es))
	for _, endpoint := range []string{"hook", "telegram"} {
		for {
			ds, err := s.Lease(t.Context(), endpoint, 500)
			ok(t, err)
			if len(ds) == 0 {
				break
			}
			var out []alert.Settlement
			for _, d := range ds {
				out = append(out, alert.Settlement{Delivery: d.ID, State: alert.Dead, Reason: "outage"})
			}
			settle(t, s, out...)
		}
	}
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{Recipient: "net", Limit: 3}, 3},
		{Filter{Endpoint: "telegram"}, n / 3},
		{Filter{Endpoint: "telegram"}, 0},
		{Filter{}, n - n/3 - 3},
	} {
		got, err := s.RetryAll(t.Context(), c.f)
		if err != nil || got != c.want {
			t.Errorf("%+v: %d, %v, want %d", c.f, got, err, c.want)
		}
		consistent(t, s)
	}
	if got := count(t, s, "SELECT count(*) FROM delivery WHERE state = 0"); got != n {
		t.Errorf("%d queued, want %d", got, n)
	}
}

func TestExpire(t *testing.T) {
	s, c := fresh(t)
	var es []Entry
	for range chunk + 5 {
		es = append(es, Entry{flowAlert("old"), to("ops@hook")})
	}
	ok(t, s.Store(t.Context(), es))
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, NotBefore: c.now().Add(1000 * time.Hour), Reason: "connection refused"})
	leased := lease1(t, s, "hook")
	c.add(72 * time.Hour)
	put(t, s, flowAlert("new"), "ops@hook")
	c.add(time.Millisecond)
	n, err := s.ExpireOlderThan(t.Context(), 72*time.Hour)
	if err != nil || n != chunk+4 {
		t.Fatalf("%d expired, %v, want %d", n, err, chunk+4)
	}
	got, err := s.Show(t.Context(), d.ID)
	ok(t, err)
	if got.State != alert.Dead || got.Reason != "not delivered within 72h0m0s; last: connection refused" {
		t.Errorf("%v, %q", got.State, got.Reason)
	}
	if got := counts(t, s)["ops@hook"]; got.Queued != 1 || got.Leased != 1 {
		t.Errorf("counts %+v", got)
	}
	settle(t, s, alert.Settlement{Delivery: leased.ID, State: alert.Delivered})
	consistent(t, s)
}

// TestExpireCosts: what is too old goes in as few transactions as it fills, however many recipients and severities there
// are, and if nothing is there is none.
func TestExpireCosts(t *testing.T) {
	s, c := fresh(t)
	transactions := 0
	ok(t, s.do(t.Context(), "test", 0, func(*tx) error {
		s.wall.elapsed = func() time.Duration { transactions++; return c.now().Sub(newClock().t) }
		return nil
	}))
	expire := func(what string, expired, want int) {
		t.Helper()
		transactions = 0
		n, err := s.ExpireOlderThan(t.Context(), time.Hour)
		ok(t, err)
		if n != expired || transactions != want {
			t.Errorf("%s: %d expired in %d transactions, want %d in %d", what, n, transactions, expired, want)
		}
		consistent(t, s)
	}
	var es []Entry
	for i := range 2*chunk + 7 {
		a := flowAlert("x")
		a.Severity = alert.Severity(i%8 + 1)
		es = append(es, Entry{a, to(fmt.Sprintf("r%d@hook", i%20))})
	}
	ok(t, s.Store(t.Context(), es))
	expire("young", 0, 0)
	c.add(time.Hour + time.Millisecond)
	expire("old", len(es), 3)
	expire("none left", 0, 0)
}

func TestPrune(t *testing.T) {
	s, c := fresh(t)
	var es []Entry
	for range 2*chunk + 10 {
		es = append(es, Entry{flowAlert("x"), to("ops@hook")}, Entry{Alert: flowAlert("for nobody")})
	}
	ok(t, s.Store(t.Context(), es))
	waits := lease1(t, s, "hook") // stays leased for now
	dead := kill(t, s, "hook", "gone")
	for {
		ds, err := s.Lease(t.Context(), "hook", 100)
		ok(t, err)
		if len(ds) == 0 {
			break
		}
		var out []alert.Settlement
		for _, d := range ds {
			out = append(out, alert.Settlement{Delivery: d.ID, State: alert.Delivered})
		}
		settle(t, s, out...)
	}
	prune := func(want int) {
		t.Helper()
		n, err := s.Prune(t.Context())
		if err != nil || n != want {
			t.Errorf("%d pruned, %v, want %d", n, err, want)
		}
		consistent(t, s)
	}
	prune(0)
	c.add(DefaultRetention + time.Millisecond)
	put(t, s, flowAlert("new"), "ops@hook")
	prune(2*(2*chunk+10) - 2)
	if got := counts(t, s)["ops@hook"]; got.Delivered != 0 || got.Dead != 1 || got.Leased != 1 || got.Queued != 1 {
		t.Errorf("counts %+v", got)
	}
	if _, err := s.Show(t.Context(), dead); err != nil {
		t.Errorf("the dead letter is gone: %v", err)
	}
	settle(t, s, alert.Settlement{Delivery: waits.ID, State: alert.Delivered})
	prune(1)
	c.add(DefaultDeadRetention - DefaultRetention)
	prune(1)
	if _, err := s.Show(t.Context(), dead); !errors.Is(err, ErrNotFound) {
		t.Errorf("the dead letter is still there: %v", err)
	}
	if n := count(t, s, "SELECT count(*) FROM tried"); n != 0 {
		t.Errorf("%d attempts left", n)
	}
}

func TestProvision(t *testing.T) {
	s, _ := fresh(t)
	conf := func(eps []string, targets ...string) error {
		var es []EndpointRow
		for _, e := range eps {
			es = append(es, EndpointRow{Name: e, Type: "webhook", Config: json.RawMessage(`{"url": "file:secret"}`)})
		}
		var rs []RecipientRow
		for _, x := range to(targets...) {
			rs = append(rs, RecipientRow{Name: x.Recipient, Endpoint: x.Endpoint})
		}
		return s.Provision(t.Context(), es, rs)
	}
	ok(t, conf([]string{"a", "b"}, "ops@a", "net@a"))
	var es []Entry
	for range chunk + 3 {
		es = append(es, Entry{flowAlert("x"), to("ops@a", "net@a")})
	}
	ok(t, s.Store(t.Context(), es))
	leased := leaseN(t, s, "a", 3, 3)

	// ops goes, net moves to b and takes its own along.
	ok(t, conf([]string{"a", "b"}, "net@b"))
	got := counts(t, s)
	if c := got["ops@a"]; !c.Removed || c.Dead != chunk || c.Leased != 3 || c.Queued != 0 {
		t.Errorf("the removed recipient: %+v", c)
	}
	if c := got["net@b"]; c.Removed || c.Queued != chunk+3 {
		t.Errorf("the moved recipient: %+v", c)
	}
	leaseN(t, s, "a", 10, 0)
	leaseN(t, s, "b", 10, 10)
	// What was being sent to ops may end well, but is not tried again.
	settle(t, s, alert.Settlement{Delivery: leased[0].ID, State: alert.Delivered},
		alert.Settlement{Delivery: leased[1].ID, State: alert.Queued, Reason: "timeout"},
		alert.Settlement{Delivery: leased[2].ID, State: alert.Queued, Uncounted: true})
	const reason = "recipient ops was removed from the configuration"
	for _, d := range leased[1:] {
		r, err := s.Show(t.Context(), d.ID)
		ok(t, err)
		if r.State != alert.Dead || r.Reason != reason {
			t.Errorf("%v: %v", r.State, r.Reason)
		}
	}
	put(t, s, flowAlert("late"), "ops@a")
	if n := count(t, s, "SELECT count(*) FROM delivery WHERE state = 5 AND reason = ?", reason); n != chunk+3 {
		t.Errorf("%d dead letters, want %d", n, chunk+3)
	}
	if err := s.Retry(t.Context(), leased[1].ID); !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), "ops") {
		t.Errorf("retry for a removed recipient: %v", err)
	}
	if n, err := s.RetryAll(t.Context(), Filter{}); n != 0 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	consistent(t, s)

	// It comes back.
	ok(t, conf([]string{"a", "b"}, "net@b", "ops@a"))
	leaseN(t, s, "a", 10, 0)
	if n, err := s.RetryAll(t.Context(), Filter{Recipient: "ops"}); n != chunk+3 || err != nil {
		t.Errorf("retried %d, %v", n, err)
	}
	if d := lease1(t, s, "a"); d.Recipient != "ops" {
		t.Errorf("leased %+v", d.Target)
	}
	consistent(t, s)

	eps, rs, err := s.Configured(t.Context())
	ok(t, err)
	if len(eps) != 2 || eps[0].Name != "a" || eps[0].Type != "webhook" || string(eps[0].Config) != `{"url": "file:secret"}` || eps[0].Removed {
		t.Errorf("endpoints %+v", eps)
	}
	if len(rs) != 2 || rs[0].Name != "net" || rs[0].Endpoint != "b" {
		t.Errorf("recipients %+v", rs)
	}
}

func TestProvisionRefuses(t *testing.T) {
	s, _ := fresh(t)
	err := s.Provision(t.Context(),
		[]EndpointRow{{Name: "a"}, {Name: "a"}, {}, {Name: "c", Config: json.RawMessage(`{`)}},
		[]RecipientRow{{Name: "r", Endpoint: "b"}, {Name: "r", Endpoint: "a"}, {Endpoint: "a"}, {Name: "q", Endpoint: "a", Config: json.RawMessage(`x`)}})
	for _, want := range []string{
		"endpoint a is there twice", "an endpoint has no name", "endpoint c: its configuration is not JSON",
		`recipient r: there is no endpoint "b"`, "recipient r is there twice", "a recipient has no name", "recipient q: its configuration is not JSON",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM endpoint"); n != 0 {
		t.Errorf("%d endpoints stored", n)
	}
}
