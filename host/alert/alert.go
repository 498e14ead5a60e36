// Package alert is the alert model: what a check raises, what the ledger stores and what endpoints are given. It holds
// values, their names and their one JSON shape; it does no I/O and imports the standard library only.
package alert

import (
	"net/netip"
	"time"
)

// Action says what became of the condition that an alert reports.
type Action uint8

// The actions. A flow alert is stored once; a host alert engages when its condition begins and is released when it ends.
const (
	Store Action = iota
	Engage
	Release
)

// Kind tells findings from summaries.
type Kind uint8

// The kinds. What a check raises is KindAlert.
const (
	KindAlert Kind = iota
	KindReport
)

// Alert is one finding of one check. It is a value: once raised nobody changes it, so it may be shared between
// goroutines.
type Alert struct {
	// ID is unique and sorts by the time the alert was raised.
	ID ID
	// Time is the packet time at which the check raised it.
	Time time.Time
	// Kind is KindAlert, or KindReport for a report that is sent the same way.
	Kind Kind
	// Entity is the kind of thing the alert is about.
	Entity Entity
	// AlertID is the number ntopng gives this kind of alert within its entity.
	AlertID int
	// Check is the key of the check with its entity, such as "flow/tls_certificate_expired".
	Check string
	// Title is the check's short English name, such as "TLS certificate expired".
	Title string
	// Category and Severity classify the alert; recipients filter by them.
	Category Category
	Severity Severity
	// Score is the weight of the alert, 0 to 1000 or so; see SeverityOf.
	Score int
	// Action says whether the condition was seen once, began or ended.
	Action Action
	// Message is one line of plain text: what happened, with the names and numbers that matter.
	Message string
	// Advice is one sentence that says what to do next. It may be empty.
	Advice string
	// Link is the address of a page about it, empty where none is configured.
	Link string
	// Engaged is, on a release, the time the condition began; zero otherwise.
	Engaged time.Time
	// Key names the condition: a release carries the key of its engage. It is empty for stored alerts.
	Key string
	// Interface names what was watched: an interface, or the capture file.
	Interface string
	// Flow is set for entity flow, Host for entity host; MAC for entity MAC.
	Flow *Flow
	Host *Host
	MAC  string
	// Name names what the alert is about where it is none of these nor the interface: an active-monitoring host by its
	// name or address, a network, a user.
	Name string
}

// Flow is the flow that an alert is about.
type Flow struct {
	L4                 string // TCP, UDP, ICMP ... or the protocol number
	Client, Server     netip.Addr
	ClientPort         uint16
	ServerPort         uint16
	VLAN               uint16
	Protocol           string // nDPI's label, such as "TLS" or "TLS.Google"
	Hostname           string // SNI, HTTP host or DNS name; empty if unknown
	CommunityID        string
	First, Last        time.Time
	Packets, Bytes     [2]uint64 // client to server, server to client
	ClientLoc, ServLoc bool      // the address lies in a local network
	Attacker, Victim   Role      // which side, if the check knows
	Info               string    // one more fact worth showing: URL, certificate subject, query
}

// Host is the host that an alert is about.
type Host struct {
	IP       netip.Addr
	VLAN     uint16
	MAC      string // empty if unknown
	Name     string // empty if unknown
	Local    bool
	Attacker bool // the host does it
	Victim   bool // it is done to the host
	// Value and Threshold are what was measured and what the check allows, in the check's unit.
	Value, Threshold float64
}

// Role names a side of a flow.
type Role uint8

// The sides of a flow; NoRole where a check does not know.
const (
	NoRole Role = iota
	Client
	Server
)

// EntityValue is the name of the thing the alert is about: the address of a host, both ends of a flow, a MAC address,
// the alert's Name or the interface.
func (a *Alert) EntityValue() string {
	switch {
	case a.Flow != nil:
		return netip.AddrPortFrom(a.Flow.Client, a.Flow.ClientPort).String() + " -> " +
			netip.AddrPortFrom(a.Flow.Server, a.Flow.ServerPort).String()
	case a.Host != nil:
		return a.Host.IP.String()
	case a.MAC != "":
		return a.MAC
	case a.Name != "":
		return a.Name
	}
	return a.Interface
}
