// Command syslog is the plug-in that writes alerts to a syslog receiver, or to the machine's own syslog, in the formats that
// ntopng's users parse. Nothing but this endpoint lives here; its manifest, schema, templates and texts are in
// manifests/syslog. There is no classify: what was written is accepted and never delivered, and the host's rules say so.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
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
		said = clean(a.Message)
	}
	m := pdk.SyslogMessage{Delivery: d.ID, Facility: facility, Severity: severity(a.Severity), Time: a.Tstamp * 1000}
	switch format {
	case "json":
		m.Text = fit(said, room, func(said string, whole bool) []byte { return appendNtopng(nil, a, said, whole) })
	case "ecs":
		m.Text = fit(said, room, func(said string, whole bool) []byte { return appendECS(nil, a, said, whole) })
	case "checkmk":
		m.Text = line(a, said)
		m.Data = []pdk.SDElement{{ID: sdCheckmk, Params: params(
			"sl", strconv.Itoa(a.SeverityID), // a whole number, as Checkmk wants it, which grows with the severity
			"ipaddress", first(a.IP, a.Attacker, a.Client),
			"host", first(a.Name, a.IP, a.Attacker, a.Client, a.Interface),
			"application", a.Check,
			"comment", said,
			"severity", label(a.Severity),
		)}}
	case "text_rfc5424":
		m.Text = line(a, said)
		m.MsgID = a.Check
		m.Data = []pdk.SDElement{{ID: sdTocsin, Params: params(
			"id", a.ID, "check", a.Check, "category", a.Category, "entity", a.Entity, "entity_value", a.EntityValue,
			"action", a.Action, "score", strconv.Itoa(a.Score), "interface", a.Interface,
			"client", a.Client, "client_port", port(a.ClientPort), "server", a.Server, "server_port", port(a.ServerPort),
			"l4", a.L4, "protocol", a.Protocol, "hostname", a.Hostname, "community_id", a.CommunityID,
			"ip", a.IP, "mac", a.MAC, "attacker", a.Attacker, "victim", a.Victim,
		)}}
	default:
		m.Text = line(a, said)
	}
	return m
}

// line is ntopng's: [tstamp][severity][type][entity][entity value][action] message. Its labels are English whatever the
// language is, since programs read them.
func line(a *pdk.Alert, said string) string {
	var b strings.Builder
	for _, f := range []string{a.Time, label(a.Severity), a.Title, entity(a.Entity), a.EntityValue, action(a.Action)} {
		b.WriteString("[" + brackets.Replace(short(f)) + "]")
	}
	b.WriteString(" " + said)
	return b.String()
}

// brackets keeps a value from ending its field. The addresses of IPv6 flows have some too.
var brackets = strings.NewReplacer("[", "(", "]", ")")

// params makes parameters of names and values, without those that are empty.
func params(pairs ...string) []pdk.Header {
	out := make([]pdk.Header, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		v := pairs[i+1]
		if pairs[i] == "comment" {
			v = shortTo(v, maxLong)
		} else {
			v = short(v)
		}
		if v != "" {
			out = append(out, pdk.Header{Name: pairs[i], Value: v})
		}
	}
	return out
}

func short(s string) string { return shortTo(s, maxField) }

// shortTo cuts twice: what is cleaned away should not cost much, and not all of the rest.
func shortTo(s string, n int) string { return pdk.TruncateBytes(clean(pdk.TruncateBytes(s, 4*n)), n) }

// clean makes a value one line, without the marks that turn the direction of text and so could fake what a reader sees. The
// host has done so with the rendered text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\ufeff':
			return -1
		}
		return r
	}, s)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func port(p uint16) string {
	if p == 0 {
		return ""
	}
	return strconv.Itoa(int(p))
}

// severity is the number that RFC 5424 table 2 gives; ntopng's "none" counts as information.
func severity(name string) int {
	switch name {
	case "emergency":
		return 0
	case "alert":
		return 1
	case "critical":
		return 2
	case "error":
		return 3
	case "warning":
		return 4
	case "notice":
		return 5
	case "debug":
		return 7
	}
	return 6
}

func action(name string) string {
	switch name {
	case "engage":
		return "Engaged"
	case "release":
		return "Released"
	case "store":
		return "Stored"
	}
	return label(name)
}

func entity(name string) string {
	switch name {
	case "mac":
		return "MAC Address"
	case "snmp_device":
		return "SNMP Device"
	case "am_host":
		return "Active Monitoring Host"
	}
	return label(name)
}

// label writes a name with a capital, as ntopng's labels have one.
func label(name string) string {
	if name == "" {
		return ""
	}
	return strings.ToUpper(name[:1]) + name[1:]
}
