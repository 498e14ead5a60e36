// Command slack is the plug-in that sends alerts to a Slack channel, through an incoming webhook or with a bot's token.
// Nothing but this endpoint lives here; its manifest, schema, templates and texts are in manifests/slack.
package main

import (
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Slack's limits (https://docs.slack.dev/reference/block-kit/blocks). It does not say how it counts: UTF-16 units are never
// fewer than characters.
const (
	maxHeader  = 150
	maxSection = 3000 // and of plain text
	maxFoot    = 1000 // of the last paragraph, so that it may be a context block
	maxBlocks  = 50
	// maxTotal bounds all blocks of a message together. It is documented nowhere: slackapi/bolt-js#2509 measured
	// msg_blocks_too_long from 13,297 characters on, and a divider to cost 125 of them.
	maxTotal  = 13_000
	blockCost = 150 // of each block, beside the bytes of its text
	maxID     = 200 // of what is kept of a message, in bytes; Slack's are about 30, and the host takes 512
	// defaultWait is how long to wait where Slack says that it is too much, and not for how long. A channel takes one message a second.
	defaultWait = 30_000 // ms
)

// The notes tell verdict what a request was.
const (
	noteHook    = "webhook"
	notePost    = "post"
	noteUpdate  = "update"
	noteReply   = "reply"
	noteAuth    = "auth"
	noteChannel = "channel"
)

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("Slack", verdict), Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// message is a message in the making: one alert or several.
type message struct {
	first  *pdk.Delivery
	alone  bool // nothing else comes into it
	ids    []string
	text   string   // what notifications show, and what is shown if there are no blocks
	blocks []string // each as JSON
	size   int      // what the blocks count against maxTotal
}

// render puts alerts that come together into one message, as far as its limits go. With a token an engage gets a message of its
// own, which its release changes.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	token := in.Endpoint.Has("slack_token")
	var list []*message
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if token && !in.Recipient.Has("channel") {
			out.Reject(d, pdk.Rejected, "the recipient has no channel: a token needs one; set channel")
			continue
		}
		m := compose(d, token)
		if n := len(list); n == 0 || !list[n-1].add(m) {
			list = append(list, m)
		}
	}
	for _, m := range list {
		out.Requests = append(out.Requests, request(in, m))
	}
	return out, nil
}

// add puts another message behind m, if it fits.
func (m *message) add(next *message) bool {
	if m.alone || next.alone || len(m.blocks)+1+len(next.blocks) > maxBlocks || m.size+blockCost+next.size > maxTotal {
		return false
	}
	m.ids, m.blocks = append(m.ids, next.ids...), append(append(m.blocks, `{"type":"divider"}`), next.blocks...)
	m.text, m.size = m.text+"\n"+next.text, m.size+blockCost+next.size
	return true
}

// compose makes the blocks of one alert: its headline, what happened, and in small letters when. The template's subject is the
// headline, a dash, and what a notification shows besides. The host keeps the template's text within a section's limit; should it be
// longer all the same, it loses its markup, since cut markup shows.
func compose(d *pdk.Delivery, token bool) *message {
	m := &message{first: d, alone: d.Plain || token && d.Alert.Action != "store", ids: []string{d.ID}}
	if d.Plain {
		m.text = escape(pdk.TruncateRunes(pdk.First(d.Text, d.Alert.Brief()), maxSection))
		return m
	}
	subject := strings.TrimSpace(pdk.First(d.Subject, d.Alert.Severity+" "+d.Alert.Check))
	m.text = escape(subject)
	head, _, _ := strings.Cut(subject, " — ")
	m.block(`{"type":"header","text":{"type":"plain_text","emoji":true,"text":`, pdk.TruncateUTF16(head, maxHeader), `}}`)
	text, foot := d.Text, ""
	if strings.TrimSpace(text) == "" {
		text = escape(pdk.TruncateRunes(d.Alert.Brief(), maxHeader))
	}
	if i := strings.LastIndex(text, "\n\n"); i > 0 && len(text)-i < maxFoot {
		text, foot = text[:i], text[i+2:]
	}
	if pdk.UTF16Len(text) > maxSection {
		m.block(`{"type":"section","text":{"type":"plain_text","text":`, pdk.TruncateUTF16(pdk.UnescapeHTML(text), maxSection), `}}`)
	} else {
		m.block(`{"type":"section","text":{"type":"mrkdwn","verbatim":true,"text":`, text, `}}`)
	}
	if strings.TrimSpace(foot) != "" {
		m.block(`{"type":"context","elements":[{"type":"mrkdwn","verbatim":true,"text":`, foot, `}]}`)
	}
	return m
}

func (m *message) block(before, text, after string) {
	m.blocks = append(m.blocks, string(append(pdk.AppendJSONString([]byte(before), text), after...)))
	m.size += blockCost + len(text)
}

// escape makes text safe where Slack reads mrkdwn: without the three signs there is neither a link nor <!channel>; an at sign
// gets an invisible space behind it, for workspaces that link names.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b").Replace

// request sends a message. A release, which alone is told of a provider's id, changes the message of its engage. If that failed
// twice, since once may be a passing fault, it is sent to that message's thread, and if that failed too, on its own.
func request(in *pdk.RenderInput, m *message) pdk.Request {
	note, method, channel, thread := notePost, "chat.postMessage", in.Recipient.String("channel", ""), ""
	c, ts, known := strings.Cut(m.first.ProviderID, "/")
	switch {
	case !in.Endpoint.Has("slack_token"):
		note, channel = noteHook, ""
	case known && m.first.Attempt <= 2:
		note, method, channel = noteUpdate, "chat.update", c
	case known && m.first.Attempt <= 4:
		note, channel, thread = noteReply, c, ts
	}
	o := pdk.NewObject(nil)
	o.Text("channel", channel)
	if note == noteUpdate {
		o.Text("ts", ts)
	} else {
		o.Text("thread_ts", thread)
		o.True("reply_broadcast", thread != "")
		o.Text("username", in.Endpoint.String("slack_sender_username", ""))
		o.Raw("unfurl_links", "false")
		o.Raw("unfurl_media", "false")
	}
	if len(m.blocks) > 0 || note == noteUpdate { // an update without the key would leave the old blocks there
		o.Raw("blocks", "["+strings.Join(m.blocks, ",")+"]")
	} else {
		o.Raw("mrkdwn", "false")
	}
	o.Text("text", m.text)
	return pdk.Request{Deliveries: m.ids, HTTP: call(in.Endpoint, method, o.Done()), Note: note}
}

// call is a request to a method of Slack's Web API, or to the webhook where there is no token. The token is in a header, never in
// the URL.
func call(endpoint pdk.Params, method string, body []byte) *pdk.HTTPRequest {
	r := &pdk.HTTPRequest{Method: "POST", URL: endpoint.String("slack_webhook", ""), Body: string(body)}
	if token := endpoint.String("slack_token", ""); token != "" {
		r.URL = pdk.JoinURL(endpoint.String("slack_api_url", "https://slack.com/api"), method)
		r.Headers = []pdk.Header{{Name: "Authorization", Value: "Bearer " + token}}
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
	hook, token, channel := in.Endpoint.Has("slack_webhook"), in.Endpoint.Has("slack_token"), in.Recipient.Has("channel")
	switch {
	case hook && token:
		out.Add("endpoint.slack_token", "slack_webhook is set too: remove one of the two; with the token releases change their messages, "+
			"and each recipient has its own channel")
	case !hook && !token:
		out.Add("endpoint.slack_webhook", "is missing: enter a webhook's URL here, or a bot's token in slack_token")
	case hook && channel:
		out.Add("recipient.channel", "a webhook writes to the channel it was made for: remove channel, or use slack_token in place of slack_webhook")
	case token && in.Recipient != nil && !channel:
		out.Add("recipient.channel", "is missing: a token needs the channel to write to, such as C0123456789 or #alerts")
	}
	return out, nil
}

// probe asks whose token it is and looks at the channel, which posts nothing. A webhook can only be tested by a message.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	if !in.Endpoint.Has("slack_token") {
		return out, nil
	}
	out.Ask("Is the token right?", noteAuth, call(in.Endpoint, "auth.test", []byte("{}")))
	// Slack finds a channel by its id only; a name is tried by the test message.
	if c := in.Recipient.String("channel", ""); len(c) > 8 && (c[0] == 'C' || c[0] == 'G') && strings.ToUpper(c) == c {
		out.Ask("Is the bot in the channel?", noteChannel, call(in.Endpoint, "conversations.info?channel="+pdk.EscapePath(c), nil))
	}
	return out, nil
}

const (
	tokenHint   = "; check slack_token: it is the Bot User OAuth Token of your app, under OAuth & Permissions"
	hookHint    = "; make a new webhook on the app's page Incoming Webhooks and put its URL in slack_webhook"
	channelHint = "; check channel, and invite the bot there with /invite"
	serverHint  = ", but not as Slack does: check the address, and proxies on the way"
	limitHint   = "; it takes no more messages for now"
)

// hookGone are the words of a webhook's 400 that are about the webhook and not about the message.
var hookGone = []string{
	"no_service", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "user_not_found", "channel_not_found",
	"channel_is_archived", "action_prohibited", "posting_to_general_channel_denied",
}

// verdict judges the answer of a method of the Web API: a refusal has the status 200 too, and the name of an error.
func verdict(r *pdk.Reply) pdk.Verdict {
	ok, is := r.JSON["ok"].(bool)
	switch {
	case r.Status == 429:
		return r.Limited(defaultWait, limitHint)
	case r.Note == noteHook:
		return hooked(r)
	case !is && (r.Status < 300 || r.Passing()):
		return r.Retry(serverHint)
	case !is && r.Status == 413:
		return r.Fail(pdk.BadPayload, "")
	case !is:
		return r.Fail(pdk.EndpointBroken, serverHint+"; slack_api_url is to be https://slack.com/api")
	case !ok:
		return refused(r)
	case r.JSON.Object("channel").Bool("is_archived", false): // of conversations.info; elsewhere it is a text
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the channel is archived: unarchive it, or choose another"}
	case !r.JSON.Object("channel").Bool("is_member", true):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the bot is not in the channel" + channelHint}
	}
	id, ts := r.JSON.String("channel", ""), r.JSON.String("ts", "")
	if id != "" && ts != "" && len(id)+len(ts) < maxID && len(r.In.Request.Deliveries) == 1 {
		return pdk.Verdict{Outcome: pdk.Delivered, ProviderID: id + "/" + ts}
	}
	return pdk.Verdict{Outcome: pdk.Delivered}
}

// hooked judges a webhook's answer: a status, and one word as the body.
func hooked(r *pdk.Reply) pdk.Verdict {
	word, _, _ := strings.Cut(r.Text, "\n")
	r.Explain(word, 200)
	switch {
	case r.Status == 200 && word == "ok":
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status < 300:
		return r.Fail(pdk.Retry, serverHint)
	case r.Passing():
		return r.Retry("")
	case r.Status == 413, r.Status == 400 && !slices.Contains(hookGone, word):
		return r.Fail(pdk.BadPayload, "")
	}
	return r.Fail(pdk.EndpointBroken, hookHint)
}

// refused tells the errors of chat.postMessage, chat.update, auth.test and conversations.info apart (their pages under
// https://docs.slack.dev/reference/methods). What one channel is to blame for is tried again without holding the endpoint, since
// its other recipients are not concerned.
func refused(r *pdk.Reply) pdk.Verdict {
	name := r.JSON.String("error", "an error without a name")
	r.Explain(name, 100)
	r.Explain(pdk.First(r.JSON.Object("response_metadata").Strings("messages")...), 200)
	switch name {
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		return r.Limited(defaultWait, limitHint)
	case "missing_scope":
		if r.Note == noteChannel { // the optional scopes that only this question needs
			return r.Fail(pdk.Accepted, "; whether the bot is in the channel shows with the first message")
		}
		return r.Fail(pdk.EndpointBroken, "; give the app the scope "+r.JSON.String("needed", "chat:write")+" and install it again")
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type", "no_permission",
		"access_denied", "two_factor_setup_required", "org_login_required", "ekm_access_denied", "team_access_not_granted", "team_not_found",
		"enterprise_is_restricted", "accesslimited", "missing_args", "deprecated_endpoint", "method_deprecated", "unknown_method":
		return r.Fail(pdk.EndpointBroken, tokenHint)
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "external_channel_migrating":
		return r.Retry("")
	case "message_not_found", "cant_update_message", "edit_window_closed", "update_failed", "is_inactive", "thread_not_found",
		"cannot_reply_to_message", "restricted_action_non_threadable_channel", "restricted_action_thread_locked":
		return r.Fail(pdk.Retry, map[string]string{
			noteUpdate: "; if this stays so it is sent to the message's thread instead",
			noteReply:  "; if this stays so it is sent as a message of its own instead",
		}[r.Note])
	case "channel_not_found", "not_in_channel", "is_archived", "messages_tab_disabled", "user_not_found", "user_disabled", "cannot_dm_bot",
		"restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
		"slack_connect_canvas_sharing_blocked", "slack_connect_file_link_sharing_blocked", "method_not_supported_for_channel_type":
		return r.Fail(pdk.Retry, channelHint)
	}
	return r.Fail(pdk.BadPayload, "") // msg_too_long, msg_blocks_too_long, invalid_blocks, no_text ...
}
