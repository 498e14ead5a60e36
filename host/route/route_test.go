package route

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
)

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
		"severity":        {Rule{MinSeverity: alert.Warning}, "scan over cert", Stats{Matched: 3, BySeverity: 1}},
		"same severity":   {Rule{MinSeverity: alert.Error}, "scan over", Stats{Matched: 2, BySeverity: 2}},
		"too severe":      {Rule{MinSeverity: alert.Emergency}, "", Stats{BySeverity: 4}},
		"category":        {Rule{Categories: []alert.Category{alert.Network, alert.SNMP}}, "dns", Stats{Matched: 1, ByCategory: 3}},
		"category zero":   {Rule{Categories: []alert.Category{alert.Other}}, "", Stats{ByCategory: 4}},
		"entity":          {Rule{Entities: []alert.Entity{alert.EntityHost}}, "scan over", Stats{Matched: 2, ByEntity: 2}},
		"two entities":    {Rule{Entities: []alert.Entity{alert.EntityHost, alert.EntityFlow}}, all, Stats{Matched: 4}},
		"check":           {Rule{Checks: []string{"host/syn_scan", "flow/unexpected_dns"}}, "scan over dns", Stats{Matched: 3, ByCheck: 1}},
		"check wins":      {Rule{Checks: []string{"flow/unexpected_dns"}, Categories: []alert.Category{alert.Security}, Entities: []alert.Entity{alert.EntityHost}}, "dns", Stats{Matched: 1, ByCheck: 3}},
		"check, severity": {Rule{Checks: []string{"flow/unexpected_dns"}, MinSeverity: alert.Error}, "", Stats{BySeverity: 2, ByCheck: 2}},
		"no releases":     {Rule{Actions: []alert.Action{alert.Store, alert.Engage}}, "scan cert dns", Stats{Matched: 3, ByAction: 1}},
		"several":         {Rule{Categories: []alert.Category{alert.Security}, Entities: []alert.Entity{alert.EntityFlow}, MinSeverity: alert.Warning}, "cert", Stats{Matched: 1, BySeverity: 1, ByEntity: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			c.rule.Recipient, c.rule.Endpoint = "ops", "hook"
			r := mustNew(t, c.rule)
			var got []string
			for i, a := range alerts {
				for _, target := range r.Route(a) {
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
			if s := r.Stats(); len(s) != 1 || s[0] != c.stats {
				t.Errorf("stats %+v, want %+v", s, c.stats)
			}
		})
	}
}

func TestRouteOrder(t *testing.T) {
	r := mustNew(t,
		Rule{Recipient: "b", Endpoint: "hook"}, Rule{Recipient: "strict", Endpoint: "hook", MinSeverity: alert.Emergency},
		Rule{Recipient: "a", Endpoint: "chat"})
	got := r.Route(&alert.Alert{Severity: alert.Info})
	if s := fmt.Sprint(got); s != "[{b hook} {a chat}]" {
		t.Errorf("targets %s", s)
	}
	if got := mustNew(t).Route(&alert.Alert{}); got != nil {
		t.Errorf("without rules: %v", got)
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := New([]Rule{
		{Endpoint: "hook"},
		{Recipient: "a"},
		{Recipient: "b", Endpoint: "hook"},
		{Recipient: "b", Endpoint: "chat"},
		{Recipient: "c", Endpoint: "hook", MinSeverity: 99, Categories: []alert.Category{77}, Entities: []alert.Entity{6}, Actions: []alert.Action{9}},
		{Recipient: "d", Endpoint: "hook", Checks: []string{"syn_scan", "host/", "disk/full"}},
	})
	for _, want := range []string{
		"rule 0 has no recipient", "recipient a: it has no endpoint", "recipient b is there twice", `unknown severity "99"`,
		`unknown category "77"`, `unknown entity "6"`, `unknown action "9"`, `"syn_scan" is not the key of a check`, `"host/" is not`,
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
				if len(r.Route(&alert.Alert{Severity: alert.Info})) != 1 || len(r.Route(&alert.Alert{Severity: alert.Error})) != 2 {
					t.Error("wrong targets")
				}
				r.Stats()
			}
		})
	}
	wg.Wait()
	if s := r.Stats(); s[0].Matched != 4000 || s[1].Matched != 2000 || s[1].BySeverity != 2000 {
		t.Errorf("stats %+v", s)
	}
}

// BenchmarkRoute routes one alert past ten recipients of which two want it.
func BenchmarkRoute(b *testing.B) {
	var rules []Rule
	for i := range 10 {
		c := Rule{Recipient: fmt.Sprint("r", i), Endpoint: "hook", MinSeverity: alert.Emergency}
		if i%5 == 0 {
			c.MinSeverity, c.Checks = alert.Notice, []string{"host/syn_scan", "flow/unexpected_dns"}
		}
		rules = append(rules, c)
	}
	r := mustNew(b, rules...)
	a := &alert.Alert{Check: "host/syn_scan", Entity: alert.EntityHost, Category: alert.Security, Severity: alert.Error}
	b.ReportAllocs()
	for b.Loop() {
		if len(r.Route(a)) != 2 {
			b.Fatal("wrong targets")
		}
	}
}
