package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// Rule is a recipient and what it wants to get. An empty list means any.
type Rule struct {
	Recipient, Endpoint string
	// Actions may leave out, say, releases.
	Actions []alert.Action
	Kinds   []alert.Kind
	// MinSeverity is the lowest severity it gets; alert.None means all.
	MinSeverity alert.Severity
	// Checks are the keys of the checks it wants, such as "host/syn_scan". If there are any, they decide in place of
	// Categories and Entities.
	Checks     []string
	Categories []alert.Category
	Entities   []alert.Entity
	// AMHosts are names or addresses of active-monitoring hosts. Alerts about anything else pass.
	AMHosts []string
	// ClientPools and ServerPools are about the sides of a flow. An alert about one host, which has no sides, passes if it
	// is in a pool of either list.
	ClientPools, ServerPools []*Pool
	// Pools, Roles and Localities pass if one of the alert's hosts satisfies all of them together. Alerts about no host,
	// such as an interface, pass all filters by host.
	Pools      []*Pool
	Roles      []Role
	Localities []Locality
	// Muted and Maintenance hold alerts back for now.
	Muted       bool
	Maintenance []*Window
	// Silence is what makes two alerts the same for the recipient's silence window; empty if it has none.
	Silence []SilencePart
}

// Role is what a host does in an alert.
type Role uint8

// The roles.
const (
	Attacker Role = iota
	Victim
)

func (r Role) String() string { return name(roles, int(r)) }

var roles = []string{"attacker", "victim"}

// ParseRole reads a role's name in any case.
func ParseRole(s string) (Role, error) {
	i, err := parse("role", roles, s)
	return Role(i), err
}

// Locality tells whether a host lies in a local network.
type Locality uint8

// The localities.
const (
	Local Locality = iota
	Remote
)

func (l Locality) String() string { return name(localities, int(l)) }

var localities = []string{"local", "remote"}

// ParseLocality reads a locality's name in any case.
func ParseLocality(s string) (Locality, error) {
	i, err := parse("locality", localities, s)
	return Locality(i), err
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

func parse(what string, names []string, s string) (int, error) {
	for i, n := range names {
		if strings.EqualFold(n, s) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: it is one of %s", what, s, strings.Join(names, ", "))
}

// Stats says what became of the alerts that a recipient's filters saw. An alert is counted once: as matched, or by the
// first filter that refused it, in the order of Filters.
type Stats struct {
	Recipient string            `json:"recipient"`
	Endpoint  string            `json:"endpoint"`
	Matched   uint64            `json:"matched"`
	Filtered  map[string]uint64 `json:"filtered"` // by the filter's name; those that refused nothing are left out
}

// Router holds the rules in a form that is quick to apply. It is safe for concurrent use; to change the rules, make
// another one.
type Router struct {
	rules []rule
	hosts bool             // a rule asks for the alert's hosts
	quiet map[string]*rule // those that are muted or have maintenance windows, by recipient
}

// rule is a Rule with its lists as bit sets, where an empty list has all bits set.
type rule struct {
	target       alert.Target
	min          alert.Severity
	actions      uint64
	kinds        uint64
	categories   uint64
	entities     uint64
	checks       map[string]struct{}
	amHosts      map[string]struct{}
	client       *Pool // nil: any
	server       *Pool
	sides        *Pool // client and server in one, for alerts without sides
	pool         *Pool
	roles        uint64
	localities   uint64
	byHost       bool // any of the six above is set
	muted        bool
	windows      []*Window
	silence      uint64
	followEngage bool // it gets engages, so a release goes where its engage went

	counts [filters]atomic.Uint64
}

// verdict is the filter that refused an alert, or matched.
type verdict int

const (
	matched verdict = iota
	byAction
	byKind
	bySeverity
	byCheck
	byCategory
	byEntity
	byAMHost
	byClientPool
	byServerPool
	byPool
	byRole
	byLocality
	byMute
	byMaintenance
	filters // how many there are
)

var filterNames = [filters]string{
	"", "action", "kind", "severity", "check", "category", "entity", "am_host", "client_pool", "server_pool", "pool", "role",
	"locality", "muted", "maintenance",
}

// Filters lists the names of the filters in the order in which they are applied.
func Filters() []string { return slices.Clone(filterNames[1:]) }

// New compiles rules. The error names every fault of every recipient.
func New(rules []Rule) (*Router, error) {
	r := &Router{rules: make([]rule, len(rules)), quiet: map[string]*rule{}}
	seen := map[string]bool{}
	var errs []error
	for i, c := range rules {
		switch {
		case c.Recipient == "":
			errs = append(errs, fmt.Errorf("route: rule %d has no recipient", i))
			continue
		case seen[c.Recipient]:
			errs = append(errs, fmt.Errorf("route: recipient %s is there twice: give one of them another name", c.Recipient))
			continue
		}
		seen[c.Recipient] = true
		if err := r.rules[i].compile(c); err != nil {
			errs = append(errs, fmt.Errorf("route: recipient %s: %w", c.Recipient, err))
		}
		if c.Muted || len(c.Maintenance) > 0 {
			r.quiet[c.Recipient] = &r.rules[i]
		}
		r.hosts = r.hosts || r.rules[i].byHost || slices.ContainsFunc(c.Maintenance, func(w *Window) bool { return w.scope != nil })
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return r, nil
}

func (r *rule) compile(c Rule) error {
	if c.Endpoint == "" {
		return errors.New("it has no endpoint")
	}
	r.target, r.min = alert.Target{Recipient: c.Recipient, Endpoint: c.Endpoint}, c.MinSeverity
	_, err := alert.ParseSeverity(c.MinSeverity.String())
	errs := []error{err}
	r.actions, err = bits(c.Actions, alert.ParseAction)
	errs = append(errs, err)
	r.categories, err = bits(c.Categories, alert.ParseCategory)
	errs = append(errs, err)
	r.entities, err = bits(c.Entities, alert.ParseEntity)
	errs = append(errs, err)
	r.kinds, err = bits(c.Kinds, alert.ParseKind)
	errs = append(errs, err)
	r.roles, err = bits(c.Roles, ParseRole)
	errs = append(errs, err)
	r.localities, err = bits(c.Localities, ParseLocality)
	errs = append(errs, err)
	r.client, r.server, r.pool = union(c.ClientPools), union(c.ServerPools), union(c.Pools)
	r.sides = union(slices.Concat(c.ClientPools, c.ServerPools))
	r.byHost = r.sides != nil || r.pool != nil || len(c.Roles) > 0 || len(c.Localities) > 0
	r.muted, r.windows = c.Muted, c.Maintenance
	r.followEngage = r.actions>>alert.Engage&1 != 0
	if len(c.Silence) > 0 {
		r.silence, err = bits(c.Silence, ParseSilencePart)
		errs = append(errs, err)
	}
	if len(c.AMHosts) > 0 {
		r.amHosts = make(map[string]struct{}, len(c.AMHosts))
	}
	for _, h := range c.AMHosts {
		r.amHosts[amName(h)] = struct{}{}
	}
	if len(c.Checks) > 0 {
		r.checks = make(map[string]struct{}, len(c.Checks))
	}
	for _, k := range c.Checks {
		entity, key, _ := strings.Cut(k, "/")
		if _, err := alert.ParseEntity(entity); err != nil || key == "" {
			errs = append(errs, fmt.Errorf("%q is not the key of a check: want entity/name, such as host/syn_scan", k))
		}
		r.checks[k] = struct{}{}
	}
	return errors.Join(errs...)
}

// bits makes a bit set of a list. Its values are checked by reading their names back.
func bits[T interface {
	~uint8
	String() string
}](list []T, parse func(string) (T, error)) (set uint64, err error) {
	if len(list) == 0 {
		return ^uint64(0), nil
	}
	for _, v := range list {
		if _, err := parse(v.String()); err != nil {
			return 0, err
		}
		set |= 1 << v
	}
	return set, nil
}

// Route gives the recipients of an alert at a time of the wall clock, in the order of the rules; nil if nobody wants it.
// It counts what it decides. A release goes where its engage went, whatever mute and maintenance say now, so its targets
// ask to follow the engage.
func (r *Router) Route(a *alert.Alert, now time.Time) []alert.Target {
	var out []alert.Target
	var hs hosts
	if r.hosts {
		hs.fill(a)
	}
	follows := a.Action == alert.Release && a.Key != ""
	for i := range r.rules {
		u := &r.rules[i]
		follow := follows && u.followEngage
		v := u.judge(a, &hs)
		if v == matched && !follow {
			v = u.now(&hs, now)
		}
		u.counts[v].Add(1)
		if v != matched {
			continue
		}
		if out == nil {
			out = make([]alert.Target, 0, min(len(r.rules)-i, 8))
		}
		t := u.target
		t.Follow = follow
		if u.silence != 0 && a.Action != alert.Release && a.Kind == alert.KindAlert {
			t.Silence = silenceKey(a, u.silence)
		}
		out = append(out, t)
	}
	return out
}

// judge applies the filters that say the same at any time.
func (r *rule) judge(a *alert.Alert, hs *hosts) verdict {
	switch {
	case r.actions>>a.Action&1 == 0:
		return byAction
	case r.kinds>>a.Kind&1 == 0:
		return byKind
	case a.Severity < r.min:
		return bySeverity
	}
	if r.checks != nil {
		if _, ok := r.checks[a.Check]; !ok {
			return byCheck
		}
	} else {
		switch {
		case r.categories>>a.Category&1 == 0:
			return byCategory
		case r.entities>>a.Entity&1 == 0:
			return byEntity
		}
	}
	if r.amHosts != nil && a.Entity == alert.EntityAMHost {
		if _, ok := r.amHosts[amName(a.Name)]; !ok {
			return byAMHost
		}
	}
	if r.byHost && hs.n > 0 {
		return r.judgeHosts(hs)
	}
	return matched
}

func (r *rule) judgeHosts(hs *hosts) verdict {
	if hs.flow {
		switch {
		case r.client != nil && !r.client.has(&hs.list[0]):
			return byClientPool
		case r.server != nil && !r.server.has(&hs.list[1]):
			return byServerPool
		}
	} else if r.sides != nil && hs.in(r.sides) == 0 {
		if r.client == nil {
			return byServerPool
		}
		return byClientPool
	}
	left := hs.all()
	if r.pool != nil {
		left &= hs.in(r.pool)
	}
	if left == 0 {
		return byPool
	}
	if r.roles != ^uint64(0) { // many alerts name no roles
		left &= hs.inRoles(r.roles)
	}
	if left == 0 {
		return byRole
	}
	if left&hs.inLocality(r.localities) == 0 {
		return byLocality
	}
	return matched
}

// now applies the filters that depend on the time.
func (r *rule) now(hs *hosts, now time.Time) verdict {
	if r.muted {
		return byMute
	}
	for _, w := range r.windows {
		if w.holds(hs, now) {
			return byMaintenance
		}
	}
	return matched
}

// Quiet tells why a recipient gets nothing of an alert at a time of the wall clock: "muted", or "maintenance" and the
// window's name; empty if it does. It is for alerts that were routed before and wait, so text is the alert's JSON; with nil it
// tells what holds all alerts back. It counts nothing.
func (r *Router) Quiet(recipient string, text []byte, now time.Time) string {
	u := r.quiet[recipient]
	if u == nil {
		return ""
	}
	if u.muted {
		return filterNames[byMute]
	}
	var hs *hosts
	for _, w := range u.windows {
		if w.scope != nil && text == nil || !w.Open(now) {
			continue
		}
		if w.scope != nil {
			if hs == nil { // windows are seldom open, and those of some hosts fewer
				hs = &hosts{}
				hs.fillJSON(text)
			}
			if hs.in(w.scope) == 0 {
				continue
			}
		}
		return filterNames[byMaintenance] + " " + w.name
	}
	return ""
}

// amName is what the name or address of an active-monitoring host is compared by.
func amName(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

// Stats gives the counts of every recipient since New, in the order of the rules.
func (r *Router) Stats() []Stats {
	out := make([]Stats, len(r.rules))
	for i := range r.rules {
		u := &r.rules[i]
		out[i] = Stats{Recipient: u.target.Recipient, Endpoint: u.target.Endpoint, Matched: u.counts[matched].Load(), Filtered: map[string]uint64{}}
		for f := byAction; f < filters; f++ {
			if n := u.counts[f].Load(); n > 0 {
				out[i].Filtered[filterNames[f]] = n
			}
		}
	}
	return out
}
