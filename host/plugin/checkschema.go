package plugin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	xmessage "golang.org/x/text/message"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// keywords are the keywords of JSON Schema 2020-12 that a lint schema may use, and tocsin's own. References are not among
// them: a chain of them can make validation take exponential time, and parameters are few and flat.
var keywords = []string{
	"$schema", "$id", "$comment", "title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
	"type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
	"pattern", "format", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "contains", "maxProperties",
	"minProperties", "required", "dependentRequired", "properties", "patternProperties", "additionalProperties",
	"propertyNames", "items", "prefixItems", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas",
	"contentEncoding", "contentMediaType", "x-order", "x-widget", "x-hint", "x-titles",
}

// widgets are the ways a form may ask for a value.
var widgets = []string{"text", "textarea", "password", "url", "email", "number", "checkbox", "select", "lines", "pairs", "script", "colour"}

var paramName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// schemaCheck collects what is wrong with a lint schema. Places are JSON pointers.
type schemaCheck struct {
	data     []byte
	problems []Problem
}

func (c *schemaCheck) bad(at, format string, args ...any) {
	c.problems = append(c.problems, Problem{Where: fileLint, Line: c.line(at), Field: "#" + at, Message: fmt.Sprintf(format, args...)})
}

func (c *schemaCheck) warn(at, format string, args ...any) {
	c.bad(at, format, args...)
	c.problems[len(c.problems)-1].Warning = true
}

// line finds the line of a JSON pointer by reading the text once more up to it.
func (c *schemaCheck) line(at string) int {
	d := json.NewDecoder(bytes.NewReader(c.data))
	if !seek(d, strings.Split(at, "/")[1:]) {
		return 0
	}
	return 1 + bytes.Count(c.data[:d.InputOffset()], []byte("\n"))
}

// seek reads up to the value that path names, which is the value that d stands before.
func seek(d *json.Decoder, path []string) bool {
	if len(path) == 0 {
		return true
	}
	want := fromPointer.Replace(path[0])
	open, err := d.Token()
	if err != nil {
		return false
	}
	for i := 0; d.More(); i++ {
		key := strconv.Itoa(i)
		if open == json.Delim('{') {
			t, err := d.Token()
			if err != nil {
				return false
			}
			key, _ = t.(string)
		}
		if key == want {
			return seek(d, path[1:])
		}
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return false
		}
	}
	return false
}

// walk looks for keywords that do not exist, which JSON Schema itself would ignore.
func (c *schemaCheck) walk(at string, s map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		here := at + "/" + pointer(k)
		switch {
		case k == "$ref" || k == "$dynamicRef" || k == "$defs" || k == "$anchor" || k == "$dynamicAnchor" || k == "$vocabulary":
			c.bad(here, "references are not read here; write the schema out in its place")
			continue
		case !slices.Contains(keywords, k):
			if near := strict.Nearest(k, keywords); near != "" {
				c.bad(here, "unknown keyword; did you mean %q?", near)
			} else {
				c.bad(here, "unknown keyword; remove it")
			}
			continue
		}
		switch k {
		case "properties", "patternProperties", "dependentSchemas":
			if list, ok := s[k].(map[string]any); ok {
				for _, name := range slices.Sorted(maps.Keys(list)) {
					c.sub(here+"/"+pointer(name), list[name])
				}
			}
		case "allOf", "anyOf", "oneOf", "prefixItems":
			if list, ok := s[k].([]any); ok {
				for i := range list {
					c.sub(here+"/"+strconv.Itoa(i), list[i])
				}
			}
		case "items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else":
			c.sub(here, s[k])
		case "x-order":
			if _, ok := s[k].(json.Number); !ok {
				c.bad(here, "must be a number")
			}
		case "x-hint":
			if _, ok := s[k].(string); !ok {
				c.bad(here, "must be text")
			}
		case "x-titles":
			if _, ok := s[k].(map[string]any); !ok {
				c.bad(here, "must be an object of titles by value")
			}
		case "x-widget":
			w, _ := s[k].(string)
			if !slices.Contains(widgets, w) {
				c.bad(here, "must be one of %s", strings.Join(widgets, ", "))
			}
		}
	}
}

func (c *schemaCheck) sub(at string, v any) {
	if s, ok := v.(map[string]any); ok {
		c.walk(at, s)
	}
}

var (
	toPointer   = strings.NewReplacer("~", "~0", "/", "~1")
	fromPointer = strings.NewReplacer("~1", "/", "~0", "~")
)

func pointer(s string) string { return toPointer.Replace(s) }

// compileError reports why the library refuses the schema, each place of its own.
func (c *schemaCheck) compileError(err error) {
	var (
		invalid *jsonschema.SchemaValidationError
		tree    *jsonschema.ValidationError
		regex   *jsonschema.InvalidRegexError
	)
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &tree):
		c.leaves(tree)
	case errors.As(err, &regex):
		_, at, _ := strings.Cut(regex.URL, "#")
		c.bad(at, "the regular expression %s cannot be used: %s", quote(regex.Regex), strict.OneLine(regex.Err.Error()))
	default:
		c.bad("", "%s", strict.OneLine(err.Error()))
	}
}

func (c *schemaCheck) leaves(e *jsonschema.ValidationError) {
	if len(e.Causes) == 0 {
		var at strings.Builder
		for _, s := range e.InstanceLocation {
			at.WriteString("/" + pointer(s))
		}
		c.bad(at.String(), "%s", strict.OneLine(e.ErrorKind.LocalizedString(xmessage.NewPrinter(language.English))))
		return
	}
	for _, cause := range e.Causes {
		c.leaves(cause)
	}
}

// parts reads the fields of both parts and checks what JSON Schema leaves open.
func (c *schemaCheck) parts(s *Schema, top map[string]any, compiler *jsonschema.Compiler) {
	list, _ := top["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if !slices.Contains(parts, name) {
			c.bad("/properties/"+pointer(name), "the schema has the properties endpoint and recipient only")
		}
	}
	for _, part := range parts {
		at := "/properties/" + part
		obj, ok := list[part].(map[string]any)
		if !ok {
			c.bad("/properties", "%s is missing; write \"%s\": {\"type\": \"object\", \"properties\": {}}, if it has no parameters", part, part)
			continue
		}
		switch extra := obj["additionalProperties"].(type) {
		case bool:
			s.open[part] = extra
		case map[string]any:
			s.open[part] = true
		}
		props, _ := obj["properties"].(map[string]any)
		required, _ := obj["required"].([]any)
		for i, r := range required {
			if name, _ := r.(string); props[name] == nil {
				c.bad(fmt.Sprintf("%s/required/%d", at, i), "%s is required but not among the properties", quote(name))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(props)) {
			prop, ok := props[name].(map[string]any)
			if here := at + "/properties/" + pointer(name); !ok {
				c.bad(here, "must be an object with title, description and type")
			} else {
				f := c.field(here, part, name, prop, compiler)
				f.Required = slices.Contains(required, any(name))
				s.fields = append(s.fields, f)
			}
		}
	}
	slices.SortStableFunc(s.fields, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
}

// field reads one parameter.
func (c *schemaCheck) field(at, part, name string, prop map[string]any, compiler *jsonschema.Compiler) Field {
	f := Field{Part: part, Name: name, Order: 1e9}
	if !paramName.MatchString(name) {
		c.bad(at, "a parameter's name must begin with a letter and go on with letters, digits and _")
	}
	text := func(key string) string {
		v, _ := prop[key].(string)
		return v
	}
	number := func(key string) *float64 {
		n, ok := prop[key].(json.Number)
		if v, err := n.Float64(); ok && err == nil {
			return &v
		}
		return nil
	}
	f.Title, f.Help, f.Hint, f.Widget, f.Type = text("title"), text("description"), text("x-hint"), text("x-widget"), text("type")
	f.Secret, _ = prop["writeOnly"].(bool)
	f.Enum, _ = plainJSON(prop["enum"]).([]any)
	f.Minimum, f.Maximum = number("minimum"), number("maximum")
	if order := number("x-order"); order != nil {
		f.Order = *order
	}
	if f.Title == "" {
		c.bad(at, "the title is missing; it is what a form shows")
	}
	if f.Help == "" {
		c.warn(at, "the description is missing; it is the help that users get")
	}
	switch f.Type {
	case "string", "integer", "number", "boolean":
	case "array":
		f.Items = c.items(at, prop)
	case "object":
		c.pairs(at, prop)
	case "":
		c.bad(at, "the type is missing; write one of %s", fieldTypes)
	default:
		// The library's words for a type that does not exist are worse.
		c.problems = slices.DeleteFunc(c.problems, func(p Problem) bool { return p.Field == "#"+at+"/type" })
		c.bad(at+"/type", "a parameter cannot be of type %s; write one of %s", quote(f.Type), fieldTypes)
	}
	f.Titles = c.titles(at, f, prop)
	if list, ok := prop["examples"].([]any); ok && len(list) > 0 && !f.Secret {
		f.Example = plainText(plainJSON(list[0]))
	}
	if f.Secret && f.Type != "string" {
		c.bad(at, "a secret (writeOnly) must be of type string")
	}
	if v, ok := prop["default"]; ok {
		if f.Secret {
			c.bad(at+"/default", "a secret cannot have a default, as all would know it")
		}
		if compiler != nil {
			if one, err := compiler.Compile(schemaURL + "#" + at); err == nil && one.Validate(v) != nil {
				c.bad(at+"/default", "the default does not fit the parameter's own schema")
			}
		}
		f.Default = plainJSON(v)
	}
	if f.Widget == "" {
		f.Widget = widget(f, text("format"))
	}
	return f
}

const fieldTypes = "string, integer, number, boolean, array, object"

// items reads the type of a list's entries, which a form asks for one a line.
func (c *schemaCheck) items(at string, prop map[string]any) string {
	items, _ := prop["items"].(map[string]any)
	switch t, _ := items["type"].(string); t {
	case "", "string":
		return ""
	case "integer", "number", "boolean":
		return t
	default:
		c.bad(at+"/items/type", "a list cannot hold entries of type %s; write one of string, integer, number, boolean", quote(t))
		return ""
	}
}

// pairs checks a table, which a form asks for as one NAME: VALUE a line.
func (c *schemaCheck) pairs(at string, prop map[string]any) {
	_, fixed := prop["properties"]
	values, _ := prop["additionalProperties"].(map[string]any)
	if t, _ := values["type"].(string); fixed || t != "string" {
		c.bad(at+"/type", "a parameter of type object must be texts by name: write \"additionalProperties\": {\"type\": \"string\"}, and no properties")
	}
}

// titles reads what a form calls the values of an enum.
func (c *schemaCheck) titles(at string, f Field, prop map[string]any) map[string]string {
	given, ok := prop["x-titles"].(map[string]any)
	if !ok {
		return nil
	}
	var known []string
	for _, v := range f.Enum {
		known = append(known, plainText(v))
	}
	titles := map[string]string{}
	for _, value := range slices.Sorted(maps.Keys(given)) {
		here := at + "/x-titles/" + pointer(value)
		text, _ := given[value].(string)
		switch {
		case strings.TrimSpace(text) == "":
			c.bad(here, "must be text")
		case slices.Contains(known, value):
			titles[value] = text
		case strict.Nearest(value, known) != "":
			c.bad(here, "is no value of the enum; did you mean %q?", strict.Nearest(value, known))
		default:
			c.bad(here, "is no value of the enum; its values are %s", cmp.Or(strings.Join(known, ", "), "missing"))
		}
	}
	return titles
}

// widget is how a form asks for a value if the schema does not say.
func widget(f Field, format string) string {
	switch {
	case f.Secret:
		return "password"
	case len(f.Enum) > 0:
		return "select"
	case f.Type == "boolean":
		return "checkbox"
	case f.Type == "array":
		return "lines"
	case f.Type == "object":
		return "pairs"
	case f.Type == "integer" || f.Type == "number":
		return "number"
	case format == "uri":
		return "url"
	case format == "email":
		return "email"
	}
	return "text"
}
