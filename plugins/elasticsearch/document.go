package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// What a document says of its format: versions of the Elastic Common Schema (https://www.elastic.co/docs/reference/ecs).
const (
	ecsVersion       = "9.4.0"
	ecsVersionNtopng = "1.6.0"
)

// Texts are cut, in bytes, so that a full batch stays within what a call may return. A keyword is searchable up to 1024
// characters where nobody configured another bound (ignore_above of Elastic's templates).
const (
	maxMessage = 4096 // as in the manifest
	maxText    = 1024
	maxKeyword = 256
)

// instant is the time of the alert in its full precision.
func instant(a *pdk.Alert) string {
	if a.Time != "" {
		return a.Time
	}
	return rfc3339(a.Tstamp)
}

// appendECS writes an alert as a document of the Elastic Common Schema. What it has no field for is below "tocsin".
func appendECS(b []byte, a *pdk.Alert, message string) []byte {
	d := &document{b: append(b, '{'), first: true}
	at := instant(a)
	d.word("@timestamp", at)
	d.text("message", message, maxMessage)
	if isTest(a) {
		d.list("tags", "test")
	}
	d.object("ecs", func() { d.word("version", ecsVersion) })
	d.object("event", func() { d.event(a, at) })
	d.object("log", func() { d.word("level", a.Severity) })
	d.object("rule", func() {
		d.word("id", a.Check)
		d.word("name", a.Title)
		d.word("category", a.Category)
		d.word("ruleset", "tocsin")
	})
	d.object("observer", func() {
		d.word("product", "tocsin")
		d.word("type", "ids")
		d.object("ingress", func() { d.object("interface", func() { d.word("name", a.Interface) }) })
	})
	switch a.Entity {
	case "flow":
		d.flow(a)
	case "host":
		d.host(a)
	case "mac":
		d.object("host", func() { d.list("mac", hyphens(a.MAC)) })
	case "user":
		d.object("user", func() { d.word("name", a.Name) })
	case "am_host", "snmp_device":
		d.object("related", func() { d.list("hosts", a.Name) })
	}
	d.object("tocsin", func() {
		d.word("entity", a.Entity)
		d.word("entity_value", a.EntityValue)
		d.number("alert_id", int64(a.AlertID))
		d.word("action", a.Action)
		d.word("key", a.Key)
		d.text("advice", a.Advice, maxText)
		d.text("info", a.Info, maxText)
		d.word("attacker", a.Attacker)
		d.word("victim", a.Victim)
		d.float("value", a.Value)
		d.float("threshold", a.Threshold)
	})
	return append(d.b, '}')
}

func (d *document) event(a *pdk.Alert, at string) {
	d.word("kind", "alert")
	// ECS lists the allowed categories, and the types allowed with each.
	switch {
	case a.Category == "security" || a.Category == "ids_ips":
		d.list("category", "intrusion_detection", "network")
	case a.Entity == "system" || a.Category == "internals" || a.Category == "system":
		d.list("category", "host")
	default:
		d.list("category", "network")
	}
	d.list("type", "info", map[string]string{"engage": "start", "release": "end"}[a.Action])
	d.word("action", "alert-"+a.Action)
	d.word("code", strconv.Itoa(a.AlertID))
	d.word("created", at)
	d.word("dataset", "tocsin.alerts")
	d.word("module", "tocsin")
	d.word("id", a.ID)
	d.number("risk_score", int64(a.Score))
	d.number("severity", int64(a.SeverityID))
	start, end := a.First, a.Last
	if a.Action == "release" && a.EngagedAt != 0 {
		start, end = a.EngagedAt, a.Tstamp
	}
	d.when("start", start)
	d.when("end", end)
	if start != 0 && end >= start {
		d.number("duration", (end-start)*1_000_000_000)
	}
}

func (d *document) flow(a *pdk.Alert) {
	proto := strings.ToLower(a.Protocol)
	app, service, _ := strings.Cut(proto, ".")
	d.object("network", func() {
		d.word("transport", strings.ToLower(a.L4))
		d.word("type", version(a.Client))
		if app != "unknown" {
			d.word("protocol", app)
			d.word("application", service)
		}
		d.word("community_id", a.CommunityID)
		if a.VLAN != 0 {
			d.object("vlan", func() { d.word("id", strconv.Itoa(int(a.VLAN))) })
		}
		d.word("direction", direction(a.ClientLocal, a.ServerLocal))
		d.count("bytes", int64(a.Bytes[0]+a.Bytes[1]))
		d.count("packets", int64(a.Packets[0]+a.Packets[1]))
	})
	d.object("source", func() { d.side(a.Client, a.ClientPort, a.Bytes[0], a.Packets[0]) })
	d.object("destination", func() {
		d.side(a.Server, a.ServerPort, a.Bytes[1], a.Packets[1])
		if app != "dns" { // a query's name is not the server's
			d.word("domain", a.Hostname)
		}
	})
	switch app {
	case "dns":
		d.object("dns", func() { d.object("question", func() { d.word("name", a.Hostname) }) })
	case "tls", "quic":
		d.object("tls", func() { d.object("client", func() { d.word("server_name", a.Hostname) }) })
	}
	d.object("related", func() {
		d.list("ip", a.Client, a.Server)
		d.list("hosts", a.Hostname)
	})
}

func (d *document) side(ip string, port uint16, bytes, packets uint64) {
	d.word("address", ip)
	d.word("ip", ip)
	d.count("port", int64(port))
	d.count("bytes", int64(bytes))
	d.count("packets", int64(packets))
}

func (d *document) host(a *pdk.Alert) {
	d.object("host", func() {
		d.list("ip", a.IP)
		d.word("name", a.Name)
		d.list("mac", hyphens(a.MAC))
	})
	// So that a search for the address of an attacker finds it on the side where flows have it.
	if a.Attacker != "" {
		d.object("source", func() { d.word("address", a.Attacker); d.word("ip", a.Attacker) })
	}
	if a.Victim != "" {
		d.object("destination", func() { d.word("address", a.Victim); d.word("ip", a.Victim) })
	}
	d.object("related", func() {
		d.list("ip", a.IP, a.Attacker, a.Victim)
		d.list("hosts", a.Name)
	})
}

// appendNtopng writes the keys of ntopng's documents and no others. Autonomous systems and places are not known here.
func appendNtopng(b []byte, a *pdk.Alert, message string) []byte {
	d := &document{b: append(b, '{'), first: true}
	at := instant(a)
	d.word("@timestamp", at)
	d.text("message", message, maxMessage)
	d.object("ecs", func() { d.word("version", ecsVersionNtopng) })
	d.object("event", func() {
		d.word("category", a.Category) // one word: what ECS does not allow, and dashboards were built on
		d.word("created", at)
		d.word("dataset", a.Entity)
		d.word("kind", "alert")
		d.word("module", "ntopng")
		d.number("risk_score", int64(a.Score))
		d.number("severity", int64(a.SeverityID))
		d.word("severity_label", a.Severity)
	})
	d.object("organization", func() { d.word("name", "ntop") })
	d.object("rule", func() { d.word("name", a.Title) })
	if a.Entity == "flow" {
		d.object("source", func() { d.word("ip", a.Client); d.count("port", int64(a.ClientPort)) })
		d.object("destination", func() { d.word("ip", a.Server); d.count("port", int64(a.ServerPort)) })
		d.object("network", func() {
			d.word("community_id", a.CommunityID)
			d.word("protocol", strings.ToLower(a.Protocol))
			d.word("transport", strings.ToLower(a.L4))
			if a.VLAN != 0 {
				d.object("vlan", func() { d.word("id", strconv.Itoa(int(a.VLAN))) })
			}
		})
	}
	return append(d.b, '}')
}

// isTest tells a test message, so that rules on documents can leave it out.
func isTest(a *pdk.Alert) bool {
	if !strings.Contains(string(a.Raw), `"test"`) { // within a text the quotes would be escaped
		return false
	}
	v, err := pdk.ParseJSON(a.Raw)
	m, _ := v.(map[string]any)
	return err == nil && m["test"] == true
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

// direction is seen from the local networks, as ECS has it for an observer of a perimeter.
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

// hyphens writes a MAC address as ECS wants it (RFC 7042): capitals and hyphens.
func hyphens(mac string) string { return strings.ToUpper(strings.ReplaceAll(mac, ":", "-")) }
