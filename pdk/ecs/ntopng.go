package ecs

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// versionNtopng is the version of the schema that ntopng's documents name.
const versionNtopng = "1.6.0"

// AppendNtopng writes an alert behind dst with the keys of ntopng's documents and no others, for dashboards that were built on them:
// event.category is one word, which the schema does not allow. Autonomous systems and places are left out, as tocsin does not know
// them. The message is taken as it is.
func AppendNtopng(dst []byte, a *pdk.Alert, message string) []byte {
	d := newDocument(dst, a, Whole)
	d.Text("@timestamp", d.at)
	d.Put("message", message)
	d.In("ecs", func() { d.Put("version", versionNtopng) })
	d.In("event", func() {
		d.Text("category", a.Category)
		d.Text("created", d.at)
		d.Text("dataset", a.Entity)
		d.Put("kind", "alert")
		d.Put("module", "ntopng")
		d.Int("risk_score", int64(a.Score))
		d.Int("severity", int64(a.SeverityID))
		d.Text("severity_label", a.Severity)
	})
	d.In("organization", func() { d.Put("name", "ntop") })
	d.In("rule", func() { d.Text("name", a.Title) })
	if a.Entity == "flow" {
		d.In("source", func() { d.Text("ip", a.Client); d.Count("port", int64(a.ClientPort)) })
		d.In("destination", func() { d.Text("ip", a.Server); d.Count("port", int64(a.ServerPort)) })
		d.In("network", func() {
			d.Text("community_id", a.CommunityID)
			d.Text("protocol", strings.ToLower(a.Protocol))
			d.Text("transport", strings.ToLower(a.L4))
			d.vlan()
		})
	}
	return d.Done()
}
