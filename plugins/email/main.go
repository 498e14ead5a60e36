// Command email is the plug-in that sends alerts as mails through an SMTP server. Nothing but this endpoint lives here; its
// manifest, schema, templates and texts are in manifests/email.
package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// maxAlerts is how many alerts one mail may have; see the manifest's [batch].
	maxAlerts = 20
	// maxHTML bounds the HTML part, in bytes. Gmail shows no more than about 102 kB of one.
	maxHTML = 90_000
	// perCard is what a card costs beside its own HTML, its line in the summary included.
	perCard = 700
	// noteFirst marks a mail that was not tried before, noteProbe a session that sends none.
	noteFirst = "first"
	noteProbe = "probe"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// envelope is the mail of the parameters, without its content.
func envelope(endpoint, recipient pdk.Params) *pdk.SMTPRequest {
	return &pdk.SMTPRequest{
		Host: endpoint.String("smtp_server", ""), Port: int(endpoint.Int("smtp_port", 0)), TLS: endpoint.String("tls", "starttls"),
		User: endpoint.String("smtp_username", ""), Password: endpoint.String("smtp_password", ""),
		From: endpoint.String("email_sender", ""), To: recipient.Strings("email_recipient"), Cc: recipient.Strings("cc"),
	}
}

// A kind is what alerts must have in common to go into one mail.
type kind struct {
	thread string // the Message-ID of the mail that told of the beginning; empty for all that has none
	plain  bool
}

// A bundle is what goes into one mail.
type bundle struct {
	kind
	size  int // of its HTML, about
	list  []*pdk.Delivery
	lines []string // the summary
	cards []string
}

// render puts a batch into as few mails as can be. The end of an alert answers the mail of its beginning, and so has a mail
// of its own, but for other ends of what stood in that mail.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	var bundles []*bundle
	open := map[kind]*bundle{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		k := kind{plain: d.Plain}
		if d.Alert.Action == "release" && messageID(d.ProviderID) {
			k.thread = d.ProviderID
		}
		card := content(d)
		size := len(card) + 2*len(pdk.EscapeHTML(d.Subject)) + perCard
		b := open[k]
		if b == nil || len(b.list) == maxAlerts || b.size+size > maxHTML {
			b = &bundle{kind: k}
			open[k] = b
			bundles = append(bundles, b)
		}
		b.size += size
		b.list, b.cards = append(b.list, d), append(b.cards, card)
		b.lines = append(b.lines, d.Alert.Level().Sign()+" "+headline(d))
	}
	out := &pdk.RenderOutput{}
	for _, b := range bundles {
		out.Requests = append(out.Requests, mail(in, b))
	}
	return out, nil
}

// mail is a bundle as one request. Without a Message-ID the host makes one of the only delivery's id.
func mail(in *pdk.RenderInput, b *bundle) pdk.Request {
	m := envelope(in.Endpoint, in.Recipient)
	q := pdk.Request{SMTP: m, Note: noteFirst}
	for _, d := range b.list {
		q.Deliveries = append(q.Deliveries, d.ID)
		if d.Attempt > 1 {
			q.Note = ""
		}
	}
	m.Subject = subject(b.list)
	if len(b.list) > 1 {
		id := pdk.BatchID(q.Deliveries) + "@"
		m.MessageID = id + strings.TrimRight(m.From[strings.LastIndexByte(m.From, '@')+1:], "> \t")
		if !messageID(m.MessageID) { // the sender's domain goes beyond ASCII
			m.MessageID = id + "tocsin.invalid"
		}
	}
	if b.thread != "" {
		m.References = []string{b.thread}
		m.Headers = []pdk.Header{{Name: "In-Reply-To", Value: "<" + b.thread + ">"}}
	}
	m.Text = textPart(b)
	if !b.plain {
		m.HTML = htmlPart(in.Locale, m.Subject, b)
	}
	return q
}

// subject is that of the worst alert, with the number of the others.
func subject(list []*pdk.Delivery) string {
	s := headline(slices.MaxFunc(list, func(a, b *pdk.Delivery) int { // an end is below all that goes on
		return cmp.Or(cmp.Compare(a.Alert.Level(), b.Alert.Level()), cmp.Compare(a.Alert.SeverityID, b.Alert.SeverityID))
	}))
	if len(list) > 1 {
		s += " (+" + strconv.Itoa(len(list)-1) + ")"
	}
	return s
}

// messageID tells whether an id can be one, and be referred to.
func messageID(id string) bool {
	left, right, ok := strings.Cut(id, "@")
	return ok && left != "" && right != "" && len(id) <= 250 &&
		!strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\(),`, r) })
}

// lint finds what a schema cannot say.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	if in.Endpoint.Has("smtp_password") && !in.Endpoint.Has("smtp_username") {
		out.Add("endpoint.smtp_username", "is missing, and there is a password: write the user name that belongs to it")
	}
	if in.Endpoint.Has("smtp_username") && in.Endpoint.String("tls", "") == "none" {
		out.Add("endpoint.tls", "is none, and there is a user name: the password would go through the network in clear; use starttls or tls")
	}
	return out, nil
}

// probe goes through a session up to where a mail would be sent, and resets it.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	step := func(title string, recipient pdk.Params) pdk.ProbeStep {
		m := envelope(in.Endpoint, recipient)
		m.Verify = true
		return pdk.ProbeStep{Title: title, Request: pdk.Request{SMTP: m, Note: noteProbe}}
	}
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{step("Does the mail server take the log-in and the sender?", nil)}}
	if len(in.Recipient.Strings("email_recipient")) > 0 {
		out.Steps = append(out.Steps, step("Does it take every recipient?", in.Recipient))
	}
	return out, nil
}

// A lasting fault that kept the mail from being sent, by its stage: no safe log-in, or an address that is none.
var lasting = map[string]pdk.Outcome{"auth": pdk.EndpointBroken, "invalid": pdk.Rejected}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	r, v := pdk.NewReply("the mail server", in)
	if r != nil {
		v = verdict(r)
	} else if in.Error != nil && lasting[in.Error.Stage] != "" {
		v.Outcome = lasting[in.Error.Stage]
	}
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
}

func verdict(r *pdk.Reply) pdk.Verdict {
	phase := r.In.Response.Headers["phase"]
	r.Said += " (" + phase + ")"
	r.Explain(r.Text, 300)
	switch {
	case r.Success():
		return taken(r)
	case r.Status/100 == 4:
		return r.Retry("")
	case r.Status == 534 || r.Status == 535:
		return r.Fail(pdk.EndpointBroken, "; check smtp_username and smtp_password, some providers want a password for apps")
	case r.Status == 530 || r.Status == 538:
		return r.Fail(pdk.EndpointBroken, "; the server wants a log-in or TLS: set smtp_username, smtp_password and tls")
	case r.Status == 552 || phase == "end": // too large, or its content is not liked
		return r.Fail(pdk.BadPayload, "")
	case phase == "rcpt" || phase == "data":
		return r.Fail(pdk.Rejected, "; check email_recipient and cc")
	case phase == "mail":
		return r.Fail(pdk.EndpointBroken, "; may this server send for email_sender?")
	}
	return r.Fail(pdk.EndpointBroken, "")
}

// taken is the verdict on a mail that the server took, if perhaps not for every recipient. One that is refused for now has
// the mail tried once more, for all: a second copy is better than none, and mailboxes can tell it by its Message-ID. More
// tries would be a plague to the others.
func taken(r *pdk.Reply) pdk.Verdict {
	var refused []string
	passing := false
	for _, p := range r.In.Response.Parts {
		if !p.OK {
			refused = append(refused, p.Name+" ("+strconv.Itoa(p.Status)+" "+pdk.TruncateRunes(p.Message, 120)+")")
			passing = passing || p.Status/100 == 4
		}
	}
	id := r.In.Response.Headers["message-id"]
	reason := pdk.TruncateRunes("not for "+strings.Join(refused, ", "), 400)
	switch {
	case len(refused) == 0:
		return pdk.Verdict{Outcome: pdk.Accepted, ProviderID: id}
	case r.Note == noteProbe:
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: reason}
	case passing && r.Note == noteFirst:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: reason + "; it is sent once more"}
	}
	return pdk.Verdict{Outcome: pdk.Accepted, ProviderID: id, Reason: reason}
}
