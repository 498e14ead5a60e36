// Package alert is the alert model: what a check raises, what the ledger stores and what endpoints are given. It holds
// values, their names and their one JSON shape; it does no I/O and imports the standard library only.
package alert

import (
	"bytes"
	"encoding/json"
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

// wire is the JSON shape of an alert: flat, with the names that ntopng users know. It is the shape printed by `tocsin
// alerts`, stored in the ledger and given to endpoints; package pdk decodes the same.
type wire struct {
	ID          string  `json:"id"`
	Kind        string  `json:"kind,omitempty"` // "report"; left out for alerts
	Entity      string  `json:"entity"`
	EntityID    int     `json:"entity_id"`
	EntityValue string  `json:"entity_value"`
	AlertID     int     `json:"alert_id"`
	Check       string  `json:"check"`
	Title       string  `json:"title"`
	Category    string  `json:"category"`
	Severity    string  `json:"severity"`
	SeverityID  int     `json:"severity_id"`
	Score       int     `json:"score"`
	Action      string  `json:"action"`
	Tstamp      int64   `json:"tstamp"` // Unix seconds
	Time        string  `json:"time"`   // RFC 3339 with microseconds, UTC
	Message     string  `json:"message"`
	Advice      string  `json:"advice,omitempty"`
	Link        string  `json:"link,omitempty"`
	EngagedAt   int64   `json:"engaged_tstamp,omitempty"`
	Key         string  `json:"key,omitempty"`
	Interface   string  `json:"interface,omitempty"`
	IP          string  `json:"ip,omitempty"`
	Name        string  `json:"name,omitempty"`
	MAC         string  `json:"mac,omitempty"`
	Local       bool    `json:"local,omitempty"`
	Attacker    string  `json:"attacker,omitempty"` // address of the attacking side
	Victim      string  `json:"victim,omitempty"`
	Value       float64 `json:"value,omitempty"`
	Threshold   float64 `json:"threshold,omitempty"`

	L4          string     `json:"l4,omitempty"`
	Client      string     `json:"client,omitempty"`
	ClientPort  *uint16    `json:"client_port,omitempty"`
	Server      string     `json:"server,omitempty"`
	ServerPort  *uint16    `json:"server_port,omitempty"`
	ClientLocal bool       `json:"client_local,omitempty"`
	ServerLocal bool       `json:"server_local,omitempty"`
	VLAN        uint16     `json:"vlan,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	Hostname    string     `json:"hostname,omitempty"`
	CommunityID string     `json:"community_id,omitempty"`
	First       int64      `json:"first,omitempty"`
	Last        int64      `json:"last,omitempty"`
	Packets     *[2]uint64 `json:"packets,omitempty"`
	Bytes       *[2]uint64 `json:"bytes,omitempty"`
	Info        string     `json:"info,omitempty"`
}

// MarshalJSON writes the alert's flat JSON shape; see package pdk for the meaning of each key.
func (a *Alert) MarshalJSON() ([]byte, error) {
	w := wire{
		ID: a.ID.String(), Entity: a.Entity.String(), EntityID: int(a.Entity), EntityValue: a.EntityValue(),
		AlertID: a.AlertID, Check: a.Check, Title: a.Title, Category: a.Category.String(),
		Severity: a.Severity.String(), SeverityID: int(a.Severity), Score: a.Score, Action: a.Action.String(),
		Tstamp: a.Time.Unix(), Time: a.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), Message: a.Message,
		Advice: a.Advice, Link: a.Link, Key: a.Key, Interface: a.Interface, MAC: a.MAC,
	}
	if a.Kind != KindAlert {
		w.Kind = a.Kind.String()
	}
	if !a.Engaged.IsZero() {
		w.EngagedAt = a.Engaged.Unix()
	}
	if h := a.Host; h != nil {
		w.IP, w.Name, w.MAC, w.Local, w.VLAN = h.IP.String(), h.Name, h.MAC, h.Local, h.VLAN
		w.Value, w.Threshold = h.Value, h.Threshold
		if h.Attacker {
			w.Attacker = w.IP
		}
		if h.Victim {
			w.Victim = w.IP
		}
	}
	if f := a.Flow; f != nil {
		w.L4, w.Client, w.Server = f.L4, f.Client.String(), f.Server.String()
		w.ClientPort, w.ServerPort = &f.ClientPort, &f.ServerPort
		w.ClientLocal, w.ServerLocal = f.ClientLoc, f.ServLoc
		w.VLAN, w.Protocol, w.Hostname, w.CommunityID = f.VLAN, f.Protocol, f.Hostname, f.CommunityID
		w.First, w.Last, w.Packets, w.Bytes, w.Info = f.First.Unix(), f.Last.Unix(), &f.Packets, &f.Bytes, f.Info
		w.Attacker, w.Victim = f.side(f.Attacker), f.side(f.Victim)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "->" is for people; what goes into HTML is escaped there
	if err := enc.Encode(&w); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func (f *Flow) side(r Role) string {
	switch r {
	case Client:
		return f.Client.String()
	case Server:
		return f.Server.String()
	case NoRole:
	}
	return ""
}
