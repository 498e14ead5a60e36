package spec

import (
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tocsin-net/tocsin/pdk"
)

type schema struct {
	ID         string             `json:"$id"`
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Enum       []string           `json:"enum"`
	Defs       map[string]*schema `json:"$defs"`
}

// TestSchemasMatchTypes walks each message's type and its schema side by side: the same keys, the same types, and those
// required that are always written.
func TestSchemasMatchTypes(t *testing.T) {
	types := map[string]any{
		"render-input": pdk.RenderInput{}, "render-output": pdk.RenderOutput{}, "classify-input": pdk.ClassifyInput{},
		"classify-output": pdk.ClassifyOutput{}, "lint-input": pdk.LintInput{}, "lint-output": pdk.LintOutput{},
		"probe-input": pdk.ProbeInput{}, "probe-output": pdk.ProbeOutput{},
	}
	files, err := fs.Glob(Schemas(), "*.json")
	if err != nil || len(files) != len(types) {
		t.Fatalf("got %v, %v", files, err)
	}
	for name, v := range types {
		b, err := fs.ReadFile(Schemas(), name+".json")
		if err != nil {
			t.Fatal(err)
		}
		var s schema
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(name, err)
		}
		if !strings.HasSuffix(s.ID, "/endpoint/1/"+name+".json") {
			t.Errorf("%s: $id is %s", name, s.ID)
		}
		compare(t, name, reflect.TypeOf(v), &s, s.Defs)
	}
}

func compare(t *testing.T, at string, typ reflect.Type, s *schema, defs map[string]*schema) {
	t.Helper()
	if s == nil {
		t.Errorf("%s: not in the schema", at)
		return
	}
	if s.Ref != "" {
		s = defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint16: "integer",
		reflect.Uint64: "integer", reflect.Float64: "number", reflect.Slice: "array", reflect.Array: "array", reflect.Map: "object",
		reflect.Struct: "object",
	}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	bytes := typ == reflect.TypeFor[[]byte]()
	if bytes {
		want[reflect.Slice] = "string" // base64
	}
	if s == nil || s.Type != want[typ.Kind()] {
		t.Errorf("%s: the schema says %+v, the type is %v", at, s, typ)
		return
	}
	switch typ.Kind() {
	case reflect.Slice, reflect.Array:
		if bytes {
			return
		}
		compare(t, at+"[]", typ.Elem(), s.Items, defs)
	case reflect.Struct:
		var keys, required []string
		for f := range typ.Fields() {
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			keys = append(keys, name)
			if opts == "" {
				required = append(required, name)
			}
			compare(t, at+"."+name, f.Type, s.Properties[name], defs)
		}
		for k := range s.Properties {
			if !slices.Contains(keys, k) {
				t.Errorf("%s: the schema has %q, the type has not", at, k)
			}
		}
		if !slices.Equal(required, s.Required) {
			t.Errorf("%s: required is %v, want %v", at, s.Required, required)
		}
	case reflect.String:
		for _, o := range s.Enum {
			if !pdk.Outcome(o).Valid() {
				t.Errorf("%s: %q is no outcome", at, o)
			}
		}
	default:
	}
}

func TestABINamesEverything(t *testing.T) {
	for _, word := range []string{"`delivered`", "`accepted`", "`duplicate`", "`retry`", "`bad_payload`", "`rejected`", "`skipped`", "`endpoint_broken`", "`render`", "`classify`", "`lint`", "`probe`", "endpoint 1", "`http`", "`smtp`", "`syslog`", "`exec`", "`ban`"} {
		if !strings.Contains(ABI(), word) {
			t.Errorf("ABI.md does not mention %s", word)
		}
	}
}

func TestVectors(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{`, "v.json: not a test vector"},
		{`{"name":"x","function":"render","input":{},"output":{},"extra":1}`, `unknown field "extra"`},
		{`{"function":"render","input":{},"output":{}}`, "name is missing"},
		{`{"name":"x","function":"paint","input":{},"output":{}}`, `function is "paint"; it is one of render`},
		{`{"name":"x","function":"lint","output":{}}`, "input is missing"},
		{`{"name":"x","function":"lint","input":{}}`, "give either output or error"},
		{`{"name":"x","function":"lint","input":{},"output":{}} {}`, "more text after the vector"},
	} {
		if _, err := ParseVector("v.json", []byte(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.in, err, c.want)
		}
	}
	if _, err := ReadVectors(fstest.MapFS{"a.txt": {}}); err == nil {
		t.Error("want an error for a folder without vectors")
	}
	v, err := ParseVector("v.json", []byte(`{"name":"x","function":"render","input":{ "a": 1 },"output":{"b":[1,{"c":2.0}],"d":"e"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{
		`{"d":"e","b":[1,{"c":2.0}]}`: "", `{"d":"e","b":[1,{"c":3}]}`: "at output.b[1].c", `{"d":"e"}`: "at output.b",
		`{"d":"e","b":[1,{"c":2.0}]} x`: "no JSON", ``: "no JSON",
	} {
		err := v.Run(func(f string, in []byte) ([]byte, error) {
			if f != "render" || string(in) != `{"a":1}` {
				t.Errorf("got %s %s", f, in)
			}
			return []byte(out), nil
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", out, err, want)
		}
	}
	v.Output, v.Error = nil, "no chat"
	fails := func(text string) func(string, []byte) ([]byte, error) {
		return func(string, []byte) ([]byte, error) { return nil, errors.New(text) }
	}
	if err := v.Run(fails("there is no chat")); err != nil {
		t.Error(err)
	}
	if err := v.Run(fails("other")); err == nil {
		t.Error("want a mismatch")
	}
}
