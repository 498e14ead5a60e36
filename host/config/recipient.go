package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/route"
)

// Recipient sends alerts that pass its filters to an endpoint. An empty list filters nothing. What the filters mean is
// written at route.Rule.
type Recipient struct {
	Name            string   `toml:"name"`
	Endpoint        string   `toml:"endpoint"`
	MinimumSeverity string   `toml:"minimum_severity"` // default "none": every alert
	Categories      []string `toml:"categories"`
	Entities        []string `toml:"entities"`
	Checks          []string `toml:"checks"` // explicit alert types; wins over categories and entities
	Actions         []string `toml:"actions"`
	Notifications   []string `toml:"notifications"` // alerts, reports
	Pools           []string `toml:"pools"`
	ClientPools     []string `toml:"client_pools"`
	ServerPools     []string `toml:"server_pools"`
	Roles           []string `toml:"roles"`    // attacker, victim
	Locality        []string `toml:"locality"` // local, remote
	AMHosts         []string `toml:"active_monitoring_hosts"`
	// Silence is for how long the same alert is not sent again; SilenceBy says what makes two the same: default check and
	// entity.
	Silence     Duration       `toml:"silence"`
	SilenceBy   []string       `toml:"silence_by"`
	Muted       bool           `toml:"muted"`
	Maintenance []string       `toml:"maintenance"` // names of windows
	Locale      string         `toml:"locale"`
	Parameters  map[string]any `toml:"parameters"`
}

// Pool names a set of hosts: addresses, networks and MAC addresses.
type Pool struct {
	Name    string   `toml:"name"`
	Members []string `toml:"members"`
}

// Maintenance is a window of time in which recipients get nothing: those that name it, and those it names. It comes
// again by Schedule, or once from From to Until.
type Maintenance struct {
	Name       string   `toml:"name"`
	Schedule   string   `toml:"schedule"` // five fields as in crontab(5)
	Duration   Duration `toml:"duration"`
	Timezone   string   `toml:"timezone"` // IANA name; default: the machine's
	From       Time     `toml:"from"`     // RFC 3339
	Until      Time     `toml:"until"`
	Recipients []string `toml:"recipients"`
	// Pools and Hosts limit it to alerts about these.
	Pools []string `toml:"pools"`
	Hosts []string `toml:"hosts"`
}

// Time is a moment written as RFC 3339 has it, in quotes or not.
type Time time.Time

// UnmarshalTOML reads a moment; it must say its offset from UTC.
func (t *Time) UnmarshalTOML(v any) error {
	const hint = "write it like 2026-03-01T22:00:00+01:00 or 2026-03-01T21:00:00Z"
	switch v := v.(type) {
	case time.Time:
		if strings.HasSuffix(v.Location().String(), "-local") { // what the TOML library calls a time without offset
			return fmt.Errorf("the time has no offset from UTC: %s", hint)
		}
		*t = Time(v)
	case string:
		p, err := time.Parse(time.RFC3339, v)
		if err != nil {
			return fmt.Errorf("%q is no time: %s", v, hint)
		}
		*t = Time(p)
	default:
		return fmt.Errorf("it is no time: %s", hint)
	}
	return nil
}

// Rules gives the recipients of a checked configuration, in the router's terms.
func (c *Config) Rules() []route.Rule { return c.rules }

// Windows gives the maintenance windows of a checked configuration, in the order of Config.Maintenance.
func (c *Config) Windows() []*route.Window { return c.windows }

// routing compiles pools, windows and filters, and collects what is wrong with them.
type routing struct {
	c       *Config
	add     func(error)
	pools   map[string]*route.Pool // nil for one that is there but wrong: nobody is blamed for naming it
	names   struct{ pools, windows, recipients []string }
	windows map[string]int
}

// compileRouting fills rules and windows.
func (c *Config) compileRouting(add func(error)) {
	r := &routing{c: c, add: add, pools: map[string]*route.Pool{}, windows: map[string]int{}}
	for i := range c.Recipients {
		r.names.recipients = append(r.names.recipients, c.Recipients[i].Name)
	}
	for i := range c.Pools {
		r.pool(i)
	}
	c.windows = make([]*route.Window, len(c.Maintenance))
	for i := range c.Maintenance {
		r.window(i)
	}
	c.rules = make([]route.Rule, len(c.Recipients))
	for i := range c.Recipients {
		r.recipient(i)
	}
}

// name checks the name of a table's i-th entry and that it is the first of it.
func (r *routing) name(table string, i int, s string, seen []string) {
	switch {
	case s == "":
		r.add(r.c.problem(table, i, "name", fmt.Sprintf("this %s has no name: add name = \"...\"", table)))
	case !name.MatchString(s):
		r.add(r.c.problem(table, i, "name", fmt.Sprintf("%s name %q: %s", table, s, nameHint)))
	case slices.Contains(seen, s):
		r.add(r.c.problem(table, i, "name", fmt.Sprintf("a second %s is named %q: give each its own name", table, s)))
	}
}

func (r *routing) pool(i int) {
	p := &r.c.Pools[i]
	r.name("pool", i, p.Name, r.names.pools)
	r.names.pools = append(r.names.pools, p.Name)
	if len(p.Members) == 0 {
		r.add(r.c.problem("pool", i, "members", fmt.Sprintf("pool %q has no members: add members = [...], addresses, networks and MAC addresses", p.Name)))
		r.pools[p.Name] = nil
		return
	}
	r.pools[p.Name] = r.hosts("pool", i, "members", fmt.Sprintf("pool %q", p.Name), p.Members)
}

// hosts compiles a list of hosts; nil if one of them is wrong.
func (r *routing) hosts(table string, i int, key, what string, list []string) *route.Pool {
	p, err := route.NewPool(list)
	for _, e := range parts(err) {
		r.add(r.c.problem(table, i, key, what+": "+e.Error()))
	}
	return p
}

// parts takes a joined error apart.
func parts(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// named finds the pools that a key names.
func (r *routing) named(table string, i int, key, what string, list []string) []*route.Pool {
	var out []*route.Pool
	for _, n := range list {
		p, ok := r.pools[n]
		if !ok && !r.c.unnamed("pool", len(r.c.Pools)) {
			r.add(r.c.problem(table, i, key, fmt.Sprintf("%s: there is no pool %q%s", what, n, hint(n, r.names.pools, "[[pool]]"))))
		} else if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// hint says which name may have been meant.
func hint(n string, names []string, table string) string {
	if near := strict.Nearest(n, names); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	} else if len(names) > 0 {
		return ": it is one of " + strings.Join(names, ", ")
	}
	return ": add a " + table + " of that name"
}

func (r *routing) window(i int) {
	m := &r.c.Maintenance[i]
	what := fmt.Sprintf("maintenance %q", m.Name)
	fail := func(key, text string) { r.add(r.c.problem("maintenance", i, key, what+": "+text)) }
	r.name("maintenance", i, m.Name, r.names.windows)
	r.names.windows = append(r.names.windows, m.Name)
	if _, ok := r.windows[m.Name]; !ok {
		r.windows[m.Name] = i
	}
	o := route.Maintenance{
		Name: m.Name, Schedule: m.Schedule, Duration: time.Duration(m.Duration), From: time.Time(m.From), Until: time.Time(m.Until),
		Pools: r.named("maintenance", i, "pools", what, m.Pools),
	}
	if len(m.Hosts) > 0 {
		if p := r.hosts("maintenance", i, "hosts", what, m.Hosts); p != nil {
			o.Pools = append(o.Pools, p)
		}
	}
	if m.Timezone != "" {
		loc, err := time.LoadLocation(m.Timezone)
		if err != nil || m.Timezone == "Local" {
			fail("timezone", fmt.Sprintf("there is no time zone %q: %s", m.Timezone, zoneHint))
		}
		o.Location = loc
	}
	key := "schedule"
	if m.Schedule == "" {
		key = "from"
	}
	unread := slices.ContainsFunc([]string{"schedule", "duration", "from", "until"}, func(k string) bool { return r.c.spoilt("maintenance", i, k) })
	w, err := route.NewWindow(o)
	if err != nil && !unread {
		fail(key, err.Error())
	}
	r.c.windows[i] = w
	held := len(m.Recipients) > 0
	for _, n := range m.Recipients {
		if !slices.Contains(r.names.recipients, n) && !r.c.unnamed("recipient", len(r.c.Recipients)) {
			fail("recipients", fmt.Sprintf("there is no recipient %q%s", n, hint(n, r.names.recipients, "[[recipient]]")))
		}
	}
	for k := range r.c.Recipients {
		held = held || slices.Contains(r.c.Recipients[k].Maintenance, m.Name) || r.c.spoilt("recipient", k, "maintenance")
	}
	if !held {
		fail("", "it holds nothing back: add recipients = [...] to it, or its name to maintenance of a recipient")
	}
}

func (r *routing) recipient(i int) {
	rc := &r.c.Recipients[i]
	what := fmt.Sprintf("recipient %q", rc.Name)
	fail := func(key string, err error) { r.add(r.c.RecipientProblem(i, key, what+": "+err.Error())) }
	rule := &r.c.rules[i]
	*rule = route.Rule{
		Recipient: rc.Name, Endpoint: rc.Endpoint, AMHosts: rc.AMHosts, Checks: rc.Checks, Muted: rc.Muted,
		Actions:     list(fail, "actions", rc.Actions, alert.ParseAction),
		Kinds:       list(fail, "notifications", rc.Notifications, alert.ParseKind),
		Categories:  list(fail, "categories", rc.Categories, alert.ParseCategory),
		Entities:    list(fail, "entities", rc.Entities, alert.ParseEntity),
		Roles:       list(fail, "roles", rc.Roles, route.ParseRole),
		Localities:  list(fail, "locality", rc.Locality, route.ParseLocality),
		Pools:       r.named("recipient", i, "pools", what, rc.Pools),
		ClientPools: r.named("recipient", i, "client_pools", what, rc.ClientPools),
		ServerPools: r.named("recipient", i, "server_pools", what, rc.ServerPools),
	}
	if rc.MinimumSeverity != "" {
		var err error
		if rule.MinSeverity, err = alert.ParseSeverity(rc.MinimumSeverity); err != nil {
			fail("minimum_severity", err)
		}
	}
	for _, k := range rc.Checks {
		entity, key, _ := strings.Cut(k, "/")
		if _, err := alert.ParseEntity(entity); err != nil || key == "" {
			fail("checks", fmt.Errorf("%q is not the key of a check: write entity/name, such as \"host/syn_scan\" (tocsin checks list shows them)", k))
		}
	}
	for _, h := range rc.AMHosts {
		if _, err := netip.ParseAddr(h); err != nil && (h == "" || strings.ContainsAny(h, " \t/\\@")) {
			fail("active_monitoring_hosts", fmt.Errorf("%q is neither a host name nor an address", h))
		}
	}
	by := list(fail, "silence_by", rc.SilenceBy, route.ParseSilencePart)
	switch {
	case rc.Silence > 0 && len(by) == 0:
		by = []route.SilencePart{route.SameCheck, route.SameEntity}
	case rc.Silence == 0 && len(rc.SilenceBy) > 0 && !r.c.spoilt("recipient", i, "silence"):
		fail("silence_by", fmt.Errorf("silence_by says nothing without silence: add one, such as silence = \"10m\""))
	}
	if rc.Silence > 0 {
		rule.Silence = by
		if rc.Silence < Duration(time.Millisecond) {
			fail("silence", fmt.Errorf("a silence of %v is too short: write one such as \"10m\"", time.Duration(rc.Silence)))
		}
	}
	for _, n := range rc.Maintenance {
		if _, ok := r.windows[n]; !ok && !r.c.unnamed("maintenance", len(r.c.Maintenance)) {
			fail("maintenance", fmt.Errorf("there is no maintenance %q%s", n, hint(n, r.names.windows, "[[maintenance]]")))
		}
	}
	for k := range r.c.Maintenance {
		m := &r.c.Maintenance[k]
		if w := r.c.windows[k]; w != nil && (slices.Contains(rc.Maintenance, m.Name) || slices.Contains(m.Recipients, rc.Name)) {
			rule.Maintenance = append(rule.Maintenance, w)
		}
	}
}

// list reads names; each that is wrong is told.
func list[T any](fail func(string, error), key string, ss []string, parse func(string) (T, error)) []T {
	var vs []T
	for _, s := range ss {
		v, err := parse(s)
		if err != nil {
			fail(key, err)
			continue
		}
		vs = append(vs, v)
	}
	return vs
}
