package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/route"
)

const routed = `[[endpoint]]
name = "hook"
type = "webhook"
[[pool]]
name = "servers"
members = ["10.0.1.0/24", "2001:db8::7", "00:00:5e:00:53:01"]
[[pool]]
name = "guests"
members = ["10.0.9.0/24"]
[[maintenance]]
name = "backup"
schedule = "30 2 * * *"
duration = "1h"
timezone = "Europe/Rome"
pools = ["servers"]
hosts = ["192.0.2.7"]
[[maintenance]]
name = "move"
from = 2026-03-01T22:00:00+01:00
until = "2026-03-01T23:00:00Z"
recipients = ["ops"]
[[recipient]]
name = "ops"
endpoint = "hook"
pools = ["servers"]
client_pools = ["guests"]
server_pools = ["servers", "guests"]
roles = ["victim"]
locality = ["Local"]
active_monitoring_hosts = ["www.example.org", "2001:db8::80"]
notifications = ["alerts", "reports"]
silence = "10m"
muted = true
maintenance = ["backup"]
checks = ["host/syn_scan"]
[[recipient]]
name = "quiet"
endpoint = "hook"
silence = "1h"
silence_by = ["check"]
`

func TestRules(t *testing.T) {
	c, err := Parse("tocsin.toml", []byte(routed))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Rules()[0]
	if len(r.Pools) != 1 || len(r.ClientPools) != 1 || len(r.ServerPools) != 2 || r.Pools[0] != r.ServerPools[0] {
		t.Errorf("pools %v, %v, %v", r.Pools, r.ClientPools, r.ServerPools)
	}
	r.Pools, r.ClientPools, r.ServerPools = nil, nil, nil
	want := route.Rule{
		Recipient: "ops", Endpoint: "hook", Checks: []string{"host/syn_scan"}, AMHosts: []string{"www.example.org", "2001:db8::80"}, Muted: true,
		Kinds: []alert.Kind{alert.KindAlert, alert.KindReport}, Roles: []route.Role{route.Victim}, Localities: []route.Locality{route.Local},
		Silence: []route.SilencePart{route.SameCheck, route.SameEntity}, Maintenance: c.Windows(),
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("rule %+v\nwant %+v", r, want)
	}
	if r := c.Rules()[1]; !slices.Equal(r.Silence, []route.SilencePart{route.SameCheck}) || r.Maintenance != nil {
		t.Errorf("second rule %+v", r)
	}
	backup, move := c.Windows()[0], c.Windows()[1]
	for _, w := range []struct {
		w    *route.Window
		at   time.Time
		open bool
	}{
		{backup, time.Date(2026, 7, 1, 0, 30, 0, 0, time.UTC), true},
		{backup, time.Date(2026, 7, 1, 1, 30, 0, 0, time.UTC), false},
		{move, time.Date(2026, 3, 1, 21, 0, 0, 0, time.UTC), true},
		{move, time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC), false},
	} {
		if got := w.w.Open(w.at); got != w.open {
			t.Errorf("%s at %v: open %v", w.w.Name(), w.at, got)
		}
	}
	if _, err := route.New(c.Rules()); err != nil {
		t.Error(err)
	}
}

func TestRoutingMistakes(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"member", `"10.0.9.0/24"`, `"10.0.9.0/240"`, `tocsin.toml:9: pool "guests": "10.0.9.0/240" is no host: write an address`},
		{"two members", `"10.0.1.0/24", "2001:db8::7"`, `"a", "b"`, "tocsin.toml:6: pool \"servers\": \"a\" is no host: write an address (192.0.2.7, 2001:db8::7), a network (192.0.2.0/24) or a MAC address (00:00:5e:00:53:01)\ntocsin.toml:6: pool \"servers\": \"b\" is"},
		{"no members", `members = ["10.0.9.0/24"]`, ``, `tocsin.toml:7: pool "guests" has no members`},
		{"pool twice", `name = "guests"`, `name = "servers"`, `tocsin.toml:8: a second pool is named "servers"`},
		{"pool without name", `name = "guests"`, ``, `tocsin.toml:7: this pool has no name`},
		{"unknown pool", `client_pools = ["guests"]`, `client_pools = ["guest"]`, `tocsin.toml:26: recipient "ops": there is no pool "guest": did you mean "guests"?`},
		{"unknown pool, far", `client_pools = ["guests"]`, `client_pools = ["x"]`, `tocsin.toml:26: recipient "ops": there is no pool "x": it is one of servers, guests`},
		{"role", `"victim"`, `"villain"`, `tocsin.toml:28: recipient "ops": unknown role "villain": it is one of attacker, victim`},
		{"locality", `"Local"`, `"near"`, `tocsin.toml:29: recipient "ops": unknown locality "near": it is one of local, remote`},
		{"am host", `"www.example.org"`, `"www example"`, `tocsin.toml:30: recipient "ops": "www example" is neither a host name nor an address`},
		{"notification", `"reports"`, `"mails"`, `tocsin.toml:31: recipient "ops": unknown kind of notification "mails": it is one of alert, report`},
		{"silence", `silence = "1h"`, `silence = "1 hour"`, `tocsin.toml:39: recipient.silence: "1 hour" is no duration`},
		{"short silence", `silence = "10m"`, `silence = "10ns"`, `tocsin.toml:32: recipient "ops": a silence of 10ns is too short`},
		{"silence_by", `["check"]`, `["check", "port"]`, `tocsin.toml:40: recipient "quiet": unknown part of a silence key "port": it is one of check, entity`},
		{"silence_by alone", "silence = \"1h\"\n", "", `tocsin.toml:39: recipient "quiet": silence_by says nothing without silence`},
		{"muted", `muted = true`, `muted = "yes"`, `tocsin.toml:33: `},
		{"key", `muted = true`, `mute = true`, `tocsin.toml:33: recipient.mute: unknown key; did you mean "muted"?`},
		{"unknown maintenance", `maintenance = ["backup"]`, `maintenance = ["backups", "backup"]`, `tocsin.toml:34: recipient "ops": there is no maintenance "backups": did you mean "backup"?`},
		{"check", `"host/syn_scan"`, `"syn_scan"`, `tocsin.toml:35: recipient "ops": "syn_scan" is not the key of a check`},
		{"schedule", `"30 2 * * *"`, `"30 25 * * *"`, `tocsin.toml:12: maintenance "backup": schedule "30 25 * * *": end of range (25) above maximum (23)`},
		{"duration", `duration = "1h"`, ``, `tocsin.toml:12: maintenance "backup": it has a schedule and no duration`},
		{"timezone", `"Europe/Rome"`, `"Rome"`, `tocsin.toml:14: maintenance "backup": there is no time zone "Rome": write its IANA name`},
		{"maintenance pool", `pools = ["servers"]` + "\nhosts", `pools = ["server"]` + "\nhosts", `tocsin.toml:15: maintenance "backup": there is no pool "server": did you mean "servers"?`},
		{"maintenance host", `"192.0.2.7"`, `"192.0.2.700"`, `tocsin.toml:16: maintenance "backup": "192.0.2.700" is no host`},
		{"no offset", `2026-03-01T22:00:00+01:00`, `2026-03-01T22:00:00`, `tocsin.toml:19: maintenance.from: the time has no offset from UTC: write it like`},
		{"no date", `"2026-03-01T23:00:00Z"`, `"tomorrow"`, `tocsin.toml:20: maintenance.until: "tomorrow" is no time: write it like`},
		{"until first", `"2026-03-01T23:00:00Z"`, `"2026-02-01T23:00:00Z"`, `tocsin.toml:19: maintenance "move": until is not after from`},
		{"no time", "from = 2026-03-01T22:00:00+01:00\n", "", `tocsin.toml:17: maintenance "move": it says not when it is open`},
		{"maintenance recipient", `recipients = ["ops"]`, `recipients = ["oops"]`, `tocsin.toml:21: maintenance "move": there is no recipient "oops": did you mean "ops"?`},
		{"held by nobody", `recipients = ["ops"]`, ``, `tocsin.toml:17: maintenance "move": it holds nothing back: add recipients`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(routed, c.from) {
				t.Fatal("there is nothing to replace")
			}
			_, err := Parse("tocsin.toml", []byte(strings.Replace(routed, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestAllMistakes wants every mistake of a file told at once.
func TestAllMistakes(t *testing.T) {
	text := routed
	for from, to := range map[string]string{
		`"victim"`: `"x1"`, `"Local"`: `"x2", "x3"`, `client_pools = ["guests"]`: `client_pools = ["x4"]`, `"Europe/Rome"`: `"x5"`, `["check"]`: `["x6"]`,
		`maintenance = ["backup"]`: `maintenance = ["x7", "backup"]`, `"10.0.9.0/24"`: `"x8"`,
	} {
		text = strings.Replace(text, from, to, 1)
	}
	_, err := Parse("tocsin.toml", []byte(text))
	for _, want := range []string{"x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8"} {
		if err == nil || !strings.Contains(err.Error(), `"`+want+`"`) {
			t.Errorf("%s is not told in:\n%v", want, err)
		}
	}
}
