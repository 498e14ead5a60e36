package strict

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// Mistake is one thing wrong in a file.
type Mistake struct {
	Line    int    // from 1; 0 if it is not known
	Key     string // dotted, as TOML writes it; may be empty
	Message string // what is wrong and what to do, one line
}

// Error lists every mistake found in one file.
type Error struct {
	File     string
	Mistakes []Mistake
}

// Error writes one line for each mistake, as FILE:LINE: KEY: MESSAGE.
func (e *Error) Error() string {
	var b strings.Builder
	for i, m := range e.Mistakes {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e.File)
		if m.Line > 0 {
			fmt.Fprintf(&b, ":%d", m.Line)
		}
		b.WriteString(": ")
		if m.Key != "" {
			b.WriteString(m.Key + ": ")
		}
		b.WriteString(m.Message)
	}
	return b.String()
}

// Unknown begins the message about a key that the value has no place for. All other mistakes end the reading of a file.
const Unknown = "unknown key"

// Decode reads TOML 1.0 into v, a pointer to a struct or map. The error is an *Error that names file: a syntax error or a
// value of the wrong type alone, or else all keys that v has no place for.
func Decode(file string, data []byte, v any) error {
	if i := invalidByte(data); i >= 0 {
		line := 1 + strings.Count(string(data[:i]), "\n")
		return &Error{file, []Mistake{{Line: line, Message: "this byte is not UTF-8 text; save the file as UTF-8"}}}
	}
	md, err := toml.Decode(string(data), v)
	if err != nil {
		return &Error{file, []Mistake{mistake(err)}}
	}
	var found []Mistake
	lines := scan(string(data))
	seen := map[string]bool{}
	for _, k := range md.Undecoded() {
		name := k.String()
		if seen[name] || under(seen, k) || free(reflect.TypeOf(v), k) {
			continue
		}
		seen[name] = true
		message := Unknown + "; remove it"
		if near := Nearest(k[len(k)-1], keysAt(reflect.TypeOf(v), k[:len(k)-1])); near != "" {
			message = fmt.Sprintf(Unknown+"; did you mean %q?", near)
		}
		at := lines[name]
		if len(at) == 0 {
			at = []int{0}
		}
		for _, line := range at {
			found = append(found, Mistake{Line: line, Key: name, Message: message})
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{file, found}
}

func invalidByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// under tells whether a table above k was reported, which says enough.
func under(seen map[string]bool, k toml.Key) bool {
	for i := 1; i < len(k); i++ {
		if seen[k[:i].String()] {
			return true
		}
	}
	return false
}

// position matches what the library puts in front of its messages.
var position = regexp.MustCompile(`^(?:toml: )?line (\d+)(?: \(last key (".*?")\))?: `)

// incompatible matches the library's words for a value of the wrong type.
var incompatible = regexp.MustCompile(`incompatible types: TOML value has type (\S+); destination has type (\S+)`)

// plain names TOML's and Go's types in plain words.
var plain = map[string]string{
	"string": "text in quotes", "integer": "a whole number", "int64": "a whole number", "int": "a whole number",
	"float": "a number", "float64": "a number", "bool": "true or false", "boolean": "true or false",
	"table": "a table", "map": "a table", "struct": "a table", "slice": "a list", "array": "a list",
	"map[string]interface": "a table", "datetime": "a date",
}

func mistake(err error) Mistake {
	text := err.Error()
	var m Mistake
	if p := position.FindStringSubmatch(text); p != nil {
		m.Line, _ = strconv.Atoi(p[1])
		m.Key, _ = strconv.Unquote(p[2])
		text = text[len(p[0]):]
	}
	if p, ok := errors.AsType[toml.ParseError](err); ok {
		if m.Line = p.Position.Line; m.Key == "" {
			m.Key = p.LastKey
		}
	}
	if t := incompatible.FindStringSubmatch(text); t != nil && plain[t[1]] != "" && plain[t[2]] != "" {
		text = "wrong type: want " + plain[t[2]] + ", got " + plain[t[1]]
	}
	m.Key, m.Message = OneLine(m.Key), OneLine(strings.TrimPrefix(text, "toml: "))
	return m
}

// OneLine makes text fit for an error message: without control characters and bounded.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > 300 {
		cut := 300
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// free tells whether the key lies in a place that takes anything, such as a map[string]any.
func free(t reflect.Type, path []string) bool {
	for ; ; path = path[1:] {
		if t = bare(t); t == nil || t.Kind() == reflect.Interface {
			return t != nil
		}
		if len(path) == 0 {
			return false
		}
		t = member(t, path[0])
	}
}

// keysAt lists the keys that type t takes at the table named by path.
func keysAt(t reflect.Type, path []string) []string {
	for ; ; path = path[1:] {
		if t = bare(t); t == nil || len(path) == 0 {
			break
		}
		t = member(t, path[0])
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for _, f := range reflect.VisibleFields(t) {
		if k := keyOf(f); f.IsExported() && !f.Anonymous && k != "-" {
			keys = append(keys, k)
		}
	}
	return keys
}

// bare is the type below pointers and lists.
func bare(t reflect.Type) reflect.Type {
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	return t
}

// member is the type of what a key names in a struct or map; nil if there is no such key.
func member(t reflect.Type, key string) reflect.Type {
	switch t.Kind() {
	case reflect.Map:
		return t.Elem()
	case reflect.Struct:
		for _, f := range reflect.VisibleFields(t) {
			if f.IsExported() && strings.EqualFold(keyOf(f), key) {
				return f.Type
			}
		}
	default:
	}
	return nil
}

func keyOf(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("toml"), ","); tag != "" {
		return tag
	}
	return f.Name
}

// Nearest returns the known word that word was probably meant to be, or "" if none is close: the only one that begins with it,
// or the one with the fewest mistakes, at most one in three letters, where a swap of neighbours counts once. Case does not
// matter.
func Nearest(word string, known []string) string {
	var whole []string
	for _, k := range known {
		if len(word) >= 3 && len(k) > len(word) && strings.EqualFold(k[:len(word)], word) {
			whole = append(whole, k)
		}
	}
	if len(whole) == 1 {
		return whole[0]
	}
	best, least := "", len([]rune(word))/3+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of two words, bounded to words of 64 letters.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(next[j-1]+1, row[j]+1, row[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
