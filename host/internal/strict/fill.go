package strict

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// filler puts a decoded TOML text into a Go value, by the rules of github.com/BurntSushi/toml, which would stop at the first
// value of the wrong type.
type filler struct {
	doc   *Document
	found []Mistake
}

// at is a place in a TOML text, in the two forms of Mistake.
type at struct {
	key  toml.Key
	path string
}

func (a at) member(k string) at {
	return at{key: append(slices.Clone(a.key), k), path: dot(a.path, k)}
}

func (a at) entry(i int) at { return at{key: a.key, path: index(a.path, i)} }

// maxMistakes is how many are told of one text. Nobody reads more at once.
const maxMistakes = 100

func (f *filler) bad(a at, message, meant string) {
	if len(f.found) >= maxMistakes {
		return
	}
	f.found = append(f.found, Mistake{Line: f.doc.At(a.path), Key: OneLine(a.key.String()), Path: a.path, Meant: meant, Message: OneLine(message)})
}

// fill decodes data into v, which can be set, and tells whether it could.
func (f *filler) fill(data any, v reflect.Value, a at) bool {
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		ok := f.fill(data, p.Elem(), a)
		if ok {
			v.Set(p)
		}
		return ok
	}
	switch u := v.Addr().Interface().(type) {
	case toml.Unmarshaler:
		return f.said(a, u.UnmarshalTOML(data))
	case encoding.TextUnmarshaler:
		text, ok := asText(data)
		if !ok {
			return f.wrong(a, wantText, data)
		}
		return f.said(a, u.UnmarshalText([]byte(text)))
	case *time.Duration:
		if text, ok := data.(string); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				return f.said(a, fmt.Errorf("%q is no duration: write a number and a unit, such as \"500ms\", \"90s\" or \"72h\"", text))
			}
			*u = d
			return true
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		return f.table(data, v, a)
	case reflect.Map:
		return f.mapping(data, v, a)
	case reflect.Slice:
		return f.list(data, v, a)
	case reflect.Interface:
		v.Set(reflect.ValueOf(data))
		return true
	default:
		return f.plain(data, v, a)
	}
}

// said notes an error of a value's own decoder.
func (f *filler) said(a at, err error) bool {
	if err != nil {
		f.bad(a, err.Error(), "")
	}
	return err == nil
}

func (f *filler) table(data any, v reflect.Value, a at) bool {
	tree, ok := data.(map[string]any)
	if !ok {
		return f.wrong(a, wantTable, data)
	}
	fields := fieldsOf(v.Type())
	taken := map[int]string{}
	for _, k := range slices.Sorted(maps.Keys(tree)) {
		if i := slices.IndexFunc(fields, func(s reflect.StructField) bool { return strings.EqualFold(keyOf(s), k) }); i >= 0 {
			if other, ok := taken[i]; ok { // keys of TOML differ by case, ours do not
				f.bad(a.member(k), fmt.Sprintf("is there twice, as %q too: write all of it as %q", other, keyOf(fields[i])), "")
				continue
			}
			taken[i] = k
			ok = f.fill(tree[k], v.FieldByIndex(fields[i].Index), a.member(k)) && ok
			continue
		}
		var known []string
		for _, s := range fields {
			known = append(known, keyOf(s))
		}
		if near := Nearest(k, known); near != "" {
			f.bad(a.member(k), fmt.Sprintf(Unknown+"; did you mean %q?", near), dot(a.path, near))
		} else {
			f.bad(a.member(k), Unknown+"; remove it", "")
		}
	}
	return ok
}

// mapping leaves out what cannot be decoded.
func (f *filler) mapping(data any, v reflect.Value, a at) bool {
	tree, ok := data.(map[string]any)
	if !ok {
		return f.wrong(a, wantTable, data)
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(tree)))
	}
	for _, k := range slices.Sorted(maps.Keys(tree)) {
		e := reflect.New(v.Type().Elem()).Elem()
		if f.fill(tree[k], e, a.member(k)) {
			v.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), e)
		} else {
			ok = false
		}
	}
	return ok
}

// list leaves what cannot be decoded as it is, so that each entry keeps its index.
func (f *filler) list(data any, v reflect.Value, a at) bool {
	from := reflect.ValueOf(data)
	if from.Kind() != reflect.Slice {
		return f.wrong(a, wantList, data)
	}
	to, ok := reflect.MakeSlice(v.Type(), from.Len(), from.Len()), true
	for i := range from.Len() {
		ok = f.fill(from.Index(i).Interface(), to.Index(i), a.entry(i)) && ok
	}
	v.Set(to)
	return ok
}

func (f *filler) plain(data any, v reflect.Value, a at) bool {
	want := wantText
	switch v.Kind() {
	case reflect.String:
		if text, ok := data.(string); ok {
			v.SetString(text)
			return true
		}
	case reflect.Bool:
		want = wantBool
		if b, ok := data.(bool); ok {
			v.SetBool(b)
			return true
		}
	case reflect.Float32, reflect.Float64:
		want = wantNumber
		switch n := data.(type) {
		case float64:
			v.SetFloat(n)
			return true
		case int64:
			v.SetFloat(float64(n))
			return true
		}
	default:
		want = wantWhole
		n, ok := data.(int64)
		switch {
		case !ok:
		case v.CanInt() && !v.OverflowInt(n):
			v.SetInt(n)
			return true
		case v.CanUint() && n >= 0 && !v.OverflowUint(uint64(n)):
			v.SetUint(uint64(n))
			return true
		default:
			return f.said(a, fmt.Errorf("%d is out of range", n))
		}
	}
	return f.wrong(a, want, data)
}

// What a value can be, in plain words.
const (
	wantText   = "text in quotes"
	wantWhole  = "a whole number"
	wantNumber = "a number"
	wantBool   = "true or false"
	wantTable  = "a table"
	wantList   = "a list"
)

// wrong notes a value of the wrong type: what is wanted, what is there, and what to do. The value itself is not shown.
func (f *filler) wrong(a at, want string, data any) bool {
	text, _ := data.(string)
	got, what := wantText, ""
	switch data.(type) {
	case string:
		_, whole := strconv.ParseInt(text, 10, 64)
		_, number := strconv.ParseFloat(text, 64)
		if want == wantWhole && whole == nil || want == wantNumber && number == nil || want == wantBool && (text == "true" || text == "false") {
			what = "; remove the quotes"
		}
	case int64:
		got = wantWhole
	case float64:
		got = wantNumber
	case bool:
		got = wantBool
	case time.Time:
		got = "a date"
	case map[string]any:
		got = wantTable
	default:
		got = wantList
	}
	switch {
	case got == wantTable && want == wantList && len(a.key) > 0:
		what = "; write its header as [[" + a.key.String() + "]]"
	case got == wantTable || got == wantList:
	case want == wantText:
		what = "; put it in quotes"
	case want == wantList:
		what = "; put it in [ ]"
	}
	return f.said(a, errors.New("wrong type: want "+want+", got "+got+what))
}

// asText is a plain value as text, for decoders of text.
func asText(data any) (string, bool) {
	switch v := data.(type) {
	case string:
		return v, true
	case int64, bool, float64:
		return fmt.Sprint(v), true
	case time.Time:
		return v.Format(time.RFC3339Nano), true
	}
	return "", false
}

// fieldsOf are the fields of a struct that have a key.
func fieldsOf(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return !f.IsExported() || f.Anonymous || keyOf(f) == "-"
	})
}

func keyOf(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("toml"), ","); tag != "" {
		return tag
	}
	return f.Name
}
