package app

import (
	"fmt"
	"testing"

	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
)

// TestAllowNeedsWishAndGrant has a thing allowed only if it was both asked for and granted.
func TestAllowNeedsWishAndGrant(t *testing.T) {
	wish := &plugin.ExecWish{Reason: "r"}
	all := &plugin.Manifest{
		Net:  []plugin.NetWish{{Scheme: "smtp", Host: "{endpoint.server}"}, {Scheme: "syslog", Host: "log.example", Port: 514}},
		Exec: wish, Ban: wish, Syslog: wish,
	}
	granted := func(ws ...store.Wish) *store.Grants {
		g := &store.Grants{Known: true}
		for _, w := range ws {
			g.List = append(g.List, &store.Grant{Wish: w})
		}
		return g
	}
	for _, c := range []struct {
		name    string
		m       *plugin.Manifest
		granted *store.Grants
		want    string // grants, exec, ban, local syslog
	}{
		{"first use", all, &store.Grants{}, "[smtp://mail.example syslog://log.example:514] true true true"},
		{"all granted", all, granted(store.Wishes(all)...), "[smtp://mail.example syslog://log.example:514] true true true"},
		{"nothing granted", all, granted(), "[] false false false"},
		{"ban alone", all, granted(store.WishBan), "[] false true false"},
		{"syslog, not that of this machine", all, granted("syslog://log.example:514"), "[syslog://log.example:514] false false false"},
		{"syslog of this machine alone", all, granted(store.WishSyslog), "[] false false true"},
		{"granted, not asked for", &plugin.Manifest{Exec: wish}, granted(store.WishBan, store.WishSyslog, store.WishExec), "[] true false false"},
	} {
		l := &live{secrets: egress.NewSecrets(), params: part{real: map[string]any{"server": "mail.example"}}}
		if err := l.allow(c.granted, c.m); err != nil {
			t.Fatal(err)
		}
		p := l.policy.Load()
		if got := fmt.Sprintf("%v %v %v %v", p.Grants, p.Exec, p.Ban, p.LocalSyslog); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
