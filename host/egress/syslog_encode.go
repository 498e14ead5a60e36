package egress

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// The sizes of one message, in bytes and without framing. RFC 5424 section 6.1 asks every receiver for 480 and recommends
// 2048; receivers of streams take far more (rsyslog at most 200,000 in a frame), the machine's own socket 8192 as a rule.
const (
	maxSyslogUDP    = 2048
	maxSyslogStream = 200_000
	maxSyslogLocal  = 8192
)

const (
	formatRFC5424 = "rfc5424"
	formatRFC3164 = "rfc3164"
	framingOctets = "octets"
	framingLF     = "lf"

	// The most characters of the header fields, RFC 5424 section 6.
	maxHostname, maxAppName, maxProcID, maxMsgID, maxSDName = 255, 48, 128, 32, 32
	// maxTag is that of RFC 3164 section 4.1.3.
	maxTag = 32

	bom    = "\ufeff" // RFC 5424 section 6.4
	cutEnd = "..."
)

// syslogEncoder writes messages of one request. Its methods do not change it.
type syslogEncoder struct {
	bsd   bool // RFC 3164 in place of RFC 5424
	local bool // no host name in the BSD form, as syslog(3) writes it
	max   int
	host  string // this machine's, where a message names none
	pid   string
	now   time.Time
	zone  *time.Location // of the BSD form, which names none
}

// syslogSelf is what the host puts into messages that leave it open. Both can be written as they are.
func syslogSelf() (host, pid string) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	return host, strconv.Itoa(os.Getpid())
}

// check tells what is wrong with a message, as far as it cannot be mended: characters that a field cannot have are
// replaced, long fields and texts are cut.
func (e *syslogEncoder) check(m *pdk.SyslogMessage) error {
	switch {
	case m.Facility < 0 || m.Facility > 23:
		return fmt.Errorf("facility %d: want 0 to 23", m.Facility)
	case m.Severity < 0 || m.Severity > 7:
		return fmt.Errorf("severity %d: want 0 to 7", m.Severity)
	case m.Time < 0 || m.Time > maxSyslogTime:
		return fmt.Errorf("time %d: want Unix milliseconds up to the year 9999", m.Time)
	}
	for i := range m.Data {
		d := &m.Data[i]
		if err := checkSDID(d.ID); err != nil {
			return err
		}
		for _, o := range m.Data[:i] {
			if o.ID == d.ID {
				return fmt.Errorf("structured data has the element %s twice", d.ID)
			}
		}
		for _, p := range d.Params {
			if !sdName(p.Name) {
				return fmt.Errorf("structured data %s: %q is no parameter name: write 1 to 32 printable ASCII characters without = ] \" or space", d.ID, p.Name)
			}
		}
	}
	return nil
}

var maxSyslogTime = time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC).UnixMilli()

// checkSDID applies RFC 5424 section 6.3.2: a name of IANA's list, or one's own with an enterprise number.
func checkSDID(id string) error {
	name, number, own := strings.Cut(id, "@")
	switch {
	case !sdName(id) || name == "":
	case !own:
		switch id {
		case "timeQuality", "origin", "meta":
			return nil
		}
	case strings.Trim(number, "0123456789.") == "" && number != "" && number[0] != '.':
		return nil
	}
	return fmt.Errorf("%q is no SD-ID: write name@enterprise-number in 1 to 32 printable ASCII characters, such as tocsin@32473", id)
}

func sdName(s string) bool {
	if s == "" || len(s) > maxSDName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '=' || c == ']' || c == '"' {
			return false
		}
	}
	return true
}

// append writes one message, which check has passed, and reports whether something of it was cut to fit.
func (e *syslogEncoder) append(b []byte, m *pdk.SyslogMessage) ([]byte, bool, error) {
	start := len(b)
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(m.Facility*8+m.Severity), 10)
	b = append(b, '>')
	at := e.now
	if m.Time != 0 {
		at = time.UnixMilli(m.Time)
	}
	cut := false
	if e.bsd {
		b = e.bsdHeader(b, m, at)
	} else {
		var ok bool
		if b, cut, ok = e.header(b, start, m, at); !ok {
			return b[:start], false, fmt.Errorf("structured data of %d elements does not fit into a message of %d bytes", len(m.Data), e.max)
		}
	}
	b, short := appendText(b, strings.TrimRight(strings.TrimPrefix(m.Text, bom), " \t\r\n"), e.max-(len(b)-start), !e.bsd)
	return b, cut || short, nil
}

// header writes a message of RFC 5424 up to the space before its text. Values of structured data are cut to ever fewer bytes
// until the header leaves some room for the text.
func (e *syslogEncoder) header(b []byte, start int, m *pdk.SyslogMessage, at time.Time) (_ []byte, cut, ok bool) {
	b = append(b, "1 "...)
	b = at.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = appendField(b, orOwn(m.Hostname, e.host), maxHostname)
	b = appendField(b, m.AppName, maxAppName)
	b = appendField(b, orOwn(m.ProcID, e.pid), maxProcID)
	b = appendField(b, m.MsgID, maxMsgID)
	b = append(b, ' ')
	if len(m.Data) == 0 {
		return append(b, "- "...), false, true
	}
	const room = 64 // for the text
	head := len(b)
	for longest := e.max; ; longest /= 2 {
		var short bool
		b, short = appendSD(b[:head], m.Data, longest)
		cut = cut || short
		if len(b)-start+1+min(room, len(m.Text)) <= e.max {
			return append(b, ' '), cut, true
		}
		if longest == 0 {
			return b, cut, false
		}
	}
}

// bsdHeader writes "Mmm dd hh:mm:ss host tag[pid]: " (RFC 3164 section 4.1).
func (e *syslogEncoder) bsdHeader(b []byte, m *pdk.SyslogMessage, at time.Time) []byte {
	b = at.In(e.zone).AppendFormat(b, time.Stamp)
	if !e.local {
		host := m.Hostname
		if host == "" {
			host = shortHost(e.host) // "the Domain Name MUST NOT be included"
		}
		b = appendField(b, host, maxHostname)
	}
	b = append(b, ' ')
	tag := m.AppName
	if tag == "" {
		tag = "tocsin"
	}
	for i := range min(len(tag), maxTag) {
		c := tag[i]
		if c <= ' ' || c > '~' || c == ':' || c == '[' || c == ']' { // what ends a tag
			c = '_'
		}
		b = append(b, c)
	}
	if pid := orOwn(m.ProcID, e.pid); pid != "" && pid != "-" {
		b = append(b, '[')
		for i := range min(len(pid), maxTag) {
			c := pid[i]
			if c <= ' ' || c > '~' || c == '[' || c == ']' {
				c = '_'
			}
			b = append(b, c)
		}
		b = append(b, ']')
	}
	return append(b, ": "...)
}

func orOwn(given, own string) string {
	if given == "" {
		return own
	}
	return given
}

func shortHost(h string) string {
	if _, err := netip.ParseAddr(h); err == nil {
		return h
	}
	short, _, _ := strings.Cut(h, ".")
	return short
}

// appendField writes a space and a header field: printable ASCII without spaces, or "-" for none.
func appendField(b []byte, s string, most int) []byte {
	b = append(b, ' ')
	if s == "" {
		return append(b, '-')
	}
	for i := range min(len(s), most) {
		c := s[i]
		if c <= ' ' || c > '~' {
			c = '_'
		}
		b = append(b, c)
	}
	return b
}

// appendSD writes structured data; of each value at most so many bytes, before escaping.
func appendSD(b []byte, data []pdk.SDElement, longest int) (_ []byte, cut bool) {
	for i := range data {
		b = append(b, '[')
		b = append(b, data[i].ID...)
		for _, p := range data[i].Params {
			b = append(b, ' ')
			b = append(b, p.Name...)
			b = append(b, `="`...)
			v := p.Value
			if len(v) > longest {
				v, cut = v[:runeBorder(v, longest)], true
			}
			b = appendClean(b, v, true)
			b = append(b, '"')
		}
		b = append(b, ']')
	}
	return b, cut
}

// appendText writes a message's text into room bytes, cut at the border of a character; with mark a text beyond ASCII
// begins with the mark that says it is UTF-8.
func appendText(b []byte, s string, room int, mark bool) (_ []byte, cut bool) {
	start := len(b)
	long := len(s) > room
	if long { // no character gets shorter by cleaning but those that stand for a bad byte get longer
		s = s[:runeBorder(s, max(room, 0))]
	}
	if mark && !asciiOnly(s) {
		b = append(b, bom...)
	}
	b = appendClean(b, s, false)
	if over := len(b) - start - room; over <= 0 && !long {
		return b, false
	}
	keep := max(0, room-len(cutEnd))
	if keep == 0 {
		return b[:start], true
	}
	text := b[start:]
	if keep < len(text) {
		for keep > 0 && !utf8.RuneStart(text[keep]) {
			keep--
		}
		text = text[:keep]
	}
	return append(b[:start+len(text)], cutEnd...), true
}

// runeBorder is the largest n up to most at which s can be cut without splitting a character.
func runeBorder(s string, most int) int {
	if most >= len(s) {
		return len(s)
	}
	for n := most; n > 0 && n > most-utf8.UTFMax; n-- {
		if utf8.RuneStart(s[n]) {
			return n
		}
	}
	return most // no UTF-8
}

func asciiOnly(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// appendClean writes text as one line of valid UTF-8: control characters, and those that some take for line breaks, are
// spaces. With escape it is the inside of a value of structured data (RFC 5424 section 6.3.3).
func appendClean(b []byte, s string, escape bool) []byte {
	for i := 0; i < len(s); {
		from := i
		for i < len(s) && s[i] >= ' ' && s[i] < 0x7f && !(escape && (s[i] == '"' || s[i] == '\\' || s[i] == ']')) {
			i++
		}
		b = append(b, s[from:i]...)
		switch {
		case i == len(s):
		case s[i] < ' ' || s[i] == 0x7f:
			b = append(b, ' ')
			i++
		case s[i] < utf8.RuneSelf:
			b = append(b, '\\', s[i])
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			if r < 0xa0 || r == '\u2028' || r == '\u2029' {
				r = ' '
			}
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return b
}
