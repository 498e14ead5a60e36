// Command telegram is the plug-in that sends alerts through Telegram's Bot API. Nothing but this endpoint lives here; its
// manifest, schema, templates and texts are in manifests/telegram.
package main

import (
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

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		out.Requests = append(out.Requests, message(in, &in.Deliveries[i]))
	}
	return out, nil
}

// message sends one alert. A release edits the message of its engage; if that failed once, because the message is gone
// for example, it is sent as a reply.
func message(in *pdk.RenderInput, d *pdk.Delivery) pdk.Request {
	chat, id := in.Recipient.String("telegram_channel", ""), ""
	if d.Alert.Action == "release" && d.ProviderID != "" {
		if c, m, ok := strings.Cut(d.ProviderID, "/"); ok {
			chat, id = c, m
		}
	}
	edit := id != "" && (d.Attempt <= 1 || d.Plain)
	text, html := fit(d)

	b := append([]byte(nil), `{"chat_id":`...)
	b = appendChat(b, chat)
	switch {
	case edit:
		b = append(b, `,"message_id":`...)
		b = append(b, id...)
	case id != "":
		b = append(b, `,"reply_parameters":{"message_id":`...)
		b = append(b, id...)
		b = append(b, `,"allow_sending_without_reply":true}`...)
	}
	if t := in.Recipient.Int("message_thread_id", 0); t > 0 && !edit {
		b = append(b, `,"message_thread_id":`...)
		b = strconv.AppendInt(b, t, 10)
	}
	b = append(b, `,"text":`...)
	b = pdk.AppendJSONString(b, text)
	if html {
		b = append(b, `,"parse_mode":"HTML"`...)
	}
	b = append(b, `,"link_preview_options":{"is_disabled":true}}`...)

	r := pdk.Request{Deliveries: []string{d.ID}}
	if edit {
		r.HTTP, r.Note = post(in.Endpoint, "editMessageText", b), noteEdit
	} else {
		r.HTTP = post(in.Endpoint, "sendMessage", b)
	}
	return r
}

func post(endpoint pdk.Params, method string, body []byte) *pdk.HTTPRequest {
	return &pdk.HTTPRequest{
		Method:  "POST",
		URL:     pdk.JoinURL(endpoint.String("telegram_api_url", "https://api.telegram.org"), "bot"+endpoint.String("telegram_token", ""), method),
		Headers: []pdk.Header{{Name: "Content-Type", Value: "application/json"}},
		Body:    string(body),
	}
}

// appendChat writes a chat's number as a number and its @name as a string.
func appendChat(b []byte, chat string) []byte {
	if n, err := strconv.ParseInt(chat, 10, 64); err == nil {
		return strconv.AppendInt(b, n, 10)
	}
	return pdk.AppendJSONString(b, chat)
}

// fit gives the text to send and whether it is HTML. The host keeps the message template within Telegram's limit; should
// a text be longer all the same, it loses its markup, because cut markup is refused.
func fit(d *pdk.Delivery) (text string, html bool) {
	text = d.Text
	if strings.TrimSpace(text) == "" {
		return pdk.TruncateRunes(strings.TrimSpace(d.Alert.Title+": "+d.Alert.Message), maxRunes), false
	}
	if d.Plain {
		return pdk.TruncateRunes(text, maxRunes), false
	}
	if utf8.RuneCountInString(text) <= maxRunes {
		return text, true
	}
	if plain := stripHTML(text); utf8.RuneCountInString(plain) > maxRunes {
		return pdk.TruncateRunes(plain, maxRunes), false
	}
	return text, true
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&amp;", "&")

// stripHTML drops tags and resolves the entities that Telegram knows.
func stripHTML(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			s = ""
			break
		}
		s = s[i+j+1:]
	}
	b.WriteString(s)
	return unescape.Replace(b.String())
}

// probe asks who the bot is and whether it sees the chat; neither posts anything.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{
		{Title: "Is the token right?", Request: pdk.Request{HTTP: post(in.Endpoint, "getMe", []byte("{}"))}},
	}}
	if chat := in.Recipient.String("telegram_channel", ""); chat != "" {
		b := append(appendChat([]byte(`{"chat_id":`), chat), '}')
		out.Steps = append(out.Steps, pdk.ProbeStep{
			Title:   "Does the bot see the chat?",
			Request: pdk.Request{HTTP: post(in.Endpoint, "getChat", b)},
		})
	}
	return out, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// answer is the part of the Bot API's answer that matters.
type answer struct {
	ok            bool
	description   string
	retryAfter    int64 // seconds
	migrateTo     int64
	chat, message int64
}

func parse(body string) (a answer, ok bool) {
	v, err := pdk.ParseJSON([]byte(body))
	if err != nil {
		return a, false
	}
	m, isMap := v.(map[string]any)
	if !isMap {
		return a, false
	}
	top := pdk.Params(m)
	if _, has := m["ok"].(bool); !has {
		return a, false
	}
	a.ok = top.Bool("ok", false)
	a.description = top.String("description", "")
	sub := func(p pdk.Params, k string) pdk.Params {
		m, _ := p[k].(map[string]any)
		return m
	}
	a.retryAfter = sub(top, "parameters").Int("retry_after", 0)
	a.migrateTo = sub(top, "parameters").Int("migrate_to_chat_id", 0)
	a.message = sub(top, "result").Int("message_id", 0)
	a.chat = sub(sub(top, "result"), "chat").Int("id", 0)
	return a, true
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	a, ok := parse(in.Response.Body)
	said := "Telegram answered " + strconv.Itoa(status)
	if a.description != "" {
		said += ": " + pdk.TruncateRunes(a.description, 300)
	}
	switch {
	case !ok && status < 300:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + ", but not as the Bot API does: check telegram_api_url, and proxies on the way"}
	case ok && a.ok:
		v := pdk.Verdict{Outcome: pdk.Delivered}
		if a.message != 0 && a.chat != 0 {
			v.ProviderID = strconv.FormatInt(a.chat, 10) + "/" + strconv.FormatInt(a.message, 10)
		}
		return v
	case status == 429:
		wait := a.retryAfter * 1000
		if wait <= 0 {
			wait = pdk.RetryAfter(in.Response.Headers, in.Now)
		}
		if wait <= 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: pdk.RetryAfter(in.Response.Headers, in.Now), Reason: said}
	case status == 401, status == 404:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check telegram_token: ask @BotFather with /mybots"}
	case status == 403:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; the bot may not write to this chat: add it again, and in a channel make it an administrator"}
	case status == 400:
		return badRequest(in, a, said)
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}

// badRequest tells apart the many causes of a 400. What one chat is to blame for is tried again later without holding the
// endpoint, since its other recipients are not concerned.
func badRequest(in *pdk.ClassifyInput, a answer, said string) pdk.Verdict {
	has := func(parts ...string) bool {
		d := strings.ToLower(a.description)
		for _, p := range parts {
			if strings.Contains(d, p) {
				return true
			}
		}
		return false
	}
	switch {
	case a.migrateTo != 0:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; the group has become a supergroup: set telegram_channel to \"" +
			strconv.FormatInt(a.migrateTo, 10) + "\"; until then alerts for it wait"}
	case has("message is not modified"):
		return pdk.Verdict{Outcome: pdk.Duplicate, Reason: said}
	case in.Request.Note == noteEdit && has("message to edit not found", "message can't be edited", "message_id_invalid"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; it is sent as a message of its own instead"}
	case has("chat not found", "chat_id is empty", "upgraded to a supergroup"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; check telegram_channel, and that the bot is in that chat"}
	case has("thread not found", "topic_closed", "topic_deleted"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; check message_thread_id"}
	case has("not enough rights", "have no rights", "chat_write_forbidden"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; give the bot the right to write in this chat"}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}
