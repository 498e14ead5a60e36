package smtpd

import (
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	boundaryForm = regexp.MustCompile(`^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$`)
	// soft is one line of quoted-printable (RFC 2045 6.7): no space at its end, "=" before two capital digits or the end.
	soft = regexp.MustCompile(`^(([ -<>-~\t]|=[0-9A-F]{2})*([!-<>-~]|=[0-9A-F]{2}|=))?$`)
)

// body reads what the header says of it: text, or multipart/alternative of text and HTML, which must say the same.
func (k *checker) body(m *Message, fields []Field, body string) {
	kind, params := k.contentType(fields)
	switch kind {
	case "text/plain":
		m.Text = k.leaf(fields, params, body)
	case "multipart/alternative":
		if e := encoding(fields); e != "7bit" && (e != "8bit" || !k.eightBit) {
			k.fault("the encoding of a multipart is %s", e)
		}
		var kinds []string
		for _, part := range k.parts(params["boundary"], body) {
			head, content, ok := strings.Cut(part, "\r\n\r\n")
			if !ok {
				k.fault("a part has no empty line behind its header")
			}
			fields := k.fields(head, false)
			k.once(fields, []string{"Content-Type"}, []string{"Content-Transfer-Encoding", "Content-Disposition", "Content-ID"})
			for _, f := range fields {
				if !strings.HasPrefix(strings.ToLower(f.Name), "content-") {
					k.fault("a part has the field %s", f.Name)
				}
			}
			kind, params := k.contentType(fields)
			kinds = append(kinds, kind)
			switch text := k.leaf(fields, params, content); kind {
			case "text/plain":
				m.Text = text
			case "text/html":
				m.HTML = text
			}
		}
		if got := strings.Join(kinds, " "); got != "text/plain text/html" { // the best comes last (RFC 2046 5.1.4)
			k.fault("multipart/alternative has the parts %q, not text/plain and text/html", got)
			return
		}
		k.same(m)
	default:
		k.fault("the mail is %q, neither text/plain nor multipart/alternative", kind)
	}
	if strings.TrimSpace(m.Text) == "" {
		k.fault("there is no text")
	}
}

func (k *checker) contentType(fields []Field) (kind string, params map[string]string) {
	for _, f := range fields {
		if strings.EqualFold(f.Name, "Content-Type") {
			kind, params, err := mime.ParseMediaType(f.Value)
			if err != nil {
				k.fault("Content-Type is %q: %v", f.Value, err)
			}
			return kind, params
		}
	}
	return "", nil
}

func encoding(fields []Field) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, "Content-Transfer-Encoding") {
			return strings.ToLower(f.Value)
		}
	}
	return "7bit"
}

// parts splits a multipart (RFC 2046 5.1.1). Nothing but space may stand around it.
func (k *checker) parts(boundary, body string) (out []string) {
	if !boundaryForm.MatchString(boundary) {
		k.fault("the boundary %q is none", boundary)
		return nil
	}
	pieces := strings.Split("\r\n"+body, "\r\n--"+boundary)
	end := len(pieces) - 1
	if end < 1 || strings.TrimSpace(pieces[0]) != "" || !strings.HasPrefix(pieces[end], "--") || strings.TrimSpace(pieces[end][2:]) != "" {
		k.fault("the parts are not between their boundaries, with nothing around them")
	}
	for _, p := range pieces[min(1, end):end] {
		rest, ok := strings.CutPrefix(p, "\r\n")
		if !ok {
			k.fault("the boundary is not alone on its line")
		}
		out = append(out, rest)
	}
	return out
}

// leaf decodes a text in UTF-8 or ASCII (RFC 2045 6). Its lines end in CRLF, and it has no other control characters than tabs.
func (k *checker) leaf(fields []Field, params map[string]string, body string) string {
	text, e := body, encoding(fields)
	switch {
	case e == "7bit" && isASCII(body), e == "8bit" && k.eightBit:
	case e == "quoted-printable":
		for line := range strings.SplitSeq(body, "\r\n") {
			if len(line) > 76 || !soft.MatchString(line) {
				k.fault("a line is no quoted-printable: %q", line)
			}
		}
		b, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
		if err != nil {
			k.fault("the quoted-printable cannot be decoded: %v", err)
		}
		text = string(b)
	case e == "base64":
		lines := strings.Split(strings.TrimSuffix(body, "\r\n"), "\r\n")
		for i, line := range lines {
			if len(line) > 76 || line == "" || i < len(lines)-1 && len(line) != len(lines[0]) {
				k.fault("a line of base64 has %d characters", len(line))
			}
		}
		b, err := base64.StdEncoding.Strict().DecodeString(strings.Join(lines, ""))
		if err != nil {
			k.fault("the base64 cannot be decoded: %v", err)
		}
		text = string(b)
	default:
		k.fault("the body is not in its encoding, %s", e)
	}
	switch charset := strings.ToLower(params["charset"]); {
	case charset == "utf-8" && utf8.ValidString(text):
	case (charset == "us-ascii" || charset == "") && isASCII(text):
	default:
		k.fault("the text is not in its character set, %q", charset)
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }); i >= 0 {
		k.fault("the text has the control character %q", text[i])
	}
	return text
}

// same compares the two forms of a body by their letters, digits and pictures, in the order in which they are read.
func (k *checker) same(m *Message) {
	shown, faults := readHTML(m.HTML)
	for _, f := range faults {
		k.fault("the HTML: %s", f)
	}
	text, html := marks(m.Text), marks(shown)
	if text == html {
		return
	}
	i := 0
	for i < len(text) && i < len(html) && text[i] == html[i] {
		i++
	}
	from := max(0, i-20)
	k.fault("text and HTML do not say the same: %q, %q", text[from:min(len(text), i+40)], html[from:min(len(html), i+40)])
}

func marks(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.So, r) {
			return r
		}
		return -1
	}, s)
}
