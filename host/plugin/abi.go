package plugin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// ABI is the interface that a plug-in was built for: a world and its version, as the section tocsin.abi says it. Within a
// major version a higher minor one only adds things, so a module of 1.1 is a module of 1.0 that may use what 1.1 added. See
// pdk/spec/ABI.md for what may change and what may not.
type ABI struct {
	World        string // "endpoint" or "check"
	Major, Minor int
}

// String writes the interface as "endpoint 1.0".
func (a ABI) String() string { return a.World + " " + a.Version() }

// Version writes the version alone, as "1.0".
func (a ABI) Version() string { return fmt.Sprintf("%d.%d", a.Major, a.Minor) }

// ParseABI reads what String writes; "endpoint 1" is short for "endpoint 1.0".
func ParseABI(s string) (ABI, error) {
	bad := fmt.Errorf("%q is no interface; want a world and a version, such as %q", strict.OneLine(s), spoken[0].String())
	words := strings.Fields(s)
	if len(words) != 2 {
		return ABI{}, bad
	}
	major, minor, has := strings.Cut(words[1], ".")
	a := ABI{World: words[0]}
	for _, n := range []struct {
		to   *int
		text string
		ok   bool
	}{{&a.Major, major, true}, {&a.Minor, minor, has}} {
		if !n.ok {
			continue
		}
		v, err := strconv.ParseUint(n.text, 10, 16)
		if err != nil {
			return ABI{}, bad
		}
		*n.to = int(v)
	}
	return a, nil
}

// ABIs are the interfaces that a host speaks: for each world and major version the newest minor one.
type ABIs []ABI

// spoken is what this host speaks. Of the endpoint world, package endpoint has an adapter for each entry.
var spoken = ABIs{
	{"endpoint", spec.Major, spec.Minor},
}

// Spoken are the interfaces that this host speaks.
func Spoken() ABIs { return slices.Clone(spoken) }

// String writes each range, as "endpoint 1.0 to 1.2 and check 1.0".
func (s ABIs) String() string {
	var out []string
	for _, a := range s {
		text := fmt.Sprintf("%s %d.0", a.World, a.Major)
		if a.Minor > 0 {
			text += " to " + a.Version()
		}
		out = append(out, text)
	}
	return strings.Join(out, " and ")
}

// worlds are the worlds' names, in order.
func (s ABIs) worlds() []string {
	var out []string
	for _, a := range s {
		out = append(out, a.World)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// newest is the newest interface of a world.
func (s ABIs) newest(world string) (ABI, bool) {
	var best ABI
	for _, a := range s {
		if a.World == world && (best.World == "" || a.Major > best.Major) {
			best = a
		}
	}
	return best, best.World != ""
}

// Check tells why a host that speaks these cannot run a module that was built for a. The error says what the module needs,
// what the host speaks and what to do.
func (s ABIs) Check(a ABI) error {
	of := slices.DeleteFunc(slices.Clone(s), func(have ABI) bool { return have.World != a.World })
	newest, _ := of.newest(a.World)
	newer := a.Major > newest.Major
	for _, have := range of {
		if have.Major == a.Major && have.Minor >= a.Minor {
			return nil
		}
		newer = newer || have.Major == a.Major
	}
	needs := fmt.Sprintf("the plug-in needs %s ABI %s: this tocsin speaks ", strict.OneLine(a.World), a.Version())
	if len(of) == 0 {
		return fmt.Errorf("%s%s; update tocsin if a newer one has that world", needs, s)
	}
	if !newer {
		return fmt.Errorf("%s%s, and that version no more; take a newer version of the plug-in, or build it anew", needs, of)
	}
	return fmt.Errorf("%s%s; update tocsin, or take an older version of the plug-in", needs, of)
}

// readABI reads tocsin.abi. The second result tells that this host can read the rest: an interface that it does not speak
// may have other sections and other keys, and what is wrong with those would hide what matters.
func (p *Package) readABI(own map[string]section, speaks ABIs) (problems []Problem, known bool) {
	s, ok := own[sectionABI]
	if !ok {
		return []Problem{{Where: sectionABI, Message: "the section is missing; pack the plug-in again with tocsin plugin pack"}}, true
	}
	a, err := ParseABI(string(s.body))
	if err != nil {
		return []Problem{{Where: sectionABI, Message: err.Error()}}, true
	}
	p.ABI = a
	if err := speaks.Check(a); err != nil {
		return []Problem{{Where: sectionABI, Message: err.Error()}}, false
	}
	return nil, true
}

// since lists what a manifest can ask for that came after the first version of its world.
var since = []struct {
	ABI
	what string // as it stands in manifest.toml
	asks func(m *Manifest) bool
}{
	{ABI{"endpoint", 1, 1}, `[[net]] scheme = "smtp"`, func(m *Manifest) bool { return m.wantsNet("smtp") }},
	{ABI{"endpoint", 1, 1}, `[[net]] scheme = "syslog"`, func(m *Manifest) bool { return m.wantsNet("syslog") }},
	{ABI{"endpoint", 1, 1}, "[syslog]", func(m *Manifest) bool { return m.Syslog != nil }},
	{ABI{"endpoint", 1, 1}, "[ban]", func(m *Manifest) bool { return m.Ban != nil }},
	{ABI{"endpoint", 1, 1}, "[message] pass_alerts", func(m *Manifest) bool { return m.Message.PassAlerts }},
	{ABI{"endpoint", 1, 1}, "[features] confirm", func(m *Manifest) bool { return m.Features.Confirm }},
	{ABI{"endpoint", 1, 1}, "[request]", func(m *Manifest) bool { return m.Request != nil }},
}

func (m *Manifest) wantsNet(scheme string) bool {
	return slices.ContainsFunc(m.Net, func(w NetWish) bool { return w.Scheme == scheme })
}

// loosely reads of a manifest what least looks at. Of the right form or not is for Parse to say, and all of it at once.
func loosely(text []byte) (*Manifest, error) {
	var head struct{ World, Net, Ban, Syslog, Message, Features, Request any }
	if _, err := toml.Decode(string(text), &head); err != nil {
		return nil, err
	}
	m := new(Manifest)
	m.World, _ = head.World.(string)
	list, _ := plainTable(head.Net).([]any) // [[net]], or net = [{...}]
	for _, w := range list {
		wish, _ := w.(map[string]any)
		scheme, _ := wish["scheme"].(string)
		m.Net = append(m.Net, NetWish{Scheme: scheme})
	}
	if head.Ban != nil {
		m.Ban = new(ExecWish)
	}
	if head.Syslog != nil {
		m.Syslog = new(ExecWish)
	}
	if message, ok := head.Message.(map[string]any); ok {
		m.Message.PassAlerts, _ = message["pass_alerts"].(bool)
	}
	if features, ok := head.Features.(map[string]any); ok {
		m.Features.Confirm, _ = features["confirm"].(bool)
	}
	m.Request, _ = head.Request.(map[string]any)
	return m, nil
}

// least is the lowest minor version, of the newest major one, that has what a manifest asks for. What an author packs without
// saying more runs on as many hosts as can be.
func least(m *Manifest) (ABI, bool) {
	a, ok := spoken.newest(m.World)
	a.Minor = 0
	for _, s := range since {
		if s.World == a.World && s.Major == a.Major && s.asks(m) {
			a.Minor = max(a.Minor, s.Minor)
		}
	}
	return a, ok
}

// tooLow lists what a manifest asks for that the interface it states does not have: an older host would take the module and
// not do what it wants.
func (p *Package) tooLow() (problems []Problem) {
	for _, s := range since {
		if s.World == p.ABI.World && s.Major == p.ABI.Major && s.Minor > p.ABI.Minor && s.asks(p.Manifest) {
			problems = append(problems, Problem{Where: sectionABI, Message: fmt.Sprintf("the manifest has %s, which came with %s, but the "+
				"module says it was built for %s; correct or remove the file %s, and pack the plug-in again", s.what, s.ABI, p.ABI, fileABI)})
		}
	}
	return problems
}
