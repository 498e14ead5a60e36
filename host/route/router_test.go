package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// spec is a rule with its pools and window as they are written, for an implementation without any cleverness.
type spec struct {
	Rule
	pools, client, server []string
	held                  []string // hosts that a maintenance window from noon on holds back; nil: no window
}

// wants is the naive implementation: what the documentation says, read aloud.
func (s *spec) wants(a *alert.Alert, now time.Time) bool {
	any := func(n int, is func(int) bool) bool {
		for i := range n {
			if is(i) {
				return true
			}
		}
		return n == 0
	}
	if !any(len(s.Actions), func(i int) bool { return s.Actions[i] == a.Action }) ||
		!any(len(s.Kinds), func(i int) bool { return s.Kinds[i] == a.Kind }) || a.Severity < s.MinSeverity {
		return false
	}
	if len(s.Checks) > 0 {
		if !slices.Contains(s.Checks, a.Check) {
			return false
		}
	} else if !any(len(s.Categories), func(i int) bool { return s.Categories[i] == a.Category }) ||
		!any(len(s.Entities), func(i int) bool { return s.Entities[i] == a.Entity }) {
		return false
	}
	type party struct {
		addr, mac         string
		attacker, victim  bool
		local             bool
		isClient, isSerer bool
	}
	var parties []party
	switch {
	case a.Flow != nil:
		f := a.Flow
		parties = []party{
			{f.Client.String(), "", f.Attacker == alert.Client, f.Victim == alert.Client, f.ClientLoc, true, false},
			{f.Server.String(), "", f.Attacker == alert.Server, f.Victim == alert.Server, f.ServLoc, false, true},
		}
	case a.Host != nil:
		parties = []party{{a.Host.IP.String(), a.Host.MAC, a.Host.Attacker, a.Host.Victim, a.Host.Local, false, false}}
	case a.MAC != "":
		parties = []party{{"", a.MAC, false, false, true, false, false}}
	}
	in := func(p party, members []string) bool {
		for _, m := range members {
			if n, err := netip.ParsePrefix(m); err == nil && p.addr != "" && n.Contains(netip.MustParseAddr(p.addr).Unmap()) {
				return true
			}
			if m == p.mac || p.addr != "" && m == netip.MustParseAddr(p.addr).Unmap().String() {
				return true
			}
		}
		return false
	}
	if len(parties) > 0 {
		if a.Flow != nil {
			if len(s.client) > 0 && !in(parties[0], s.client) || len(s.server) > 0 && !in(parties[1], s.server) {
				return false
			}
		} else if both := slices.Concat(s.client, s.server); len(both) > 0 && !in(parties[0], both) {
			return false
		}
		if !slices.ContainsFunc(parties, func(p party) bool {
			return (len(s.pools) == 0 || in(p, s.pools)) &&
				any(len(s.Roles), func(i int) bool { return s.Roles[i] == Attacker && p.attacker || s.Roles[i] == Victim && p.victim }) &&
				any(len(s.Localities), func(i int) bool { return (s.Localities[i] == Local) == p.local })
		}) {
			return false
		}
	}
	if a.Action == alert.Release && a.Key != "" && any(len(s.Actions), func(i int) bool { return s.Actions[i] == alert.Engage }) {
		return true
	}
	if s.Muted {
		return false
	}
	return s.held == nil || now.Before(noon) || !slices.ContainsFunc(parties, func(p party) bool { return in(p, s.held) })
}

var (
	someAddrs = []string{"10.0.0.5", "10.0.0.6", "10.0.1.80", "203.0.113.9", "2001:db8::7", "2001:db9::1", "::ffff:10.0.0.5"}
	someMACs  = []string{"02:00:00:00:00:05", "02:00:00:00:00:06", ""}
	members   = []string{"10.0.0.5", "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "2001:db8::7", "::/0", "02:00:00:00:00:05", "203.0.113.8/31"}
	someCheck = []string{"host/a", "flow/b", "mac/c"}
)

func one[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// some gives a few of a list; usually none.
func some[T any](r *rand.Rand, from ...T) []T {
	var out []T
	for n := max(0, r.IntN(6)-3); n > 0; n-- {
		out = append(out, one(r, from))
	}
	return out
}

func randomSpec(t testing.TB, r *rand.Rand, i int) *spec {
	s := &spec{Rule: Rule{
		Recipient: fmt.Sprint("r", i), Endpoint: "hook", MinSeverity: alert.Severity(max(0, r.IntN(12)-6)),
		Actions: some(r, alert.Store, alert.Engage, alert.Release), Kinds: some(r, alert.KindAlert, alert.KindReport),
		Checks: some(r, someCheck...), Categories: some(r, alert.Other, alert.Security, alert.Network),
		Entities: some(r, alert.EntityHost, alert.EntityFlow, alert.EntityMAC, alert.EntityInterface),
		Roles:    some(r, Attacker, Victim), Localities: some(r, Local, Remote), Muted: r.IntN(10) == 0,
	}}
	s.pools, s.client, s.server = some(r, members...), some(r, members...), some(r, members...)
	for to, list := range map[*[]*Pool][]string{&s.Pools: s.pools, &s.ClientPools: s.client, &s.ServerPools: s.server} {
		for _, m := range list {
			*to = append(*to, pool(t, m))
		}
	}
	if s.held = some(r, members...); s.held != nil {
		s.Maintenance = []*Window{window(t, Maintenance{From: noon, Until: noon.Add(time.Hour), Pools: []*Pool{pool(t, s.held...)}})}
	}
	return s
}

func randomAlert(r *rand.Rand) *alert.Alert {
	a := &alert.Alert{
		Action: alert.Action(r.IntN(3)), Kind: alert.Kind(r.IntN(6) / 5), Severity: alert.Severity(r.IntN(9)), Check: one(r, someCheck),
		Category: alert.Category(r.IntN(4)), Key: one(r, []string{"", "k", "k"}),
	}
	addr := func() netip.Addr { return netip.MustParseAddr(one(r, someAddrs)) }
	yes := func() bool { return r.IntN(2) == 0 }
	switch r.IntN(4) {
	case 0:
		a.Entity = alert.EntityFlow
		a.Flow = &alert.Flow{Client: addr(), Server: addr(), ClientLoc: yes(), ServLoc: yes(), Attacker: alert.Role(r.IntN(3)), Victim: alert.Role(r.IntN(3))}
	case 1:
		a.Entity = alert.EntityHost
		a.Host = &alert.Host{IP: addr(), MAC: one(r, someMACs), Local: yes(), Attacker: yes(), Victim: yes()}
	case 2:
		a.Entity, a.MAC = alert.EntityMAC, someMACs[r.IntN(2)]
	default:
		a.Interface = "eth0"
	}
	return a
}

// agree compares the router with the naive implementation on random rules and alerts.
func agree(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	var specs []*spec
	var rules []Rule
	for i := range 1 + r.IntN(8) {
		s := randomSpec(t, r, i)
		specs, rules = append(specs, s), append(rules, s.Rule)
	}
	router := mustNew(t, rules...)
	for range 40 {
		a, now := randomAlert(r), noon.Add(time.Duration(r.IntN(3)-1)*time.Minute)
		var got, want []string
		for _, target := range router.Route(a, now) {
			got = append(got, target.Recipient)
		}
		for _, s := range specs {
			if s.wants(a, now) {
				want = append(want, s.Recipient)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: alert %+v flow %+v host %+v at %v\ngot  %v\nwant %v\nrules %+v", seed, a, a.Flow, a.Host, now, got, want, rules)
		}
	}
	for _, st := range router.Stats() {
		n := st.Matched
		for _, k := range st.Filtered {
			n += k
		}
		if n != 40 {
			t.Errorf("%d alerts counted of 40: %+v", n, st)
		}
	}
}

func TestAgainstNaive(t *testing.T) {
	for seed := range uint64(500) {
		agree(t, seed)
	}
}

func FuzzRoute(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(agree)
}

func FuzzPool(f *testing.F) {
	for _, m := range members {
		f.Add(m, "10.0.0.5")
	}
	f.Add("::ffff:10.0.0.0/104", "10.0.0.1")
	f.Add("::/63", "::1:0:0:0:0")
	f.Add("fe80::1%eth0", "fe80::1")
	f.Fuzz(func(t *testing.T, member, address string) {
		p, err := NewPool([]string{member, "192.0.2.0/25", "192.0.2.64/26"})
		a, aerr := netip.ParseAddr(address)
		if err != nil || aerr != nil {
			return
		}
		a = a.Unmap().WithZone("")
		want := netip.MustParsePrefix("192.0.2.0/25").Contains(a)
		if n, err := netip.ParsePrefix(strings.TrimSpace(member)); err == nil {
			if n.Addr().Is4In6() && n.Bits() >= 96 {
				n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
			}
			want = want || n.Contains(a)
		} else if m, err := netip.ParseAddr(strings.TrimSpace(member)); err == nil {
			want = want || m.Unmap() == a
		}
		if got := p.hasAddr(a); got != want {
			t.Errorf("%s in %s: %v, want %v", a, member, got, want)
		}
	})
}

func TestNewPoolRefuses(t *testing.T) {
	_, err := NewPool([]string{"10.0.0.300", "10.0.0.1", "fe80::1%eth0", "02:00:00:00:00", "02:00-00:00:00:00", "printer"})
	for _, want := range []string{`"10.0.0.300" is no host: write an address`, `"fe80::1%eth0"`, `"02:00:00:00:00"`, `"02:00-00:00:00:00"`, `"printer"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %s", err, want)
		}
	}
	if err != nil && strings.Contains(err.Error(), `"10.0.0.1"`) {
		t.Error("a right member is blamed:", err)
	}
}

// BenchmarkRoute routes one alert past recipients, of which none or one in five wants it.
func BenchmarkRoute(b *testing.B) {
	desks := pool(b, "10.0.0.0/24", "192.168.0.0/16", "2001:db8::/32")
	for _, n := range []int{1, 10, 100} {
		for _, wanted := range []bool{false, true} {
			b.Run(fmt.Sprintf("recipients=%d/wanted=%v", n, wanted), func(b *testing.B) {
				var rules []Rule
				for i := range n {
					c := Rule{Recipient: fmt.Sprint("r", i), Endpoint: "hook", Pools: []*Pool{desks}, Roles: []Role{Victim}}
					if wanted && i%5 == 0 {
						c.Checks, c.Roles = []string{"host/syn_scan", "flow/unexpected_dns"}, nil
					}
					rules = append(rules, c)
				}
				r := mustNew(b, rules...)
				a := deskAlert()
				want := 0
				if wanted {
					want = (n + 4) / 5
				}
				b.ReportAllocs()
				for b.Loop() {
					if len(r.Route(a, noon)) != want {
						b.Fatal("wrong targets")
					}
				}
			})
		}
	}
}

// TestRouteAllocs: an alert that nobody wants costs no memory.
func TestRouteAllocs(t *testing.T) {
	w := window(t, Maintenance{Schedule: "0 12 * * *", Duration: time.Hour, Location: time.UTC, Pools: []*Pool{pool(t, "10.0.0.0/8")}})
	r := mustNew(t,
		Rule{Recipient: "a", Endpoint: "hook", Checks: []string{"flow/x"}}, Rule{Recipient: "b", Endpoint: "hook", Pools: []*Pool{pool(t, "192.0.2.1", "02:00:00:00:00:77")}},
		Rule{Recipient: "c", Endpoint: "hook", Maintenance: []*Window{w}, Silence: []SilencePart{SameCheck, SameEntity}})
	a := deskAlert()
	if n := testing.AllocsPerRun(100, func() {
		if r.Route(a, noon) != nil {
			t.Error("somebody wants it")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkPool looks addresses up among ten thousand members.
func BenchmarkPool(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var list []string
	for i := range 10_000 {
		switch i % 4 {
		case 0:
			list = append(list, fmt.Sprintf("2001:db8:%x:%x::/64", r.IntN(1<<16), r.IntN(1<<16)))
		case 1:
			list = append(list, fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8&0xff, i&0xff))
		case 2:
			list = append(list, fmt.Sprintf("10.%d.%d.0/28", r.IntN(256), r.IntN(256)))
		default:
			list = append(list, fmt.Sprintf("10.%d.%d.%d", r.IntN(256), r.IntN(256), r.IntN(256)))
		}
	}
	b.Run("make", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = pool(b, list...)
		}
	})
	p := pool(b, list...)
	for _, address := range []string{"10.77.3.9", "2001:db8:77::1", "203.0.113.1"} {
		b.Run("lookup/"+address, func(b *testing.B) {
			h := host{addr: netip.MustParseAddr(address), mac: 1, hasMAC: true}
			b.ReportAllocs()
			for b.Loop() {
				p.has(&h)
			}
		})
	}
}
