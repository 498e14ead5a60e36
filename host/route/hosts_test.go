package route

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

func pool(t testing.TB, members ...string) *Pool {
	t.Helper()
	p, err := NewPool(members)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The hosts of the alerts below: one workstation, one server, one stranger.
const (
	desk     = "10.0.0.5"
	deskMAC  = "02:00:00:00:00:05"
	web      = "10.0.1.80"
	stranger = "203.0.113.9"
)

// webFlow is from the desk to the web server, hostile is the stranger's attack on the web server.
func webFlow() *alert.Alert {
	return &alert.Alert{
		Check: "flow/tls_certificate_expired", Entity: alert.EntityFlow, Severity: alert.Error,
		Flow: &alert.Flow{Client: netip.MustParseAddr(desk), ClientPort: 40000, Server: netip.MustParseAddr(web), ServerPort: 443, ClientLoc: true, ServLoc: true},
	}
}

func hostile() *alert.Alert {
	a := webFlow()
	a.Flow.Client, a.Flow.ClientLoc, a.Flow.Attacker, a.Flow.Victim = netip.MustParseAddr(stranger), false, alert.Client, alert.Server
	return a
}

func deskAlert() *alert.Alert {
	return &alert.Alert{
		Check: "host/syn_scan", Entity: alert.EntityHost, Severity: alert.Error, Action: alert.Engage, Key: "k",
		Host: &alert.Host{IP: netip.MustParseAddr(desk), MAC: deskMAC, Local: true, Attacker: true},
	}
}

func TestHostFilters(t *testing.T) {
	desks, servers, world, devices := pool(t, "10.0.0.0/24"), pool(t, web), pool(t, "0.0.0.0/0"), pool(t, "02-00-00-00-00-05")
	macAlert := &alert.Alert{Entity: alert.EntityMAC, MAC: deskMAC}
	iface := &alert.Alert{Entity: alert.EntityInterface, Interface: "eth0"}
	am := &alert.Alert{Entity: alert.EntityAMHost, Name: "WWW.example.org."}
	mapped := deskAlert()
	mapped.Host.IP = netip.MustParseAddr("::ffff:" + desk)
	for name, c := range map[string]struct {
		rule Rule
		a    *alert.Alert
		by   string // the filter that refuses it; empty: it matches
	}{
		"pool, client":                  {Rule{Pools: []*Pool{desks}}, webFlow(), ""},
		"pool, server":                  {Rule{Pools: []*Pool{servers}}, webFlow(), ""},
		"pool, neither":                 {Rule{Pools: []*Pool{desks}}, hostile(), "pool"},
		"two pools":                     {Rule{Pools: []*Pool{desks, servers}}, hostile(), ""},
		"pool, host":                    {Rule{Pools: []*Pool{desks}}, deskAlert(), ""},
		"pool, host by MAC":             {Rule{Pools: []*Pool{devices}}, deskAlert(), ""},
		"pool, mapped address":          {Rule{Pools: []*Pool{desks}}, mapped, ""},
		"pool, MAC":                     {Rule{Pools: []*Pool{devices}}, macAlert, ""},
		"pool, other MAC":               {Rule{Pools: []*Pool{desks}}, macAlert, "pool"},
		"pool, no host":                 {Rule{Pools: []*Pool{desks}, Roles: []Role{Victim}, Localities: []Locality{Remote}}, iface, ""},
		"client pool":                   {Rule{ClientPools: []*Pool{desks}}, webFlow(), ""},
		"client pool, it is the server": {Rule{ClientPools: []*Pool{servers}}, webFlow(), "client_pool"},
		"server pool":                   {Rule{ServerPools: []*Pool{servers}}, webFlow(), ""},
		"server pool, it is the client": {Rule{ServerPools: []*Pool{desks}}, webFlow(), "server_pool"},
		"both sides":                    {Rule{ClientPools: []*Pool{desks}, ServerPools: []*Pool{servers}}, webFlow(), ""},
		"both sides, one wrong":         {Rule{ClientPools: []*Pool{desks}, ServerPools: []*Pool{servers}}, hostile(), "client_pool"},
		"a host has no sides":           {Rule{ClientPools: []*Pool{servers}, ServerPools: []*Pool{desks}}, deskAlert(), ""},
		"a host, server pool":           {Rule{ServerPools: []*Pool{servers}}, deskAlert(), "server_pool"},
		"role":                          {Rule{Roles: []Role{Attacker}}, hostile(), ""},
		"role unknown":                  {Rule{Roles: []Role{Attacker, Victim}}, webFlow(), "role"},
		"role, host":                    {Rule{Roles: []Role{Victim}}, deskAlert(), "role"},
		"pool and role, other hosts":    {Rule{Pools: []*Pool{servers}, Roles: []Role{Attacker}}, hostile(), "role"},
		"pool and role, one host":       {Rule{Pools: []*Pool{servers}, Roles: []Role{Victim}}, hostile(), ""},
		"locality":                      {Rule{Localities: []Locality{Remote}}, hostile(), ""},
		"locality, none":                {Rule{Localities: []Locality{Remote}}, webFlow(), "locality"},
		"role and locality, other":      {Rule{Roles: []Role{Attacker}, Localities: []Locality{Local}}, hostile(), "locality"},
		"all three":                     {Rule{Pools: []*Pool{world}, Roles: []Role{Attacker}, Localities: []Locality{Remote}}, hostile(), ""},
		"checks do not set pools aside": {Rule{Checks: []string{"host/syn_scan"}, Pools: []*Pool{servers}}, deskAlert(), "pool"},
		"am host":                       {Rule{AMHosts: []string{"www.example.org"}}, am, ""},
		"other am host":                 {Rule{AMHosts: []string{"192.0.2.1", "mail.example.org"}}, am, "am_host"},
		"am hosts are of their entity":  {Rule{AMHosts: []string{"mail.example.org"}}, deskAlert(), ""},
		"alerts only":                   {Rule{Kinds: []alert.Kind{alert.KindAlert}}, &alert.Alert{Kind: alert.KindReport}, "kind"},
		"reports too":                   {Rule{}, &alert.Alert{Kind: alert.KindReport}, ""},
		"muted":                         {Rule{Muted: true}, deskAlert(), "muted"},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Recipient, c.rule.Endpoint = "ops", "hook"
			r := mustNew(t, c.rule)
			got := r.Route(c.a, noon)
			st := r.Stats()[0]
			if c.by == "" {
				if len(got) != 1 || st.Matched != 1 {
					t.Errorf("refused: %+v", st)
				}
			} else if got != nil || !reflect.DeepEqual(st.Filtered, counts{c.by: 1}) {
				t.Errorf("targets %v, filtered %v, want it refused by %s", got, st.Filtered, c.by)
			}
		})
	}
}

// TestReleaseFollows: what is held back for a time holds no release back, for the engage may have gone through.
func TestReleaseFollows(t *testing.T) {
	once, err := NewWindow(Maintenance{Name: "move", From: noon, Until: noon.Add(time.Hour), Pools: []*Pool{pool(t, desk)}})
	if err != nil {
		t.Fatal(err)
	}
	r := mustNew(t,
		Rule{Recipient: "plain", Endpoint: "hook", Silence: []SilencePart{SameCheck}},
		Rule{Recipient: "muted", Endpoint: "hook", Muted: true},
		Rule{Recipient: "window", Endpoint: "hook", Maintenance: []*Window{once}},
		Rule{Recipient: "releases", Endpoint: "hook", Actions: []alert.Action{alert.Release}},
		Rule{Recipient: "none", Endpoint: "hook", Actions: []alert.Action{alert.Engage}, Muted: true},
		Rule{Recipient: "mute releases", Endpoint: "hook", Actions: []alert.Action{alert.Release}, Muted: true},
		Rule{Recipient: "severe", Endpoint: "hook", MinSeverity: alert.Emergency},
	)
	at := func(name string, follow bool, silence string) alert.Target {
		return alert.Target{Recipient: name, Endpoint: "hook", Follow: follow, Silence: silence}
	}
	check := func(what string, a *alert.Alert, now time.Time, want ...alert.Target) {
		t.Helper()
		if got := r.Route(a, now); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	engage, release, stranger := deskAlert(), deskAlert(), deskAlert()
	release.Action = alert.Release
	stranger.Host = &alert.Host{IP: netip.MustParseAddr(web)}
	plain := at("plain", false, "host/syn_scan")
	check("engage before", engage, noon.Add(-time.Second), plain, at("window", false, ""))
	check("engage during", engage, noon, plain)
	check("engage of another host during", stranger, noon, plain, at("window", false, ""))
	check("engage after", engage, noon.Add(time.Hour), plain, at("window", false, ""))
	check("release during", release, noon, at("plain", true, ""), at("muted", true, ""), at("window", true, ""), at("releases", false, ""))
	release.Key = "" // a release of nothing that is known
	check("release without key", release, noon, at("plain", false, ""), at("releases", false, ""))
	if got := r.Stats()[2].Filtered; !reflect.DeepEqual(got, counts{"maintenance": 2}) {
		t.Errorf("filtered %v", got)
	}
}

func TestSilenceKey(t *testing.T) {
	key := func(a *alert.Alert, parts ...SilencePart) string {
		got := mustNew(t, Rule{Recipient: "ops", Endpoint: "hook", Silence: parts}).Route(a, noon)
		return got[0].Silence
	}
	vlan := deskAlert()
	vlan.Host.VLAN = 7
	port := webFlow()
	port.Flow.ClientPort = 40001
	report := webFlow()
	report.Kind = alert.KindReport
	for _, c := range []struct {
		got, want string
	}{
		{key(webFlow(), SameCheck, SameEntity), "flow/tls_certificate_expired\tflow\t10.0.0.5\t10.0.1.80"},
		{key(port, SameCheck, SameEntity), "flow/tls_certificate_expired\tflow\t10.0.0.5\t10.0.1.80"},
		{key(webFlow(), SameEntity), "\tflow\t10.0.0.5\t10.0.1.80"},
		{key(vlan, SameEntity), "\thost\t10.0.0.5\tvlan 7"},
		{key(deskAlert(), SameCheck), "host/syn_scan"},
		{key(&alert.Alert{Entity: alert.EntityMAC, MAC: deskMAC, Check: "mac/x"}, SameCheck, SameEntity), "mac/x\tmac\t" + deskMAC},
		{key(&alert.Alert{Entity: alert.EntityInterface, Interface: "eth0"}, SameEntity), "\tinterface\teth0"},
		{key(report, SameCheck), ""},
		{key(webFlow()), ""},
	} {
		if c.got != c.want {
			t.Errorf("key %q, want %q", c.got, c.want)
		}
	}
}

// TestQuiet asks of alerts that wait, by their JSON, what Route is asked of new ones: both say the same.
func TestQuiet(t *testing.T) {
	window := func(name string, members ...string) *Window {
		m := Maintenance{Name: name, From: noon, Until: noon.Add(time.Hour)}
		if len(members) > 0 {
			m.Pools = []*Pool{pool(t, members...)}
		}
		w, err := NewWindow(m)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	r := mustNew(t,
		Rule{Recipient: "free", Endpoint: "hook"},
		Rule{Recipient: "muted", Endpoint: "hook", Muted: true, Maintenance: []*Window{window("move")}},
		Rule{Recipient: "move", Endpoint: "hook", Maintenance: []*Window{window("move")}},
		Rule{Recipient: "desk", Endpoint: "hook", Maintenance: []*Window{window("desks", desk)}},
		Rule{Recipient: "mac", Endpoint: "hook", Maintenance: []*Window{window("devices", deskMAC)}},
		Rule{Recipient: "servers", Endpoint: "hook", Maintenance: []*Window{window("nobody", "192.0.2.1"), window("servers", web, "198.51.100.0/24")}},
	)
	names := []string{"free", "muted", "move", "desk", "mac", "servers"}
	alerts := map[string]*alert.Alert{
		"flow": webFlow(), "attack": hostile(), "host": deskAlert(), "device": {Entity: alert.EntityMAC, MAC: deskMAC},
		"interface": {Entity: alert.EntityInterface, Interface: "eth0"}, "am host": {Entity: alert.EntityAMHost, Name: "198.51.100.7"},
		"am host by name": {Entity: alert.EntityAMHost, Name: "www.example.org"}, "system": {Entity: alert.EntitySystem},
	}
	for what, a := range alerts {
		text, err := a.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, now := range []time.Time{noon.Add(-time.Second), noon, noon.Add(time.Hour)} {
			routed := map[string]bool{}
			for _, target := range r.Route(a, now) {
				routed[target.Recipient] = true
			}
			for _, name := range names {
				if why := r.Quiet(name, text, now); (why == "") != routed[name] {
					t.Errorf("%s for %s at %v: routed %v, while waiting %q", what, name, now, routed[name], why)
				}
			}
		}
	}
	text, err := hostile().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		recipient string
		text      []byte
		want      string
	}{
		{"muted", nil, "muted"},
		{"move", nil, "maintenance move"},
		{"servers", nil, ""},
		{"servers", text, "maintenance servers"},
		{"free", nil, ""},
		{"unknown", text, ""},
		{"servers", []byte("{"), ""},
	} {
		if got := r.Quiet(c.recipient, c.text, noon); got != c.want {
			t.Errorf("%s, %.20q: %q, want %q", c.recipient, c.text, got, c.want)
		}
	}
}

// BenchmarkQuiet is asked for every delivery that is leased: while a window about some hosts is open, and of a recipient that
// has no window.
func BenchmarkQuiet(b *testing.B) {
	w, err := NewWindow(Maintenance{Name: "move", From: noon, Until: noon.Add(time.Hour), Pools: []*Pool{pool(b, web)}})
	if err != nil {
		b.Fatal(err)
	}
	r := mustNew(b, Rule{Recipient: "free", Endpoint: "hook"}, Rule{Recipient: "move", Endpoint: "hook", Maintenance: []*Window{w}})
	text, err := deskAlert().MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	for name, at := range map[string]time.Time{"free": noon, "move": noon, "closed": noon.Add(-time.Hour)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			recipient := name
			if name == "closed" {
				recipient = "move"
			}
			for b.Loop() {
				if r.Quiet(recipient, text, at) != "" {
					b.Fatal("held back")
				}
			}
		})
	}
}
