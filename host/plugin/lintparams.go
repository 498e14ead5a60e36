package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Lint checks parameters and lists all that is wrong with them, in English. A nil recipient means that only the endpoint is
// to be checked. Defaults need not be filled in. The values are the real ones, of secrets too; no message holds one.
func (s *Schema) Lint(endpoint, recipient map[string]any) []Problem {
	return s.lint(phrases().in("en"), s.fields, endpoint, recipient)
}

// LintParams does what Schema.Lint does in a locale, or in English where the host or the package does not speak it: titles
// and hints are the package's, the rest is the host's.
func (p *Package) LintParams(locale string, endpoint, recipient map[string]any) []Problem {
	return p.Lint.lint(phrases().in(locale), p.Fields(locale), endpoint, recipient)
}

func (s *Schema) lint(say *lang, fields []Field, endpoint, recipient map[string]any) []Problem {
	l := linter{schema: s, fields: fields, say: say}
	doc := map[string]any{"endpoint": l.known("endpoint", endpoint)}
	if recipient != nil {
		doc["recipient"] = l.known("recipient", recipient)
	}
	return l.validate(doc)
}

// lintPart checks the parameters of one part alone. What the schema says of both parts together is not looked at.
func (s *Schema) lintPart(say *lang, fields []Field, part string, params map[string]any) []Problem {
	l := linter{schema: s, fields: fields, say: say}
	list := l.validate(map[string]any{part: l.known(part, params)})
	return slices.DeleteFunc(list, func(p Problem) bool {
		return p.Code != codeSchema && !strings.HasPrefix(p.Field, part+".")
	})
}

// linter turns what the schema library finds into problems. Its fields are in the language of the messages.
type linter struct {
	schema   *Schema
	fields   []Field
	say      *lang
	problems []Problem
}

func (l *linter) validate(doc map[string]any) []Problem {
	if l.schema.valid == nil {
		return []Problem{{Where: fileLint, Code: codeSchema, Message: l.say.phrase("problem." + codeSchema + ".text")}}
	}
	var bad *jsonschema.ValidationError
	if err := l.schema.valid.Validate(doc); errors.As(err, &bad) {
		l.walk(bad)
	} else if err != nil {
		l.add("", Field{}, codeWrong)
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int { return cmp.Compare(l.schema.rank(a.Field), l.schema.rank(b.Field)) })
	return slices.Compact(l.problems)
}

func (l *linter) add(path string, f Field, code string, args ...any) {
	l.problems = append(l.problems, l.say.problem(path, f, code, args...))
}

func (l *linter) field(part, name string) Field {
	for _, f := range l.fields {
		if f.Part == part && f.Name == name {
			return f
		}
	}
	return Field{}
}

// rank is a field's place in a form; unknown ones come last in their part.
func (s *Schema) rank(path string) int {
	path, _, _ = strings.Cut(path, "[")
	for i, f := range s.fields {
		if f.Path() == path {
			return i
		}
	}
	if strings.HasPrefix(path, "endpoint") {
		return slices.IndexFunc(append(slices.Clip(s.fields), Field{Part: "recipient"}),
			func(f Field) bool { return f.Part == "recipient" })
	}
	return len(s.fields)
}

// known copies the parameters that the schema lists and reports the others.
func (l *linter) known(part string, params map[string]any) map[string]any {
	out := map[string]any{}
	names := l.schema.names(part)
	for _, k := range slices.Sorted(maps.Keys(params)) {
		v := plainJSON(params[k])
		if slices.Contains(names, k) || l.schema.open[part] {
			out[k] = v
			continue
		}
		path := part + "." + strict.OneLine(k)
		if near := strict.Nearest(k, names); near != "" {
			l.add(path, Field{}, codeUnknownNear, "Near", near)
		} else if _, elsewhere := l.schema.field(other(part), k); elsewhere {
			l.add(path, Field{}, codeUnknownPart, "Part", l.say.phrase("word."+other(part)))
		} else if len(names) > 0 {
			l.add(path, Field{}, codeUnknownList, "Known", strings.Join(names, ", "))
		} else {
			l.add(path, Field{}, codeUnknown)
		}
	}
	return out
}

// names lists the parameters of a part in the order of forms.
func (s *Schema) names(part string) []string {
	var names []string
	for _, f := range s.fields {
		if f.Part == part {
			names = append(names, f.Name)
		}
	}
	return names
}

func other(part string) string {
	if part == "endpoint" {
		return "recipient"
	}
	return "endpoint"
}

// walk turns the library's tree of errors into problems.
func (l *linter) walk(e *jsonschema.ValidationError) {
	f, path := l.at(e.InstanceLocation)
	add := func(code string, args ...any) { l.add(path, f, code, args...) }
	number := func(code string, got, want *big.Rat) {
		add(code, "Is", l.say.is(f, rational{got}), "Want", want.RatString())
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			l.missing(path, name, codeMissing)
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			l.missing(path, name, codeMissingWith, "Name", l.called(path, k.Prop))
		}
	case *kind.Dependency:
		for _, name := range k.Missing {
			l.missing(path, name, codeMissingWith, "Name", l.called(path, k.Prop))
		}
	case *kind.Type:
		l.wrongType(path, f, k)
	case *kind.Enum:
		l.enum(path, f, k)
	case *kind.Const:
		add(codeConst, "Want", quote(fmt.Sprint(k.Want)))
	case *kind.Pattern:
		add(codePattern, "Value", l.say.shown(f, k.Got), "Pattern", k.Want)
	case *kind.Format:
		add(codeFormat, "Value", l.say.shown(f, k.Got), "Format", k.Want)
	case *kind.MinLength:
		if k.Got == 0 {
			add(codeEmpty)
			return
		}
		add(codeMinLength, "Got", k.Got, "Want", k.Want)
	case *kind.MaxLength:
		add(codeMaxLength, "Got", k.Got, "Want", k.Want)
	case *kind.MinItems:
		add(codeMinItems, "Got", k.Got, "Want", k.Want)
	case *kind.MaxItems:
		add(codeMaxItems, "Got", k.Got, "Want", k.Want)
	case *kind.MinProperties:
		add(codeMinItems, "Got", k.Got, "Want", k.Want)
	case *kind.MaxProperties:
		add(codeMaxItems, "Got", k.Got, "Want", k.Want)
	case *kind.UniqueItems:
		add(codeUnique, "First", k.Duplicates[0]+1, "Second", k.Duplicates[1]+1)
	case *kind.Contains, *kind.MinContains:
		add(codeContains)
	case *kind.Minimum:
		number(codeMinimum, k.Got, k.Want)
	case *kind.Maximum:
		number(codeMaximum, k.Got, k.Want)
	case *kind.ExclusiveMinimum:
		number(codeExclusiveMinimum, k.Got, k.Want)
	case *kind.ExclusiveMaximum:
		number(codeExclusiveMaximum, k.Got, k.Want)
	case *kind.MultipleOf:
		number(codeMultiple, k.Got, k.Want)
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, c := range e.Causes {
			l.walk(c)
		}
	default:
		// What is left (oneOf, not ...) has no better words than the plug-in's own hint.
		add(codeWrong)
	}
}

// rational is a number as people write it.
type rational struct{ *big.Rat }

func (r rational) String() string { return r.RatString() }

// missing reports a parameter that is not there.
func (l *linter) missing(path, name, code string, args ...any) {
	part, _, _ := strings.Cut(path, ".")
	l.add(part+"."+name, l.field(part, name), code, args...)
}

// called is a parameter's name, with its title if that says more.
func (l *linter) called(path, name string) string {
	part, _, _ := strings.Cut(path, ".")
	if title := l.field(part, name).Title; title != "" && !strings.EqualFold(title, name) {
		return name + " (" + title + ")"
	}
	return name
}

// at finds the field that a location lies in, and writes the location as a path.
func (l *linter) at(location []string) (Field, string) {
	var b strings.Builder
	for i, s := range location {
		switch {
		case i == 0:
			b.WriteString(s)
		case i >= 2 && strings.Trim(s, "0123456789") == "":
			b.WriteString("[" + s + "]")
		default:
			b.WriteString("." + strict.OneLine(s))
		}
	}
	if len(location) < 2 {
		return Field{}, b.String()
	}
	return l.field(location[0], location[1]), b.String()
}

func (l *linter) enum(path string, f Field, k *kind.Enum) {
	var known []string
	for _, v := range k.Want {
		known = append(known, plainText(v))
	}
	list := strings.Join(known, ", ")
	got, ok := k.Got.(string)
	if !ok || f.Secret {
		l.add(path, f, codeEnum, "Known", list)
		return
	}
	if near := strict.Nearest(got, known); near != "" {
		l.add(path, f, codeEnumNear, "Value", quote(got), "Near", near)
		return
	}
	l.add(path, f, codeEnumList, "Value", quote(got), "Known", list)
}

// wrongType says in plain words what was wanted and what was there.
func (l *linter) wrongType(path string, f Field, k *kind.Type) {
	var want []string
	for _, w := range k.Want {
		want = append(want, l.say.typeName(w))
	}
	code := codeType
	if len(k.Want) == 1 {
		switch w := k.Want[0]; {
		case w == "string" && (k.Got == "number" || k.Got == "integer" || k.Got == "boolean"):
			code = codeTypeQuotes
		case k.Got == "string" && (w == "integer" || w == "number" || w == "boolean"):
			code = codeTypeNoQuotes
		case k.Got == "string" && w == "array":
			code = codeTypeList
		}
	}
	l.add(path, f, code, "Want", strings.Join(want, l.say.phrase("word.or")), "Got", l.say.typeName(k.Got))
}

// guarded tells whether a wrong value of the field must not be shown: a secret, or a URL, which may hold one.
func (f Field) guarded(value string) bool {
	return f.Secret || f.Widget == "url" || strings.Contains(value, "://")
}

func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return `"` + strict.OneLine(s) + `"`
}
