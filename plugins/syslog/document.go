package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// ecsVersion is that of the Elastic Common Schema that documents follow (https://www.elastic.co/docs/reference/ecs).
const ecsVersion = "9.4.0"

// fit makes a document that has its room: first what is not essential goes, then the message gets shorter. The document is
// ASCII, since a syslog message that is not begins with a byte order mark (RFC 5424 section 6.4), which readers of JSON
// refuse.
func fit(said string, room int, write func(said string, whole bool) []byte) string {
	n, whole := len(said), true
	for {
		b := ascii(write(pdk.TruncateBytes(said, n), whole))
		switch {
		case len(b) <= room || !whole && n == 0:
			return string(b)
		case whole && n > room/2:
			n = room / 2
		case whole:
			whole = false
		default:
			n /= 2
		}
	}
}

// ascii writes the characters of a JSON text that are not ASCII as escapes, beyond the first plane as two (RFC 8259
// section 7). They stand within strings only.
func ascii(b []byte) []byte {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, len(b)+32)
	unit := func(r rune) {
		out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
	for _, r := range string(b) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r < 0x10000:
			unit(r)
		default:
			r -= 0x10000
			unit(0xd800 + r>>10)
			unit(0xdc00 + r&0x3ff)
		}
	}
	return out
}

// object writes a JSON object. What is empty is left out.
type object struct {
	b    []byte
	some bool
}

func (o *object) key(name string) {
	if o.some {
		o.b = append(o.b, ',')
	}
	o.some = true
	o.b = append(pdk.AppendJSONString(o.b, name), ':')
}

func (o *object) text(name, v string) {
	o.key(name)
	o.b = pdk.AppendJSONString(o.b, v)
}

func (o *object) word(name, v string) {
	if v != "" {
		o.text(name, short(v))
	}
}

func (o *object) number(name string, n int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, n, 10)
}

func (o *object) count(name string, n int64) {
	if n != 0 {
		o.number(name, n)
	}
}

func (o *object) list(name string, values ...string) {
	var some []any
	for i, v := range values {
		if v != "" && !slices.Contains(values[:i], v) {
			some = append(some, short(v))
		}
	}
	if len(some) > 0 {
		o.key(name)
		o.b = pdk.AppendJSON(o.b, some)
	}
}

// in writes an object within, unless fill writes nothing into it.
func (o *object) in(name string, fill func()) {
	at, some := len(o.b), o.some
	o.key(name)
	o.b, o.some = append(o.b, '{'), false
	fill()
	if !o.some {
		o.b, o.some = o.b[:at], some
		return
	}
	o.b = append(o.b, '}')
}

// appendNtopng writes the keys that ntopng's users parse, always all of them, and then tocsin's own. ifid is the
// interface's name, as tocsin does not number them.
func appendNtopng(b []byte, a *pdk.Alert, said string, whole bool) []byte {
	o := &object{b: append(b, '{')}
	o.text("entity_value", short(a.EntityValue))
	o.text("ifid", short(a.Interface))
	o.text("action", a.Action)
	o.number("tstamp", a.Tstamp)
	_, kind, ok := strings.Cut(a.Check, "/")
	if !ok {
		kind = a.Check
	}
	o.text("type", short(kind))
	o.text("entity_type", a.Entity)
	o.text("message", said)
	o.text("severity", a.Severity)
	o.number("alert_key", int64(a.AlertID))
	if !whole {
		return append(o.b, '}')
	}
	o.word("id", a.ID)
	o.word("check", a.Check)
	o.word("title", a.Title)
	o.word("category", a.Category)
	o.count("score", int64(a.Score))
	o.word("key", a.Key)
	o.count("engaged_tstamp", a.EngagedAt)
	o.word("ip", a.IP)
	o.word("name", a.Name)
	o.word("mac", a.MAC)
	o.word("attacker", a.Attacker)
	o.word("victim", a.Victim)
	o.word("l4", a.L4)
	o.word("client", a.Client)
	o.count("client_port", int64(a.ClientPort))
	o.word("server", a.Server)
	o.count("server_port", int64(a.ServerPort))
	o.count("vlan", int64(a.VLAN))
	o.word("protocol", a.Protocol)
	o.word("hostname", a.Hostname)
	o.word("community_id", a.CommunityID)
	if a.Advice != "" {
		o.text("advice", shortTo(a.Advice, maxLong))
	}
	return append(o.b, '}')
}

// appendECS writes a document of the Elastic Common Schema: first the keys that ntopng's documents always have, with an
// array in event.category, as ECS wants it.
func appendECS(b []byte, a *pdk.Alert, said string, whole bool) []byte {
	o := &object{b: append(b, '{')}
	o.text("@timestamp", a.Time)
	o.text("message", said)
	o.in("ecs", func() { o.text("version", ecsVersion) })
	o.in("event", func() {
		o.list("category", ecsCategories(a)...)
		o.text("created", a.Time)
		o.text("dataset", "tocsin.alerts")
		o.text("kind", "alert")
		o.text("module", "tocsin")
		o.number("risk_score", int64(a.Score))
		o.number("severity", int64(a.SeverityID))
		o.text("severity_label", a.Severity)
		o.list("type", "info", map[string]string{"engage": "start", "release": "end"}[a.Action])
		o.word("action", "alert-"+a.Action)
		o.word("id", a.ID)
	})
	o.in("organization", func() { o.text("name", "tocsin") })
	o.in("rule", func() {
		o.text("name", short(a.Title))
		o.word("id", a.Check)
	})
	if a.Entity == "flow" {
		o.in("source", func() { o.word("ip", a.Client); o.count("port", int64(a.ClientPort)) })
		o.in("destination", func() { o.word("ip", a.Server); o.count("port", int64(a.ServerPort)) })
		o.in("network", func() {
			o.word("community_id", a.CommunityID)
			o.word("transport", strings.ToLower(a.L4))
			if app, _, _ := strings.Cut(strings.ToLower(a.Protocol), "."); app != "unknown" {
				o.word("protocol", app)
			}
			if a.VLAN != 0 {
				o.in("vlan", func() { o.text("id", strconv.Itoa(int(a.VLAN))) })
			}
		})
	}
	if !whole {
		return append(o.b, '}')
	}
	switch a.Entity {
	case "flow":
		o.in("related", func() { o.list("ip", a.Client, a.Server); o.list("hosts", a.Hostname) })
	case "host":
		o.in("host", func() { o.list("ip", a.IP); o.word("name", a.Name) })
		o.in("related", func() { o.list("ip", a.IP, a.Attacker, a.Victim); o.list("hosts", a.Name) })
	}
	o.in("observer", func() {
		o.text("product", "tocsin")
		o.in("ingress", func() { o.in("interface", func() { o.word("name", a.Interface) }) })
	})
	o.in("tocsin", func() {
		o.word("entity", a.Entity)
		o.word("entity_value", a.EntityValue)
		o.number("alert_id", int64(a.AlertID))
		o.word("key", a.Key)
		if a.Advice != "" {
			o.text("advice", shortTo(a.Advice, maxLong))
		}
	})
	return append(o.b, '}')
}

// ecsCategories are of the list that ECS allows.
func ecsCategories(a *pdk.Alert) []string {
	switch {
	case a.Category == "security" || a.Category == "ids_ips":
		return []string{"intrusion_detection", "network"}
	case a.Entity == "system" || a.Category == "internals" || a.Category == "system":
		return []string{"host"}
	}
	return []string{"network"}
}
