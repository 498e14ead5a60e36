package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Schema describes the parameters of an endpoint type: one JSON Schema (2020-12) with the properties `endpoint` and
// `recipient`, each an object. It is the only list of parameters: validation, forms and documentation come from it. Beyond
// the standard it knows `x-order` (place in a form), `x-widget` (how a form asks for it), `x-hint` (what to do when the
// value is wrong) and `x-titles` (what a form calls the values of an enum). A schema is not changed after it is read and may be used by several goroutines.
type Schema struct {
	valid  *jsonschema.Schema // nil if the schema is broken
	fields []Field
	open   map[string]bool // parts that take parameters the schema does not list
	unread bool            // the text is no schema at all, so that nothing can be said about parameters
}

// The two parts of a schema.
var parts = []string{"endpoint", "recipient"}

// Field is one parameter.
type Field struct {
	Part     string `json:"part"` // endpoint or recipient
	Name     string `json:"name"`
	Title    string `json:"title"`
	Help     string `json:"help,omitempty"`
	Hint     string `json:"hint,omitempty"`  // what to write, for errors
	Type     string `json:"type"`            // string, integer, number, boolean, array, object (texts by name)
	Items    string `json:"items,omitempty"` // the type of an array's entries, if it is not string
	Required bool   `json:"required,omitempty"`
	Secret   bool   `json:"secret,omitempty"`
	Default  any    `json:"default,omitempty"` // nil if there is none
	Enum     []any  `json:"enum,omitempty"`
	// Titles is what a form shows for values of Enum, by the value as text.
	Titles  map[string]string `json:"titles,omitempty"`
	Example string            `json:"example,omitempty"` // shown in an empty field
	Widget  string            `json:"widget,omitempty"`  // how a form asks: text, password, url, lines, select ...
	Order   float64           `json:"-"`
	Minimum *float64          `json:"minimum,omitempty"`
	Maximum *float64          `json:"maximum,omitempty"`
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
		s.unread = true
		return s, []Problem{jsonProblem(data, err)}
	}
	c := schemaCheck{data: data}
	top, ok := doc.(map[string]any)
	if !ok {
		s.unread = true
		c.bad("", "the schema must be a JSON object")
		return s, c.problems
	}
	if v, ok := top["$schema"].(string); ok && strings.TrimSuffix(v, "#") != "https://json-schema.org/draft/2020-12/schema" {
		s.unread = true
		c.bad("/$schema", "the dialect %s is not read here; write https://json-schema.org/draft/2020-12/schema", quote(v))
		return s, c.problems
	}
	c.walk("", top)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	if len(c.problems) > 0 { // the library says the same in other words, or reads what it must not
		compiler = nil
	} else {
		err := compiler.AddResource(schemaURL, doc)
		if err == nil {
			s.valid, err = compiler.Compile(schemaURL)
		}
		if err != nil {
			c.compileError(err)
		}
	}
	c.parts(s, top, compiler)
	if hasErrors(c.problems) {
		s.valid = nil
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
