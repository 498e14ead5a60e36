package route

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// counts are a recipient's by filter.
type counts = map[string]uint64

// noon is a time for routes that no window has a part in.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func mustNew(t testing.TB, rules ...Rule) *Router {
	t.Helper()
	r, err := New(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoute(t *testing.T) {
	scan := alert.Alert{
		Check: "host/syn_scan", Entity: alert.EntityHost, Category: alert.Security, Severity: alert.Error, Action: alert.Engage,
	}
	over := scan
	over.Action = alert.Release
	cert := alert.Alert{
		Check: "flow/tls_certificate_expired", Entity: alert.EntityFlow, Category: alert.Security, Severity: alert.Warning,
	}
	dns := alert.Alert{Check: "flow/unexpected_dns", Entity: alert.EntityFlow, Category: alert.Network, Severity: alert.Notice}
	alerts := []*alert.Alert{&scan, &over, &cert, &dns}
	const all = "scan over cert dns"

	for name, c := range map[string]struct {
		rule  Rule
		want  string
		stats Stats
	}{
		"all":             {Rule{}, all, Stats{Matched: 4}},
		"severity":        {Rule{MinSeverity: alert.Warning}, "scan over cert", Stats{Matched: 3, Filtered: counts{"severity": 1}}},
		"same severity":   {Rule{MinSeverity: alert.Error}, "scan over", Stats{Matched: 2, Filtered: counts{"severity": 2}}},
		"too severe":      {Rule{MinSeverity: alert.Emergency}, "", Stats{Filtered: counts{"severity": 4}}},
		"category":        {Rule{Categories: []alert.Category{alert.Network, alert.SNMP}}, "dns", Stats{Matched: 1, Filtered: counts{"category": 3}}},
		"category zero":   {Rule{Categories: []alert.Category{alert.Other}}, "", Stats{Filtered: counts{"category": 4}}},
		"entity":          {Rule{Entities: []alert.Entity{alert.EntityHost}}, "scan over", Stats{Matched: 2, Filtered: counts{"entity": 2}}},
		"two entities":    {Rule{Entities: []alert.Entity{alert.EntityHost, alert.EntityFlow}}, all, Stats{Matched: 4}},
		"check":           {Rule{Checks: []string{"host/syn_scan", "flow/unexpected_dns"}}, "scan over dns", Stats{Matched: 3, Filtered: counts{"check": 1}}},
		"check wins":      {Rule{Checks: []string{"flow/unexpected_dns"}, Categories: []alert.Category{alert.Security}, Entities: []alert.Entity{alert.EntityHost}}, "dns", Stats{Matched: 1, Filtered: counts{"check": 3}}},
		"check, severity": {Rule{Checks: []string{"flow/unexpected_dns"}, MinSeverity: alert.Error}, "", Stats{Filtered: counts{"severity": 2, "check": 2}}},
		"no releases":     {Rule{Actions: []alert.Action{alert.Store, alert.Engage}}, "scan cert dns", Stats{Matched: 3, Filtered: counts{"action": 1}}},
		"several":         {Rule{Categories: []alert.Category{alert.Security}, Entities: []alert.Entity{alert.EntityFlow}, MinSeverity: alert.Warning}, "cert", Stats{Matched: 1, Filtered: counts{"severity": 1, "entity": 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Recipient, c.rule.Endpoint = "ops", "hook"
			r := mustNew(t, c.rule)
			var got []string
			for i, a := range alerts {
				for _, target := range r.Route(a, noon) {
					if target != (alert.Target{Recipient: "ops", Endpoint: "hook"}) {
						t.Errorf("target %+v", target)
					}
					got = append(got, strings.Fields(all)[i])
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
			c.stats.Recipient, c.stats.Endpoint = "ops", "hook"
			if c.stats.Filtered == nil {
				c.stats.Filtered = counts{}
			}
			if s := r.Stats(); len(s) != 1 || !reflect.DeepEqual(s[0], c.stats) {
				t.Errorf("stats %+v, want %+v", s, c.stats)
			}
		})
	}
}

func TestRouteOrder(t *testing.T) {
	r := mustNew(t,
		Rule{Recipient: "b", Endpoint: "hook"}, Rule{Recipient: "strict", Endpoint: "hook", MinSeverity: alert.Emergency},
		Rule{Recipient: "a", Endpoint: "chat"})
	got := r.Route(&alert.Alert{Severity: alert.Info}, noon)
	if len(got) != 2 || got[0] != (alert.Target{Recipient: "b", Endpoint: "hook"}) || got[1] != (alert.Target{Recipient: "a", Endpoint: "chat"}) {
		t.Errorf("targets %+v", got)
	}
	if got := mustNew(t).Route(&alert.Alert{}, noon); got != nil {
		t.Errorf("without rules: %v", got)
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New([]Rule{
		{Endpoint: "hook"},
		{Recipient: "a"},
		{Recipient: "b", Endpoint: "hook"},
		{Recipient: "b", Endpoint: "chat"},
		{Recipient: "c", Endpoint: "hook", MinSeverity: 99, Categories: []alert.Category{77}, Entities: []alert.Entity{6}, Actions: []alert.Action{9}, Kinds: []alert.Kind{7}, Roles: []Role{5}, Localities: []Locality{6}, Silence: []SilencePart{8}},
		{Recipient: "d", Endpoint: "hook", Checks: []string{"syn_scan", "host/", "disk/full"}},
	})
	for _, want := range []string{
		"rule 0 has no recipient", "recipient a: it has no endpoint", "recipient b is there twice", `unknown severity "99"`,
		`unknown category "77"`, `unknown entity "6"`, `unknown action "9"`, `unknown kind of notification "7"`, `unknown role "5": it is one of attacker, victim`,
		`unknown locality "6": it is one of local, remote`, `unknown part of a silence key "8": it is one of check, entity`, `"syn_scan" is not the key of a check`, `"host/" is not`,
		`"disk/full" is not`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestConcurrentRoute(t *testing.T) {
	r := mustNew(t, Rule{Recipient: "a", Endpoint: "hook"}, Rule{Recipient: "b", Endpoint: "hook", MinSeverity: alert.Error})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				if len(r.Route(&alert.Alert{Severity: alert.Info}, noon)) != 1 || len(r.Route(&alert.Alert{Severity: alert.Error}, noon)) != 2 {
					t.Error("wrong targets")
				}
				r.Stats()
			}
		})
	}
	wg.Wait()
	if s := r.Stats(); s[0].Matched != 4000 || s[1].Matched != 2000 || s[1].Filtered["severity"] != 2000 {
		t.Errorf("stats %+v", s)
	}
}
