// Command telegram is the plug-in that sends alerts through Telegram's Bot API. Nothing but this endpoint lives here; its
// manifest, schema, templates and texts are in manifests/telegram.
package main

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// maxRunes is Telegram's limit for a message, after entities are parsed.
	maxRunes = 4096
	// defaultWait is how long to wait after a 429 that does not say for how long; a group takes 20 messages a minute.
	defaultWait = 30_000 // ms
	// noteEdit marks a request that edits the message of an engage.
	noteEdit = "edit"
)

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("Telegram", verdict), Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		out.Requests = append(out.Requests, message(in, &in.Deliveries[i]))
	}
	return out, nil
}

// message sends one alert. A release, which alone is told of a provider's id, edits the message of its engage; if that failed once,
// because the message is gone for example, it is sent as a reply.
func message(in *pdk.RenderInput, d *pdk.Delivery) pdk.Request {
	chat, id, known := strings.Cut(d.ProviderID, "/")
	if !known {
		chat = in.Recipient.String("telegram_channel", "")
	}
	edit := known && (d.Attempt <= 1 || d.Plain)
	o := about(chat)
	switch {
	case edit:
		o.Raw("message_id", id)
	case known:
		o.In("reply_parameters", func() {
			o.Raw("message_id", id)
			o.True("allow_sending_without_reply", true)
		})
	}
	if t := in.Recipient.Int("message_thread_id", 0); t > 0 && !edit {
		o.Int("message_thread_id", t)
	}
	text, html := fit(d)
	o.Put("text", text)
	if html {
		o.Put("parse_mode", "HTML")
	}
	o.In("link_preview_options", func() { o.True("is_disabled", true) })
	if edit {
		return pdk.Request{Deliveries: []string{d.ID}, HTTP: post(in.Endpoint, "editMessageText", o), Note: noteEdit}
	}
	return pdk.Request{Deliveries: []string{d.ID}, HTTP: post(in.Endpoint, "sendMessage", o)}
}

// about begins the arguments of a method: a chat's number is a number, its @name a string.
func about(chat string) *pdk.Object {
	o := pdk.NewObject(nil)
	if n, err := strconv.ParseInt(chat, 10, 64); err == nil {
		o.Int("chat_id", n)
	} else {
		o.Text("chat_id", chat)
	}
	return o
}

func post(endpoint pdk.Params, method string, arguments *pdk.Object) *pdk.HTTPRequest {
	base, token := endpoint.String("telegram_api_url", "https://api.telegram.org"), endpoint.String("telegram_token", "")
	return pdk.JSONRequest("POST", pdk.JoinURL(base, "bot"+token, method), arguments.Done())
}

// fit gives the text to send and whether it is HTML. The host keeps the message template within Telegram's limit; should
// a text be longer all the same, it loses its markup, because cut markup is refused.
func fit(d *pdk.Delivery) (text string, html bool) {
	switch text = pdk.First(d.Text, d.Alert.Brief()); {
	case d.Plain, text != d.Text:
	case utf8.RuneCountInString(text) <= maxRunes:
		return text, true
	default:
		text = pdk.UnescapeHTML(pdk.StripTags(text))
		if utf8.RuneCountInString(text) <= maxRunes {
			return d.Text, true
		}
	}
	return pdk.TruncateRunes(text, maxRunes), false
}

// probe asks who the bot is and whether it sees the chat; neither posts anything.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	out.Ask("Is the token right?", "", post(in.Endpoint, "getMe", about("")))
	if chat := in.Recipient.String("telegram_channel", ""); chat != "" {
		out.Ask("Does the bot see the chat?", "", post(in.Endpoint, "getChat", about(chat)))
	}
	return out, nil
}

func verdict(r *pdk.Reply) pdk.Verdict {
	ok, is := r.JSON["ok"].(bool)
	r.Explain(r.JSON.String("description", ""), 300)
	switch {
	case ok:
		v, result := pdk.Verdict{Outcome: pdk.Delivered}, r.JSON.Object("result")
		if m, c := result.Int("message_id", 0), result.Object("chat").Int("id", 0); m != 0 && c != 0 {
			v.ProviderID = strconv.FormatInt(c, 10) + "/" + strconv.FormatInt(m, 10)
		}
		return v
	case !is && r.Status < 300:
		return r.Fail(pdk.Retry, ", but not as the Bot API does: check telegram_api_url, and proxies on the way")
	case r.Status == 429:
		if n := r.JSON.Object("parameters").Int("retry_after", 0); n > 0 {
			r.Wait = min(n, 1<<31) * 1000
		}
		return r.Limited(defaultWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 401, r.Status == 404:
		return r.Fail(pdk.EndpointBroken, "; check telegram_token: ask @BotFather with /mybots")
	case r.Status == 403:
		return r.Fail(pdk.EndpointBroken, "; the bot may not write to this chat: add it again, and in a channel make it an administrator")
	case r.Status == 400:
		return badRequest(r)
	}
	return r.Fail(pdk.BadPayload, "")
}

// causes are those of a 400 that are no fault of the message, by what its description holds. What one chat is to blame for is tried
// again later without holding the endpoint, since its other recipients are not concerned.
var causes = []struct {
	hint    string
	phrases []string
}{
	{"; check telegram_channel, and that the bot is in that chat", []string{"chat not found", "chat_id is empty", "upgraded to a supergroup"}},
	{"; check message_thread_id", []string{"thread not found", "topic_closed", "topic_deleted"}},
	{"; give the bot the right to write in this chat", []string{"not enough rights", "have no rights", "chat_write_forbidden"}},
}

// uneditable are the descriptions of a message that is gone, or is too old to be edited.
var uneditable = []string{"message to edit not found", "message can't be edited", "message_id_invalid"}

func badRequest(r *pdk.Reply) pdk.Verdict {
	said := strings.ToLower(r.JSON.String("description", ""))
	holds := func(phrase string) bool { return strings.Contains(said, phrase) }
	if id := r.JSON.Object("parameters").Int("migrate_to_chat_id", 0); id != 0 {
		return r.Fail(pdk.Retry, "; the group has become a supergroup: set telegram_channel to \""+
			strconv.FormatInt(id, 10)+"\"; until then alerts for it wait")
	}
	if holds("message is not modified") {
		return r.Fail(pdk.Duplicate, "")
	}
	if r.Note == noteEdit && slices.ContainsFunc(uneditable, holds) {
		return r.Fail(pdk.Retry, "; it is sent as a message of its own instead")
	}
	for _, c := range causes {
		if slices.ContainsFunc(c.phrases, holds) {
			return r.Fail(pdk.Retry, c.hint)
		}
	}
	return r.Fail(pdk.BadPayload, "")
}
