package smtpd

import (
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is what a mail says.
type Message struct {
	Raw    []byte // as it came, without doubled dots
	Fields []Field
	ID     string // the Message-ID without brackets
	// References and InReplyTo are Message-IDs without brackets.
	References, InReplyTo []string
	// Text and HTML are the two forms of the body, decoded, with LF at the ends of lines. HTML may be empty.
	Text, HTML string
}

// Field is a header field. Value is unfolded and its encoded words are decoded.
type Field struct{ Name, Value string }

// Get gives a field by its name in any case; empty if it is missing.
func (m *Message) Get(name string) string {
	for _, f := range m.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// checker gathers what is wrong with a message.
type checker struct {
	faults   []string
	eightBit bool // the body may have bytes beyond ASCII
	utf8     bool // the header too
}

func (k *checker) fault(format string, args ...any) {
	if len(k.faults) < 20 {
		k.faults = append(k.faults, fmt.Sprintf(format, args...))
	}
}

// check reads the mail, and tells all that is wrong with it.
func (m *Mail) check() []string {
	k := &checker{eightBit: m.eightBit, utf8: m.UTF8}
	raw := string(m.Raw)
	for line := range strings.Lines(raw) {
		switch text, ok := strings.CutSuffix(line, "\r\n"); {
		case !ok || strings.ContainsAny(text, "\r\x00"):
			k.fault("a CR or LF that stands alone, or a NUL")
		case len(line) > maxLine:
			k.fault("a line of %d bytes", len(line))
		}
	}
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		k.fault("no empty line ends the header")
	}
	fields := k.fields(head, k.utf8)
	for i := range fields {
		m.Fields = append(m.Fields, Field{fields[i].Name, k.decode(fields[i])})
	}
	k.once(fields, []string{"Date", "From", "Message-ID", "MIME-Version", "Content-Type"},
		[]string{"Sender", "Reply-To", "To", "Cc", "In-Reply-To", "References", "Subject", "Content-Transfer-Encoding", "Auto-Submitted"})
	k.meanings(m, fields)
	k.body(&m.Message, fields, body)
	return k.faults
}

// fields takes a header apart (RFC 5322 2.2) and unfolds it; nothing is decoded.
func (k *checker) fields(head string, international bool) (out []Field) {
	var lines []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if !international && !isASCII(line) {
			k.fault("the header goes beyond ASCII: %q", line)
		}
		if strings.Contains(line, "=?") && len(line) > 76 { // RFC 2047 2
			k.fault("a line of %d bytes with an encoded word, at most 76 are allowed: %q", len(line), line)
		}
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if len(lines) == 0 || strings.TrimSpace(line) == "" {
				k.fault("a folded line has nothing in it, or nothing before it")
				continue
			}
			lines[len(lines)-1] += line // RFC 5322 2.2.3: the CRLF goes, the space stays
			continue
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			k.fault("%.60q is no header field", line)
			continue
		}
		if strings.TrimSpace(value) == "" {
			k.fault("%s is empty", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			k.fault("%s has a control character: %q", name, value)
		}
		out = append(out, Field{name, strings.Trim(value, " \t")})
	}
	return out
}

// once holds fields to their number (RFC 5322 3.6, RFC 2045): exactly once, or at most once.
func (k *checker) once(fields []Field, must, may []string) {
	count := map[string]int{}
	for _, f := range fields {
		count[strings.ToLower(f.Name)]++
	}
	for _, name := range must {
		if n := count[strings.ToLower(name)]; n != 1 {
			k.fault("%s stands there %d times, not once", name, n)
		}
	}
	for _, name := range may {
		if n := count[strings.ToLower(name)]; n > 1 {
			k.fault("%s stands there %d times", name, n)
		}
	}
	for _, name := range []string{"Bcc", "Return-Path", "Received"} {
		if count[strings.ToLower(name)] > 0 {
			k.fault("%s is not for a client to send", name)
		}
	}
}

var (
	encodedWord = regexp.MustCompile(`^=\?([A-Za-z0-9_-]+)\?[BbQq]\?([!->@-~]+)\?=$`)
	phraseWord  = regexp.MustCompile(`^(` + atext + `+|"([ !#-\[\]-~]|\\[ -~])*")( |$)`)
	msgID       = regexp.MustCompile(`^<(` + atext + `+(?:\.` + atext + `+)*@` + atext + `+(?:\.` + atext + `+)*)>$`)
	date        = regexp.MustCompile(`^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d [+-]\d{4}$`)
)

// decode resolves the encoded words of a field, each of which must be whole (RFC 2047 2, 5).
func (k *checker) decode(f Field) string {
	d := &mime.WordDecoder{}
	for word := range strings.FieldsSeq(f.Value) {
		if !strings.Contains(word, "=?") {
			continue
		}
		p := encodedWord.FindStringSubmatch(strings.Trim(word, ","))
		if p == nil || len(word) > 75 {
			k.fault("%s has something like an encoded word that is none: %q", f.Name, word)
			continue
		}
		text, err := d.Decode(p[0])
		switch {
		case err != nil || !utf8.ValidString(text) || strings.Contains(text, "\uFFFD") && !strings.Contains(strings.ToUpper(word), "=EF=BF=BD"):
			k.fault("%s has an encoded word that cannot be decoded, or half a character in it: %q", f.Name, word)
		case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
			k.fault("%s has a control character within an encoded word: %q", f.Name, text)
		}
	}
	text, err := d.DecodeHeader(f.Value)
	if err != nil {
		k.fault("%s cannot be decoded: %v", f.Name, err)
	}
	return text
}

// meanings checks the fields that have a grammar of their own.
func (k *checker) meanings(m *Mail, fields []Field) {
	to := 0
	for _, f := range fields {
		switch strings.ToLower(f.Name) {
		case "date":
			k.date(f.Value)
		case "from":
			if got := k.mailboxes(f); len(got) != 1 || got[0] != m.From {
				k.fault("From has %q, and the envelope %q", got, m.From)
			}
		case "to", "cc":
			for _, a := range k.mailboxes(f) {
				if slices.Contains(m.To, a) {
					to++
				}
			}
		case "sender", "reply-to":
			k.mailboxes(f)
		case "message-id":
			if ids := k.ids(f); len(ids) == 1 {
				m.ID = ids[0]
			} else {
				k.fault("Message-ID has %d of them", len(ids))
			}
		case "references":
			m.References = k.ids(f)
		case "in-reply-to":
			m.InReplyTo = k.ids(f)
		case "mime-version":
			if f.Value != "1.0" {
				k.fault("MIME-Version is %q", f.Value)
			}
		case "auto-submitted": // RFC 3834
			if !slices.Contains([]string{"no", "auto-generated", "auto-replied"}, f.Value) {
				k.fault("Auto-Submitted is %q", f.Value)
			}
		}
	}
	if to != len(m.To) {
		k.fault("%d of %d recipients stand in To or Cc", to, len(m.To))
	}
	if n := len(m.InReplyTo); n > 1 || n == 1 && (len(m.References) == 0 || m.References[len(m.References)-1] != m.InReplyTo[0]) {
		k.fault("In-Reply-To is not the last of References")
	}
}

func (k *checker) date(s string) {
	t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", s)
	switch {
	case err != nil || !date.MatchString(s):
		k.fault("Date is %q: %v", s, err)
	case t.Format("Mon") != s[:3]:
		k.fault("Date is %q, which is a %s", s, t.Weekday())
	case time.Since(t).Abs() > time.Hour:
		k.fault("Date is %q, which is not now", s)
	}
}

// ids reads Message-IDs (RFC 5322 3.6.4).
func (k *checker) ids(f Field) (out []string) {
	for id := range strings.FieldsSeq(f.Value) {
		p := msgID.FindStringSubmatch(id)
		if p == nil || len(id) > 250 {
			k.fault("%s has %q, which is no Message-ID", f.Name, id)
			continue
		}
		out = append(out, p[1])
	}
	return out
}

// mailboxes reads a list of mailboxes (RFC 5322 3.4) and gives their addresses.
func (k *checker) mailboxes(f Field) (out []string) {
	rest := f.Value
	for {
		name := false
		rest = strings.TrimLeft(rest, " ")
		for {
			p := phraseWord.FindString(rest)
			if p == "" {
				break
			}
			name, rest = true, strings.TrimLeft(rest[len(p):], " ")
		}
		one, more, some := strings.Cut(rest, ",")
		one = strings.TrimSpace(one)
		inner, bracket := strings.CutPrefix(one, "<")
		inner, closed := strings.CutSuffix(inner, ">")
		if bracket != closed || name && !bracket || !address(inner, k.utf8) {
			k.fault("%s has %q, which is no mailbox", f.Name, f.Value)
			return out
		}
		out = append(out, inner)
		if !some {
			return out
		}
		rest = more
	}
}
