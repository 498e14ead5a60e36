// Package spec is the written contract between the host and endpoint modules, for authors in any language: ABI.md in
// prose, a JSON Schema for every message, and the form of test vectors with their comparison. It runs no module.
package spec

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"
	"slices"
	"strings"
)

// Major and Minor are the version of the interface that ABI.md describes, the newest there is. Within a major version
// things are only added; see ABI.md.
const (
	Major = 1
	Minor = 1
)

//go:embed ABI.md
var abi string

//go:embed schemas/*.json
var schemas embed.FS

// ABI is the text of the interface.
func ABI() string { return abi }

// Schemas are the JSON Schemas (draft 2020-12) of the messages, one file each: render-input.json, render-output.json and so
// on for classify, lint and probe. Each is complete in itself.
func Schemas() fs.FS {
	sub, err := fs.Sub(schemas, "schemas")
	if err != nil {
		panic(err) // The folder is part of the binary.
	}
	return sub
}

// Vector is one test case of an endpoint module, kept as a JSON file: what a function is given and what it must return.
type Vector struct {
	// File is where it was read from; it is not part of the JSON.
	File string `json:"-"`
	// Name says in a few words what is tested.
	Name string `json:"name"`
	// Function is render, classify, lint or probe.
	Function string `json:"function"`
	// Input is given as it stands, but for white space.
	Input json.RawMessage `json:"input"`
	// Output is what must come back. Objects are compared by their members, in any order; everything else is compared
	// exactly, numbers by their value.
	Output json.RawMessage `json:"output,omitempty"`
	// Error, where there is no Output, is a part of the error that must come back.
	Error string `json:"error,omitempty"`
}

// Functions are the functions that an endpoint module may have.
var Functions = []string{"render", "classify", "lint", "probe"}

// ParseVector reads a vector. File names it in errors.
func ParseVector(file string, b []byte) (*Vector, error) {
	v := &Vector{File: file}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, fmt.Errorf("%s: not a test vector: %w", file, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more text after the vector", file)
	}
	switch {
	case v.Name == "":
		return nil, fmt.Errorf("%s: name is missing: say in a few words what is tested", file)
	case !slices.Contains(Functions, v.Function):
		return nil, fmt.Errorf("%s: function is %q; it is one of %s", file, v.Function, strings.Join(Functions, ", "))
	case len(v.Input) == 0:
		return nil, fmt.Errorf("%s: input is missing", file)
	case (len(v.Output) == 0) == (v.Error == ""):
		return nil, fmt.Errorf("%s: give either output or error", file)
	}
	return v, nil
}

// ReadVectors reads every .json file of a folder, in order of name. No file at all is an error, so that a wrong folder does
// not count as success.
func ReadVectors(fsys fs.FS) ([]*Vector, error) {
	names, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("no test vectors: want at least one .json file")
	}
	var all []*Vector
	for _, n := range names {
		b, err := fs.ReadFile(fsys, n)
		if err != nil {
			return nil, err
		}
		v, err := ParseVector(path.Base(n), b)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Run calls the vector's function and compares. The error says what differs: a *Mismatch, if the output is JSON.
func (v *Vector) Run(call func(function string, input []byte) ([]byte, error)) error {
	var in bytes.Buffer
	if err := json.Compact(&in, v.Input); err != nil {
		return fmt.Errorf("%s: input: %w", v.File, err)
	}
	got, err := call(v.Function, in.Bytes())
	if v.Error != "" {
		if err == nil {
			return fmt.Errorf("%s: want an error with %q, got the output\n%s", v.File, v.Error, got)
		}
		if !strings.Contains(err.Error(), v.Error) {
			return fmt.Errorf("%s: want an error with %q, got %q", v.File, v.Error, err.Error())
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	a, err := decode(got)
	if err != nil {
		return fmt.Errorf("%s: the output is no JSON: %w\n%s", v.File, err, got)
	}
	b, err := decode(v.Output)
	if err != nil {
		return fmt.Errorf("%s: the vector's output is no JSON: %w", v.File, err)
	}
	if !reflect.DeepEqual(a, b) {
		return &Mismatch{File: v.File, At: differs("output", a, b), Got: indent(a), Want: indent(b)}
	}
	return nil
}

// Mismatch says that a vector's function returned something else than it should.
type Mismatch struct {
	File      string
	At        string // the path of the first difference, such as "output.requests[0].http.url"
	Got, Want string // JSON, indented, with members in order of name
}

func (e *Mismatch) Error() string {
	return fmt.Sprintf("%s: at %s\ngot  %s\nwant %s", e.File, e.At, e.Got, e.Want)
}

func decode(b []byte) (any, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more text after the value")
	}
	return v, nil
}

func indent(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// differs gives the path of the first difference.
func differs(at string, a, b any) string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return at
		}
		var keys []string
		for k := range x {
			keys = append(keys, k)
		}
		for k := range y {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			if !reflect.DeepEqual(x[k], y[k]) {
				return differs(at+"."+k, x[k], y[k])
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok {
			return at
		}
		for i := range min(len(x), len(y)) {
			if !reflect.DeepEqual(x[i], y[i]) {
				return differs(fmt.Sprintf("%s[%d]", at, i), x[i], y[i])
			}
		}
	}
	return at
}
