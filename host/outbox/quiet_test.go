package outbox

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// quietable is an outbox whose recipient ops can be muted, wholly or for what mentions a word.
func quietable(t testing.TB) (s *Store, c *clock, mute func(word string)) {
	t.Helper()
	var word atomic.Pointer[string]
	c = newClock()
	s = open(t, filepath.Join(t.TempDir(), "o.db"), Options{
		Now: c.now, Digest: DigestPolicy{Over: 20, After: time.Hour, Keep: alert.Error},
		Quiet: func(recipient string, text []byte, now time.Time) string {
			w := word.Load()
			switch {
			case recipient != "ops" || w == nil || *w == "" || !now.Equal(c.now()):
				return ""
			case *w == "all":
				return "muted"
			case text != nil && strings.Contains(string(text), *w):
				return "maintenance " + *w
			}
			return ""
		},
	})
	s.chunk = chunk
	return s, c, func(w string) { word.Store(&w) }
}

// later makes deliveries wait in the indexes, as those of an endpoint that was on hold.
func later(t testing.TB, s *Store, f func()) {
	t.Helper()
	ok(t, s.SetHold(t.Context(), alert.Hold{Endpoint: "hook", Until: s.now().Add(time.Hour)}))
	f()
	ok(t, s.ClearHold(t.Context(), "hook"))
}

// TestMutedWhileQueued: what waits when its recipient is muted is not sent when its turn comes, and says why; what is due
// later, and other recipients, are not touched.
func TestMutedWhileQueued(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprint("fresh ", fresh), func(t *testing.T) {
			s, c, mute := quietable(t)
			fill := func() {
				for i := range 2*chunk + 3 {
					put(t, s, flowAlert(fmt.Sprint(i)), "ops@hook")
				}
				put(t, s, flowAlert("other"), "net@hook")
			}
			if fresh {
				fill()
			} else {
				later(t, s, fill)
			}
			d := lease1(t, s, "hook")
			for d.Recipient != "ops" {
				d = lease1(t, s, "hook")
			}
			settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Queued, NotBefore: c.now().Add(time.Minute), Reason: "refused"})
			mute("all")
			for range 5 {
				ds, err := s.Lease(t.Context(), "hook", 10)
				ok(t, err)
				for _, d := range ds {
					if d.Recipient == "ops" {
						t.Errorf("%s was leased", messages(t, ds))
					}
				}
			}
			got := counts(t, s)
			if o := got["ops@hook"]; o.Silenced != 2*chunk+2 || o.Queued != 1 {
				t.Errorf("ops: %+v", o)
			}
			if o := got["net@hook"]; o.Leased != 1 || o.Silenced != 0 {
				t.Errorf("net: %+v", o)
			}
			rows, err := s.List(t.Context(), Filter{States: []alert.State{alert.Silenced}, Limit: 1})
			ok(t, err)
			if rows[0].Reason != "muted" {
				t.Errorf("reason %q", rows[0].Reason)
			}
			// The mute ends before the turn of this one.
			c.add(time.Minute)
			mute("")
			if again := lease1(t, s, "hook"); again.ID != d.ID {
				t.Errorf("leased %+v", again)
			}
			consistent(t, s)
		})
	}
}

// TestMaintenanceWhileQueued: a window that is about some hosts holds back what is about them.
func TestMaintenanceWhileQueued(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		t.Run(fmt.Sprint("fresh ", fresh), func(t *testing.T) {
			s, _, mute := quietable(t)
			fill := func() {
				for i := range 10 {
					put(t, s, flowAlert([]string{"web", "mail", "web"}[i%3]), "ops@hook")
				}
			}
			if fresh {
				fill()
			} else {
				later(t, s, fill)
			}
			mute("web")
			var got []string
			for range 10 {
				ds, err := s.Lease(t.Context(), "hook", 10)
				ok(t, err)
				got = append(got, messages(t, ds))
			}
			if text := strings.Join(strings.Fields(strings.Join(got, " ")), " "); text != "ops:mail ops:mail ops:mail" {
				t.Errorf("leased %s", text)
			}
			if o := counts(t, s)["ops@hook"]; o.Silenced != 7 || o.Leased != 3 {
				t.Errorf("counts %+v", o)
			}
			rows, err := s.List(t.Context(), Filter{States: []alert.State{alert.Silenced}, Limit: 1})
			ok(t, err)
			if rows[0].Reason != "maintenance web" {
				t.Errorf("reason %q", rows[0].Reason)
			}
			consistent(t, s)
		})
	}
}

// TestMutedReleases: the release of what was sent before the mute is sent, that of what was held back is held back with it.
func TestMutedReleases(t *testing.T) {
	s, _, mute := quietable(t)
	put(t, s, hostAlert("sent", alert.Engage), "ops@hook")
	settle(t, s, alert.Settlement{Delivery: lease1(t, s, "hook").ID, State: alert.Delivered, ProviderID: "m1"})
	put(t, s, hostAlert("waits", alert.Engage), "ops@hook")
	put(t, s, hostAlert("waits", alert.Release), "ops@hook")
	put(t, s, hostAlert("sent", alert.Release), "ops@hook")
	put(t, s, hostAlert("unknown", alert.Release), "ops@hook")
	mute("all")
	if d := lease1(t, s, "hook"); message(t, d) != "sent" || d.ProviderID != "m1" {
		t.Errorf("leased %+v", d)
	}
	leaseN(t, s, "hook", 10, 0)
	wantStates(t, s, "delivered silenced silenced leased silenced")
	// Nor does a release that comes now follow an engage that was held back.
	mute("")
	ok(t, s.Store(t.Context(), []Entry{{hostAlert("waits", alert.Release), []alert.Target{{Recipient: "ops", Endpoint: "hook", Follow: true}}}}))
	leaseN(t, s, "hook", 10, 0)
	consistent(t, s)
}

// TestMutedDigest: neither a digest that waits nor what it stands for is sent; and what is muted goes into none.
func TestMutedDigest(t *testing.T) {
	s, c, mute := quietable(t)
	fill := func() {
		later(t, s, func() {
			for range 30 {
				put(t, s, ranked(alert.Notice, "web"), "ops@hook")
			}
			for range 30 {
				put(t, s, ranked(alert.Notice, "mail"), "ops@hook")
			}
			c.add(2 * time.Hour)
		})
	}
	fill()
	digests(t, s, 60)
	mute("all")
	for range 20 {
		leaseN(t, s, "hook", 10, 0)
	}
	if o := counts(t, s)["ops@hook"]; o.Silenced != 61 || o.Queued+o.Digested != 0 {
		t.Errorf("counts %+v", o)
	}
	mute("")
	fill()
	mute("all")
	digests(t, s, 0)
	mute("web")
	digests(t, s, 30)
	if d := lease1(t, s, "hook"); !strings.Contains(string(d.Alert), "Digest of 30 alerts") || strings.Contains(string(d.Alert), "web") {
		t.Errorf("leased %s", d.Alert)
	}
	if o := counts(t, s)["ops@hook"]; o.Silenced != 61+30 || o.Digested != 30 {
		t.Errorf("counts %+v", o)
	}
	consistent(t, s)
}
