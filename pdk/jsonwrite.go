package pdk

import (
	"math"
	"sort"
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// AppendJSONString appends s as a JSON string (RFC 8259). Invalid UTF-8 becomes U+FFFD.
func AppendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		if v, n := utf8.DecodeRuneInString(s[i:]); v == utf8.RuneError && n == 1 {
			dst = append(dst, s[from:i]...)
			dst = append(dst, "\ufffd"...)
			i++
			from = i
		} else {
			i += n
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
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
		w.name(k)
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
		w.name(k)
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

// name writes the comma, if one is due, and the member's name.
func (w *writer) name(k string) {
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
