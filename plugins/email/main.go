// Command email is the plug-in that sends alerts as mails through an SMTP server. Nothing but this endpoint lives here; its
// manifest, schema, templates and texts are in manifests/email.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// maxAlerts is how many alerts one mail may have; see the manifest's [batch].
	maxAlerts = 20
	// maxHTML bounds the HTML part, in bytes. Gmail shows no more than about 102 kB of one.
	maxHTML = 90_000
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

// A bundle is what goes into one mail: alerts of one thread.
type bundle struct {
	thread string // the Message-ID of the mail that told of the beginning; empty for all that has none
	plain  bool
	size   int
	list   []*pdk.Delivery
	cards  []string
}

// render puts a batch into as few mails as can be. The end of an alert answers the mail of its beginning, and so has a mail
// of its own, but for other ends of what stood in that mail.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	var bundles []*bundle
	open := map[string]*bundle{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		thread := ""
		if d.Alert.Action == "release" && messageID(d.ProviderID) {
			thread = d.ProviderID
		}
		card := content(d)
		size := len(card) + 2*len(pdk.EscapeHTML(d.Subject)) + perCard
		key := thread + strconv.FormatBool(d.Plain)
		b := open[key]
		if b == nil || len(b.list) == maxAlerts || b.size+size > maxHTML {
			b = &bundle{thread: thread, plain: d.Plain}
			open[key] = b
			bundles = append(bundles, b)
		}
		b.size += size
		b.list, b.cards = append(b.list, d), append(b.cards, card)
	}
	out := &pdk.RenderOutput{}
	for _, b := range bundles {
		out.Requests = append(out.Requests, mail(in, b))
	}
	return out, nil
}

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
	if len(b.list) > 1 { // otherwise the host makes one of the delivery's id
		m.MessageID = q.Deliveries[0] + "." + sum(q.Deliveries) + "@" + domain(m.From)
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
	worst := list[0]
	for _, d := range list {
		if d.Alert.Action != "release" && (d.Alert.SeverityID > worst.Alert.SeverityID || worst.Alert.Action == "release") {
			worst = d
		}
	}
	s := headline(worst)
	if n := len(list) - 1; n > 0 {
		s += " (+" + strconv.Itoa(n) + ")"
	}
	return s
}

func headline(d *pdk.Delivery) string {
	if s := strings.TrimSpace(d.Subject); s != "" {
		return s
	}
	return pdk.TruncateRunes("["+d.Alert.Severity+"] "+d.Alert.Title, 250)
}

// sum is FNV-1a of the deliveries in a mail. A batch that is tried again may have others in it, and must then not be taken
// for the same mail by a mailbox that drops what it has seen.
func sum(ids []string) string {
	h := uint64(14695981039346656037)
	for _, id := range ids {
		for i := range len(id) {
			h = (h ^ uint64(id[i])) * 1099511628211
		}
	}
	return strconv.FormatUint(h, 36)
}

// domain is that of the sender, as a Message-ID takes it.
func domain(from string) string {
	d := strings.TrimRight(from[strings.LastIndexByte(from, '@')+1:], "> \t")
	if d == "" || strings.ContainsFunc(d, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\(),`, r) }) {
		return "tocsin.invalid"
	}
	return d
}

// messageID tells whether a provider id can be referred to.
func messageID(id string) bool {
	left, right, ok := strings.Cut(id, "@")
	return ok && left != "" && right != "" && len(id) <= 250 &&
		!strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`<>"\(),`, r) })
}

// lint finds what a schema cannot say.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	if in.Endpoint.Has("smtp_password") && !in.Endpoint.Has("smtp_username") {
		out.Problems = append(out.Problems, pdk.Problem{Field: "endpoint.smtp_username", Message: "is missing, and there is a password: write the user name that belongs to it"})
	}
	if in.Endpoint.Has("smtp_username") && in.Endpoint.String("tls", "") == "none" {
		out.Problems = append(out.Problems, pdk.Problem{
			Field: "endpoint.tls", Message: "is none, and there is a user name: the password would go through the network in clear; use starttls or tls",
		})
	}
	return out, nil
}

// probe goes through a session up to where a mail would be sent, and resets it.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	first := envelope(in.Endpoint, nil)
	first.Verify = true
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{
		{Title: "Does the mail server take the log-in and the sender?", Request: pdk.Request{SMTP: first, Note: noteProbe}},
	}}
	if second := envelope(in.Endpoint, in.Recipient); len(second.To) > 0 {
		second.Verify = true
		out.Steps = append(out.Steps, pdk.ProbeStep{
			Title: "Does it take every recipient?", Request: pdk.Request{SMTP: second, Note: noteProbe},
		})
	}
	return out, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	switch {
	case in.Error != nil && in.Error.Stage == "auth":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: in.Error.Message}
	case in.Error != nil && in.Error.Stage == "invalid": // an address that is none
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: in.Error.Message}
	case in.Error != nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	case in.Response == nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	r := in.Response
	phase := r.Headers["phase"]
	if r.Status/100 == 2 {
		return taken(in)
	}
	said := "the mail server answered " + strconv.Itoa(r.Status) + " (" + phase + "): " + pdk.TruncateRunes(r.Body, 300)
	switch {
	case r.Status/100 == 4:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said}
	case r.Status == 535 || r.Status == 534:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check smtp_username and smtp_password, some providers want a password for apps"}
	case r.Status == 530 || r.Status == 538:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; the server wants a log-in or TLS: set smtp_username, smtp_password and tls"}
	case r.Status == 552 || phase == "end": // too large, or its content is not liked
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
	case phase == "rcpt" || phase == "data":
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: said + "; check email_recipient and cc"}
	case phase == "mail":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; may this server send for email_sender?"}
	}
	return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said}
}

// taken is the verdict on a mail that the server took, if perhaps not for every recipient. One that is refused for now has
// the mail tried once more, for all: a second copy is better than none, and mailboxes can tell it by its Message-ID. More
// tries would be a plague to the others.
func taken(in *pdk.ClassifyInput) pdk.Verdict {
	v := pdk.Verdict{Outcome: pdk.Accepted, ProviderID: in.Response.Headers["message-id"]}
	var refused []string
	passing := false
	for _, p := range in.Response.Parts {
		if !p.OK {
			refused = append(refused, p.Name+" ("+strconv.Itoa(p.Status)+" "+pdk.TruncateRunes(p.Message, 120)+")")
			passing = passing || p.Status/100 == 4
		}
	}
	if len(refused) == 0 {
		return v
	}
	v.Reason = pdk.TruncateRunes("not for "+strings.Join(refused, ", "), 400)
	switch {
	case in.Request.Note == noteProbe:
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: v.Reason}
	case passing && in.Request.Note == noteFirst:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: v.Reason + "; it is sent once more"}
	}
	return v
}
