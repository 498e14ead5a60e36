package outbox

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

func ranked(sev alert.Severity, text string) *alert.Alert {
	a := flowAlert(text)
	a.Severity, a.Score = sev, 10*int(sev)
	return a
}

func dropped(t testing.TB, s *Store) string {
	t.Helper()
	ds, err := s.Dropped(t.Context())
	ok(t, err)
	var out []string
	for _, d := range ds {
		out = append(out, fmt.Sprintf("%s %s %d", d.Recipient, d.Severity, d.N))
	}
	return strings.Join(out, ", ")
}

func bounded(t testing.TB, o Options) (*Store, *clock) {
	t.Helper()
	c := newClock()
	o.Now = c.now
	s := open(t, filepath.Join(t.TempDir(), "o.db"), o)
	s.chunk = chunk
	return s, c
}

// A full queue gives up the oldest of the lowest severity, never one of the newcomer's severity or above, and counts it.
func TestQueueBound(t *testing.T) {
	s, c := bounded(t, Options{MaxQueue: 4})
	begin := c.now()
	for i, sev := range []alert.Severity{alert.Notice, alert.Warning, alert.Notice, alert.Error} {
		put(t, s, ranked(sev, fmt.Sprint(i)), "ops@hook")
		c.add(time.Second)
	}
	put(t, s, ranked(alert.Notice, "late"), "ops@hook", "net@hook") // nothing is lower: it is dropped itself
	c.add(time.Second)
	put(t, s, ranked(alert.Warning, "5"), "net@hook") // in place of 0
	put(t, s, ranked(alert.Error, "6"), "net@hook")   // in place of 2
	put(t, s, ranked(alert.Error, "7"), "ops@hook")   // in place of 1
	put(t, s, ranked(alert.Critical, "8"), "ops@hook")
	c.add(time.Second)
	put(t, s, ranked(alert.Critical, "9"), "net@hook") // in place of 3
	if got, want := dropped(t, s), "net warning 1, net notice 1, ops error 1, ops warning 1, ops notice 3"; got != want {
		t.Errorf("dropped %s, want %s", got, want)
	}
	ds, err := s.Dropped(t.Context())
	ok(t, err)
	if d := ds[4]; !d.First.Equal(begin.Add(4*time.Second)) || !d.Last.Equal(begin.Add(5*time.Second)) {
		t.Errorf("dropped from %v to %v", d.First, d.Last)
	}
	var left []string
	for _, limit := range []int{9, 9} {
		for _, d := range func() []alert.Delivery { ds, err := s.Lease(t.Context(), "hook", limit); ok(t, err); return ds }() {
			left = append(left, message(t, d))
		}
	}
	slices.Sort(left)
	if got := strings.Join(left, " "); got != "6 7 8 9" {
		t.Errorf("left %s", got)
	}
	// What is being sent has its place, and is never given up.
	put(t, s, ranked(alert.Emergency, "no room"), "ops@hook")
	if n := count(t, s, "SELECT count(*) FROM delivery"); n != 4 {
		t.Errorf("%d deliveries", n)
	}
	if n := count(t, s, "SELECT count(*) FROM alert"); n != 11 {
		t.Errorf("%d alerts in the ledger: each stays", n)
	}
	consistent(t, s)
	ok(t, s.AddDropped(t.Context(), []Drop{{Recipient: "chat", Severity: alert.Info, N: 7, First: begin, Last: begin}, {Recipient: "ops", Severity: alert.Notice, N: 2, First: begin, Last: begin}}))
	if got := dropped(t, s); !strings.Contains(got, "chat info 7") || !strings.Contains(got, "ops notice 5") {
		t.Errorf("dropped %s", got)
	}
}

// Whatever comes in whatever order, the most severe are what is kept.
func TestQueueKeepsTheWorst(t *testing.T) {
	const most = 20
	s, c := bounded(t, Options{MaxQueue: most})
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var all []int
	for range 30 {
		var es []Entry
		for range rnd.IntN(20) {
			sev := alert.Severity(rnd.IntN(9))
			targets := to("ops@hook", "net@hook", "chat@telegram")[:1+rnd.IntN(3)]
			for range targets {
				all = append(all, int(sev))
			}
			es = append(es, Entry{ranked(sev, "x"), targets})
		}
		ok(t, s.Store(t.Context(), es))
		c.add(time.Millisecond)
	}
	slices.Sort(all)
	slices.Reverse(all)
	var kept []int
	for sev := 8; sev >= 0; sev-- {
		for range count(t, s, "SELECT count(*) FROM delivery WHERE severity = ?", sev) {
			kept = append(kept, sev)
		}
	}
	if !slices.Equal(kept, all[:most]) {
		t.Errorf("seed %d: kept %v, want %v", seed, kept, all[:most])
	}
	if n := count(t, s, "SELECT sum(n) FROM dropped"); n != len(all)-most {
		t.Errorf("seed %d: %d dropped of %d", seed, n, len(all))
	}
	consistent(t, s)
}

// What is dropped is told at once, and then once a minute.
func TestDropLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		var mu sync.Mutex
		l := dropLog{log: slog.New(slog.NewTextHandler(&b, nil)), sum: map[dropKey]int64{}}
		l.lock = func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
		for range 200 {
			l.lock(func() { l.add(map[dropKey]int64{{"ops", 3}: 2, {"net", 4}: 1}) })
			<-time.After(time.Second)
		}
		l.lock(l.stop)
		<-time.After(time.Hour)
		var lines []string
		for line := range strings.Lines(b.String()) {
			_, what, _ := strings.Cut(line, "dropped=")
			lines = append(lines, strings.TrimSpace(what))
		}
		if len(lines) < 4 || len(lines) > 5 || lines[0] != `3 by_recipient_and_severity="net warning 1, ops notice 2"` {
			t.Errorf("log:\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestMaxDead(t *testing.T) {
	s, _ := bounded(t, Options{MaxDead: 50})
	for i := range 123 {
		put(t, s, ranked(alert.Warning, fmt.Sprint(i)), "ops@hook")
		kill(t, s, "hook", "refused")
	}
	_, err := s.Prune(t.Context())
	ok(t, err)
	rows, err := s.List(t.Context(), Filter{Limit: 1000})
	ok(t, err)
	if got := dropped(t, s); len(rows) != 50 || !strings.Contains(string(rows[49].Alert), `"73"`) || got != "ops warning 73" {
		t.Errorf("%d dead letters, dropped %s", len(rows), got)
	}
	consistent(t, s)
}
