package pdk

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const ellipsis = "…"

// TruncateRunes cuts s to at most n Unicode code points, the last of them "…" if anything was cut. Truncate text, never
// markup: a cut tag or entity is an error to most services.
func TruncateRunes(s string, n int) string {
	if len(s) <= n || utf8.RuneCountInString(s) <= n {
		return s
	}
	return cut(s, n-1, n > 0, func(rune, int) int { return 1 })
}

// TruncateBytes cuts s to at most n bytes without splitting a code point, with "…" (3 bytes) at the end if there is
// room for it.
func TruncateBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	mark := n >= len(ellipsis)
	if mark {
		n -= len(ellipsis)
	}
	return cut(s, n, mark, func(_ rune, size int) int { return size })
}

// TruncateUTF16 cuts s to at most n UTF-16 code units, which is how Telegram and JavaScript count.
func TruncateUTF16(s string, n int) string {
	if len(s) <= n || UTF16Len(s) <= n {
		return s
	}
	return cut(s, n-1, n > 0, func(r rune, _ int) int { return utf16Units(r) })
}

// UTF16Len counts the UTF-16 code units of s.
func UTF16Len(s string) int {
	n := 0
	for _, r := range s {
		n += utf16Units(r)
	}
	return n
}

func utf16Units(r rune) int {
	if r >= 0x10000 {
		return 2
	}
	return 1
}

func cut(s string, budget int, mark bool, cost func(r rune, size int) int) string {
	end := 0
	for end < len(s) {
		r, size := utf8.DecodeRuneInString(s[end:])
		if budget -= cost(r, size); budget < 0 {
			break
		}
		end += size
	}
	if mark {
		return s[:end] + ellipsis
	}
	return s[:end]
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// EscapeHTML makes s safe as text and as a quoted attribute of HTML, and in Telegram's HTML too.
func EscapeHTML(s string) string { return htmlEscaper.Replace(s) }

// EscapeMarkdown puts a backslash before every ASCII punctuation character that CommonMark gives a meaning, so that s
// appears as it is.
func EscapeMarkdown(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte("\\`*_{}[]()#+-.!|<>~&@", s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// JoinURL puts elements behind a base URL with one slash between each. The elements are taken as they are, since a
// placeholder must not be changed: escape them with EscapePath where they come from outside.
func JoinURL(base string, elems ...string) string {
	var u strings.Builder
	u.WriteString(strings.TrimRight(base, "/"))
	for _, e := range elems {
		u.WriteString("/" + strings.Trim(e, "/"))
	}
	return u.String()
}

// EscapePath percent-encodes s for use as one path segment or query value of a URL (RFC 3986).
func EscapePath(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		const upper = "0123456789ABCDEF"
		b.WriteByte('%')
		b.WriteByte(upper[c>>4])
		b.WriteByte(upper[c&15])
	}
	return b.String()
}

// RetryAfter gives the milliseconds that a Retry-After header asks to wait: a number of seconds or a date in one of the
// three forms of RFC 9110, section 5.6.7. It is 0 without such a header, or if it is no such value or in the past.
// Headers have lower-case names; now is Unix milliseconds. A date is by the clock of the service, so it is compared with
// the answer's own Date header where there is one, and with now otherwise.
func RetryAfter(headers map[string]string, now int64) int64 {
	v := strings.TrimSpace(headers["retry-after"])
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseInt(v, 10, 64); err == nil {
		return max(0, min(s, 1<<31)) * 1000
	}
	t, ok := parseHTTPDate(v)
	if !ok {
		return 0
	}
	if sent, ok := parseHTTPDate(strings.TrimSpace(headers["date"])); ok {
		return max(0, t-sent) * 1000
	}
	return max(0, t*1000-now)
}

// parseHTTPDate reads IMF-fixdate, the RFC 850 form and the asctime form as Unix seconds. The weekday is not checked.
func parseHTTPDate(s string) (int64, bool) {
	f := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	var day, month, year, clock string
	switch {
	case len(f) == 6 && f[5] == "GMT": // Sun, 06 Nov 1994 08:49:37 GMT
		day, month, year, clock = f[1], f[2], f[3], f[4]
	case len(f) == 4 && f[3] == "GMT": // Sunday, 06-Nov-94 08:49:37 GMT
		d := strings.Split(f[1], "-")
		if len(d) != 3 {
			return 0, false
		}
		day, month, year, clock = d[0], d[1], d[2], f[2]
	case len(f) == 5: // Sun Nov  6 08:49:37 1994
		day, month, year, clock = f[2], f[1], f[4], f[3]
	default:
		return 0, false
	}
	m := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", month)
	t := strings.Split(clock, ":")
	if len(month) != 3 || m < 0 || m%3 != 0 || len(t) != 3 {
		return 0, false
	}
	d, okD := digits(day, 31)
	y, okY := digits(year, 9999)
	hh, okH := digits(t[0], 23)
	mm, okM := digits(t[1], 59)
	ss, okS := digits(t[2], 60)
	if !okD || !okY || !okH || !okM || !okS || d == 0 {
		return 0, false
	}
	if len(year) == 2 { // RFC 9110: a two-digit year is at most 50 years ahead. Services that answer now live in 20xx.
		y += 2000
	}
	return days(y, m/3+1, d)*86400 + hh*3600 + mm*60 + ss, true
}

func digits(s string, limit int64) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int64(n), err == nil && int64(n) <= limit
}

// days counts the days from 1970-01-01 to a date of the Gregorian calendar, with years that begin in March so that the
// leap day is the last one.
func days(y int64, month int, d int64) int64 {
	m := int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	return 365*y + y/4 - y/100 + y/400 + (153*(m-3)+2)/5 + d - 1 - 719468
}
