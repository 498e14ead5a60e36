// Command wechat is the plug-in that sends alerts to a group of WeCom (WeChat Work) through a group robot. Nothing but this endpoint
// lives here; its manifest, schema, templates and texts are in manifests/wechat.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Limits of a group robot's messages in bytes of UTF-8 (developer.work.weixin.qq.com, document 91770), and times to wait.
const (
	maxMarkdown = 4096
	maxText     = 2048
	// limitedWait is for a robot that sent more than its 20 messages in a minute.
	limitedWait = 60_000 // ms
)

// separator stands between the alerts of one message.
const separator = "\n\n"

// noteProbe marks the request of a probe, which wants to be refused.
const noteProbe = "probe"

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// message is a message on its way together: alerts that fit in one share it, as a robot may send few.
type message struct {
	text    bool // plain text, which can mention, rather than Markdown
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
		b := append(make([]byte, 0, len(m.content)+256), `{"msgtype":"`+m.kind()+`","`+m.kind()+`":{"content":`...)
		b = pdk.AppendJSONString(b, m.content)
		if m.mention {
			b = append(b, `,"mentioned_list":`...)
			b = pdk.AppendJSON(b, mentioned)
		}
		out.Requests = append(out.Requests, pdk.Request{Deliveries: m.ids, HTTP: post(in.Endpoint, append(b, "}}"...))})
	}
	return out, nil
}

// one makes the message of one alert. Markdown cannot mention everybody, so whoever wants mentions gets plain text; an end mentions
// nobody.
func one(d *pdk.Delivery, mentions bool) message {
	m := message{content: strings.TrimSpace(d.Text), ids: []string{d.ID}}
	m.mention = mentions && d.Alert.Action != "release"
	switch {
	case m.content == "":
		m.text, m.content = true, quiet(strings.TrimSpace(d.Alert.Title+": "+d.Alert.Message))
	case d.Plain:
		m.text, m.content = true, quiet(m.content)
	case m.mention, len(m.content) > maxMarkdown: // cut marks would show, or change what follows
		m.text, m.content = true, strip(m.content)
	}
	m.content = shorten(m.content, m.limit())
	return m
}

func (m *message) kind() string {
	if m.text {
		return "text"
	}
	return "markdown"
}

func (m *message) limit() int {
	if m.text {
		return maxText
	}
	return maxMarkdown
}

// takes tells whether another alert can go into the message.
func (m *message) takes(next *message) bool {
	return m.text == next.text && m.mention == next.mention && len(m.content)+len(separator)+len(next.content) <= m.limit()
}

// quiet keeps plain text from mentioning: robots read <@userid> in texts too.
func quiet(s string) string { return strings.ReplaceAll(s, "<@", "＜@") }

var marks = strings.NewReplacer("**", "", "`", "")

// strip takes the marks from Markdown. The host has put look-alikes for those in values, so all that are left are the template's.
func strip(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+j+1:]
	}
	b.WriteString(s)
	return marks.Replace(b.String())
}

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
	return &pdk.HTTPRequest{
		Method:  "POST",
		URL:     endpoint.String("wechat_url", ""),
		Headers: []pdk.Header{{Name: "Content-Type", Value: "application/json"}},
		Body:    string(body),
	}
}

// probe sends a text without content: WeCom refuses it, and posts nothing. If the key is wrong it says so instead.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Does WeCom know the robot? (asked with an empty message, which it refuses)",
		Request: pdk.Request{HTTP: post(in.Endpoint, []byte(`{"msgtype":"text","text":{"content":""}}`)), Note: noteProbe},
	}}}, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// parse reads the error code that WeCom puts into every answer, whatever its status.
func parse(body string) (code int64, said string, ok bool) {
	v, err := pdk.ParseJSON([]byte(body))
	if err != nil {
		return 0, "", false
	}
	m, isMap := v.(map[string]any)
	if !isMap {
		return 0, "", false
	}
	if _, isNumber := m["errcode"].(float64); !isNumber {
		return 0, "", false
	}
	p := pdk.Params(m)
	said, _, _ = strings.Cut(p.String("errmsg", ""), ", hint:") // what follows is for WeCom's support
	return p.Int("errcode", 1), pdk.TruncateRunes(said, 200), true
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	if code, said, ok := parse(in.Response.Body); ok && status < 300 {
		return byCode(code, "WeCom answered "+strconv.FormatInt(code, 10)+": "+said, in.Request.Note == noteProbe)
	}
	said := "WeCom answered with status " + strconv.Itoa(status)
	switch {
	case status < 300:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + ", but not as a group robot does: check wechat_url, and proxies on the way"}
	case status == 429:
		if wait <= 0 {
			wait = limitedWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408, status == 425:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 400, status == 413, status == 422:
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
	}
	return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check wechat_url"}
}

// byCode reads WeCom's error codes, as its list of global ones and the field's experience have them.
func byCode(code int64, said string, probing bool) pdk.Verdict {
	switch code {
	case 0:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case -1, 45033: // busy; too many requests at once
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said}
	case 45009: // more than 20 messages in a minute
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: limitedWait, Reason: said}
	case 93000, 93004, 93008: // no such key; the robot is switched off; it is not in the group any more
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; copy the robot's address again from the group's settings into wechat_url"}
	}
	if probing {
		return pdk.Verdict{Outcome: pdk.Delivered, Reason: said}
	}
	// 40058 and 45002: too long. 40008 and 44004: no such type, or empty. Whatever else is about this message.
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}
