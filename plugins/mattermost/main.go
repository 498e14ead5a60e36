// Command mattermost is the plug-in that sends alerts to Mattermost channels as a bot. Nothing but this endpoint lives here; its
// manifest, schema, templates and texts are in manifests/mattermost.
package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// The server's limits (server/public/model/post.go): a post's message in characters. Attachments count against the 800,000 of its
// properties, which a batch stays far below.
const (
	maxRunes = 16383
	maxPlain = 5000 // before it is escaped and made quiet, which make up to three of each
)

// The notes tell classify what a request was.
const (
	notePost    = "post"
	noteEdit    = "edit"
	noteReply   = "reply"
	noteMe      = "me"
	noteChannel = "channel"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// post is a post in the making: one alert or several.
type post struct {
	ids         []string
	message     string // the first headline, or the whole of a plain post
	attachments []byte
	urgent      bool
}

// render puts alerts that come together into one post. An engage gets a post of its own, which its release changes.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	var open post
	flush := func() {
		if n := len(open.ids); n > 1 {
			open.message += " (+" + strconv.Itoa(n-1) + ")"
		}
		if len(open.ids) > 0 {
			out.Requests = append(out.Requests, request(in, &open, nil))
		}
		open = post{}
	}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if d.Plain || d.Alert.Action != "store" {
			flush()
			p := post{}
			p.add(d)
			out.Requests = append(out.Requests, request(in, &p, d))
			continue
		}
		open.add(d)
	}
	flush()
	return out, nil
}

// add puts an alert into a post: its headline, the text's first line, above an attachment with the rest and the severity's colour. A
// post has one message, so the headline of a further alert stands above its attachment.
func (p *post) add(d *pdk.Delivery) {
	p.ids = append(p.ids, d.ID)
	text := strings.TrimSpace(d.Text)
	bare := text == ""
	if bare {
		text = strings.TrimSpace(d.Alert.Title + ": " + d.Alert.Message)
	}
	if d.Plain {
		p.message = quiet(pdk.EscapeMarkdown(pdk.TruncateRunes(text, maxPlain)))
		return
	}
	shown := quiet(text)
	if bare || utf8.RuneCountInString(shown) > maxRunes { // the host keeps to half of it; cut markup would show
		shown = quiet(pdk.EscapeMarkdown(pdk.TruncateRunes(text, maxPlain)))
	}
	head, body, _ := strings.Cut(shown, "\n")
	first := len(p.ids) == 1
	b := p.attachments
	if first {
		p.message = head
	} else {
		b = append(b, ',')
	}
	fallback := strings.TrimSpace(d.Subject)
	if fallback == "" {
		fallback = d.Alert.Severity + " " + d.Alert.Check
	}
	b = pdk.AppendJSONString(append(b, `{"fallback":`...), quiet(fallback))
	b = append(append(append(b, `,"color":"`...), color(&d.Alert)...), '"')
	if !first {
		b = pdk.AppendJSONString(append(b, `,"pretext":`...), head)
	}
	b = pdk.AppendJSONString(append(b, `,"text":`...), strings.TrimSpace(body))
	p.attachments = append(b, '}')
	switch d.Alert.Severity {
	case "critical", "alert", "emergency":
		p.urgent = p.urgent || d.Alert.Action != "release"
	}
}

// color is that of a severity; an alert that ended is green.
func color(a *pdk.Alert) string {
	if a.Action == "release" {
		return "#2E7D32"
	}
	switch a.Severity {
	case "critical", "alert", "emergency":
		return "#C62828"
	case "error":
		return "#EF6C00"
	case "warning":
		return "#F9A825"
	case "notice", "info":
		return "#1565C0"
	}
	return "#757575"
}

// quiet keeps values from mentioning anybody, @channel, @all, @here or a person, by an invisible space after the at sign. Attachments
// mention too.
func quiet(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		b.WriteByte(s[i])
		if s[i] == '@' && i+1 < len(s) && s[i+1] < utf8.RuneSelf && s[i+1] != ' ' {
			b.WriteString("\u200b")
		}
	}
	return b.String()
}

// request sends a post; d is the delivery of one that goes alone. A release changes the post of its engage. If that failed twice, since
// once may be a passing fault, it is sent as a reply to it, and if that failed too, on its own.
func request(in *pdk.RenderInput, p *post, d *pdk.Delivery) pdk.Request {
	note, id := notePost, ""
	if d != nil && d.Alert.Action == "release" && d.ProviderID != "" {
		switch {
		case d.Attempt <= 2:
			note, id = noteEdit, d.ProviderID
		case d.Attempt <= 4:
			note, id = noteReply, d.ProviderID
		}
	}
	b := []byte("{")
	if note != noteEdit {
		b = pdk.AppendJSONString(append(b, `"channel_id":`...), in.Recipient.String("mattermost_channelname", ""))
		// The server answers a repeat within 30 s with the post that it has.
		b = append(pdk.AppendJSONString(append(b, `,"pending_post_id":`...), batchID(p.ids)), ',')
	}
	if note == noteReply {
		b = append(pdk.AppendJSONString(append(b, `"root_id":`...), id), ',')
	}
	b = pdk.AppendJSONString(append(b, `"message":`...), p.message)
	b = append(append(append(b, `,"props":{"attachments":[`...), p.attachments...), `]}`...)
	if p.urgent && note == notePost && in.Recipient.Bool("urgent", true) {
		b = append(b, `,"metadata":{"priority":{"priority":"urgent"}}`...)
	}
	b = append(b, '}')
	r := pdk.Request{Deliveries: p.ids, Note: note}
	if note == noteEdit {
		r.HTTP = call(in.Endpoint, "PUT", "posts/"+pdk.EscapePath(id)+"/patch", b)
	} else {
		r.HTTP = call(in.Endpoint, "POST", "posts", b)
	}
	return r
}

// batchID names what a request carries: a delivery's own id, or, for several, the first id with a hash of them all (FNV-1a, 64 bits).
func batchID(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	h := uint64(14695981039346656037)
	for _, id := range ids {
		for i := range len(id) {
			h = (h ^ uint64(id[i])) * 1099511628211
		}
	}
	return ids[0] + "-" + strconv.FormatUint(h, 16)
}

// call is a request to the REST API, version 4.
func call(endpoint pdk.Params, method, path string, body []byte) *pdk.HTTPRequest {
	r := &pdk.HTTPRequest{
		Method: method, URL: pdk.JoinURL(endpoint.String("mattermost_url", ""), "api/v4", path), Body: string(body),
		Headers: []pdk.Header{{Name: "Authorization", Value: "Bearer " + endpoint.String("mattermost_token", "")}},
	}
	if body != nil {
		r.Headers = append(r.Headers, pdk.Header{Name: "Content-Type", Value: "application/json"})
	}
	return r
}

// lint refuses addresses that are not the server's own.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	url := in.Endpoint.String("mattermost_url", "")
	for _, part := range []string{"/hooks/", "/api/v4", "?", "#"} {
		if i := strings.Index(url, part); i > 0 {
			out.Problems = append(out.Problems, pdk.Problem{
				Field: "endpoint.mattermost_url", Message: "is to be the server's address alone, without " + part + " and what follows: write " + strings.TrimRight(url[:i], "/"),
			})
			break
		}
	}
	return out, nil
}

// probe asks whose token it is and whether the bot sees the channel; neither posts anything.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{
		{Title: "Is the token right?", Request: pdk.Request{HTTP: call(in.Endpoint, "GET", "users/me", nil), Note: noteMe}},
	}}
	if c := in.Recipient.String("mattermost_channelname", ""); c != "" {
		out.Steps = append(out.Steps, pdk.ProbeStep{
			Title: "Does the bot see the channel?", Request: pdk.Request{HTTP: call(in.Endpoint, "GET", "channels/"+pdk.EscapePath(c), nil), Note: noteChannel},
		})
	}
	return out, nil
}
