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
const notePost, noteEdit, noteReply, noteMe, noteChannel = "post", "edit", "reply", "me", "channel"

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("Mattermost", verdict), Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// colours are those of the levels' attachments.
var colours = [...]string{
	pdk.Ended: "#2E7D32", pdk.Neutral: "#757575", pdk.Info: "#1565C0", pdk.Warning: "#F9A825", pdk.Error: "#EF6C00", pdk.Critical: "#C62828",
}

// post is a post in the making: one alert or several.
type post struct {
	ids     []string
	message string // the first headline, or the whole of a plain post
	cards   []card
	urgent  bool
}

// card is one alert below a post's message, as an attachment with the severity's colour.
type card struct{ fallback, colour, pretext, text string }

// render puts alerts that come together into one post. An engage gets a post of its own, which its release changes.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	var open post
	flush := func(alone *pdk.Delivery) {
		if n := len(open.ids); n > 1 {
			open.message += " (+" + strconv.Itoa(n-1) + ")"
		}
		if len(open.ids) > 0 {
			out.Requests = append(out.Requests, request(in, &open, alone))
		}
		open = post{}
	}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if !d.Plain && d.Alert.Action == "store" {
			open.add(d)
			continue
		}
		flush(nil)
		open.add(d)
		flush(d)
	}
	flush(nil)
	return out, nil
}

// add puts an alert into a post: its headline, the text's first line, above a card with the rest. A post has one message, so the
// headline of a further alert stands above its card.
func (p *post) add(d *pdk.Delivery) {
	p.ids = append(p.ids, d.ID)
	text := strings.TrimSpace(d.Text)
	shown := quiet(text)
	if d.Plain || text == "" || utf8.RuneCountInString(shown) > maxRunes { // the host keeps to half of it; cut markup would show
		text = pdk.First(text, d.Alert.Brief())
		shown = quiet(pdk.EscapeMarkdown(pdk.TruncateRunes(text, maxPlain)))
	}
	if d.Plain {
		p.message = shown
		return
	}
	head, body, _ := strings.Cut(shown, "\n")
	level := d.Alert.Level()
	fallback := pdk.First(d.Subject, d.Alert.Severity+" "+d.Alert.Check)
	c := card{fallback: quiet(strings.TrimSpace(fallback)), colour: colours[level], text: strings.TrimSpace(body)}
	if len(p.cards) == 0 {
		p.message = head
	} else {
		c.pretext = head
	}
	p.cards = append(p.cards, c)
	p.urgent = p.urgent || level == pdk.Critical
}

// quiet keeps values from mentioning anybody, @channel, @all, @here or a person, by an invisible space after the at sign. Attachments
// mention too. An at sign that stands alone stays as it is.
func quiet(s string) string {
	parts := strings.Split(s, "@")
	for i, p := range parts {
		if i > 0 && p != "" && p[0] != ' ' && p[0] < utf8.RuneSelf {
			parts[i] = "\u200b" + p
		}
	}
	return strings.Join(parts, "@")
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
	o := pdk.NewObject(nil)
	if note != noteEdit {
		o.Put("channel_id", in.Recipient.String("mattermost_channelname", ""))
		o.Put("pending_post_id", pdk.BatchID(p.ids)) // the server answers a repeat within 30 s with the post that it has
	}
	if note == noteReply {
		o.Put("root_id", id)
	}
	o.Put("message", p.message)
	o.In("props", func() {
		if len(p.cards) == 0 {
			o.Raw("attachments", "[]") // a plain edit takes away those that are there
		}
		o.Each("attachments", len(p.cards), func(i int) {
			c := &p.cards[i]
			o.Put("fallback", c.fallback)
			o.Put("color", c.colour)
			o.Text("pretext", c.pretext)
			o.Put("text", c.text)
		})
	})
	if p.urgent && note == notePost && in.Recipient.Bool("urgent", true) {
		o.Raw("metadata", `{"priority":{"priority":"urgent"}}`)
	}
	method, path := "POST", "posts"
	if note == noteEdit {
		method, path = "PUT", "posts/"+pdk.EscapePath(id)+"/patch"
	}
	return pdk.Request{Deliveries: p.ids, Note: note, HTTP: call(in.Endpoint, method, path, o.Done())}
}

// call is a request to the REST API, version 4.
func call(endpoint pdk.Params, method, path string, body []byte) *pdk.HTTPRequest {
	r := pdk.JSONRequest(method, pdk.JoinURL(endpoint.String("mattermost_url", ""), "api/v4", path), body)
	r.Headers = append([]pdk.Header{{Name: "Authorization", Value: "Bearer " + endpoint.String("mattermost_token", "")}}, r.Headers...)
	return r
}

// lint refuses addresses that are not the server's own.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	url := in.Endpoint.String("mattermost_url", "")
	for _, part := range []string{"/hooks/", "/api/v4", "?", "#"} {
		if i := strings.Index(url, part); i > 0 {
			write := strings.TrimRight(url[:i], "/")
			out.Add("endpoint.mattermost_url", "is to be the server's address alone, without "+part+" and what follows: write "+write)
			break
		}
	}
	return out, nil
}

// probe asks whose token it is and whether the bot sees the channel; neither posts anything.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	out.Ask("Is the token right?", noteMe, call(in.Endpoint, "GET", "users/me", nil))
	if c := in.Recipient.String("mattermost_channelname", ""); c != "" {
		out.Ask("Does the bot see the channel?", noteChannel, call(in.Endpoint, "GET", "channels/"+pdk.EscapePath(c), nil))
	}
	return out, nil
}
