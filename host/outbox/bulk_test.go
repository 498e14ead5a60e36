package outbox

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// TestStoreMany stores the same entries in one call, where they go many to a statement, and in a call each, and compares
// what the ledgers hold. Some go to none or to several, one is stored twice, one goes to a recipient that was removed, one
// follows, one has a silence window and some name a recipient for the first time.
func TestStoreMany(t *testing.T) {
	dir := t.TempDir()
	fill := func(name string, each bool) []string {
		c := newClock()
		s := open(t, filepath.Join(dir, name), Options{Now: c.now})
		ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook", Type: "webhook"}}, []RecipientRow{
			{Name: "ops@hook", Endpoint: "hook", Silence: time.Second}, {Name: "net@hook", Endpoint: "hook"}, {Name: "gone@hook", Endpoint: "hook"},
		}))
		ok(t, s.Provision(t.Context(), []EndpointRow{{Name: "hook", Type: "webhook"}}, []RecipientRow{
			{Name: "ops@hook", Endpoint: "hook", Silence: time.Second}, {Name: "net@hook", Endpoint: "hook"},
		}))
		var es []Entry
		for i := range 7*bulk + 3 {
			a := flowAlert(fmt.Sprintf("alert %03d", i))
			a.Severity = alert.Severity(i%5 + 1)
			e := Entry{a, to([]string{"ops@hook", "net@hook"}[:i%3]...)}
			switch i {
			case bulk + 3:
				e = es[2]
			case 2*bulk + 1:
				e.Targets = to("gone@hook")
			case 3*bulk + 2:
				e.Targets = to("ops@hook")
				e.Targets[0].Silence = "same"
			case 4*bulk + 1:
				e.Targets = to("net@hook")
				e.Targets[0].Follow = true
			case 5*bulk + 7:
				e.Targets = to("new@hook", "other@elsewhere")
			}
			es = append(es, e)
		}
		if each {
			for i := range es {
				ok(t, s.Store(t.Context(), es[i:i+1]))
			}
		} else {
			ok(t, s.Store(t.Context(), es))
		}
		consistent(t, s)
		if !woken(s, "hook") {
			t.Error("nobody was called")
		}
		rows, err := s.List(t.Context(), Filter{Limit: 1000})
		ok(t, err)
		var out []string
		for _, r := range rows {
			out = append(out, fmt.Sprintf("%s %v %d %s %s", r.Recipient, r.State, r.Attempts, r.Reason, message(t, alert.Delivery{Alert: r.Alert})))
		}
		slices.Sort(out)
		sev := count(t, s, `SELECT sum(severity * (1 + alert % 7)) FROM delivery`)
		return append(out, fmt.Sprint(sev, count(t, s, `SELECT count(*) FROM alert`), count(t, s, `SELECT count(*) FROM delivery WHERE same IS NOT NULL`)))
	}
	many, each := fill("many.db", false), fill("each.db", true)
	if !slices.Equal(many, each) {
		t.Errorf("in one call:\n%q\none by one:\n%q", many, each)
	}
	if want := 7*bulk + 2; len(many) < want {
		t.Errorf("%d deliveries; want at least %d", len(many)-1, want)
	}
}
