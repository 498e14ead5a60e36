// Command syslog is the plug-in that writes alerts to a syslog receiver, or to the machine's own syslog, in the formats that
// ntopng's users parse. Nothing but this endpoint lives here; its manifest, schema, templates and texts are in
// manifests/syslog. There is no classify: what was written is accepted and never delivered, and the host's rules say so.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/ecs"
)

const (
	// facility is "system daemons" (RFC 5424 table 1).
	facility = 3
	// sdTocsin names the fields of an alert. 32473 is the number that RFC 5612 keeps for documentation; tocsin has none of
	// its own yet.
	sdTocsin = "tocsin@32473"
	// sdCheckmk is what Checkmk's event console reads.
	sdCheckmk = "Checkmk@18662"
	// maxField and maxLong bound texts beside the message, in bytes.
	maxField = 128
	maxLong  = 512
)

// What a message of JSON may have, in bytes: the host cuts the rest, and half a document is none. The receiver's limits are
// 2048, 8192 and 200,000, of which a header takes at most 400.
const (
	roomUDP    = 1600
	roomLocal  = 7700
	roomStream = 64_000
)

var endpoint = pdk.Endpoint{Render: render, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// target is the receiver of the parameters, without messages.
func target(p pdk.Params) (r *pdk.SyslogRequest, format string, room int) {
	format = p.String("syslog_alert_format", "text")
	r = &pdk.SyslogRequest{Network: p.String("syslog_protocol", "udp"), Host: p.String("syslog_host", ""), Format: "rfc5424"}
	if format == "text" {
		r.Format, r.Framing = "rfc3164", "lf" // octet counting came after that format
	}
	if r.Host == "" {
		r.Network, r.Framing = "local", ""
		if format == "json" || format == "ecs" {
			r.Format = "rfc3164" // what every local service understands, and all that a document needs
		}
		return r, format, roomLocal
	}
	r.Port = int(p.Int("syslog_port", 0))
	if r.Network == "udp" {
		r.Framing = ""
		return r, format, roomUDP
	}
	return r, format, roomStream
}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	r, format, room := target(in.Endpoint)
	q := pdk.Request{Syslog: r}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		q.Deliveries = append(q.Deliveries, d.ID)
		m := message(d, format, room)
		m.AppName = in.Endpoint.String("syslog_app_name", "ntopng")
		if format == "text" {
			m.ProcID = "-" // ntopng's line has none
		}
		r.Messages = append(r.Messages, m)
	}
	return &pdk.RenderOutput{Requests: []pdk.Request{q}}, nil
}

// probe connects and writes nothing. Over UDP nobody can tell whether something listens.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	r, _, _ := target(in.Endpoint)
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{Title: "Can the receiver be reached?", Request: pdk.Request{Syslog: r}}}}, nil
}

func message(d *pdk.Delivery, format string, room int) pdk.SyslogMessage {
	a := &d.Alert
	said := strings.TrimSpace(d.Text)
	if said == "" {
		said = pdk.Line(a.Message)
	}
	level, known := severities[a.Severity]
	if !known {
		level = 6 // ntopng's "none" counts as information
	}
	m := pdk.SyslogMessage{Delivery: d.ID, Facility: facility, Severity: level, Time: a.Tstamp * 1000}
	switch format {
	case "json":
		m.Text = ecs.Fit(said, room, func(said string, detail ecs.Detail) []byte { return ntopng(a, said, detail) })
		return m
	case "ecs":
		m.Text = ecs.Fit(said, room, func(said string, detail ecs.Detail) []byte { return ecs.Append(nil, a, said, detail) })
		return m
	case "checkmk":
		m.Data = []pdk.SDElement{{ID: sdCheckmk, Params: params(
			"sl", strconv.Itoa(a.SeverityID), // a whole number, as Checkmk wants it, which grows with the severity
			"ipaddress", pdk.First(a.IP, a.Attacker, a.Client),
			"host", pdk.First(a.Name, a.IP, a.Attacker, a.Client, a.Interface),
			"application", a.Check,
			"comment", said,
			"severity", label(a.Severity),
		)}}
	case "text_rfc5424":
		m.MsgID = a.Check
		m.Data = []pdk.SDElement{{ID: sdTocsin, Params: params(
			"id", a.ID, "check", a.Check, "category", a.Category, "entity", a.Entity, "entity_value", a.EntityValue,
			"action", a.Action, "score", strconv.Itoa(a.Score), "interface", a.Interface,
			"client", a.Client, "client_port", port(a.ClientPort), "server", a.Server, "server_port", port(a.ServerPort),
			"l4", a.L4, "protocol", a.Protocol, "hostname", a.Hostname, "community_id", a.CommunityID,
			"ip", a.IP, "mac", a.MAC, "attacker", a.Attacker, "victim", a.Victim, "link", link(a),
		)}}
	}
	m.Text = line(a, said)
	return m
}

// line is ntopng's: [tstamp][severity][type][entity][entity value][action] message. Its labels are English whatever the
// language is, since programs read them.
func line(a *pdk.Alert, said string) string {
	var b strings.Builder
	for _, f := range []string{a.Time, label(a.Severity), a.Title, label(a.Entity), a.EntityValue, label(a.Action)} {
		b.WriteString("[" + brackets.Replace(short(f)) + "]")
	}
	b.WriteString(" " + said)
	return b.String()
}

// brackets keeps a value from ending its field. The addresses of IPv6 flows have some too.
var brackets = strings.NewReplacer("[", "(", "]", ")")

// ntopng writes the keys that ntopng's users parse, always all of them, and then tocsin's own. ifid is the interface's name, as
// tocsin does not number them.
func ntopng(a *pdk.Alert, said string, detail ecs.Detail) []byte {
	o := pdk.NewObject(nil)
	o.Tidy = short
	o.Put("entity_value", short(a.EntityValue))
	o.Put("ifid", short(a.Interface))
	o.Put("action", a.Action)
	o.Int("tstamp", a.Tstamp)
	_, kind, ok := strings.Cut(a.Check, "/")
	if !ok {
		kind = a.Check
	}
	o.Put("type", short(kind))
	o.Put("entity_type", a.Entity)
	o.Put("message", said)
	o.Put("severity", a.Severity)
	o.Int("alert_key", int64(a.AlertID))
	if detail == ecs.Essential {
		return o.Done()
	}
	o.Text("id", a.ID)
	o.Text("check", a.Check)
	o.Text("title", a.Title)
	o.Text("category", a.Category)
	o.Count("score", int64(a.Score))
	o.Text("key", a.Key)
	o.Count("engaged_tstamp", a.EngagedAt)
	o.Text("ip", a.IP)
	o.Text("name", a.Name)
	o.Text("mac", a.MAC)
	o.Text("attacker", a.Attacker)
	o.Text("victim", a.Victim)
	o.Text("l4", a.L4)
	o.Text("client", a.Client)
	o.Count("client_port", int64(a.ClientPort))
	o.Text("server", a.Server)
	o.Count("server_port", int64(a.ServerPort))
	o.Count("vlan", int64(a.VLAN))
	o.Text("protocol", a.Protocol)
	o.Text("hostname", a.Hostname)
	o.Text("community_id", a.CommunityID)
	o.True("test", a.Test)
	o.Tidy = func(s string) string { return shortTo(s, maxLong) }
	o.Text("link", link(a))
	if detail == ecs.Whole {
		o.Text("advice", a.Advice)
	}
	return o.Done()
}

// link is the address of the page about an alert, or nothing if it would have to be cut.
func link(a *pdk.Alert) string {
	if len(a.Link) > maxLong {
		return ""
	}
	return a.Link
}

// params makes parameters of names and values, without those that are empty.
func params(pairs ...string) []pdk.Header {
	out := make([]pdk.Header, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		n := maxField
		if pairs[i] == "comment" || pairs[i] == "link" {
			n = maxLong
		}
		if v := shortTo(pairs[i+1], n); v != "" {
			out = append(out, pdk.Header{Name: pairs[i], Value: v})
		}
	}
	return out
}

func short(s string) string { return shortTo(s, maxField) }

// shortTo makes a value one line of at most n bytes. It cuts twice: what is cleaned away should not cost much, and not all of
// the rest.
func shortTo(s string, n int) string {
	return pdk.TruncateBytes(pdk.Line(pdk.TruncateBytes(s, 4*n)), n)
}

func port(p uint16) string {
	if p == 0 {
		return ""
	}
	return strconv.Itoa(int(p))
}

// severities are the numbers of RFC 5424 table 2.
var severities = map[string]int{
	"emergency": 0, "alert": 1, "critical": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7,
}

// labels are ntopng's where they are not the name with a capital.
var labels = map[string]string{
	"engage": "Engaged", "release": "Released", "store": "Stored",
	"mac": "MAC Address", "snmp_device": "SNMP Device", "am_host": "Active Monitoring Host",
}

func label(name string) string {
	if l := labels[name]; l != "" || name == "" {
		return l
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
