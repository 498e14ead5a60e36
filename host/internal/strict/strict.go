// Package strict reads TOML the way a person wants it read: a key nobody knows is an error that names its line and the
// nearest key that exists, and every mistake is reported, not just the first. It knows nothing of what the keys mean.
package strict

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Problem is one mistake in a TOML text. Its Error reads "file:line: message".
type Problem struct {
	File string
	Line int // from 1; 0 if unknown
	Text string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Decode reads data into v, a pointer to a struct, and returns the Document for later questions about lines. The error
// joins one *Problem for each mistake.
func Decode(file string, data []byte, v any) (*Document, error) {
	doc := scan(file, data)
	md, err := toml.Decode(string(data), v)
	if err != nil {
		return doc, doc.explain(err)
	}
	var errs []error
	seen := map[string]bool{}
	for _, key := range md.Undecoded() {
		path := join(key)
		if seen[path] || seen[parent(path)] {
			seen[path] = true
			continue // the table above it is unknown already
		}
		seen[path] = true
		text := fmt.Sprintf("unknown key %q", path)
		if near := nearest(path, reflect.TypeOf(v)); near != "" {
			text += fmt.Sprintf(": did you mean %q?", near)
		} else {
			text += ": remove it"
		}
		lines := doc.lines(path)
		if len(lines) == 0 {
			lines = []int{0}
		}
		for _, l := range lines {
			errs = append(errs, &Problem{File: file, Line: l, Text: text})
		}
	}
	return doc, errors.Join(errs...)
}

// placed is the form in which the library tells where a value of the wrong type stands.
var placed = regexp.MustCompile(`^line (\d+)(?: \(last key "([^"]*)"\))?: (.*)$`)

func (d *Document) explain(err error) error {
	text := strings.TrimPrefix(err.Error(), "toml: ")
	p := &Problem{File: d.File, Text: text}
	key := ""
	if m := placed.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		key, p.Text = m[2], m[3]
	}
	if pe, ok := errors.AsType[toml.ParseError](err); ok && pe.Message != "" {
		p.Line, key, p.Text = pe.Position.Line, pe.LastKey, pe.Message
	}
	p.Text = strings.ReplaceAll(p.Text, "incompatible types: TOML value has type", "this is a")
	p.Text = strings.ReplaceAll(p.Text, "; destination has type slice", ": write a list, [\"...\"]")
	p.Text = strings.ReplaceAll(p.Text, "; destination has type", ": it must be a")
	if key != "" {
		p.Text = key + ": " + p.Text
	}
	return p
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i]
	}
	return ""
}

func join(k toml.Key) string { return strings.Join(k, ".") }

// nearest gives the path of the known key that is most like path, or "" if none is near.
func nearest(path string, t reflect.Type) string {
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		if t = field(t, p); t == nil {
			return ""
		}
	}
	last := parts[len(parts)-1]
	best := Nearest(last, keys(t))
	if best == "" {
		return ""
	}
	return strings.Join(append(parts[:len(parts)-1:len(parts)-1], best), ".")
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

func field(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Map:
		return t.Elem()
	case reflect.Struct:
		for i := range t.NumField() {
			if strings.EqualFold(tag(t.Field(i)), name) {
				return t.Field(i).Type
			}
		}
	default:
	}
	return nil
}

func keys(t reflect.Type) []string {
	t = deref(t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	var ks []string
	for i := range t.NumField() {
		if n := tag(t.Field(i)); n != "-" {
			ks = append(ks, n)
		}
	}
	return ks
}

func tag(f reflect.StructField) string {
	n, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if n == "" {
		n = f.Name
	}
	return n
}

// Nearest gives the name of known that is most like s, or "" if none is near enough to be what was meant.
func Nearest(s string, known []string) string {
	best, at := "", 1+max(2, len(s)/3)
	sorted := append([]string(nil), known...)
	sort.Strings(sorted)
	for _, k := range sorted {
		if d := distance(strings.ToLower(s), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 1 << 20
	}
	var rows [3][66]int
	p2, p1, cur := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		p1[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			c := 1
			if a[i-1] == b[j-1] {
				c = 0
			}
			cur[j] = min(p1[j]+1, cur[j-1]+1, p1[j-1]+c)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], p2[j-2]+1)
			}
		}
		p2, p1, cur = p1, cur, p2
	}
	return p1[len(b)]
}
