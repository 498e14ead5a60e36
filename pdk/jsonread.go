package pdk

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds how deep JSON may nest. The messages need 6 levels; parameters and answers of services may use the
// rest.
const maxDepth = 64

// SyntaxError says why a JSON text could not be read.
type SyntaxError struct {
	Path   string // of the value, such as "deliveries[2].alert.score"; empty for the whole text
	Offset int    // in bytes
	Reason string
}

// Error names path, offset and reason.
func (e *SyntaxError) Error() string {
	s := "JSON: "
	if e.Path != "" {
		s += e.Path + ": "
	}
	return s + e.Reason + " (byte " + strconv.Itoa(e.Offset) + ")"
}

// segment is one step of a path: a key of an object, or an index of an array.
type segment struct {
	key   string
	index int // -1 before the first element; of an object it counts its members
	array bool
}

// steps is room for the path of a reader, on the stack of whoever makes it: all messages fit in.
type steps [8]segment

// reader reads a JSON text (RFC 8259) value by value, without reflection. The first error sticks: from then on every
// call returns at once, so callers check it once, at the end.
type reader struct {
	b    string // a string, so that the strings in it need no copies of their own
	pos  int
	err  error
	path []segment
}

func (r *reader) fail(reason string) {
	if r.err != nil {
		return
	}
	var p []byte
	for _, s := range r.path {
		switch {
		case s.array && s.index >= 0:
			p = append(p, '[')
			p = strconv.AppendInt(p, int64(s.index), 10)
			p = append(p, ']')
		case !s.array && s.key != "":
			if len(p) > 0 {
				p = append(p, '.')
			}
			k := s.key
			if len(k) > 64 {
				k = TruncateBytes(k, 64)
			}
			p = append(p, k...)
		}
	}
	r.err = &SyntaxError{Path: string(p), Offset: r.pos, Reason: reason}
}

// space skips white space and returns the next byte, 0 at the end.
func (r *reader) space() byte {
	if r.pos < len(r.b) {
		if c := r.b[r.pos]; c > ' ' {
			return c
		}
	}
	return r.moreSpace()
}

func (r *reader) moreSpace() byte {
	for r.pos < len(r.b) {
		switch c := r.b[r.pos]; c {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// kind names the value that begins with c, for messages.
func kind(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	case 0:
		return "the end of the text"
	}
	if c == '-' || c >= '0' && c <= '9' {
		return "a number"
	}
	return "no JSON value"
}

// open begins a value that must start with want; false for null, which stands for a value that is not there, and
// after an error.
func (r *reader) open(want byte) bool {
	if r.err != nil {
		return false
	}
	c := r.space()
	if c == 'n' {
		r.literal("null")
		return false
	}
	if c != want {
		r.fail("want " + kind(want) + ", got " + kind(c))
		return false
	}
	return true
}

func (r *reader) push(array bool) bool {
	if len(r.path) >= maxDepth {
		r.fail("nested deeper than " + strconv.Itoa(maxDepth) + " levels")
		return false
	}
	r.pos++
	r.path = append(r.path, segment{index: -1, array: array})
	return true
}

// object begins an object; loop with key until that returns false.
func (r *reader) object() bool { return r.open('{') && r.push(false) }

// array begins a list; loop with elem until that returns false.
func (r *reader) array() bool { return r.open('[') && r.push(true) }

// next moves to the next member or element; false at the end, which it consumes, or after an error.
func (r *reader) next(end byte) bool {
	if r.err != nil {
		return false
	}
	top := &r.path[len(r.path)-1]
	c := r.space()
	if c == end {
		r.pos++
		r.path = r.path[:len(r.path)-1]
		return false
	}
	if top.index >= 0 {
		if c != ',' {
			r.fail("want a comma or the end of " + kind(end-2))
			return false
		}
		r.pos++
		r.space()
	}
	top.index++
	return true
}

// key gives the next member's name and stands before its value.
func (r *reader) key() (string, bool) {
	if !r.next('}') {
		return "", false
	}
	if r.space() != '"' {
		r.fail("want a name in double quotes")
		return "", false
	}
	k := r.text()
	if r.err == nil && r.space() != ':' {
		r.fail("want a colon after a name")
	}
	if r.err != nil {
		return "", false
	}
	r.pos++
	r.path[len(r.path)-1].key = k
	return k, true
}

func (r *reader) elem() bool { return r.next(']') }

// text reads a string that begins at pos. Invalid UTF-8 and lone surrogates become U+FFFD.
func (r *reader) text() string {
	r.pos++
	start, b := r.pos, r.b
	i := start + plainPrefix(b[start:])
	if i < len(b) && b[i] == '"' {
		r.pos = i + 1
		return b[start:i]
	}
	ascii := true
	for ; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			r.pos = i + 1
			if ascii || utf8.ValidString(r.b[start:i]) {
				return r.b[start:i]
			}
			return r.unescape(start)
		case c == '\\':
			return r.unescape(start)
		case c < ' ':
			r.pos = i
			r.fail("a control character in a string must be escaped")
			return ""
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.pos = len(r.b)
	r.fail("a string has no end")
	return ""
}

func (r *reader) unescape(start int) string {
	size := start
	for size < len(r.b) && r.b[size] != '"' {
		if r.b[size] == '\\' {
			size++
		}
		size++
	}
	out := make([]byte, 0, size-start)
	for i := start; i < len(r.b); {
		c := r.b[i]
		switch {
		case c == '"':
			r.pos = i + 1
			return string(out)
		case c < ' ':
			r.pos = i
			r.fail("a control character in a string must be escaped")
			return ""
		case c == '\\':
			r.pos = i
			var n int
			out, n = r.escape(out, i)
			if n == 0 {
				r.fail("a backslash sequence that JSON does not have")
				return ""
			}
			i += n
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			v, n := utf8.DecodeRuneInString(r.b[i:])
			out = utf8.AppendRune(out, v)
			i += n
		}
	}
	r.pos = len(r.b)
	r.fail("a string has no end")
	return ""
}

// escape appends what the escape sequence at i stands for and returns its length, 0 if it is wrong.
func (r *reader) escape(out []byte, i int) ([]byte, int) {
	if i+1 >= len(r.b) {
		return out, 0
	}
	switch c := r.b[i+1]; c {
	case '"', '\\', '/':
		return append(out, c), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		v := r.hex4(i)
		if v < 0 {
			return out, 0
		}
		if v >= 0xd800 && v < 0xdc00 {
			if low := r.hex4(i + 6); low >= 0xdc00 && low < 0xe000 {
				return utf8.AppendRune(out, (v-0xd800)<<10|(low-0xdc00)+0x10000), 12
			}
		}
		return utf8.AppendRune(out, v), 6 // AppendRune writes U+FFFD for a lone surrogate.
	}
	return out, 0
}

// hex4 reads the \uXXXX at i; -1 if there is none.
func (r *reader) hex4(i int) rune {
	if i+6 > len(r.b) || r.b[i] != '\\' || r.b[i+1] != 'u' {
		return -1
	}
	var v rune
	for _, c := range []byte(r.b[i+2 : i+6]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			v = v<<4 | rune(c-'A'+10)
		default:
			return -1
		}
	}
	return v
}

func (r *reader) literal(s string) {
	if len(r.b)-r.pos < len(s) || r.b[r.pos:r.pos+len(s)] != s {
		r.fail("want " + s)
		return
	}
	r.pos += len(s)
}

func (r *reader) str(v *string) {
	if r.open('"') {
		if t := r.text(); r.err == nil {
			*v = t
		}
	}
}

func (r *reader) boolean(v *bool) {
	if r.err != nil {
		return
	}
	switch c := r.space(); c {
	case 't':
		if r.literal("true"); r.err == nil {
			*v = true
		}
	case 'f':
		if r.literal("false"); r.err == nil {
			*v = false
		}
	case 'n':
		r.literal("null")
	default:
		r.fail("want a boolean, got " + kind(c))
	}
}

// number scans a number as RFC 8259 writes it; empty for null and after an error.
func (r *reader) number() string {
	if r.err != nil {
		return ""
	}
	c := r.space()
	if c == 'n' {
		r.literal("null")
		return ""
	}
	if c != '-' && (c < '0' || c > '9') {
		r.fail("want a number, got " + kind(c))
		return ""
	}
	i, b := r.pos, r.b
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	ok := true
	if i < len(b) && b[i] == '0' {
		i++
	} else {
		ok = digits()
	}
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		r.fail("a number is not complete")
		return ""
	}
	n := b[r.pos:i]
	r.pos = i
	return n
}

// integer reads a whole number of at most the given bits, exactly.
func (r *reader) integer(bits int) (int64, bool) {
	n := r.number()
	if n == "" {
		return 0, false
	}
	v, err := strconv.ParseInt(n, 10, bits)
	if err != nil {
		r.notWhole(bits, n)
		return 0, false
	}
	return v, true
}

func (r *reader) unsigned(bits int) (uint64, bool) {
	n := r.number()
	if n == "" {
		return 0, false
	}
	v, err := strconv.ParseUint(n, 10, bits)
	if err != nil {
		r.notWhole(bits, n)
		return 0, false
	}
	return v, true
}

func (r *reader) notWhole(bits int, n string) {
	r.fail("want a whole number of " + strconv.Itoa(bits) + " bits, got " + TruncateBytes(n, 32))
}

func (r *reader) int64(v *int64) {
	if n, ok := r.integer(64); ok {
		*v = n
	}
}

func (r *reader) int(v *int) {
	if n, ok := r.integer(strconv.IntSize); ok {
		*v = int(n)
	}
}

func (r *reader) uint16(v *uint16) {
	if n, ok := r.unsigned(16); ok {
		*v = uint16(n)
	}
}

func (r *reader) float(v *float64) {
	n := r.number()
	if n == "" {
		return
	}
	f, err := strconv.ParseFloat(n, 64)
	if err != nil || math.IsInf(f, 0) {
		r.fail("the number " + TruncateBytes(n, 32) + " is out of range")
		return
	}
	*v = f
}

func (r *reader) strings(v *[]string) {
	if !r.array() {
		return
	}
	out := (*v)[:0]
	for r.elem() {
		var s string
		r.str(&s)
		out = append(out, s)
	}
	if out == nil {
		out = []string{}
	}
	*v = out
}

// pair reads a list of two counters. A shorter list leaves the rest zero; what a longer one has more is dropped.
func (r *reader) pair(v *[2]uint64) {
	if !r.array() {
		return
	}
	*v = [2]uint64{}
	for i := 0; r.elem(); i++ {
		if i >= len(v) {
			r.skip()
		} else if n, ok := r.unsigned(64); ok {
			v[i] = n
		}
	}
}

// skip reads any value, checks that it is JSON, and drops it.
func (r *reader) skip() {
	if r.err != nil {
		return
	}
	switch c := r.space(); c {
	case '{':
		for ok := r.object(); ok; {
			if _, ok = r.key(); ok {
				r.skip()
			}
		}
	case '[':
		for ok := r.array(); ok; {
			if ok = r.elem(); ok {
				r.skip()
			}
		}
	case '"':
		r.text()
	case 't':
		r.literal("true")
	case 'f':
		r.literal("false")
	case 'n':
		r.literal("null")
	default:
		r.number()
	}
}

// any reads a value of any type: string, float64, bool, nil, []any or map[string]any.
func (r *reader) any() any {
	if r.err != nil {
		return nil
	}
	switch c := r.space(); c {
	case '{':
		m := map[string]any{}
		r.members(m)
		return m
	case '[':
		l := []any{}
		for ok := r.array(); ok; {
			if ok = r.elem(); ok {
				l = append(l, r.any())
			}
		}
		return l
	case '"':
		return r.text()
	case 't', 'f':
		var v bool
		r.boolean(&v)
		return v
	case 'n':
		r.literal("null")
		return nil
	default:
		var v float64
		r.float(&v)
		return v
	}
}

func (r *reader) members(m map[string]any) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); ok {
			m[k] = r.any()
		}
	}
}

// end checks that nothing but white space is left and returns the first error.
func (r *reader) end() error {
	if r.err == nil && r.space() != 0 || r.err == nil && r.pos < len(r.b) {
		r.path = nil
		r.fail("more text after the value")
	}
	return r.err
}

// ParseJSON reads any JSON text: the result is a string, float64, bool, nil, []any or map[string]any. The error is a
// *SyntaxError.
func ParseJSON(b []byte) (any, error) {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	v := r.any()
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}
