package standin

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schemas gives the schemas in the $defs of a JSON Schema that is part of the program, by name; the empty name is the whole. Each is
// compiled when it is first asked for. Formats count. It panics if there is no such schema: the package's own test shows it.
func Schemas(text []byte) func(def string) *jsonschema.Schema {
	const file = "https://tocsin.invalid/schema.json"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	load := sync.OnceFunc(func() {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err == nil {
			err = c.AddResource(file, doc)
		}
		if err != nil {
			panic(err)
		}
	})
	var mu sync.Mutex // mu guards c, which keeps what it has compiled
	return func(def string) *jsonschema.Schema {
		mu.Lock()
		defer mu.Unlock()
		load()
		if def == "" {
			return c.MustCompile(file)
		}
		return c.MustCompile(file + "#/$defs/" + def)
	}
}

// Decode checks a body against a schema and then decodes it. What breaks the schema gives a *jsonschema.ValidationError, what is no
// JSON another error.
func Decode(s *jsonschema.Schema, body []byte, into any) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = s.Validate(doc)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// Deepest is the cause of a broken schema that is deepest in the document, of several the first.
func Deepest(bad *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(bad.Causes) > 0 {
		next := bad.Causes[0]
		for _, c := range bad.Causes {
			if len(c.InstanceLocation) > len(next.InstanceLocation) {
				next = c
			}
		}
		bad = next
	}
	return bad
}
