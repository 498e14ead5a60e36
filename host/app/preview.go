package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/pdk"
)

// PreviewOptions are the flags of `tocsin recipient preview`.
type PreviewOptions struct {
	Listing
	Alert  string // the id of an alert, or of a delivery, in the ledger
	Sample string // a part of a sample's name; empty: the first
	Locale string // empty: the recipient's
}

// message is an alert as it is given to a plug-in by hand.
type message struct {
	alert    pdk.Alert // Raw is set
	delivery string
	now      time.Time
	about    string // what the alert is, for a headline
}

// PreviewRecipient prints the requests that an alert would cause, with secrets redacted. Nothing is sent.
func PreviewRecipient(ctx context.Context, o PreviewOptions, name string) (err error) {
	format, err := report.ParseFormat(o.Format, report.Inspect(o.Out).IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	if format == report.CSV {
		return usage("a preview has no form as CSV: it is table, for a text to read, or jsonl")
	}
	if o.Alert != "" && o.Sample != "" {
		return usage("--alert and --sample exclude each other: give one")
	}
	if o.Locale != "" {
		if err := knownLanguage("--locale", o.Locale); err != nil {
			return err
		}
	}
	cfg, err := config.Load(o.Config)
	if err != nil {
		return &UsageError{err}
	}
	rc, ep, err := findRecipient(cfg, name)
	if err != nil {
		return err
	}
	m, err := o.message(ctx, cfg)
	if err != nil {
		return err
	}
	log, err := newLog(o.Err, "warn", "text", true)
	if err != nil {
		return err
	}
	t, err := openTarget(ctx, cfg, log, ep, rc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	locale := o.Locale
	if locale == "" {
		locale = t.locale()
	}
	out, err := t.render(ctx, m, locale, false)
	if err != nil {
		return errors.New(t.redact(err.Error()))
	}
	if format == report.JSONL {
		return o.printJSON(t, out)
	}
	_, err = fmt.Fprint(o.Out, preview(out, m.about, t.redact, report.Inspect(o.Out).Color))
	return err
}

// message gives the alert of the flags.
func (o *PreviewOptions) message(ctx context.Context, cfg *config.Config) (*message, error) {
	if o.Alert == "" {
		sample, err := findSample(o.Sample)
		if err != nil {
			return nil, err
		}
		a := sample.Alert
		a.Link = sampleLink(cfg, &a)
		m := newMessage(a)
		m.about = fmt.Sprintf("the sample alert %q", sample.Name)
		return m, nil
	}
	id, err := alert.ParseID(o.Alert)
	if err != nil {
		return nil, usage("--alert: %q is no id of an alert or a delivery: tocsin deliveries list shows them", o.Alert)
	}
	s, err := o.ledger(ctx, true)
	if err != nil {
		return nil, err
	}
	row, err := alertOf(ctx, s, id)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	m := newMessage(pdk.Alert{})
	if err := m.alert.DecodeJSON(row.Alert); err != nil {
		return nil, fmt.Errorf("the stored alert %s cannot be read: %w", row.AlertID, err)
	}
	m.alert.Raw, m.about = row.Alert, "the alert "+row.AlertID.String()
	return m, nil
}

// alertOf finds an alert by its own id, or by that of one of its deliveries.
func alertOf(ctx context.Context, s *outbox.Store, id alert.ID) (*outbox.Row, error) {
	rows, err := s.List(ctx, outbox.Filter{Alert: id, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return &rows[0], nil
	}
	d, err := s.Show(ctx, id)
	if errors.Is(err, outbox.ErrNotFound) {
		return nil, fmt.Errorf("no alert and no delivery of the ledger has the id %s: tocsin deliveries list shows them", id)
	}
	if err != nil {
		return nil, err
	}
	return &d.Row, nil
}

func newMessage(a pdk.Alert) *message {
	m := &message{alert: a, delivery: alert.NewID().String(), now: time.Now()}
	m.alert.Raw = nil
	m.alert.Raw = m.alert.AppendJSON(nil)
	return m
}

// previewRow is a request in the form of pdk/spec, or why there is none.
type previewRow struct {
	Recipient string      `json:"recipient"`
	Endpoint  string      `json:"endpoint"`
	Kind      string      `json:"kind,omitempty"`
	Request   any         `json:"request,omitempty"`
	Outcome   pdk.Outcome `json:"outcome,omitempty"`
	Reason    string      `json:"reason,omitempty"`
}

func (o *PreviewOptions) printJSON(t *target, out *pdk.RenderOutput) error {
	var rows []previewRow
	for i := range out.Requests {
		var request any
		if err := json.Unmarshal(appendJSON(nil, &out.Requests[i]), &request); err != nil {
			return err
		}
		rows = append(rows, previewRow{Kind: out.Requests[i].Kind(), Request: redactValues(request, t.redact)})
	}
	for _, v := range out.Rejected {
		rows = append(rows, previewRow{Outcome: v.Outcome, Reason: t.redact(v.Reason)})
	}
	for _, r := range rows {
		r.Recipient, r.Endpoint = t.recipient.Name, t.endpoint.Name
		if _, err := o.Out.Write(append(appendJSON(nil, r), '\n')); err != nil {
			return err
		}
	}
	return nil
}

// redactValues redacts every string of a JSON value. Doing so in its text could break the JSON, for a secret that is the
// name of a key.
func redactValues(v any, redact func(string) string) any {
	switch v := v.(type) {
	case string:
		return redact(v)
	case []any:
		for i := range v {
			v[i] = redactValues(v[i], redact)
		}
	case map[string]any:
		for k := range v {
			v[k] = redactValues(v[k], redact)
		}
	}
	return v
}

// preview writes requests for a person. redact is applied to every text of the plug-in's.
func preview(out *pdk.RenderOutput, about string, redact func(string) string, color bool) string {
	p := &previewer{redact: redact, color: color}
	fmt.Fprintf(&p.b, "for %s it would send:\n", about)
	for i := range out.Requests {
		r := &out.Requests[i]
		p.b.WriteString("\n")
		switch {
		case r.HTTP != nil:
			p.http(r.HTTP)
		case r.SMTP != nil:
			p.smtp(r.SMTP)
		case r.Syslog != nil:
			p.syslog(r.Syslog)
		case r.Exec != nil:
			p.exec(r.Exec)
		case r.Ban != nil:
			p.ban(r.Ban)
		}
		if r.Note != "" {
			p.field("note", r.Note)
		}
	}
	for _, v := range out.Rejected {
		fmt.Fprintf(&p.b, "\n  no request: %s %s\n", v.Outcome, p.clean(v.Reason))
	}
	return p.b.String()
}

type previewer struct {
	b      strings.Builder
	redact func(string) string
	color  bool
}

// clean makes a text fit for a terminal: no secrets, and nothing that a terminal would obey.
func (p *previewer) clean(s string) string { return visible(p.redact(s)) }

func (p *previewer) head(s string) {
	fmt.Fprintf(&p.b, "  %s\n", report.Bold(p.color, p.clean(s)))
}

func (p *previewer) field(name, value string) {
	if value != "" {
		fmt.Fprintf(&p.b, "  %s %s\n", report.Dim(p.color, p.clean(name)+":"), p.clean(value))
	}
}

// text writes a body, JSON indented.
func (p *previewer) text(s string) {
	s = p.redact(s)
	var pretty bytes.Buffer
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		if json.Indent(&pretty, []byte(t), "", "  ") == nil {
			s = pretty.String()
		}
	}
	if s == "" {
		return
	}
	p.b.WriteString("\n")
	for line := range strings.Lines(s) {
		p.b.WriteString("  " + visible(strings.TrimRight(line, "\r\n")) + "\n")
	}
}

func (p *previewer) http(r *pdk.HTTPRequest) {
	p.head(r.Method + " " + r.URL)
	agent := false
	for _, h := range r.Headers {
		p.field(h.Name, h.Value)
		agent = agent || strings.EqualFold(h.Name, "User-Agent")
	}
	if !agent {
		p.field("User-Agent", "tocsin")
	}
	if r.Basic != nil {
		p.field("Authorization", "Basic, in base64: "+r.Basic.User+":"+r.Basic.Password)
	}
	if s := r.Sign; s != nil { // as the Standard Webhooks specification has it, the one scheme there is
		p.field("webhook-id", s.ID)
		p.field("webhook-timestamp", "the second at which it is sent")
		p.field("webhook-signature", fmt.Sprintf("made when it is sent, with %s", strings.Join(s.Keys, ", ")))
	}
	p.text(r.Body)
}

func (p *previewer) smtp(r *pdk.SMTPRequest) {
	at := r.Host
	if r.Port > 0 {
		at = fmt.Sprintf("%s:%d", r.Host, r.Port)
	}
	tls := r.TLS
	if tls == "" {
		tls = "starttls"
	}
	p.head(fmt.Sprintf("mail through %s (%s)", at, tls))
	if r.User != "" {
		p.field("log-in", r.User+", "+r.Password)
	}
	if r.Verify {
		p.field("verify", "ends before the mail is sent")
	}
	p.field("From", r.From)
	p.field("To", strings.Join(r.To, ", "))
	p.field("Cc", strings.Join(r.Cc, ", "))
	p.field("Subject", r.Subject)
	p.field("Message-ID", cmp.Or(r.MessageID, "made from the delivery's id"))
	p.field("References", strings.Join(r.References, ", "))
	for _, h := range r.Headers {
		p.field(h.Name, h.Value)
	}
	p.field("Auto-Submitted", "auto-generated")
	if r.HTML != "" || len(r.Attachments) > 0 {
		p.b.WriteString("\n")
		p.field("part", "text/plain")
	}
	p.text(r.Text)
	if r.HTML != "" {
		p.b.WriteString("\n")
		p.field("part", "text/html")
		p.text(r.HTML)
	}
	for i, a := range r.Attachments {
		if i == 0 {
			p.b.WriteString("\n")
		}
		p.field("attachment", fmt.Sprintf("%s, %s, %s", a.Name, a.Type, report.Bytes(uint64(len(a.Data)))))
	}
}

func (p *previewer) syslog(r *pdk.SyslogRequest) {
	at := "the machine's own socket"
	if r.Network != "local" {
		at = r.Network + " " + r.Host
		if r.Port > 0 {
			at += fmt.Sprintf(":%d", r.Port)
		}
	}
	p.head(fmt.Sprintf("syslog, %d messages to %s", len(r.Messages), at))
	if r.Network == "tcp" || r.Network == "tls" {
		p.field("framing", cmp.Or(r.Framing, "octets"))
	}
	frames, err := egress.SyslogFrames(r)
	if err != nil {
		p.field("cannot be sent", err.Error())
	}
	if len(frames) > 0 {
		p.text(strings.Join(frames, "\n"))
	}
}

func (p *previewer) exec(r *pdk.ExecRequest) {
	p.head("script " + r.Script)
	for i, a := range r.Args {
		p.field(fmt.Sprintf("argument %d", i+1), fmt.Sprintf("%q", p.redact(a)))
	}
	if r.TimeoutMS > 0 {
		p.field("time limit", (time.Duration(r.TimeoutMS) * time.Millisecond).String())
	}
	if r.Verify {
		p.field("verify", "looks whether it could be run, and runs nothing")
	}
	if r.Stdin != "" {
		p.field("standard input", report.Bytes(uint64(len(r.Stdin))))
	}
	p.text(r.Stdin)
}

func (p *previewer) ban(r *pdk.BanRequest) {
	p.head(fmt.Sprintf("fail2ban jail %s: %s %s", r.Jail, r.Action, strings.Join(r.Addresses, " ")))
	p.field("never", strings.Join(r.NeverBan, ", "))
}

// visible shows characters that a terminal would obey, or that turn a line around, as a replacement character.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
