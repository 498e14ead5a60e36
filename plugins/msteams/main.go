// Command msteams is the plug-in that posts alerts to a channel or chat of Microsoft Teams, as Adaptive Cards through a webhook
// of its Workflows app. Nothing but this endpoint lives here; its manifest, schema, templates and texts are in
// manifests/msteams.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// maxBody bounds a request, in bytes. Teams documents 28 KB for a message, and a client measured 21 KB.
	maxBody = 20_000
	// maxAlerts is how many alerts share a card, which one still wants to read.
	maxAlerts = 10
	maxTitle  = 256  // runes
	maxLine   = 6000 // bytes: as JSON at most twice that, so one line always fits
	// defaultWait is how long to leave a flow alone that answers 429 without saying for how long.
	defaultWait = 60_000 // ms
)

// styles are the colours of titles; Teams has these only.
var styles = [...]string{
	pdk.Ended: "good", pdk.Neutral: "emphasis", pdk.Info: "accent", pdk.Warning: "warning", pdk.Error: "attention", pdk.Critical: "attention",
}

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("the workflow", verdict)}

func init() { pdk.Serve(&endpoint) }

func main() {}

// What stands before and after the elements of a card. The flow "Send webhook alerts to a channel" posts each attachment.
const (
	head = `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","contentUrl":null,"content":` +
		`{"$schema":"http://adaptivecards.io/schemas/adaptive-card.json","type":"AdaptiveCard","version":"1.5",`
	full = `"msteams":{"width":"Full"},`
	body = `"body":[`
	tail = `]}}]}`
	// frame is all that a card has around its alerts, with commas.
	frame = len(head) + len(full) + len(body) + len(tail) + maxAlerts
)

// render puts up to ten alerts into a card, as many as the budget allows, and the others into the next.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	var ids []string
	var card []byte
	flush := func() {
		if len(ids) > 0 {
			out.Requests = append(out.Requests, request(in, ids, full, card))
		}
		ids, card = nil, nil
	}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if d.Plain {
			flush()
			out.Requests = append(out.Requests, request(in, []string{d.ID}, "", appendText(nil, title(d), lines(d), maxBody-frame)))
			continue
		}
		item := appendAlert(make([]byte, 0, 2048), d)
		if len(ids) == maxAlerts || len(card)+len(item) > maxBody-frame {
			flush()
		}
		if len(ids) > 0 {
			card = append(card, ',')
		}
		ids, card = append(ids, d.ID), append(card, item...)
	}
	flush()
	return out, nil
}

func request(in *pdk.RenderInput, ids []string, width string, card []byte) pdk.Request {
	b := make([]byte, 0, frame+len(card))
	b = append(append(append(append(b, head...), width...), body...), card...)
	return pdk.Request{Deliveries: ids, HTTP: pdk.JSONRequest("POST", in.Endpoint.String("teams_url", ""), append(b, tail...))}
}

// appendAlert writes an alert as two containers, a title on the colour of its severity and its lines. Its text stands in runs
// only: unlike text blocks and facts, they have no markup that an alert could use.
func appendAlert(b []byte, d *pdk.Delivery) []byte {
	begin := len(b)
	b = append(b, `{"type":"Container","style":"`...)
	b = append(b, styles[d.Alert.Level()]...)
	b = append(b, `","bleed":true,"items":[`...)
	b = appendBlock(b, "Default", run{title(d), `"weight":"Bolder","size":"Medium",`})
	const end = `]}`
	b = append(b, end...)
	titled := len(b)
	b = append(b, `,{"type":"Container","spacing":"Small","items":[`...)
	before := len(b)
	if b = appendText(b, "", lines(d), maxBody-frame-(before-begin)-len(end)); len(b) == before {
		return b[:titled] // nothing but a title
	}
	return append(b, end...)
}

// title is the template's subject.
func title(d *pdk.Delivery) string {
	return pdk.TruncateRunes(pdk.Line(strings.TrimSpace(pdk.First(d.Subject, d.Alert.Title, "tocsin"))), maxTitle)
}

// lines are the lines of the template's text, or the alert's own message where there is none.
func lines(d *pdk.Delivery) []string {
	text := pdk.First(strings.TrimSpace(d.Text), d.Alert.Message)
	return strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
}

// appendText writes a first line, if there is one, and then as many lines as have room in n bytes; if some have none, the last
// says how many. An empty line makes room before the next. What stands before a tab is the line's label.
func appendText(b []byte, first string, all []string, n int) []byte {
	begin := len(b)
	if first != "" {
		b = appendBlock(b, "Default", run{first, `"weight":"Bolder",`})
	}
	const more = 128 // room for the line that counts the others
	gap := false
	for i, line := range all {
		label, value, isFact := strings.Cut(line, "\t")
		if !isFact {
			label, value = "", line
		}
		if label, value = pdk.Line(strings.TrimSpace(label)), pdk.Line(strings.TrimSpace(value)); label+value == "" {
			gap = true
			continue
		}
		spacing := "None"
		if gap {
			spacing = "Small"
		}
		gap = false
		before := len(b)
		if before > begin {
			b = append(b, ',')
		}
		value = pdk.TruncateBytes(value, maxLine)
		if label != "" {
			b = appendBlock(b, spacing, run{pdk.TruncateRunes(label, maxTitle) + " ", `"isSubtle":true,`}, run{value, ""})
		} else {
			b = appendBlock(b, spacing, run{value, ""})
		}
		if len(b)-begin > n-more {
			b = b[:before]
			if before > begin {
				b = append(b, ',')
			}
			return appendBlock(b, "None", run{"… +" + strconv.Itoa(len(all)-i), `"isSubtle":true,`})
		}
	}
	return b
}

// run is a piece of text and how it looks.
type run struct{ text, look string }

func appendBlock(b []byte, spacing string, runs ...run) []byte {
	b = append(b, `{"type":"RichTextBlock","spacing":"`...)
	b = append(b, spacing...)
	b = append(b, `","inlines":[`...)
	for i, r := range runs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"type":"TextRun",`...)
		b = append(b, r.look...)
		b = append(b, `"text":`...)
		b = append(pdk.AppendJSONString(b, r.text), '}')
	}
	return append(b, `]}`...)
}
