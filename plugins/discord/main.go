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

const (
	// defaultWait is how long to wait after a 429 that does not say for how long, as those of Discord's front do.
	defaultWait = 60_000 // ms
	// goneWait is how long a webhook that is no more is left alone: Discord bans addresses that go on calling. It is the
	// longest that the host waits.
	goneWait = 24 * 3600_000 // ms
	// noteEdit marks a request that edits the message of an engage.
	noteEdit = "edit"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// embed is one alert as Discord shows it.
type embed struct {
	title, description, footer, time string
	colour                           int64
}

// render puts alerts that only happened into messages of up to ten. What begins or ends goes alone: its message is edited
// when it ends, so it needs an id of its own.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	var ids []string
	var embeds []embed
	size := 0
	flush := func() {
		if len(ids) > 0 {
			out.Requests = append(out.Requests, pdk.Request{Deliveries: ids, HTTP: post(in, body(in, "", embeds, false))})
		}
		ids, embeds, size = nil, nil, 0
	}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if d.Plain || d.Alert.Action != "store" {
			flush()
			out.Requests = append(out.Requests, alone(in, d))
			continue
		}
		e := show(d)
		if n := e.size(); len(embeds) == maxEmbeds || size+n > maxTotal {
			flush()
			size = n
		} else {
			size += n
		}
		ids, embeds = append(ids, d.ID), append(embeds, e)
	}
	flush()
	return out, nil
}

// alone sends one alert. A release edits the message of its engage. As plain text it is a message of its own: that is asked
// for when the message to edit is gone.
func alone(in *pdk.RenderInput, d *pdk.Delivery) pdk.Request {
	r := pdk.Request{Deliveries: []string{d.ID}}
	switch {
	case d.Plain:
		r.HTTP = post(in, body(in, plain(d), nil, false))
	case d.Alert.Action == "release" && isID(d.ProviderID):
		r.HTTP, r.Note = patch(in, d.ProviderID, body(in, "", []embed{show(d)}, true)), noteEdit
	default:
		r.HTTP = post(in, body(in, "", []embed{show(d)}, false))
	}
	return r
}

// isID tells whether s is an id of Discord's: it goes into a URL.
func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// post waits for the message to be stored: otherwise Discord answers 204 even if it drops it.
func post(in *pdk.RenderInput, body []byte) *pdk.HTTPRequest {
	return request("POST", in.Endpoint.String("discord_url", "")+"?wait=true"+thread(in, "&"), body)
}

func patch(in *pdk.RenderInput, id string, body []byte) *pdk.HTTPRequest {
	return request("PATCH", in.Endpoint.String("discord_url", "")+"/messages/"+id+thread(in, "?"), body)
}

func thread(in *pdk.RenderInput, sep string) string {
	if t := in.Recipient.String("thread_id", ""); t != "" {
		return sep + "thread_id=" + pdk.EscapePath(t)
	}
	return ""
}

func request(method, url string, body []byte) *pdk.HTTPRequest {
	r := &pdk.HTTPRequest{Method: method, URL: url, Body: string(body)}
	if body != nil {
		r.Headers = []pdk.Header{{Name: "Content-Type", Value: "application/json"}}
	}
	return r
}

// body writes a message. Nobody is ever mentioned, whatever an alert holds. An edit also clears what was there as plain text.
func body(in *pdk.RenderInput, content string, embeds []embed, edit bool) []byte {
	b := append(make([]byte, 0, 512+1024*len(embeds)), '{')
	if name := in.Recipient.String("discord_username", ""); name != "" && !edit {
		b = append(b, `"username":`...)
		b = append(pdk.AppendJSONString(b, name), ',')
	}
	if content != "" || edit {
		b = append(b, `"content":`...)
		b = append(pdk.AppendJSONString(b, content), ',')
	}
	if len(embeds) > 0 {
		b = append(b, `"embeds":[`...)
		for i := range embeds {
			if i > 0 {
				b = append(b, ',')
			}
			b = embeds[i].append(b)
		}
		b = append(b, `],`...)
	}
	return append(b, `"allowed_mentions":{"parse":[]}}`...)
}

func (e *embed) append(b []byte) []byte {
	b = append(b, `{"title":`...)
	b = pdk.AppendJSONString(b, e.title)
	if e.description != "" {
		b = append(b, `,"description":`...)
		b = pdk.AppendJSONString(b, e.description)
	}
	b = append(b, `,"color":`...)
	b = strconv.AppendInt(b, e.colour, 10)
	if e.footer != "" {
		b = append(b, `,"footer":{"text":`...)
		b = append(pdk.AppendJSONString(b, e.footer), '}')
	}
	if e.time != "" {
		b = append(b, `,"timestamp":`...)
		b = pdk.AppendJSONString(b, e.time)
	}
	return append(b, '}')
}

// size counts what Discord counts against the limit of a message.
func (e *embed) size() int {
	return utf8.RuneCountInString(e.title) + utf8.RuneCountInString(e.description) + utf8.RuneCountInString(e.footer)
}

// show makes an alert an embed: the template's subject is the title, its text the description, which the host keeps within
// Discord's limit. Should it be longer all the same it goes as the alert's own message, because cut markup shows.
func show(d *pdk.Delivery) embed {
	a := &d.Alert
	e := embed{description: strings.TrimSpace(d.Text), footer: a.Check, time: a.Time, colour: colour(a)}
	if utf8.RuneCountInString(e.description) > maxDescription || e.description == "" {
		e.description = escape(a.Message, maxDescription)
	}
	if e.title = strings.TrimSpace(d.Subject); e.title == "" {
		e.title = a.Title
	}
	if e.title = escape(e.title, maxTitle); e.title == "" {
		e.title = "tocsin"
	}
	if a.CommunityID != "" {
		e.footer += " · " + a.CommunityID
	}
	e.footer = pdk.TruncateRunes(tame(e.footer), maxFooter)
	return e
}

// tame makes text that the host's templates have not seen one line, without signs that turn its direction.
func tame(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029:
			return ' '
		case r >= 0x80 && r < 0xa0, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			return -1
		}
		return r
	}, s)
}

var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "~", `\~`, "|", `\|`, "<", `\<`, ">", `\>`, "[", `\[`, "]", `\]`)

// escape takes the meaning from Discord's Markdown and keeps the result within n code points; it is text that is cut.
func escape(s string, n int) string {
	s = tame(s)
	if out := markdown.Replace(s); utf8.RuneCountInString(out) <= n {
		return out
	}
	return markdown.Replace(pdk.TruncateRunes(s, n/2))
}

// plain is the text in a block of code, where nothing is markup.
func plain(d *pdk.Delivery) string {
	text := strings.TrimSpace(d.Text)
	if text == "" {
		text = d.Alert.Title + ": " + d.Alert.Message
	}
	const open, end = "```\n", "\n```"
	return open + pdk.TruncateRunes(strings.ReplaceAll(text, "`", "ˋ"), maxContent-len(open)-len(end)) + end
}

// colour is the bar beside the alert.
func colour(a *pdk.Alert) int64 {
	if a.Action == "release" {
		return 0x22c55e
	}
	switch a.Severity {
	case "emergency", "alert", "critical":
		return 0xd92d20
	case "error":
		return 0xf97316
	case "warning":
		return 0xeab308
	case "notice", "info":
		return 0x3b82f6
	}
	return 0x9ca3af
}

// lint finds names that Discord refuses.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	name := strings.ToLower(in.Recipient.String("discord_username", ""))
	for _, word := range []string{"clyde", "discord"} {
		if strings.Contains(name, word) {
			out.Problems = append(out.Problems, pdk.Problem{
				Field: "recipient.discord_username", Message: `Discord refuses names that hold "` + word + `": choose another`,
			})
		}
	}
	return out, nil
}

// probe reads the webhook; that posts nothing.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Does the webhook exist?",
		Request: pdk.Request{HTTP: request("GET", in.Endpoint.String("discord_url", ""), nil)},
	}}}, nil
}
