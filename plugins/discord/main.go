// Command discord is the plug-in that sends alerts to a Discord channel through a webhook. Nothing but this endpoint lives
// here; its manifest, schema, templates and texts are in manifests/discord.
package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// Discord's limits, in code points (maxLength of its OpenAPI document, version 10, and "Embed Limits" of its documentation).
const (
	maxContent     = 2000
	maxTitle       = 256
	maxDescription = 4096
	maxFooter      = 256 // 2048 by the service; an alert needs less, and a message holds more of them
	maxTotal       = 6000
	maxEmbeds      = 10
)

// noteEdit marks a request that edits the message of an engage.
const noteEdit = "edit"

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("Discord", verdict), Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// message is a message in the making: one alert or several.
type message struct {
	first  *pdk.Delivery
	ids    []string
	embeds []embed
	size   int // of all embeds
}

// embed is one alert as Discord shows it.
type embed struct {
	title, description, footer, time string
	colour                           int64
}

// render puts alerts that only happened into messages of up to ten. What begins or ends goes alone: its message is edited
// when it ends, so it needs an id of its own.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	var list []*message
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		m := &message{first: d, ids: []string{d.ID}}
		if !d.Plain {
			e := show(d)
			m.embeds, m.size = []embed{e}, utf8.RuneCountInString(e.title)+utf8.RuneCountInString(e.description)+utf8.RuneCountInString(e.footer)
		}
		if n := len(list); n == 0 || !list[n-1].add(m) {
			list = append(list, m)
		}
	}
	out := &pdk.RenderOutput{}
	for _, m := range list {
		out.Requests = append(out.Requests, request(in, m))
	}
	return out, nil
}

// add puts the embed of another message into m, if both may be shared and Discord's limits allow it.
func (m *message) add(next *message) bool {
	for _, d := range []*pdk.Delivery{m.first, next.first} {
		if d.Plain || d.Alert.Action != "store" {
			return false
		}
	}
	if len(m.embeds) == maxEmbeds || m.size+next.size > maxTotal {
		return false
	}
	m.ids, m.embeds, m.size = append(m.ids, next.ids...), append(m.embeds, next.embeds...), m.size+next.size
	return true
}

// request posts a message, and waits for it to be stored: otherwise Discord answers 204 even if it drops it. A release, which alone
// is told of a provider's id, edits the message of its engage. As plain text it is a message of its own: that is asked for when the
// message to edit is gone. Nobody is ever mentioned, whatever an alert holds.
func request(in *pdk.RenderInput, m *message) pdk.Request {
	hook := in.Endpoint.String("discord_url", "")
	note, method, url, sep := "", "POST", hook+"?wait=true", "&"
	o := pdk.NewObject(make([]byte, 0, 512+1024*len(m.embeds)))
	if id := m.first.ProviderID; isID(id) && !m.first.Plain {
		note, method, url, sep = noteEdit, "PATCH", hook+"/messages/"+id, "?"
		o.Put("content", "") // what was there as plain text
	} else {
		o.Text("username", in.Recipient.String("discord_username", ""))
		if m.first.Plain {
			o.Put("content", plain(m.first))
		}
	}
	o.Each("embeds", len(m.embeds), func(i int) {
		e := &m.embeds[i]
		o.Put("title", e.title)
		o.Text("description", e.description)
		o.Int("color", e.colour)
		o.In("footer", func() { o.Text("text", e.footer) })
		o.Text("timestamp", e.time)
	})
	o.Raw("allowed_mentions", `{"parse":[]}`)
	if t := in.Recipient.String("thread_id", ""); t != "" {
		url += sep + "thread_id=" + pdk.EscapePath(t)
	}
	return pdk.Request{Deliveries: m.ids, HTTP: pdk.JSONRequest(method, url, o.Done()), Note: note}
}

// isID tells whether s is an id of Discord's: it goes into a URL.
func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// colours are those of the bar beside an alert, by level.
var colours = [...]int64{
	pdk.Ended: 0x22c55e, pdk.Neutral: 0x9ca3af, pdk.Info: 0x3b82f6, pdk.Warning: 0xeab308, pdk.Error: 0xf97316, pdk.Critical: 0xd92d20,
}

// show makes an alert an embed: the template's subject is the title, its text the description, which the host keeps within
// Discord's limit. Should it be longer all the same it goes as the alert's own message, because cut markup shows.
func show(d *pdk.Delivery) embed {
	a := &d.Alert
	e := embed{description: strings.TrimSpace(d.Text), footer: a.Check, time: a.Time, colour: colours[a.Level()]}
	if utf8.RuneCountInString(e.description) > maxDescription || e.description == "" {
		e.description = escape(a.Message, maxDescription)
	}
	e.title = pdk.First(escape(strings.TrimSpace(pdk.First(d.Subject, a.Title)), maxTitle), "tocsin")
	if a.CommunityID != "" {
		e.footer += " · " + a.CommunityID
	}
	e.footer = pdk.TruncateRunes(pdk.Line(e.footer), maxFooter)
	return e
}

var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "~", `\~`, "|", `\|`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`)

// escape takes the meaning from Discord's Markdown and keeps the result within n code points; it is text that is cut.
func escape(s string, n int) string {
	s = pdk.Line(s)
	if out := markdown.Replace(s); utf8.RuneCountInString(out) <= n {
		return out
	}
	return markdown.Replace(pdk.TruncateRunes(s, n/2))
}

// plain is the text in a block of code, where nothing is markup.
func plain(d *pdk.Delivery) string {
	const open, end = "```\n", "\n```"
	text := strings.ReplaceAll(strings.TrimSpace(pdk.First(d.Text, d.Alert.Brief())), "`", "ˋ")
	return open + pdk.TruncateRunes(text, maxContent-len(open)-len(end)) + end
}

// lint finds names that Discord refuses.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	name := strings.ToLower(in.Recipient.String("discord_username", ""))
	for _, word := range []string{"clyde", "discord"} {
		if strings.Contains(name, word) {
			out.Add("recipient.discord_username", `Discord refuses names that hold "`+word+`": choose another`)
		}
	}
	return out, nil
}

// probe reads the webhook; that posts nothing.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	out.Ask("Does the webhook exist?", "", pdk.JSONRequest("GET", in.Endpoint.String("discord_url", ""), nil))
	return out, nil
}
