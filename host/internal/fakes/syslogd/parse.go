package syslogd

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is what a frame said.
type Message struct {
	Facility, Severity int
	// Time is the zero time where the message has none. RFC 3164 names no year and no zone: it is then in the year 0, as if in UTC.
	Time time.Time
	// The fields of the header; "" where the message has none. MsgID and Data are of RFC 5424 only, where App is APP-NAME; it is the
	// TAG of RFC 3164, and Proc the number behind that.
	Host, App, Proc, MsgID string
	Data                   []Element
	Text                   string // without the mark that says it is UTF-8
	Conn                   int    // the connection it came over, from 1; 0 for a datagram
}

// Element is an element of structured data, its values without escapes.
type Element struct {
	ID     string
	Params [][2]string
}

// maxPriority is local7.debug.
const maxPriority = 191

// priority reads "<34>" in front of a message.
func priority(s string) (m *Message, rest string, err error) {
	inner, ok := strings.CutPrefix(s, "<")
	num, rest, closed := strings.Cut(inner, ">")
	n, nerr := strconv.ParseUint(num, 10, 16)
	switch {
	case !ok || !closed:
		return nil, "", fmt.Errorf("PRI: want <0> to <%d> in front, got %.8q", maxPriority, s)
	case nerr != nil || strings.TrimLeft(num, "0123456789") != "" || n > maxPriority || len(num) > 1 && num[0] == '0':
		return nil, "", fmt.Errorf("PRI: %.8q is no number of 0 to %d", num, maxPriority)
	}
	return &Message{Facility: int(n / 8), Severity: int(n % 8)}, rest, nil
}

// Parse5424 reads a message of RFC 5424 by the grammar of its section 6.
func Parse5424(frame string) (*Message, error) {
	m, rest, err := priority(frame)
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(rest, "1 ")
	if !ok {
		return nil, fmt.Errorf("VERSION: want 1 and a space behind PRI, got %.8q", rest)
	}
	var at string
	for _, f := range []struct {
		name string
		most int
		to   *string
	}{
		{"TIMESTAMP", 32, &at}, {"HOSTNAME", 255, &m.Host}, {"APP-NAME", 48, &m.App}, {"PROCID", 128, &m.Proc}, {"MSGID", 32, &m.MsgID},
	} {
		value, tail, ok := strings.Cut(rest, " ")
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: no space behind it", f.name)
		case value == "" || len(value) > f.most || !printable(value):
			return nil, fmt.Errorf("%s: want 1 to %d characters of printable ASCII, got %d: %.40q", f.name, f.most, len(value), value)
		case value == "-":
			value = ""
		}
		*f.to, rest = value, tail
	}
	if at != "" {
		if m.Time, err = timestamp(at); err != nil {
			return nil, err
		}
	}
	if m.Data, rest, err = structuredData(rest); err != nil {
		return nil, err
	}
	if rest != "" {
		if rest, ok = strings.CutPrefix(rest, " "); !ok {
			return nil, fmt.Errorf("STRUCTURED-DATA: want a space or the end behind it, got %.8q", rest)
		}
	}
	const bom = "\ufeff"
	text, marked := strings.CutPrefix(rest, bom)
	if !marked && strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return nil, errors.New("MSG: it has characters beyond ASCII and does not begin with the byte order mark of UTF-8 (section 6.4)")
	}
	m.Text = text
	return m, oneLine("MSG", text)
}

// rfc3339 is TIMESTAMP: capital T and Z, up to six digits of a second.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func timestamp(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !rfc3339.MatchString(s) {
		return t, fmt.Errorf("TIMESTAMP: %q is not of the form 2003-10-11T22:14:15.003Z (section 6.2.3)", s)
	}
	return t, nil
}

// structuredData reads "-" or elements, and gives what is behind them.
func structuredData(s string) (all []Element, rest string, err error) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return nil, rest, nil
	}
	seen := map[string]bool{}
	for strings.HasPrefix(s, "[") {
		var e Element
		i := strings.IndexAny(s, " ]")
		if i < 0 {
			return nil, "", errors.New("STRUCTURED-DATA: an element has no end")
		}
		e.ID, s = s[1:i], s[i:]
		if err := sdID(e.ID); err != nil {
			return nil, "", err
		}
		if seen[e.ID] {
			return nil, "", fmt.Errorf("SD-ID: %s is there twice (section 6.3.2)", e.ID)
		}
		seen[e.ID] = true
		for strings.HasPrefix(s, " ") {
			name, tail, ok := strings.Cut(s[1:], `="`)
			if !ok || !sdName(name) {
				return nil, "", fmt.Errorf("SD-PARAM: %.40q does not begin with a name of 1 to 32 characters and =\"", s[1:])
			}
			value, tail, err := paramValue(name, tail)
			if err != nil {
				return nil, "", err
			}
			e.Params, s = append(e.Params, [2]string{name, value}), tail
		}
		var ok bool
		if s, ok = strings.CutPrefix(s, "]"); !ok {
			return nil, "", fmt.Errorf("STRUCTURED-DATA: want a space or ] in %s, got %.8q", e.ID, s)
		}
		all = append(all, e)
	}
	if all == nil {
		return nil, "", fmt.Errorf("STRUCTURED-DATA: want - or [, got %.8q", s)
	}
	return all, s, nil
}

// sdID takes a name of IANA's list, or one's own with an enterprise number (section 6.3.2).
func sdID(id string) error {
	name, number, own := strings.Cut(id, "@")
	switch {
	case !sdName(id), own && (name == "" || number == "" || strings.Trim(number, "0123456789.") != ""):
		return fmt.Errorf("SD-ID: %.40q is not a name, or a name@number", id)
	case !own && id != "timeQuality" && id != "origin" && id != "meta":
		return fmt.Errorf("SD-ID: %s is not registered, and has no @ with a number", id)
	}
	return nil
}

func sdName(s string) bool {
	return s != "" && len(s) <= 32 && printable(s) && !strings.ContainsAny(s, `= ]"`)
}

// paramValue reads a value up to its quote. A quote, a backslash and a bracket must have a backslash in front of them, and nothing
// else may (section 6.3.3).
func paramValue(name, s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], oneLine("PARAM-VALUE of "+name, b.String())
		case ']':
			return "", "", fmt.Errorf("PARAM-VALUE of %s: a ] has no backslash in front of it", name)
		case '\\':
			if i++; i == len(s) || strings.IndexByte(`"\]`, s[i]) < 0 {
				return "", "", fmt.Errorf("PARAM-VALUE of %s: a backslash in front of what needs none", name)
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("PARAM-VALUE of %s: it has no end", name)
}

var (
	// rfc3164 is the header and the TAG of RFC 3164, sections 4.1.2 and 4.1.3: a day below ten has a space in front, the host's name
	// no domain, and the tag up to 32 letters and digits.
	rfc3164 = regexp.MustCompile(`^((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?: [1-9]|[12]\d|3[01]) \d{2}:\d{2}:\d{2}) ` +
		`([0-9A-Za-z:.-]+) ([0-9A-Za-z]{1,32})(?:\[([0-9A-Za-z]{1,32})\])?: `)
	ipv4 = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$`)
)

// Parse3164 reads a message of RFC 3164. That document says what was seen in use; its bound of 1024 bytes is no longer kept by anybody,
// and not asked for here.
func Parse3164(frame string) (*Message, error) {
	m, rest, err := priority(frame)
	if err != nil {
		return nil, err
	}
	part := rfc3164.FindStringSubmatch(rest)
	if part == nil {
		return nil, fmt.Errorf(`HEADER: want "Mmm dd hh:mm:ss HOST TAG[PID]: ", got %.60q`, rest)
	}
	if m.Time, err = time.Parse(time.Stamp, part[1]); err != nil {
		return nil, fmt.Errorf("TIMESTAMP: %w", err)
	}
	m.Host, m.App, m.Proc, m.Text = part[2], part[3], part[4], rest[len(part[0]):]
	if strings.Contains(m.Host, ".") && !strings.Contains(m.Host, ":") && !ipv4.MatchString(m.Host) {
		return nil, fmt.Errorf("HOSTNAME: %s names a domain, which it must not (section 4.1.2)", m.Host)
	}
	if strings.HasPrefix(m.Text, "\ufeff") {
		return nil, errors.New("CONTENT: a byte order mark is of RFC 5424")
	}
	return m, oneLine("CONTENT", m.Text)
}

func printable(s string) bool {
	return strings.Trim(s, "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") == ""
}

// oneLine refuses what a log file would show as several lines or not at all.
func oneLine(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s: it is not UTF-8", what)
	}
	for i, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("%s: the character %U at byte %d controls, and means nothing", what, r, i)
		}
	}
	return nil
}
