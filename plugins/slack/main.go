// Command slack is the plug-in that sends alerts to a Slack channel, through an incoming webhook or with a bot's token.
// Nothing but this endpoint lives here; its manifest, schema, templates and texts are in manifests/slack.
package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Slack's limits (https://docs.slack.dev/reference/block-kit/blocks). It does not say how it counts: UTF-16 units are never
// fewer than characters.
const (
	maxHeader  = 150
	maxSection = 3000
	maxFoot    = 1000 // of the last paragraph, so that it may be a context block
	maxBlocks  = 50
	// maxTotal bounds all blocks of a message together. It is documented nowhere: slackapi/bolt-js#2509 measured
	// msg_blocks_too_long from 13,297 characters on, and a divider to cost 125 of them.
	maxTotal  = 13_000
	blockCost = 150 // of each block, beside the bytes of its text
	maxPlain  = 3000
)

// The notes tell classify what a request was.
const (
	noteHook    = "webhook"
	notePost    = "post"
	noteUpdate  = "update"
	noteReply   = "reply"
	noteAuth    = "auth"
	noteChannel = "channel"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// message is a message in the making: one alert or several.
type message struct {
	ids    []string
	text   string // what notifications show, and what is shown if there are no blocks
	blocks []byte
	count  int // blocks
	size   int // what the blocks count against maxTotal
}

// render puts alerts that come together into one message, as far as its limits go. With a token an engage gets a message of its
// own, which its release changes.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	token := in.Endpoint.Has("slack_token")
	var open message
	flush := func() {
		if len(open.ids) > 0 {
			out.Requests = append(out.Requests, request(in, &open, nil))
		}
		open = message{}
	}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if token && !in.Recipient.Has("channel") {
			out.Rejected = append(out.Rejected, pdk.Verdict{Delivery: d.ID, Outcome: pdk.Rejected, Reason: "the recipient has no channel: a token needs one; set channel"})
			continue
		}
		m := compose(d)
		if d.Plain || token && d.Alert.Action != "store" {
			flush()
			out.Requests = append(out.Requests, request(in, m, d))
			continue
		}
		if open.count+1+m.count > maxBlocks || open.size+blockCost+m.size > maxTotal {
			flush()
		}
		open.add(m)
	}
	flush()
	return out, nil
}

// add puts another message behind m.
func (m *message) add(next *message) {
	if len(m.ids) == 0 {
		*m = *next
		return
	}
	m.blocks = append(m.blocks, `,{"type":"divider"},`...)
	m.blocks = append(m.blocks, next.blocks...)
	m.count, m.size = m.count+1+next.count, m.size+blockCost+next.size
	m.text += "\n" + next.text
	m.ids = append(m.ids, next.ids...)
}

// compose makes the blocks of one alert: its headline, what happened, and in small letters when. The template's subject is the
// headline, a dash, and what a notification shows besides. The host keeps the template's text within a section's limit; should it be
// longer all the same, it loses its markup, since cut markup shows.
func compose(d *pdk.Delivery) *message {
	a := &d.Alert
	m := &message{ids: []string{d.ID}}
	text, bare := d.Text, strings.TrimSpace(a.Title+": "+a.Message)
	if d.Plain {
		if strings.TrimSpace(text) == "" {
			text = bare
		}
		m.text = escape(pdk.TruncateRunes(text, maxPlain))
		return m
	}
	if strings.TrimSpace(text) == "" {
		text = escape(pdk.TruncateRunes(bare, maxHeader))
	}
	subject := strings.TrimSpace(d.Subject)
	if subject == "" {
		subject = strings.TrimSpace(a.Severity + " " + a.Check)
	}
	m.text = escape(subject)
	head, _, _ := strings.Cut(subject, " — ")
	m.block(`{"type":"header","text":{"type":"plain_text","emoji":true,"text":`, pdk.TruncateUTF16(head, maxHeader), `}}`)
	foot := ""
	if i := strings.LastIndex(text, "\n\n"); i > 0 && len(text)-i < maxFoot {
		text, foot = text[:i], text[i+2:]
	}
	if pdk.UTF16Len(text) > maxSection {
		m.block(`{"type":"section","text":{"type":"plain_text","text":`, pdk.TruncateUTF16(unescape.Replace(text), maxSection), `}}`)
	} else {
		m.block(`{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":`, text, `}}`)
	}
	if strings.TrimSpace(foot) != "" {
		m.block(`{"type":"context","elements":[{"type":"mrkdwn","verbatim":true,"text":`, foot, `}]}`)
	}
	return m
}

func (m *message) block(before, text, after string) {
	if m.count > 0 {
		m.blocks = append(m.blocks, ',')
	}
	m.blocks = append(pdk.AppendJSONString(append(m.blocks, before...), text), after...)
	m.count, m.size = m.count+1, m.size+blockCost+len(text)
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// escape makes text safe where Slack reads mrkdwn: without the three signs there is neither a link nor <!channel>; an at sign
// gets an invisible space behind it, for workspaces that link names.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b").Replace

// request sends a message; d is the delivery of one that goes alone. A release changes the message of its engage. If that
// failed twice, since once may be a passing fault, it is sent to that message's thread, and if that failed too, on its own.
func request(in *pdk.RenderInput, m *message, d *pdk.Delivery) pdk.Request {
	hook := !in.Endpoint.Has("slack_token")
	note, channel, ts := notePost, in.Recipient.String("channel", ""), ""
	if hook {
		note = noteHook
	} else if d != nil && d.Alert.Action == "release" {
		if c, t, ok := strings.Cut(d.ProviderID, "/"); ok {
			switch {
			case d.Attempt <= 2:
				note, channel, ts = noteUpdate, c, t
			case d.Attempt <= 4:
				note, channel, ts = noteReply, c, t
			}
		}
	}
	b := []byte("{")
	field := func(key, value string) {
		if value != "" {
			b = pdk.AppendJSONString(append(append(append(b, '"'), key...), '"', ':'), value)
			b = append(b, ',')
		}
	}
	if !hook {
		field("channel", channel)
	}
	switch note {
	case noteUpdate:
		field("ts", ts)
	case noteReply:
		field("thread_ts", ts)
		b = append(b, `"reply_broadcast":true,`...)
	}
	if note != noteUpdate {
		field("username", in.Endpoint.String("slack_sender_username", ""))
		b = append(b, `"unfurl_links":false,"unfurl_media":false,`...)
	}
	if m.count > 0 || note == noteUpdate { // an update without the key would leave the old blocks there
		b = append(append(append(b, `"blocks":[`...), m.blocks...), "],"...)
	} else {
		b = append(b, `"mrkdwn":false,`...)
	}
	field("text", m.text)
	b[len(b)-1] = '}'

	r := pdk.Request{Deliveries: m.ids, Note: note}
	switch note {
	case noteHook:
		r.HTTP = &pdk.HTTPRequest{
			Method: "POST", URL: in.Endpoint.String("slack_webhook", ""), Body: string(b),
			Headers: []pdk.Header{{Name: "Content-Type", Value: "application/json; charset=utf-8"}},
		}
	case noteUpdate:
		r.HTTP = call(in.Endpoint, "chat.update", b)
	default:
		r.HTTP = call(in.Endpoint, "chat.postMessage", b)
	}
	return r
}

// call is a request to a method of Slack's Web API. The token is in a header, never in the URL.
func call(endpoint pdk.Params, method string, body []byte) *pdk.HTTPRequest {
	r := &pdk.HTTPRequest{
		Method: "POST", URL: pdk.JoinURL(endpoint.String("slack_api_url", "https://slack.com/api"), method), Body: string(body),
		Headers: []pdk.Header{{Name: "Authorization", Value: "Bearer " + endpoint.String("slack_token", "")}},
	}
	if body == nil {
		r.Method = "GET"
	} else {
		r.Headers = append(r.Headers, pdk.Header{Name: "Content-Type", Value: "application/json; charset=utf-8"})
	}
	return r
}

// lint wants exactly one way to Slack, and a channel with a token only.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	bad := func(field, text string) {
		out.Problems = append(out.Problems, pdk.Problem{Field: field, Message: text})
	}
	hook, token := in.Endpoint.Has("slack_webhook"), in.Endpoint.Has("slack_token")
	switch {
	case hook && token:
		bad("endpoint.slack_token", "slack_webhook is set too: remove one of the two; with the token releases change their messages, and each recipient has its own channel")
	case !hook && !token:
		bad("endpoint.slack_webhook", "is missing: enter a webhook's URL here, or a bot's token in slack_token")
	case hook && in.Recipient.Has("channel"):
		bad("recipient.channel", "a webhook writes to the channel it was made for: remove channel, or use slack_token in place of slack_webhook")
	case token && in.Recipient != nil && !in.Recipient.Has("channel"):
		bad("recipient.channel", "is missing: a token needs the channel to write to, such as C0123456789 or #alerts")
	}
	return out, nil
}

// probe asks whose token it is and looks at the channel, which posts nothing. A webhook can only be tested by a message.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	if !in.Endpoint.Has("slack_token") {
		return out, nil
	}
	out.Steps = append(out.Steps, pdk.ProbeStep{
		Title: "Is the token right?", Request: pdk.Request{HTTP: call(in.Endpoint, "auth.test", []byte("{}")), Note: noteAuth},
	})
	// Slack finds a channel by its id only; a name is tried by the test message.
	if c := in.Recipient.String("channel", ""); len(c) > 8 && (c[0] == 'C' || c[0] == 'G') && strings.ToUpper(c) == c {
		out.Steps = append(out.Steps, pdk.ProbeStep{
			Title: "Is the bot in the channel?", Request: pdk.Request{HTTP: call(in.Endpoint, "conversations.info?channel="+pdk.EscapePath(c), nil), Note: noteChannel},
		})
	}
	return out, nil
}
