package plugin

import (
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// removeSuffix follows a secret's path in the name of the box that removes it.
const removeSuffix = ".remove"

// ParseForm reads what a browser sent of a part's form: texts become the types that the schema wants. Fields that were not sent
// keep their current value, and so does a secret that was left empty. A field that was emptied is left out of the parameters, so
// that its default holds. All that is wrong is in the problems, in the locale, each with its field; a wrong value stays among
// the parameters as it was typed, to be shown again, except a secret, which stays as it was.
func (p *Package) ParseForm(part, locale string, form url.Values, current map[string]any) (map[string]any, []Problem) {
	say, fields := phrases().in(locale), p.Fields(locale)
	r := formReader{say: say, params: map[string]any{}, bad: map[string]bool{}}
	l := linter{schema: p.Lint, fields: fields, say: say}
	known := map[string]bool{}
	names := p.Lint.names(part)
	for k, v := range current {
		if !slices.Contains(names, k) {
			r.params[k] = v
		}
	}
	for _, f := range fields {
		if f.Part != part {
			continue
		}
		known[f.Path()], known[f.Path()+removeSuffix] = true, f.Secret
		r.field(f, form, current)
	}
	strangers := map[string]any{}
	for key := range form {
		if name, ok := strings.CutPrefix(key, part+"."); ok && !known[key] {
			strangers[name] = ""
		}
	}
	l.known(part, strangers)
	problems := slices.Concat(l.problems, r.problems)
	checked := maps.Clone(r.params)
	for name := range r.bad {
		delete(checked, name)
	}
	for _, bad := range p.Lint.lintPart(say, fields, part, checked) {
		if r.bad[fieldName(bad.Field)] {
			continue
		}
		problems = append(problems, bad)
		name := fieldName(bad.Field)
		if f := l.field(part, name); f.Secret {
			keep(r.params, current, name)
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return p.Lint.rank(a.Field) - p.Lint.rank(b.Field) })
	return r.params, problems
}

// keep leaves a parameter as it was.
func keep(params, current map[string]any, name string) {
	if v, ok := current[name]; ok {
		params[name] = v
	} else {
		delete(params, name)
	}
}

// formReader reads the fields of one form.
type formReader struct {
	say      *lang
	params   map[string]any
	bad      map[string]bool // names of fields with a problem
	problems []Problem
}

func (r *formReader) wrong(f Field, code string, args ...any) {
	r.bad[f.Name] = true
	r.problems = append(r.problems, r.say.problem(f.Path(), f, code, args...))
}

func (r *formReader) field(f Field, form url.Values, current map[string]any) {
	sent := form[f.Path()]
	if len(sent) == 0 {
		if f.Secret && form.Get(f.Path()+removeSuffix) == "on" {
			return
		}
		keep(r.params, current, f.Name)
		return
	}
	if f.Type == "boolean" {
		r.params[f.Name] = slices.Contains(sent, "on") || slices.Contains(sent, "true")
		return
	}
	text := strings.ToValidUTF8(strings.ReplaceAll(sent[0], "\r\n", "\n"), "\ufffd")
	if f.Widget == "url" || f.Widget == "email" || f.Type == "integer" || f.Type == "number" {
		text = strings.TrimSpace(text)
	}
	switch {
	case f.Secret && text == "":
		if form.Get(f.Path()+removeSuffix) != "on" {
			keep(r.params, current, f.Name)
		}
		return
	case text == "":
		return
	}
	if len(sent) > 1 {
		r.wrong(f, codeTwoValues)
		keep(r.params, current, f.Name)
		return
	}
	v, code, args := readValue(f, text)
	if code == "" {
		if v != nil {
			r.params[f.Name] = v
		}
		return
	}
	for i := range args {
		if args[i] == "Value" {
			args[i+1] = r.say.shown(f, args[i+1])
		}
	}
	r.wrong(f, code, args...)
	r.params[f.Name] = text
}

// readValue reads a field's text; what showValue wrote it reads back. The code says what is wrong, with names and values for
// its text.
func readValue(f Field, text string) (v any, code string, args []any) {
	if len(f.Enum) > 0 {
		for _, e := range f.Enum {
			if plainText(e) == text {
				return e, "", nil
			}
		}
		return text, "", nil // the schema says what it could be
	}
	switch f.Type {
	case "integer", "number":
		return readNumber(f.Type, text)
	case "array":
		return readLines(f, text)
	case "object":
		return readPairs(text)
	}
	return text, "", nil
}

func readNumber(kind, text string) (any, string, []any) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(n) || math.IsInf(n, 0):
		code := codeNotNumber
		if kind == "integer" {
			code = codeNotWhole
		}
		return nil, code, []any{"Value", text}
	case kind == "integer" && n != math.Trunc(n):
		return nil, codeNotWhole, []any{"Value", text}
	}
	return n, "", nil
}

// readLines reads one entry a line, or a JSON list, which showLines writes for what lines cannot say. Empty lines are left out.
func readLines(f Field, text string) (any, string, []any) {
	var list []any
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &list) == nil {
		return list, "", nil
	}
	list = []any{}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		switch f.Items {
		case "integer", "number":
			n, code, args := readNumber(f.Items, strings.TrimSpace(line))
			if code != "" {
				return nil, code, args
			}
			list = append(list, n)
		case "boolean":
			switch strings.TrimSpace(line) {
			case "true":
				list = append(list, true)
			case "false":
				list = append(list, false)
			default:
				list = append(list, line) // the schema says that it is no boolean
			}
		default:
			list = append(list, line)
		}
	}
	if len(list) == 0 {
		return nil, "", nil
	}
	return list, "", nil
}

// readPairs reads one NAME: VALUE a line, or a JSON object.
func readPairs(text string) (any, string, []any) {
	pairs := map[string]any{}
	if strings.HasPrefix(text, "{") && json.Unmarshal([]byte(text), &pairs) == nil {
		return pairs, "", nil
	}
	clear(pairs)
	at := 0
	for line := range strings.SplitSeq(text, "\n") {
		at++
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, codeNotPair, []any{"Line", at}
		}
		if _, twice := pairs[name]; twice {
			return nil, codePairTwice, []any{"Name", quote(name)}
		}
		pairs[name] = strings.TrimSpace(value)
	}
	if len(pairs) == 0 {
		return nil, "", nil
	}
	return pairs, "", nil
}

// showValue writes a parameter as its field shows it.
func showValue(f Field, v any) string {
	var text string
	switch v := plainJSON(v).(type) {
	case []any:
		var lines []string
		for _, e := range v {
			lines = append(lines, plainText(e))
		}
		text = strings.Join(lines, "\n")
	case map[string]any:
		var lines []string
		for _, name := range sortedNames(v) {
			lines = append(lines, name+": "+plainText(v[name]))
		}
		text = strings.Join(lines, "\n")
	default:
		return plainText(v)
	}
	v = plainJSON(v)
	if f.Type != "array" && f.Type != "object" {
		return asJSON(v)
	}
	back, code, _ := readValue(f, text)
	if text == "" && reflect.ValueOf(v).Len() == 0 || code == "" && reflect.DeepEqual(back, v) {
		return text
	}
	return asJSON(v)
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // values come from JSON or TOML; a number that is none cannot be written
	}
	return string(b)
}

// isNumber tells whether a parameter is a number, in any of Go's types.
func isNumber(v any) bool {
	_, ok := plainJSON(v).(float64)
	return ok
}
