// Command wechat is the plug-in that sends alerts to a group of WeCom (WeChat Work) through a group robot. Nothing but this endpoint
// lives here; its manifest, schema, templates and texts are in manifests/wechat.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// form is one of the two kinds of message that a group robot sends, with its limit in bytes of UTF-8 (developer.work.weixin.qq.com,
// document 91770). Only text can mention.
type form struct {
	name  string
	limit int
}

var (
	markdown = form{"markdown", 4096}
	text     = form{"text", 2048}
)

// limitedWait is for a robot that sent more than its 20 messages in a minute.
const limitedWait = 60_000 // ms

// separator stands between the alerts of one message.
const separator = "\n\n"

// noteProbe marks the request of a probe, which wants to be refused.
const noteProbe = "probe"

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("WeCom", verdict), Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// message is a message on its way together: alerts that fit in one share it, as a robot may send few.
type message struct {
	form
	mention bool
	content string
	ids     []string
}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	mentioned := in.Recipient.Strings("mentioned_list")
	var list []message
	for i := range in.Deliveries {
		next := one(&in.Deliveries[i], len(mentioned) > 0)
		if n := len(list); n > 0 && list[n-1].takes(&next) {
			list[n-1].content += separator + next.content
			list[n-1].ids = append(list[n-1].ids, next.ids...)
			continue
		}
		list = append(list, next)
	}
	out := &pdk.RenderOutput{}
	for i := range list {
		m := &list[i]
		o := pdk.NewObject(make([]byte, 0, len(m.content)+256))
		o.Put("msgtype", m.name)
		o.In(m.name, func() {
			o.Put("content", m.content)
			if m.mention {
				o.List("mentioned_list", mentioned...)
			}
		})
		out.Requests = append(out.Requests, pdk.Request{Deliveries: m.ids, HTTP: post(in.Endpoint, o.Done())})
	}
	return out, nil
}

// one makes the message of one alert. Markdown cannot mention everybody, so whoever wants mentions gets plain text; an end mentions
// nobody.
func one(d *pdk.Delivery, mentions bool) message {
	m := message{form: markdown, mention: mentions && d.Alert.Action != "release", content: strings.TrimSpace(d.Text), ids: []string{d.ID}}
	switch {
	case m.content == "":
		m.form, m.content = text, quiet(d.Alert.Brief())
	case d.Plain:
		m.form, m.content = text, quiet(m.content)
	case m.mention, len(m.content) > m.limit: // cut marks would show, or change what follows
		m.form, m.content = text, strip(m.content)
	}
	m.content = shorten(m.content, m.limit)
	return m
}

// takes tells whether another alert can go into the message.
func (m *message) takes(next *message) bool {
	return m.form == next.form && m.mention == next.mention && len(m.content)+len(separator)+len(next.content) <= m.limit
}

// quiet keeps plain text from mentioning: robots read <@userid> in texts too.
func quiet(s string) string { return strings.ReplaceAll(s, "<@", "＜@") }

var marks = strings.NewReplacer("**", "", "`", "")

// strip takes the marks from Markdown. The host has put look-alikes for those in values, so all that are left are the template's.
func strip(s string) string { return marks.Replace(pdk.StripTags(s)) }

// shorten cuts a text to a limit in bytes. It takes from the longest line, so that the others still say who and when.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	lines := strings.Split(s, "\n")
	longest := 0
	for i := range lines {
		if len(lines[i]) > len(lines[longest]) {
			longest = i
		}
	}
	rest := limit - (len(s) - len(lines[longest]))
	if rest < len("…") {
		return pdk.TruncateBytes(s, limit)
	}
	lines[longest] = pdk.TruncateBytes(lines[longest], rest)
	return strings.Join(lines, "\n")
}

func post(endpoint pdk.Params, body []byte) *pdk.HTTPRequest {
	return pdk.JSONRequest("POST", endpoint.String("wechat_url", ""), body)
}

// probe sends a text without content: WeCom refuses it, and posts nothing. If the key is wrong it says so instead.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	empty := post(in.Endpoint, []byte(`{"msgtype":"text","text":{"content":""}}`))
	out.Ask("Does WeCom know the robot? (asked with an empty message, which it refuses)", noteProbe, empty)
	return out, nil
}

// verdict leaves what has an error code, as all of WeCom's own answers have, to byCode.
func verdict(r *pdk.Reply) pdk.Verdict {
	if _, is := r.JSON["errcode"].(float64); is && r.Status < 300 {
		return byCode(r)
	}
	r.Said = "WeCom answered with status " + strconv.Itoa(r.Status)
	switch {
	case r.Status < 300:
		return r.Fail(pdk.Retry, ", but not as a group robot does: check wechat_url, and proxies on the way")
	case r.Status == 429:
		return r.Limited(limitedWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 400, r.Status == 413, r.Status == 422:
		return r.Fail(pdk.BadPayload, "")
	}
	return r.Fail(pdk.EndpointBroken, "; check wechat_url")
}

// byCode reads WeCom's error codes, as its list of global ones and the field's experience have them.
func byCode(r *pdk.Reply) pdk.Verdict {
	code := r.JSON.Int("errcode", 1)
	said, _, _ := strings.Cut(r.JSON.String("errmsg", ""), ", hint:") // what follows is for WeCom's support
	r.Said = "WeCom answered " + strconv.FormatInt(code, 10)
	r.Explain(said, 200)
	switch code {
	case 0:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case -1, 45033: // busy; too many requests at once
		return r.Fail(pdk.Retry, "")
	case 45009: // more than 20 messages in a minute
		return r.Limited(limitedWait, "")
	case 93000, 93004, 93008: // no such key; the robot is switched off; it is not in the group any more
		return r.Fail(pdk.EndpointBroken, "; copy the robot's address again from the group's settings into wechat_url")
	}
	if r.Note == noteProbe {
		return r.Fail(pdk.Delivered, "")
	}
	// 40058 and 45002: too long. 40008 and 44004: no such type, or empty. Whatever else is about this message.
	return r.Fail(pdk.BadPayload, "")
}
