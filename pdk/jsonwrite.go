package pdk

import (
	"math"
	"sort"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// escapes[c] is how many bytes c takes in a JSON string, for ASCII; 0 marks a byte of a longer code point.
var escapes = func() (n [256]byte) {
	for c := range utf8.RuneSelf {
		switch {
		case c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t':
			n[c] = 2
		case c < ' ':
			n[c] = 6
		default:
			n[c] = 1
		}
	}
	return n
}()

// plainPrefix counts the bytes at the front of s that stand for themselves in a JSON string. Eight are looked at at once,
// because a branch is what costs in a module built by Go.
func plainPrefix(s string) int {
	i := 0
	for i+8 <= len(s) && plain8(load8(s[i:i+8])) {
		i += 8
	}
	for i < len(s) && escapes[s[i]] == 1 {
		i++
	}
	return i
}

// load8 gives the first eight bytes of s as one number; the compiler makes one instruction of it.
func load8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func store8(dst []byte, x uint64) {
	_ = dst[7]
	dst[0], dst[1], dst[2], dst[3] = byte(x), byte(x>>8), byte(x>>16), byte(x>>24)
	dst[4], dst[5], dst[6], dst[7] = byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56)
}

// plain8 tells whether eight bytes all stand for themselves in a JSON string. A byte has its highest bit set if it is not ASCII,
// once 0x20 was taken off if it is a control character, and once 1 was taken off what it differs by from a quote or a backslash if
// that is nothing. Where one byte borrows from the next, the answer is no already.
func plain8(x uint64) bool {
	const each = 0x0101010101010101
	return (x|(x-each*' ')|((x^each*'"')-each)|((x^each*'\\')-each))&(each*0x80) == 0
}

// AppendJSONString appends s as a JSON string (RFC 8259). Invalid UTF-8 becomes U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	// Bytes are set one by one where there is room for what they can become: in a module a call of append for each quote
	// of an alert inside a body takes most of the time.
	const most = 6 // bytes for one byte; twice that holds eight plain ones and the closing quote too
	k := len(dst)
	dst = room(dst, k, len(s)+len(s)/4+4*most)
	dst[k] = '"'
	k++
	for i := 0; i < len(s); i++ {
		if len(dst)-k < 2*most {
			dst = room(dst, k, len(s)-i+len(s)/4+4*most)
		}
		if i+8 <= len(s) {
			if x := load8(s[i : i+8]); plain8(x) {
				store8(dst[k:k+8], x)
				k += 8
				i += 7
				continue
			}
		}
		c := s[i]
		switch escapes[c] {
		case 1:
			dst[k] = c
			k++
		case 2:
			switch c {
			case '\n':
				c = 'n'
			case '\r':
				c = 'r'
			case '\t':
				c = 't'
			}
			dst[k], dst[k+1] = '\\', c
			k += 2
		case 6:
			k += copy(dst[k:], "\\u00")
			dst[k], dst[k+1] = hexDigits[c>>4], hexDigits[c&15]
			k += 2
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			k += utf8.EncodeRune(dst[k:], r) // writes U+FFFD for what is not valid
			i += n - 1
		}
	}
	dst[k] = '"'
	return dst[:k+1]
}

// room makes dst, of which k bytes are used, at least n bytes longer than that, and as long as its array.
func room(dst []byte, k, n int) []byte {
	if cap(dst)-k < n {
		dst = append(make([]byte, 0, max(k+n, 2*cap(dst))), dst[:k]...)
	}
	return dst[:cap(dst)]
}

// AppendJSON appends v: nil, a string, bool, any of Go's integers, a float, a list or map of these, or Params. Map keys
// are sorted. A value of another type, and a float that JSON cannot write, become null.
func AppendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return AppendJSONString(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case float64:
		return appendFloat(dst, v)
	case float32:
		return appendFloat(dst, float64(v))
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case int32:
		return strconv.AppendInt(dst, int64(v), 10)
	case uint64:
		return strconv.AppendUint(dst, v, 10)
	case uint:
		return strconv.AppendUint(dst, uint64(v), 10)
	case uint16:
		return strconv.AppendUint(dst, uint64(v), 10)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, e)
		}
		return append(dst, ']')
	case []string:
		return appendStrings(dst, v)
	case map[string]any:
		return appendMap(dst, v)
	case Params:
		return appendMap(dst, v)
	case map[string]string:
		return appendStringMap(dst, v)
	}
	return append(dst, "null"...)
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.AppendInt(dst, int64(f), 10)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

func appendStrings(dst []byte, l []string) []byte {
	dst = append(dst, '[')
	for i, s := range l {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendJSONString(dst, s)
	}
	return append(dst, ']')
}

func appendMap(dst []byte, m map[string]any) []byte {
	if m == nil {
		return append(dst, "{}"...)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	w := writer{dst: dst}
	w.open()
	for _, k := range keys {
		w.anyName(k)
		w.dst = AppendJSON(w.dst, m[k])
	}
	return w.close()
}

func appendStringMap(dst []byte, m map[string]string) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	w := writer{dst: dst}
	w.open()
	for _, k := range keys {
		w.anyName(k)
		w.dst = AppendJSONString(w.dst, m[k])
	}
	return w.close()
}

// writer writes one JSON object after another into dst. The methods with "opt" leave zero values out.
type writer struct {
	dst []byte
}

func (w *writer) open() { w.dst = append(w.dst, '{') }

func (w *writer) close() []byte {
	w.dst = append(w.dst, '}')
	return w.dst
}

// name writes the comma, if one is due, and the member's name, which is one of this package: it needs no escapes.
func (w *writer) name(k string) {
	n := len(w.dst)
	d := room(w.dst, n, len(k)+4)
	if d[n-1] != '{' {
		d[n] = ','
		n++
	}
	d[n] = '"'
	n += 1 + copy(d[n+1:], k)
	d[n], d[n+1] = '"', ':'
	w.dst = d[:n+2]
}

// anyName is name for one that comes from elsewhere.
func (w *writer) anyName(k string) {
	if w.dst[len(w.dst)-1] != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = AppendJSONString(w.dst, k)
	w.dst = append(w.dst, ':')
}

func (w *writer) str(k, v string) {
	w.name(k)
	w.dst = AppendJSONString(w.dst, v)
}

func (w *writer) strOpt(k, v string) {
	if v != "" {
		w.str(k, v)
	}
}

func (w *writer) int(k string, v int64) {
	w.name(k)
	w.dst = strconv.AppendInt(w.dst, v, 10)
}

func (w *writer) intOpt(k string, v int64) {
	if v != 0 {
		w.int(k, v)
	}
}

func (w *writer) boolOpt(k string, v bool) {
	if v {
		w.name(k)
		w.dst = append(w.dst, "true"...)
	}
}

func (w *writer) floatOpt(k string, v float64) {
	if v != 0 {
		w.name(k)
		w.dst = appendFloat(w.dst, v)
	}
}

func (w *writer) pairOpt(k string, v [2]uint64) {
	if v == [2]uint64{} {
		return
	}
	w.name(k)
	w.dst = append(w.dst, '[')
	w.dst = strconv.AppendUint(w.dst, v[0], 10)
	w.dst = append(w.dst, ',')
	w.dst = strconv.AppendUint(w.dst, v[1], 10)
	w.dst = append(w.dst, ']')
}

func (w *writer) strings(k string, v []string) {
	w.name(k)
	w.dst = appendStrings(w.dst, v)
}

func (w *writer) params(k string, v Params) {
	w.name(k)
	w.dst = appendMap(w.dst, v)
}

// list writes a list of n objects, each written by item.
func (w *writer) list(k string, n int, item func(*writer, int)) {
	w.name(k)
	w.dst = append(w.dst, '[')
	for i := range n {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		item(w, i)
	}
	w.dst = append(w.dst, ']')
}
