package route

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tocsin-net/tocsin/host/alert"
)

// Rule is a recipient and what it wants to get. An empty list means any.
type Rule struct {
	Recipient, Endpoint string
	// MinSeverity is the lowest severity it gets; alert.None means all.
	MinSeverity alert.Severity
	Categories  []alert.Category
	Entities    []alert.Entity
	// Checks are the keys of the checks it wants, such as "host/syn_scan". If there are any, they decide in place of
	// Categories and Entities.
	Checks []string
	// Actions may leave out, say, releases. Otherwise whoever gets an engage gets its release, since both have the same
	// severity, category, entity and check.
	Actions []alert.Action
}

// Stats says what became of the alerts that a recipient's filters saw. An alert is counted once: as matched, or by the
// first filter that refused it, in the order of the fields.
type Stats struct {
	Recipient  string `json:"recipient"`
	Endpoint   string `json:"endpoint"`
	Matched    uint64 `json:"matched"`
	ByAction   uint64 `json:"by_action"`
	BySeverity uint64 `json:"by_severity"`
	ByCheck    uint64 `json:"by_check"`
	ByCategory uint64 `json:"by_category"`
	ByEntity   uint64 `json:"by_entity"`
}

// Router holds the rules in a form that is quick to apply. It is safe for concurrent use; to change the rules, make
// another one.
type Router struct{ rules []rule }

// rule is a Rule with its lists as bit sets, where an empty list has all bits set.
type rule struct {
	target     alert.Target
	min        alert.Severity
	actions    uint64
	categories uint64
	entities   uint64
	checks     map[string]struct{}

	counts [filters]atomic.Uint64
}

// verdict is the filter that refused an alert, or matched.
type verdict int

const (
	matched verdict = iota
	byAction
	bySeverity
	byCheck
	byCategory
	byEntity
	filters // how many there are
)

// New compiles rules. The error names every fault of every recipient.
func New(rules []Rule) (*Router, error) {
	r := &Router{rules: make([]rule, len(rules))}
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

// Route gives the recipients of an alert, in the order of the rules; nil if nobody wants it. It counts what it decides.
func (r *Router) Route(a *alert.Alert) []alert.Target {
	var out []alert.Target
	for i := range r.rules {
		u := &r.rules[i]
		v := u.judge(a)
		u.counts[v].Add(1)
		if v != matched {
			continue
		}
		if out == nil {
			out = make([]alert.Target, 0, min(len(r.rules)-i, 8))
		}
		out = append(out, u.target)
	}
	return out
}

func (r *rule) judge(a *alert.Alert) verdict {
	switch {
	case r.actions>>a.Action&1 == 0:
		return byAction
	case a.Severity < r.min:
		return bySeverity
	case r.checks != nil:
		if _, ok := r.checks[a.Check]; !ok {
			return byCheck
		}
	case r.categories>>a.Category&1 == 0:
		return byCategory
	case r.entities>>a.Entity&1 == 0:
		return byEntity
	}
	return matched
}

// Stats gives the counts of every recipient since New, in the order of the rules.
func (r *Router) Stats() []Stats {
	out := make([]Stats, len(r.rules))
	for i := range r.rules {
		u := &r.rules[i]
		out[i] = Stats{
			Recipient: u.target.Recipient, Endpoint: u.target.Endpoint,
			Matched: u.counts[matched].Load(), ByAction: u.counts[byAction].Load(), BySeverity: u.counts[bySeverity].Load(),
			ByCheck: u.counts[byCheck].Load(), ByCategory: u.counts[byCategory].Load(), ByEntity: u.counts[byEntity].Load(),
		}
	}
	return out
}
