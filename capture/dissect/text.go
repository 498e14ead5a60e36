package dissect

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// interner hands out one copy of strings that come again and again, such as host names. It forgets the older half when
// it is full, so hostile traffic cannot make it grow.
type interner struct {
	young, old map[string]string
}

const (
	maxInterned    = 8192 // strings in each half
	maxInternedLen = 96
)

func (in *interner) init() {
	in.young, in.old = make(map[string]string), map[string]string{}
}

// get returns b as a string.
func (in *interner) get(b []byte) string {
	if len(b) > maxInternedLen {
		return string(b)
	}
	if s, ok := in.young[string(b)]; ok {
		return s
	}
	s, ok := in.old[string(b)]
	if !ok {
		s = string(b)
	}
	if len(in.young) >= maxInterned {
		in.young, in.old = make(map[string]string), in.young
	}
	in.young[s] = s
	return s
}

// text makes a clean string of b: valid UTF-8, without control characters, at most maxString bytes.
func (c *ctx) text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) > maxString {
		b = b[:maxString]
	}
	for _, x := range b {
		if x < 0x20 || x >= 0x7f {
			return cleanText(b)
		}
	}
	return c.d.strings.get(b)
}

func cleanText(b []byte) string {
	var sb strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n <= 1:
			r = '?'
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			r = ' '
		}
		if sb.Len()+utf8.RuneLen(r) > maxString {
			break
		}
		sb.WriteRune(r)
		b = b[n:]
	}
	return sb.String()
}

// hostText is text for a host name: lower case, without the root's dot.
func (c *ctx) hostText(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	if len(b) > maxString {
		b = b[:maxString]
	}
	var buf [256]byte
	if len(b) > len(buf) {
		return strings.ToLower(c.text(b))
	}
	n := copy(buf[:], b)
	for i, x := range buf[:n] {
		if x >= 'A' && x <= 'Z' {
			buf[i] = x | 0x20
		}
	}
	return c.text(buf[:n])
}

// u16, u24, u32 and u64 read big-endian numbers; the caller has checked the length.
func u16(b []byte) uint16 { _ = b[1]; return uint16(b[0])<<8 | uint16(b[1]) }
func u24(b []byte) int    { _ = b[2]; return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }
func u32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
func u64(b []byte) uint64 { return uint64(u32(b))<<32 | uint64(u32(b[4:])) }

// le16 and le32 read little-endian numbers; the caller has checked the length.
func le16(b []byte) uint16 { _ = b[1]; return uint16(b[1])<<8 | uint16(b[0]) }

func le32(b []byte) uint32 {
	_ = b[3]
	return uint32(b[3])<<24 | uint32(b[2])<<16 | uint32(b[1])<<8 | uint32(b[0])
}

// prefix reports whether b begins with s. The comparison makes no copy.
func prefix(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }

// prefixFold is prefix for ASCII letters in any case; s is in lower case.
func prefixFold(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		x := b[i]
		if x >= 'A' && x <= 'Z' {
			x |= 0x20
		}
		if x != s[i] {
			return false
		}
	}
	return true
}

// line returns the first line of b without its end, the number of bytes it took with its end, and whether the end was
// there.
func line(b []byte) (l []byte, n int, ok bool) {
	for i, x := range b {
		if x == '\n' {
			l = b[:i]
			if i > 0 && b[i-1] == '\r' {
				l = b[:i-1]
			}
			return l, i + 1, true
		}
	}
	return b, len(b), false
}

// printable reports whether all of b is printable ASCII or white space.
func printable(b []byte) bool {
	for _, x := range b {
		if (x < 0x20 || x > 0x7e) && x != '\r' && x != '\n' && x != '\t' {
			return false
		}
	}
	return true
}

// digits reads a decimal number at the start of b; n is the number of digits, 9 at most.
func digits(b []byte) (v, n int) {
	for n < len(b) && n < 9 && b[n] >= '0' && b[n] <= '9' {
		v = v*10 + int(b[n]-'0')
		n++
	}
	return v, n
}

// ipText writes an address of 4 or 16 bytes.
func ipText(b []byte) string {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	return a.Unmap().String()
}
