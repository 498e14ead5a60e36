package ecs

import "github.com/tocsin-net/tocsin/pdk"

// Fit makes a JSON document of at most room bytes, all of them ASCII: first with the whole message, then with one of half the room,
// then with less and less detail, and at last with ever less of the message. Only a document that is longer than room with an empty
// message and essential details comes out longer. ASCII is for carriers that know no other text, or mark it: a syslog message that
// is not ASCII begins with a byte order mark (RFC 5424 section 6.4), which readers of JSON refuse.
func Fit(message string, room int, write func(message string, d Detail) []byte) string {
	for n, d := len(message), Whole; ; {
		b := ascii(write(pdk.TruncateBytes(message, n), d))
		switch {
		case len(b) <= room, d == Essential && n == 0:
			return string(b)
		case d == Whole && n > max(room, 0)/2:
			n = max(room, 0) / 2
		case d > Essential:
			d--
		default:
			n /= 2
		}
	}
}

// ascii writes the characters of a JSON text that are not printable ASCII as escapes, beyond the first plane as two (RFC 8259
// section 7). They stand within strings only.
func ascii(b []byte) []byte {
	plain := 0
	for plain < len(b) && b[plain] < 0x7f {
		plain++
	}
	if plain == len(b) {
		return b
	}
	const digits = "0123456789abcdef"
	out := append(make([]byte, 0, 2*len(b)), b[:plain]...)
	unit := func(r rune) {
		out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
	for _, r := range string(b[plain:]) {
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r < 0x10000:
			unit(r)
		default:
			r -= 0x10000
			unit(0xd800 + r>>10)
			unit(0xdc00 + r&0x3ff)
		}
	}
	return out
}
