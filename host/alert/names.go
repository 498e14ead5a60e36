package alert

import (
	"fmt"
	"slices"
	"strings"
)

// Severity is ntopng's scale, which extends syslog's by "none".
type Severity uint8

// The severities and their ids, lowest first.
const (
	None Severity = iota
	Debug
	Info
	Notice
	Warning
	Error
	Critical
	AlertSeverity
	Emergency
)

var severities = names{"none", "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// SeverityOf gives the severity of a score: below 1 none, 10 info, 50 notice, 100 warning, 200 error, 250 critical,
// else emergency.
func SeverityOf(score int) Severity {
	switch {
	case score < 1:
		return None
	case score < 10:
		return Info
	case score < 50:
		return Notice
	case score < 100:
		return Warning
	case score < 200:
		return Error
	case score < 250:
		return Critical
	}
	return Emergency
}

func (s Severity) String() string { return severities.name(int(s)) }

// ParseSeverity reads a severity's name in any case.
func ParseSeverity(s string) (Severity, error) {
	i, err := severities.parse("severity", s)
	return Severity(i), err
}

// Category is the field an alert belongs to.
type Category uint8

// The categories and their ids.
const (
	Other Category = iota
	Security
	Internals
	Network
	System
	IDSIPS
	ActiveMonitoring
	SNMP
)

var categories = names{"other", "security", "internals", "network", "system", "ids_ips", "active_monitoring", "snmp"}

func (c Category) String() string { return categories.name(int(c)) }

// ParseCategory reads a category's name in any case.
func ParseCategory(s string) (Category, error) {
	i, err := categories.parse("category", s)
	return Category(i), err
}

// Entity is the kind of thing an alert is about.
type Entity uint8

// The entities and their ids; 6 is not used.
const (
	EntityInterface  Entity = 0
	EntityHost       Entity = 1
	EntityNetwork    Entity = 2
	EntitySNMPDevice Entity = 3
	EntityFlow       Entity = 4
	EntityMAC        Entity = 5
	EntityUser       Entity = 7
	EntityAMHost     Entity = 8
	EntitySystem     Entity = 9
)

var entities = names{"interface", "host", "network", "snmp_device", "flow", "mac", "", "user", "am_host", "system"}

func (e Entity) String() string { return entities.name(int(e)) }

// ParseEntity reads an entity's name in any case.
func ParseEntity(s string) (Entity, error) {
	i, err := entities.parse("entity", s)
	return Entity(i), err
}

var actions = names{"store", "engage", "release"}

func (a Action) String() string { return actions.name(int(a)) }

// ParseAction reads an action's name in any case.
func ParseAction(s string) (Action, error) {
	i, err := actions.parse("action", s)
	return Action(i), err
}

var kinds = names{"alert", "report"}

func (k Kind) String() string { return kinds.name(int(k)) }

// ParseKind reads a kind's name in any case; the plural is understood too.
func ParseKind(s string) (Kind, error) {
	if t := strings.TrimSuffix(strings.ToLower(s), "s"); slices.Contains(kinds, t) {
		s = t
	}
	i, err := kinds.parse("kind of notification", s)
	return Kind(i), err
}

type names []string

func (n names) name(i int) string {
	if i < len(n) && n[i] != "" {
		return n[i]
	}
	return fmt.Sprintf("%d", i)
}

func (n names) parse(what, s string) (int, error) {
	for i, v := range n {
		if v != "" && strings.EqualFold(v, s) {
			return i, nil
		}
	}
	var known []string
	for _, v := range n {
		if v != "" {
			known = append(known, v)
		}
	}
	return 0, fmt.Errorf("unknown %s %q: it is one of %s", what, s, strings.Join(known, ", "))
}
