package main

import (
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

// severities puts tocsin's severities in PagerDuty's four.
var severities = [...]string{
	pdk.Ended: "info", pdk.Neutral: "info", pdk.Info: "info", pdk.Warning: "warning", pdk.Error: "error", pdk.Critical: "critical",
}

// dedupKey names the incident: by the condition that an engage and its release share, or by the delivery, so that an event
// that is sent twice is one. A release prefers the key that PagerDuty gave back for its engage. A key beyond PagerDuty's limit is cut
// and ends with a hash of the whole.
func dedupKey(d *pdk.Delivery) string {
	a := &d.Alert
	release := a.Action == "release"
	switch {
	case release && d.ProviderID != "":
		return d.ProviderID
	case a.Key != "" && (release || a.Action == "engage"):
		if len(a.Key) > maxDedup {
			return pdk.TruncateBytes(a.Key, maxDedup-17) + "-" + pdk.Hash(a.Key)
		}
		return a.Key
	case release:
		return ""
	}
	return d.ID
}

// link is a link of an incident.
type link struct{ href, text string }

// links are those to the alert's own page and to the user's, where there are such. A cut link would be another: it is left out.
func links(endpoint pdk.Params, a *pdk.Alert) (l []link) {
	if a.Link != "" && len(a.Link) <= maxDetail {
		l = append(l, link{a.Link, "this alert"})
	}
	if user := endpoint.String("pagerduty_client_url", ""); user != "" {
		l = append(l, link{user, "tocsin"})
	}
	return l
}

// event writes the body of an enqueue request. PagerDuty uses of a resolve the key alone, but it keeps the rest in its log. The
// summary, which is the subject of the message template, is what a phone shows. A test is of the lowest severity, so that it need not
// wake anybody.
func event(endpoint pdk.Params, d *pdk.Delivery, key string) []byte {
	a := &d.Alert
	action, level := "trigger", pdk.LevelOf(a.Severity)
	if a.Action == "release" {
		action = "resolve"
	}
	if a.Test {
		level = pdk.Info
	}
	// What is affected: the victim if there is one, else whom the alert is about. PagerDuty refuses an event without it, and names come
	// from the network: one of nothing but marks that Line takes out is none.
	source := "tocsin"
	for _, s := range []string{a.Interface, a.EntityValue, a.MAC, a.Server, a.Hostname, a.IP, a.Name, a.Victim} {
		source = pdk.First(pdk.Line(s), source)
	}

	o := pdk.NewObject(make([]byte, 0, 2048+len(d.Text)))
	o.Tidy = func(s string) string { return pdk.TruncateBytes(pdk.Line(s), maxDetail) }
	o.Put("routing_key", endpoint.String("pagerduty_integration_key", ""))
	o.Put("event_action", action)
	o.Put("dedup_key", key)
	o.Put("client", "tocsin")
	if l := links(endpoint, a); len(l) > 0 && action == "trigger" {
		o.Put("client_url", l[len(l)-1].href) // what PagerDuty links the client's name to
		o.Each("links", len(l), func(i int) {
			o.Put("href", l[i].href)
			o.Put("text", l[i].text)
		})
	}
	o.In("payload", func() {
		summary := strings.TrimSpace(pdk.First(d.Subject, a.Title, a.Message, a.Check, "alert"))
		o.Put("summary", pdk.TruncateRunes(summary, maxSummary))
		o.Put("severity", severities[level])
		o.Put("source", pdk.TruncateRunes(pdk.Line(source), maxSource))
		o.Text("timestamp", a.Time)
		o.Text("component", pdk.First(a.Protocol, a.L4))
		o.Text("group", a.Interface)
		o.Text("class", a.Check)
		o.In("custom_details", func() { details(o, d) })
	})
	return o.Done()
}

// details are what a responder reads, in the text, and what rules of PagerDuty compare, whose names never change.
func details(o *pdk.Object, d *pdk.Delivery) {
	a := &d.Alert
	o.Put("text", pdk.TruncateBytes(pdk.First(d.Text, a.Message, a.Title), maxText))
	o.Text("severity", a.Severity)
	o.Count("score", int64(a.Score))
	o.Text("category", a.Category)
	o.Text("entity", a.Entity)
	o.Text("attacker", a.Attacker)
	o.Text("victim", a.Victim)
	o.Text("client", a.Client)
	o.Text("server", a.Server)
	o.Count("server_port", int64(a.ServerPort))
	o.Text("ip", a.IP)
	o.Text("name", a.Name)
	o.Text("mac", a.MAC)
	o.Count("vlan", int64(a.VLAN))
	o.Text("protocol", a.Protocol)
	o.Text("hostname", a.Hostname)
	o.Text("community_id", a.CommunityID)
	o.Text("alert_id", a.ID)
}
