// Package native holds the checks written in Go, one a file, and the tables of those that a flow risk alone decides. A
// check says what it looks for, finds it in a batch of records and puts it into words; turning checks on, reporting each
// finding once and ending conditions is the engine's work, one folder up. Nothing here does I/O or keeps state that
// outlives a batch.
package native

import (
	"fmt"
	"time"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// Info describes a check. Key, AlertID, Category, Score, parameters, their defaults and DefaultOn are those ntopng users
// know.
type Info struct {
	Key       string // with its entity: "flow/unexpected_dns"
	Entity    alert.Entity
	AlertID   int // unique within the entity
	Category  alert.Category
	Score     int
	Title     string // a few words
	Text      string // what it looks for, one or two sentences
	Advice    string // what to do about a finding, one sentence
	Params    []Param
	DefaultOn bool
	Hooks     flow.HookSet // flow checks: when a flow is looked at
	Period    flow.Period  // host checks: how often a host is
}

// Severity follows from the score.
func (i *Info) Severity() alert.Severity { return alert.SeverityOf(i.Score) }

// When says in words at which moments the check runs.
func (i *Info) When() string {
	switch i.Entity {
	case alert.EntityMAC:
		return "each ARP packet"
	case alert.EntityHost:
		return "every " + [...]string{flow.Minute: "minute", flow.FiveMinutes: "5 minutes", flow.Hour: "hour", flow.Day: "day"}[i.Period]
	case alert.EntityFlow, alert.EntityInterface, alert.EntityNetwork, alert.EntitySNMPDevice, alert.EntityUser, alert.EntityAMHost, alert.EntitySystem:
	}
	names := [...]string{flow.Begin: "begin", flow.Detected: "protocol detected", flow.Periodic: "each minute", flow.End: "end"}
	s := ""
	for h, n := range names {
		if i.Hooks.Has(flow.Hook(h)) {
			if s != "" {
				s += ", "
			}
			s += n
		}
	}
	return s
}

// PeriodLength is the length of a period in packet time.
func PeriodLength(p flow.Period) time.Duration {
	switch p {
	case flow.Minute:
		return time.Minute
	case flow.FiveMinutes:
		return 5 * time.Minute
	case flow.Hour:
		return time.Hour
	case flow.Day:
		return 24 * time.Hour
	}
	return time.Minute
}

// Param is one parameter of a check.
type Param struct {
	Name    string
	Kind    Kind
	Unit    string // of an Int
	Text    string
	Default any   // int64 or []string
	Min     int64 // of an Int
	Max     int64
}

// Kind is the type of a parameter.
type Kind uint8

// The kinds: a whole number, or a list of texts.
const (
	Int Kind = iota
	List
)

func (k Kind) String() string {
	if k == List {
		return "list"
	}
	return "number"
}

// Args are a check's parameters, checked against its Params and complete.
type Args map[string]any

// Int gives a number. The engine has checked that it is there.
func (a Args) Int(name string) int64 { v, _ := a[name].(int64); return v }

// List gives a list of texts.
func (a Args) List(name string) []string { v, _ := a[name].([]string); return v }

// ParamError says that a parameter's value does not fit its check.
type ParamError struct{ Param, Text string }

func (e *ParamError) Error() string { return fmt.Sprintf("parameter %s: %s", e.Param, e.Text) }

// Env is what checks may know of their surroundings.
type Env struct {
	// LocalKnown says that local networks are configured; without them nothing can be called remote.
	LocalKnown bool
}

// FlowCheck is a flow check with its parameters set.
type FlowCheck struct {
	// Scan ORs bit into mask[i] for each record i of b that is a finding. It allocates nothing.
	Scan func(b *flow.Block, mask []uint64, bit uint64)
	// Say puts the finding at record i into words.
	Say func(r Rec) Words
}

// Words are what a person is told about a finding.
type Words struct {
	Message  string
	Info     string // one more fact, such as a URL; may be empty
	Attacker alert.Role
	Victim   alert.Role
}

// FlowDef defines a flow check.
type FlowDef struct {
	Info
	New func(Env, Args) (FlowCheck, error)
}

// RiskDef defines a flow check that one flow risk decides.
type RiskDef struct {
	Info
	Risk     dissect.Risk
	Attacker alert.Role
	Victim   alert.Role
	// What is said of the flow, after "client -> server: "; Detail adds names and numbers and may be nil: then the
	// dissector's own words for the risk are used.
	What   string
	Detail func(r Rec) string
}

// HostCheck is a host check with its parameters set: a host whose measure is greater than the threshold is a finding.
type HostCheck struct {
	Threshold float64
	// Did measures what the host does, Suffered what is done to it; either may be nil, and the first has precedence.
	Did, Suffered func(a *Activity) float64
	// Say puts it into words: the measured value, which of the two it is, and the span it was measured over.
	Say func(a *Activity, value float64, victim bool) string
	// Unit names what is measured in the words about its end: "SYNs a minute".
	Unit string
	// Streak is how many intervals in a row it must hold before it is reported; 0 and 1 mean at once.
	Streak int
}

// HostDef defines a host check.
type HostDef struct {
	Info
	// Feed names what the engine must gather from flows for it.
	Feed Feed
	New  func(Args) HostCheck
}

// Feed is a set of figures that the engine gathers for host checks from flow records.
type Feed uint8

// The feeds.
const (
	Scores       Feed = 1 << iota // the scores of flow alerts
	RemoteAccess                  // flows of remote access protocols
)

// Activity is what a host did in one interval.
type Activity struct {
	*flow.Host
	// Span is how long the interval was, in words: "in a minute".
	Span string
	// Seconds is the nominal length of the interval. Rates are means over it, so that a short last interval of a capture
	// does not turn a handful of packets into a flood.
	Seconds float64
	// Score is the sum of the scores of the flow alerts raised in the interval, as client and as server.
	Score [2]int
	// RemoteFlows is the number of its flows with remote access protocols, as client.
	RemoteFlows int
}

// Flows returns the flow checks that are decided by more than a risk.
func Flows() []FlowDef {
	return []FlowDef{
		broadcastNonUDP(), dnsDataExfiltration(), elephantFlows(), longLived(), lowGoodput(), remoteAccess(), remoteToLocalInsecure(),
		remoteToRemote(), tcpConnectionFailed(), tcpConnectionRefused(), tcpFlowReset(), tcpNoData(), unexpectedDHCP(),
		unexpectedDNS(), unexpectedNTP(), unexpectedSMTP(), vlanBidirectional(), webMining(),
	}
}

// Hosts returns the host checks.
func Hosts() []HostDef {
	return []HostDef{
		dangerousHost(), dnsContacts(), dnsFlood(), domainNames(), finScan(), flowFlood(), hostScanner(), icmpFlood(),
		ntpContacts(), remoteConnection(), rstScan(), scanDetection(), scoreThreshold(), smtpContacts(), snmpFlood(),
		synFlood(), synScan(),
	}
}

// Risks returns the flow checks that a flow risk decides.
func Risks() []RiskDef {
	var l []RiskDef
	for _, t := range [][]RiskDef{tlsRisks, httpRisks, dnsRisks, otherRisks} {
		for _, d := range t {
			d.Entity, d.Hooks = alert.EntityFlow, afterDetection
			if d.Title == "" || d.What == "" {
				panic("native: incomplete risk check " + d.Key)
			}
			l = append(l, d)
		}
	}
	return l
}

// afterDetection is when most flow checks run: as soon as the protocol is known, each minute, and at the end.
var afterDetection = flow.Hooks(flow.Detected, flow.Periodic, flow.End)
