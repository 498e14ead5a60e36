// Package ecs writes alerts as documents of the Elastic Common Schema, for the endpoints of all services that store such documents.
// Nothing but documents and their sizes lives here: where they go, and what is answered, is the endpoints'. It imports package pdk
// and the small part of the standard library only, so that modules stay small.
package ecs

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Version is that of the schema that Append follows (https://www.elastic.co/docs/reference/ecs).
const Version = "9.4.0"

// Detail is how much of an alert a document holds. Each holds what the ones before it do.
type Detail int

const (
	// Essential is what happened, to whom and when, in texts of at most 64 bytes: the keys that ntopng's documents always have, and
	// with them the flow or the host.
	Essential Detail = iota
	// Usual is for a datagram: with related addresses, the link, the advice, and names.
	Usual
	// Whole leaves out nothing.
	Whole
)

// maxText bounds texts of several words, in bytes.
const maxText = 1024

// keyword bounds the other texts, in bytes. A keyword is searchable up to 1024 characters where nobody configured another bound
// (ignore_above of Elastic's templates).
func (d Detail) keyword() int { return [...]int{64, 128, 256}[d] }

// document is a document while it is written.
type document struct {
	*pdk.Object
	a      *pdk.Alert
	at     string // the alert's time
	detail Detail
}

func newDocument(dst []byte, a *pdk.Alert, d Detail) *document {
	o := pdk.NewObject(dst)
	o.Tidy = func(s string) string { return tidy(s, d.keyword()) }
	at := a.Time
	if at == "" {
		at = Time(a.Tstamp)
	}
	return &document{o, a, at, d}
}

// tidy makes a value of anybody's one line of at most n bytes. It cuts twice: what is cleaned away should not cost much, and not all
// of the rest.
func tidy(s string, n int) string { return pdk.TruncateBytes(pdk.Line(pdk.TruncateBytes(s, 4*n)), n) }

// Append writes an alert behind dst as a document of the schema. The message is taken as it is. What the schema has no field for is
// below "tocsin", but for event.severity_label, which ntopng's documents always have.
func Append(dst []byte, a *pdk.Alert, message string, detail Detail) []byte {
	detail = min(max(detail, Essential), Whole)
	d := newDocument(dst, a, detail)
	d.Text("@timestamp", d.at)
	d.Put("message", message)
	if a.Test {
		d.List("tags", "test")
	}
	d.In("ecs", func() { d.Put("version", Version) })
	d.In("event", d.event)
	d.In("organization", func() { d.Put("name", "tocsin") })
	d.In("rule", func() {
		d.Text("id", a.Check)
		d.Text("name", a.Title)
		if detail == Whole {
			d.Text("category", a.Category)
			d.Put("ruleset", "tocsin")
		}
	})
	switch a.Entity {
	case "flow":
		d.flow()
	case "host":
		d.host()
	case "mac":
		d.In("host", func() { d.List("mac", hyphens(a.MAC)) })
	case "user":
		d.In("user", func() { d.Text("name", a.Name) })
	case "am_host", "snmp_device":
		d.In("related", func() { d.List("hosts", a.Name) })
	}
	if detail == Whole {
		d.In("log", func() { d.Text("level", a.Severity) })
	}
	if detail != Essential {
		d.In("observer", func() {
			d.Put("product", "tocsin")
			if detail == Whole {
				d.Put("type", "ids")
			}
			d.In("ingress", func() { d.In("interface", func() { d.Text("name", a.Interface) }) })
		})
		d.In("tocsin", d.own)
	}
	return d.Done()
}

func (d *document) event() {
	a := d.a
	d.Put("kind", "alert")
	// The schema lists the allowed categories, and the types allowed with each.
	switch {
	case a.Category == "security" || a.Category == "ids_ips":
		d.List("category", "intrusion_detection", "network")
	case a.Entity == "system" || a.Category == "internals" || a.Category == "system":
		d.List("category", "host")
	default:
		d.List("category", "network")
	}
	d.List("type", "info", map[string]string{"engage": "start", "release": "end"}[a.Action])
	d.Text("action", "alert-"+a.Action)
	d.Text("created", d.at)
	d.Put("dataset", "tocsin.alerts")
	d.Put("module", "tocsin")
	d.Text("id", a.ID)
	d.Int("risk_score", int64(a.Score))
	d.Int("severity", int64(a.SeverityID))
	d.Text("severity_label", a.Severity)
	if d.detail == Essential {
		return
	}
	d.Text("code", strconv.Itoa(a.AlertID))
	if len(a.Link) <= maxText { // half an address is none
		d.Object.Raw("url", quoted(a.Link))
	}
	start, end := a.First, a.Last
	if a.Action == "release" && a.EngagedAt != 0 {
		start, end = a.EngagedAt, a.Tstamp
	}
	d.when("start", start)
	d.when("end", end)
	if start != 0 && end >= start {
		d.Int("duration", (end-start)*1_000_000_000)
	}
}

// when writes Unix seconds as a date; 0 is unknown.
func (d *document) when(name string, sec int64) {
	if sec != 0 {
		d.Put(name, Time(sec))
	}
}

// quoted writes a text as JSON, and an empty one as nothing.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return string(pdk.AppendJSONString(nil, s))
}

func (d *document) flow() {
	a, more := d.a, d.detail == Whole
	app, service, _ := strings.Cut(strings.ToLower(a.Protocol), ".")
	d.In("source", func() { d.side(a.Client, a.ClientPort, a.Bytes[0], a.Packets[0]) })
	d.In("destination", func() {
		d.side(a.Server, a.ServerPort, a.Bytes[1], a.Packets[1])
		if more && app != "dns" { // a query's name is not the server's
			d.Text("domain", a.Hostname)
		}
	})
	d.In("network", func() {
		d.Text("transport", strings.ToLower(a.L4))
		if app != "unknown" {
			d.Text("protocol", app)
		}
		d.Text("community_id", a.CommunityID)
		d.vlan()
		if !more {
			return
		}
		if app != "unknown" {
			d.Text("application", service)
		}
		d.Text("type", version(a.Client))
		d.Put("direction", direction(a.ClientLocal, a.ServerLocal))
		d.Count("bytes", int64(a.Bytes[0]+a.Bytes[1]))
		d.Count("packets", int64(a.Packets[0]+a.Packets[1]))
	})
	switch {
	case !more:
	case app == "dns":
		d.In("dns", func() { d.In("question", func() { d.Text("name", a.Hostname) }) })
	case app == "tls", app == "quic":
		d.In("tls", func() { d.In("client", func() { d.Text("server_name", a.Hostname) }) })
	}
	if d.detail == Essential {
		return
	}
	d.In("related", func() {
		d.List("ip", a.Client, a.Server)
		d.List("hosts", a.Hostname)
	})
}

func (d *document) vlan() {
	if d.a.VLAN != 0 {
		d.In("vlan", func() { d.Put("id", strconv.Itoa(int(d.a.VLAN))) })
	}
}

func (d *document) side(ip string, port uint16, bytes, packets uint64) {
	d.Text("ip", ip)
	d.Count("port", int64(port))
	if d.detail == Whole {
		d.Text("address", ip)
		d.Count("bytes", int64(bytes))
		d.Count("packets", int64(packets))
	}
}

func (d *document) host() {
	a := d.a
	d.In("host", func() {
		d.List("ip", a.IP)
		d.Text("name", a.Name)
		if d.detail != Essential {
			d.List("mac", hyphens(a.MAC))
		}
	})
	// So that a search for the address of an attacker finds it on the side where flows have it.
	d.In("source", func() { d.side(a.Attacker, 0, 0, 0) })
	d.In("destination", func() { d.side(a.Victim, 0, 0, 0) })
	if d.detail != Essential {
		d.In("related", func() {
			d.List("ip", a.IP, a.Attacker, a.Victim)
			d.List("hosts", a.Name)
		})
	}
}

// own writes what the schema has no field for.
func (d *document) own() {
	a := d.a
	d.Text("entity", a.Entity)
	d.Text("entity_value", a.EntityValue)
	d.Int("alert_id", int64(a.AlertID))
	if d.detail == Whole {
		d.Text("action", a.Action)
	}
	d.Text("key", a.Key)
	d.Raw("advice", quoted(tidy(a.Advice, maxText)))
	d.Raw("info", quoted(tidy(a.Info, maxText)))
	d.Text("attacker", a.Attacker)
	d.Text("victim", a.Victim)
	d.Float("value", a.Value)
	d.Float("threshold", a.Threshold)
}

func version(ip string) string {
	switch {
	case strings.Contains(ip, ":"):
		return "ipv6"
	case ip != "":
		return "ipv4"
	}
	return ""
}

// direction is seen from the local networks, as the schema has it for an observer of a perimeter.
func direction(clientLocal, serverLocal bool) string {
	switch {
	case clientLocal && serverLocal:
		return "internal"
	case clientLocal:
		return "outbound"
	case serverLocal:
		return "inbound"
	}
	return "external"
}

// hyphens writes a MAC address as the schema wants it (RFC 7042): capitals and hyphens.
func hyphens(mac string) string { return strings.ToUpper(strings.ReplaceAll(mac, ":", "-")) }
