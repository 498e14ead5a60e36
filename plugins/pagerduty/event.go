package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Limits of the Events API v2, in characters.
const (
	maxSummary = 1024
	maxDedup   = 255
	maxSource  = 255
	// maxDetail bounds each text of the details, in bytes. Their sum, escaped for JSON at its worst, stays below the 512 KB
	// that an event may have.
	maxDetail = 2048
	maxText   = 8192
)

// dedupKey names the incident: by the condition that an engage and its release share, or by the delivery, so that an event
// that is sent twice is one. A release prefers the key that PagerDuty gave back for its engage.
func dedupKey(d *pdk.Delivery) string {
	a := &d.Alert
	release := a.Action == "release"
	switch {
	case release && d.ProviderID != "":
		return d.ProviderID
	case a.Key != "" && (release || a.Action == "engage"):
		return bounded(a.Key)
	case release:
		return ""
	}
	return d.ID
}

// bounded keeps a key within PagerDuty's limit; a longer one ends with a hash (FNV-1a, 64 bits) of the whole.
func bounded(key string) string {
	if len(key) <= maxDedup {
		return key
	}
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return pdk.TruncateBytes(key, maxDedup-17) + "-" + strconv.FormatUint(h, 16)
}

// event writes the body of an enqueue request. PagerDuty uses of a resolve the key alone, but it keeps the rest in its log.
func event(endpoint pdk.Params, d *pdk.Delivery, key string) []byte {
	a := &d.Alert
	action := "trigger"
	if a.Action == "release" {
		action = "resolve"
	}
	b := append(make([]byte, 0, 2048+len(d.Text)), `{"routing_key":`...)
	b = pdk.AppendJSONString(b, endpoint.String("pagerduty_integration_key", ""))
	b = append(b, `,"event_action":"`+action+`","dedup_key":`...)
	b = pdk.AppendJSONString(b, key)
	b = append(b, `,"client":"tocsin"`...)
	if link := endpoint.String("pagerduty_client_url", ""); link != "" && action == "trigger" {
		b = append(b, `,"client_url":`...)
		b = pdk.AppendJSONString(b, link)
		b = append(b, `,"links":[{"href":`...)
		b = pdk.AppendJSONString(b, link)
		b = append(b, `,"text":"tocsin"}]`...)
	}
	b = append(b, `,"payload":{"summary":`...)
	b = pdk.AppendJSONString(b, pdk.TruncateRunes(summary(d), maxSummary))
	b = append(b, `,"severity":"`+severity(a)+`","source":`...)
	b = pdk.AppendJSONString(b, pdk.TruncateRunes(clean(source(a)), maxSource))
	b = field(b, "timestamp", a.Time)
	b = field(b, "component", first(a.Protocol, a.L4))
	b = field(b, "group", a.Interface)
	b = field(b, "class", a.Check)
	b = append(b, `,"custom_details":`...)
	b = append(details(b, d), "}}"...)
	return b
}

// summary is what a phone shows: the subject of the message template.
func summary(d *pdk.Delivery) string {
	return first(strings.TrimSpace(d.Subject), strings.TrimSpace(d.Alert.Title), strings.TrimSpace(d.Alert.Message), d.Alert.Check, "alert")
}

// severity puts tocsin's severities in PagerDuty's four. A test is of the lowest, so that it need not wake anybody.
func severity(a *pdk.Alert) string {
	if strings.Contains(string(a.Raw), `"test":true`) { // an unescaped quote stands around keys only
		return "info"
	}
	switch a.Severity {
	case "emergency", "alert", "critical":
		return "critical"
	case "error", "warning":
		return a.Severity
	}
	return "info"
}

// source is the system that is affected: the victim if there is one, else whom the alert is about.
func source(a *pdk.Alert) string {
	return first(a.Victim, a.Name, a.IP, a.Hostname, a.Server, a.MAC, a.EntityValue, a.Interface, "tocsin")
}

// details are what a responder reads, in the text, and what rules of PagerDuty compare, whose names never change.
func details(b []byte, d *pdk.Delivery) []byte {
	a := &d.Alert
	b = append(b, `{"text":`...)
	b = pdk.AppendJSONString(b, pdk.TruncateBytes(first(d.Text, a.Message, a.Title), maxText))
	b = field(b, "severity", a.Severity)
	if a.Score != 0 {
		b = number(b, "score", int64(a.Score))
	}
	b = field(b, "category", a.Category)
	b = field(b, "entity", a.Entity)
	b = field(b, "attacker", a.Attacker)
	b = field(b, "victim", a.Victim)
	b = field(b, "client", a.Client)
	b = field(b, "server", a.Server)
	if a.ServerPort != 0 {
		b = number(b, "server_port", int64(a.ServerPort))
	}
	b = field(b, "ip", a.IP)
	b = field(b, "name", a.Name)
	b = field(b, "mac", a.MAC)
	if a.VLAN != 0 {
		b = number(b, "vlan", int64(a.VLAN))
	}
	b = field(b, "protocol", a.Protocol)
	b = field(b, "hostname", a.Hostname)
	b = field(b, "community_id", a.CommunityID)
	b = field(b, "alert_id", a.ID)
	return append(b, '}')
}

func field(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return pdk.AppendJSONString(b, pdk.TruncateBytes(clean(value), maxDetail))
}

// clean takes from a value what a network can put there to deceive a reader: line breaks, and marks that turn text around. In
// the text and the subject the host has done so.
func clean(s string) string {
	i := 0
	for i < len(s) && s[i] >= 0x20 && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20 || r >= 0x7f && r <= 0x9f || r == '\u2028' || r == '\u2029':
			return ' '
		case r == '\u200e' || r == '\u200f' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, s)
}

func number(b []byte, name string, n int64) []byte {
	b = append(append(append(b, `,"`...), name...), `":`...)
	return strconv.AppendInt(b, n, 10)
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
