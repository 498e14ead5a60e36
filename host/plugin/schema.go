package plugin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	xmessage "golang.org/x/text/message"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Schema describes the parameters of an endpoint type: one JSON Schema (2020-12) with the properties `endpoint` and
// `recipient`, each an object. It is the only list of parameters: validation, forms and documentation come from it. Beyond
// the standard it knows `x-order` (place in a form), `x-widget` (how a form asks for it) and `x-hint` (what to do when the
// value is wrong). A schema is not changed after it is read and may be used by several goroutines.
type Schema struct {
	valid  *jsonschema.Schema // nil if the schema is broken
	fields []Field
	open   map[string]bool // parts that take parameters the schema does not list
}

// The two parts of a schema.
var parts = []string{"endpoint", "recipient"}

// Field is one parameter.
type Field struct {
	Part     string   `json:"part"` // endpoint or recipient
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Help     string   `json:"help,omitempty"`
	Hint     string   `json:"hint,omitempty"` // what to write, for errors
	Type     string   `json:"type"`           // string, integer, number, boolean, array
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"`
	Default  any      `json:"default,omitempty"` // nil if there is none
	Enum     []any    `json:"enum,omitempty"`
	Widget   string   `json:"widget,omitempty"` // how a form asks: text, password, url, lines, select ...
	Order    float64  `json:"-"`
	Minimum  *float64 `json:"minimum,omitempty"`
	Maximum  *float64 `json:"maximum,omitempty"`
}

// Path is the field's name with its part, such as "endpoint.webhook_url".
func (f Field) Path() string { return f.Part + "." + f.Name }

const schemaURL = "https://tocsin.invalid/" + fileLint

// noLoader keeps a schema from naming other files, which the library would open.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a lint schema cannot refer to other files or sites")
}

// noParameters is the schema of a plug-in that has no parameters.
func noParameters() *Schema {
	s, _ := parseSchema([]byte(`{"type":"object","properties":{"endpoint":{"type":"object"},"recipient":{"type":"object"}}}`))
	return s
}

// parseSchema reads a lint schema and lists what is wrong with it. The schema is never nil.
func parseSchema(data []byte) (*Schema, []Problem) {
	s := &Schema{open: map[string]bool{}}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return s, []Problem{jsonProblem(data, err)}
	}
	c := schemaCheck{data: data}
	top, ok := doc.(map[string]any)
	if !ok {
		c.bad("", "the schema must be a JSON object")
		return s, c.problems
	}
	if v, ok := top["$schema"].(string); ok && strings.TrimSuffix(v, "#") != "https://json-schema.org/draft/2020-12/schema" {
		c.bad("/$schema", "the dialect %s is not read here; write https://json-schema.org/draft/2020-12/schema", quote(v))
		return s, c.problems
	}
	c.walk("", top)
	if len(c.problems) > 0 {
		return s, c.problems
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	err = compiler.AddResource(schemaURL, doc)
	var valid *jsonschema.Schema
	if err == nil {
		valid, err = compiler.Compile(schemaURL)
	}
	if err != nil {
		c.compileError(err)
		return s, c.problems
	}
	c.parts(s, top, compiler)
	if len(c.problems) == 0 {
		s.valid = valid
	}
	return s, c.problems
}

// jsonProblem tells where a JSON text breaks off.
func jsonProblem(data []byte, err error) Problem {
	p := Problem{Where: fileLint, Message: "this is no JSON: " + strict.OneLine(err.Error())}
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		p.Line = 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		p.Line = 1 + bytes.Count(data, []byte("\n"))
		p.Message = "this is no JSON: the file ends too early"
	}
	return p
}

// Fields lists the parameters, the endpoint's first, each part in the order of x-order and name. The caller must not
// change it.
func (s *Schema) Fields() []Field { return s.fields }

// field finds a parameter.
func (s *Schema) field(part, name string) (Field, bool) {
	for _, f := range s.fields {
		if f.Part == part && f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Secrets lists the paths of the parameters that are secrets, such as "endpoint.telegram_token".
func (s *Schema) Secrets() []string {
	var list []string
	for _, f := range s.fields {
		if f.Secret {
			list = append(list, f.Path())
		}
	}
	return list
}

// Fill returns copies of the parameters with defaults for those that are missing, and numbers as float64, lists as []any:
// the types JSON has. A nil recipient stays nil: it means that only the endpoint is at hand.
func (s *Schema) Fill(endpoint, recipient map[string]any) (filledEndpoint, filledRecipient map[string]any) {
	return s.fill("endpoint", endpoint), s.fill("recipient", recipient)
}

func (s *Schema) fill(part string, params map[string]any) map[string]any {
	if params == nil && part == "recipient" {
		return nil
	}
	out := map[string]any{}
	for k, v := range params {
		out[k] = plainJSON(v)
	}
	for _, f := range s.fields {
		if _, ok := out[f.Name]; !ok && f.Part == part && f.Default != nil {
			out[f.Name] = plainJSON(f.Default)
		}
	}
	return out
}

// plainJSON copies a value into the types that encoding/json makes.
func plainJSON(v any) any {
	switch v := v.(type) {
	case nil, bool, string, float64:
		return v
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plainJSON(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = plainJSON(v[k])
		}
		return out
	}
	// Numbers of other widths, typed lists, dates: their JSON says what they are.
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	var out any
	if json.Unmarshal(b, &out) != nil {
		return string(b)
	}
	return out
}

// Lint checks parameters and lists all that is wrong with them. A nil recipient means that only the endpoint is to be
// checked. Defaults need not be filled in. The values are the real ones, of secrets too; no message holds one.
func (s *Schema) Lint(endpoint, recipient map[string]any) []Problem {
	if s.valid == nil {
		return []Problem{{Where: fileLint, Message: "the plug-in's lint schema is broken, so parameters cannot be checked; see tocsin plugin lint"}}
	}
	l := linter{schema: s}
	doc := map[string]any{"endpoint": l.known("endpoint", endpoint)}
	if recipient != nil {
		doc["recipient"] = l.known("recipient", recipient)
	}
	var bad *jsonschema.ValidationError
	if err := s.valid.Validate(doc); errors.As(err, &bad) {
		l.walk(bad)
	} else if err != nil {
		l.add("", "cannot be checked: "+strict.OneLine(err.Error()))
	}
	slices.SortStableFunc(l.problems, func(a, b Problem) int { return cmp.Compare(s.rank(a.Field), s.rank(b.Field)) })
	return slices.Compact(l.problems)
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

type linter struct {
	schema   *Schema
	problems []Problem
}

func (l *linter) add(field, message string) {
	l.problems = append(l.problems, Problem{Field: field, Message: message})
}

// known copies the parameters that the schema lists and reports the others.
func (l *linter) known(part string, params map[string]any) map[string]any {
	out := map[string]any{}
	var names []string
	for _, f := range l.schema.fields {
		if f.Part == part {
			names = append(names, f.Name)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(params)) {
		v := plainJSON(params[k])
		if slices.Contains(names, k) || l.schema.open[part] {
			out[k] = v
			continue
		}
		message := "unknown parameter; remove it"
		if near := strict.Nearest(k, names); near != "" {
			message = fmt.Sprintf("unknown parameter; did you mean %q?", near)
		} else if _, elsewhere := l.schema.field(other(part), k); elsewhere {
			message = fmt.Sprintf("unknown parameter; it belongs to the %s", other(part))
		} else if len(names) > 0 {
			message = "unknown parameter; remove it, or use one of " + strings.Join(names, ", ")
		}
		l.add(part+"."+strict.OneLine(k), message)
	}
	return out
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
	hint := ""
	if f.Hint != "" {
		hint = "; " + f.Hint
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			l.missing(path, f.Part, name, "")
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			l.missing(path, f.Part, name, " together with "+k.Prop)
		}
	case *kind.Type:
		l.add(path, wrongType(k)+hint)
	case *kind.Enum:
		l.add(path, l.enum(f, k))
	case *kind.Pattern:
		if hint == "" {
			hint = "; it must match " + k.Want
		}
		l.add(path, l.value(f, k.Got)+" is not right"+hint)
	case *kind.Format:
		if hint == "" {
			hint = "; it must be a valid " + k.Want
		}
		l.add(path, l.value(f, k.Got)+" is not right"+hint)
	case *kind.MinLength:
		if k.Got == 0 {
			l.add(path, "is empty"+cmp.Or(hint, "; write a value or leave it out"))
			return
		}
		l.add(path, fmt.Sprintf("has %d characters; it must have %d at least%s", k.Got, k.Want, hint))
	case *kind.MaxLength:
		l.add(path, fmt.Sprintf("has %d characters; it may have %d at most%s", k.Got, k.Want, hint))
	case *kind.MinItems:
		l.add(path, fmt.Sprintf("has %d entries; it must have %d at least%s", k.Got, k.Want, hint))
	case *kind.MaxItems:
		l.add(path, fmt.Sprintf("has %d entries; it may have %d at most%s", k.Got, k.Want, hint))
	case *kind.UniqueItems:
		l.add(path, fmt.Sprintf("entries %d and %d are the same; remove one", k.Duplicates[0]+1, k.Duplicates[1]+1))
	case *kind.Minimum:
		l.add(path, l.number(f, k.Got.RatString())+"it must be "+k.Want.RatString()+" or more"+hint)
	case *kind.Maximum:
		l.add(path, l.number(f, k.Got.RatString())+"it must be "+k.Want.RatString()+" or less"+hint)
	case *kind.ExclusiveMinimum:
		l.add(path, l.number(f, k.Got.RatString())+"it must be more than "+k.Want.RatString()+hint)
	case *kind.ExclusiveMaximum:
		l.add(path, l.number(f, k.Got.RatString())+"it must be less than "+k.Want.RatString()+hint)
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, c := range e.Causes {
			l.walk(c)
		}
	default:
		// What is left (oneOf, not, const ...) has no better words than the plug-in's own hint.
		text := "is not right" + hint
		if hint == "" && !f.Secret {
			text = "is not right: " + strict.OneLine(e.ErrorKind.LocalizedString(xmessage.NewPrinter(language.English)))
		}
		l.add(path, text)
	}
}

// missing reports a parameter that is not there.
func (l *linter) missing(path, part, name, why string) {
	if part == "" {
		part, _, _ = strings.Cut(path, ".")
	}
	f, _ := l.schema.field(part, name)
	text := "is missing" + why
	if f.Hint != "" {
		text += "; " + f.Hint
	} else if f.Help != "" {
		text += "; it is needed: " + f.Help
	} else {
		text += "; it is needed"
	}
	l.add(part+"."+name, text)
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
	f, _ := l.schema.field(location[0], location[1])
	return f, b.String()
}

// value shows a wrong value, unless it is a secret or a URL, which may hold one.
func (l *linter) value(f Field, v any) string {
	s, ok := v.(string)
	if f.Secret || !ok || f.Widget == "url" || strings.Contains(s, "://") {
		return "the value"
	}
	return quote(s)
}

func (l *linter) number(f Field, got string) string {
	if f.Secret {
		return ""
	}
	return "is " + got + "; "
}

func (l *linter) enum(f Field, k *kind.Enum) string {
	var known []string
	for _, v := range k.Want {
		known = append(known, fmt.Sprint(v))
	}
	list := strings.Join(known, ", ")
	got, ok := k.Got.(string)
	if !ok || f.Secret {
		return "must be one of " + list
	}
	if near := strict.Nearest(got, known); near != "" {
		return fmt.Sprintf("%s is unknown; did you mean %q?", quote(got), near)
	}
	return fmt.Sprintf("%s is unknown; it must be one of %s", quote(got), list)
}

func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return `"` + strict.OneLine(s) + `"`
}

// wrongType says in plain words what was wanted and what was there.
func wrongType(k *kind.Type) string {
	names := map[string]string{
		"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list",
		"object": "a table", "null": "nothing",
	}
	var want []string
	for _, w := range k.Want {
		want = append(want, cmp.Or(names[w], w))
	}
	text := fmt.Sprintf("must be %s, but is %s", strings.Join(want, " or "), cmp.Or(names[k.Got], k.Got))
	if len(k.Want) != 1 {
		return text
	}
	switch {
	case k.Want[0] == "string" && (k.Got == "number" || k.Got == "integer" || k.Got == "boolean"):
		text += "; put it in quotes"
	case k.Got == "string" && (k.Want[0] == "integer" || k.Want[0] == "number" || k.Want[0] == "boolean"):
		text += "; write it without quotes"
	case k.Got == "string" && k.Want[0] == "array":
		text += "; write a list such as [\"a\", \"b\"]"
	}
	return text
}
