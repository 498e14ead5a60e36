package egress

import (
	"bytes"
	"fmt"
	"mime"
	stdmail "net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wneessen/go-mail"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	maxRecipients  = 100 // what every server must take in one transaction (RFC 5321 4.5.3.1.8)
	maxAttachments = 32
	maxMailHeaders = 64
	maxFieldValue  = 8 << 10
	maxWord        = 900 // bytes without a space: a line has at most 998 (RFC 5322 2.1.1)
	maxName        = 120 // bytes of a display name or a file name
	maxAddress     = 254 // RFC 5321 4.5.3.1.3, without the brackets
)

// mailbox is one address of a mail.
type mailbox struct {
	*stdmail.Address        // the domain in its ASCII form
	given            string // the address as the request has it, for results
}

// path is the address as MAIL and RCPT take it, in angle brackets.
func (m mailbox) path() string { return (&stdmail.Address{Address: m.Address.Address}).String() }

// international tells that the address can only be given to servers with SMTPUTF8 (RFC 6531).
func (m mailbox) international() bool { return !isASCII(m.Address.Address) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// letter is a mail that was checked.
type letter struct {
	from      mailbox
	to, cc    []mailbox
	messageID string
	req       *pdk.SMTPRequest
	date      time.Time
	agent     string
}

// newLetter checks a request's mail and takes control characters out of what becomes a header. Nothing in it can be a secret.
func newLetter(r *pdk.Request, s *Secrets, agent string) (*letter, *pdk.TransportError) {
	m := r.SMTP
	if terr := noSecrets(m, s); terr != nil {
		return nil, terr
	}
	l := &letter{req: m, date: time.Now(), agent: agent}
	var err error
	if l.from, err = parseMailbox(m.From); err != nil {
		return nil, invalid("from: %v", err)
	}
	seen := map[string]bool{}
	for _, f := range []struct {
		name string
		list []string
		to   *[]mailbox
	}{{"to", m.To, &l.to}, {"cc", m.Cc, &l.cc}} {
		for i, text := range f.list {
			box, err := parseMailbox(text)
			if err != nil {
				return nil, invalid("%s[%d]: %v", f.name, i, err)
			}
			if key := strings.ToLower(box.Address.Address); !seen[key] {
				seen[key] = true
				*f.to = append(*f.to, box)
			}
		}
	}
	switch n := len(seen); {
	case n == 0 && !m.Verify:
		return nil, invalid("the mail has no recipient")
	case n > maxRecipients:
		return nil, invalid("the mail has %d recipients; at most %d are possible", n, maxRecipients)
	}
	l.messageID = m.MessageID
	if l.messageID == "" {
		l.messageID = madeMessageID(r.Deliveries, l.from)
	}
	for _, id := range append([]string{l.messageID}, m.References...) {
		if !validMessageID(id) {
			return nil, invalid("%q is no Message-ID: write left@right, without brackets or spaces", pdk.TruncateBytes(id, 80))
		}
	}
	if terr := l.checkRest(); terr != nil {
		return nil, terr
	}
	return l, nil
}

func (l *letter) checkRest() *pdk.TransportError {
	m := l.req
	if len(m.Headers) > maxMailHeaders {
		return invalid("the mail has %d headers; at most %d are possible", len(m.Headers), maxMailHeaders)
	}
	for _, h := range m.Headers {
		switch {
		case !httpguts.ValidHeaderFieldName(h.Name): // a subset of what RFC 5322 takes, and nothing else is in use
			return invalid("%q is no header name", pdk.TruncateBytes(h.Name, 80))
		case ownMailHeader(h.Name):
			return invalid("the header %s is the host's own and cannot be set", h.Name)
		case len(h.Value) > maxFieldValue:
			return invalid("the header %s has %d bytes; at most %d are possible", h.Name, len(h.Value), maxFieldValue)
		}
		for word := range strings.FieldsSeq(headerText(h.Value)) {
			if isASCII(word) && len(word) > maxWord {
				return invalid("the header %s has a word of %d bytes; at most %d fit a line", h.Name, len(word), maxWord)
			}
		}
	}
	if len(m.Attachments) > maxAttachments {
		return invalid("the mail has %d attachments; at most %d are possible", len(m.Attachments), maxAttachments)
	}
	for i, a := range m.Attachments {
		t, _, err := mime.ParseMediaType(a.Type)
		if a.Type != "" && (err != nil || !strings.Contains(t, "/") || len(a.Type) > maxName || headerText(a.Type) != a.Type || !isASCII(a.Type)) {
			return invalid("attachments[%d].type: %q is no media type, such as text/csv", i, pdk.TruncateBytes(a.Type, 80))
		}
	}
	return nil
}

// noSecrets refuses placeholders everywhere but in the log-in: a mail goes through many hands.
func noSecrets(m *pdk.SMTPRequest, s *Secrets) *pdk.TransportError {
	type field struct{ name, value string }
	var fields []field
	add := func(name string, values ...string) {
		for _, v := range values {
			fields = append(fields, field{name, v})
		}
	}
	add("host", m.Host)
	add("tls", m.TLS)
	add("from", m.From)
	add("subject", m.Subject)
	add("message_id", m.MessageID)
	add("text", m.Text)
	add("html", m.HTML)
	add("to", m.To...)
	add("cc", m.Cc...)
	add("references", m.References...)
	for _, h := range m.Headers {
		add("headers", h.Name, h.Value)
	}
	for _, a := range m.Attachments {
		add("attachments", a.Name, a.Type, string(a.Data))
	}
	for _, f := range fields {
		if _, found := s.replace(f.value, func(string) string { return "" }); found {
			return invalid("%s holds a secret's placeholder, which can stand in user and password of a mail only", f.name)
		}
	}
	return nil
}

// parseMailbox reads an RFC 5322 mailbox. The domain is brought to ASCII (RFC 5891), so that only a local part can need
// SMTPUTF8.
func parseMailbox(text string) (mailbox, error) {
	shown := pdk.TruncateBytes(headerText(text), 80)
	a, err := stdmail.ParseAddress(headerText(text))
	if err != nil {
		return mailbox{}, fmt.Errorf("%q is no mail address: write name@example.org, or Name <name@example.org>", shown)
	}
	given, at := a.Address, strings.LastIndexByte(a.Address, '@')
	local, domain := a.Address[:at], a.Address[at+1:]
	if !isASCII(domain) {
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return mailbox{}, fmt.Errorf("%q has a domain that cannot be one", shown)
		}
	}
	a.Address = local + "@" + domain
	if len(a.Address) > maxAddress {
		return mailbox{}, fmt.Errorf("%q is longer than an address can be (%d bytes)", shown, maxAddress)
	}
	a.Name = pdk.TruncateBytes(a.Name, maxName)
	return mailbox{a, given}, nil
}

// headerText makes a text fit for a header field: no control characters, spaces folded into one.
func headerText(s string) string {
	return strings.Join(strings.Fields(oneLine(strings.ToValidUTF8(s, "\uFFFD"))), " ")
}

// madeMessageID is the same over all attempts of a delivery, so that mailboxes can drop what was sent twice.
func madeMessageID(deliveries []string, from mailbox) string {
	left := ""
	if len(deliveries) > 0 {
		left = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
				return r
			}
			return -1
		}, deliveries[0])
	}
	if left == "" {
		left = fmt.Sprintf("%x", time.Now().UnixNano())
	}
	domain := from.Address.Address[strings.LastIndexByte(from.Address.Address, '@')+1:]
	return pdk.TruncateBytes(left, 100) + "@" + domain
}

// validMessageID takes what RFC 5322 3.6.4 does, loosely: printable ASCII around an @, nothing that ends the brackets.
func validMessageID(id string) bool {
	left, right, ok := strings.Cut(id, "@")
	if !ok || left == "" || right == "" || len(id) > 250 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '<' || c == '>' || c == '"' || c == '\\' || c == '(' || c == ')' || c == ',' {
			return false
		}
	}
	return true
}

// ownMailHeader names fields that the host sets, or that only servers set.
func ownMailHeader(name string) bool {
	n := strings.ToLower(name)
	switch n {
	case "date", "from", "sender", "to", "cc", "bcc", "subject", "message-id", "references", "mime-version", "auto-submitted",
		"return-path", "received", "dkim-signature", "authentication-results", "x-mailer", "user-agent", "disposition-notification-to":
		return true
	}
	return strings.HasPrefix(n, "content-") || strings.HasPrefix(n, "resent-") || strings.HasPrefix(n, "arc-")
}

// bytes writes the mail (RFC 5322, MIME) for the given recipients of each kind. All of it is ASCII, but for the local parts
// of international addresses.
func (l *letter) bytes(to, cc []mailbox) ([]byte, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithCharset(mail.CharsetUTF8), mail.WithEncoding(mail.EncodingQP))
	m.FromMailAddress(l.from.Address)
	m.ToMailAddress(addressesOf(to)...)
	if len(cc) > 0 {
		m.CcMailAddress(addressesOf(cc)...)
	}
	m.Subject(pdk.TruncateBytes(headerText(l.req.Subject), maxWord))
	m.SetDateWithValue(l.date)
	m.SetMessageIDWithValue(l.messageID)
	if refs := l.req.References; len(refs) > 0 {
		m.SetGenHeader(mail.HeaderReferences, "<"+strings.Join(refs, "> <")+">")
	}
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no answers from holidays
	m.SetGenHeader(mail.HeaderXMailer, headerText(l.agent))
	for _, h := range l.req.Headers {
		m.SetGenHeader(mail.Header(h.Name), headerText(h.Value))
	}
	text, html := strings.ToValidUTF8(l.req.Text, "\uFFFD"), strings.ToValidUTF8(l.req.HTML, "\uFFFD")
	switch {
	case html == "":
		m.SetBodyString(mail.TypeTextPlain, text)
	case text == "":
		m.SetBodyString(mail.TypeTextHTML, html)
	default:
		m.SetBodyString(mail.TypeTextPlain, text)
		m.AddAlternativeString(mail.TypeTextHTML, html)
	}
	for i, a := range l.req.Attachments {
		name := pdk.TruncateBytes(headerText(a.Name), maxName)
		if name == "" {
			name = fmt.Sprintf("attachment-%d", i+1)
		}
		typ := a.Type
		if typ == "" {
			typ = "application/octet-stream"
		}
		if err := m.AttachReader(name, bytes.NewReader(a.Data), mail.WithFileContentType(mail.ContentType(typ))); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if _, err := m.WriteTo(&out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func addressesOf(list []mailbox) []*stdmail.Address {
	out := make([]*stdmail.Address, len(list))
	for i := range list {
		out[i] = list[i].Address
	}
	return out
}
