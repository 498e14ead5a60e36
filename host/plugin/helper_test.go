package plugin_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// tiny is the smallest endpoint module: a function render that returns 0.
var tiny = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x05\x01\x60\x00\x01\x7f" + // type () -> i32
	"\x03\x02\x01\x00" + // one function
	"\x07\x0a\x01\x06render\x00\x00" + // exported
	"\x0a\x06\x01\x04\x00\x41\x00\x0b") // i32.const 0

const goodManifest = `name = "example"
title = "Example"
version = "1.2.3"
world = "endpoint"
description = "Sends alerts somewhere."
licence = "Apache-2.0"
help = "Nothing to set up."
[[net]]
host = "{endpoint.url}"
reason = "to send alerts"
[outcomes]
"2xx" = "delivered"
"429" = "retry"
`

const goodSchema = `{
  "type": "object",
  "properties": {
    "endpoint": {"type": "object", "required": ["url", "token"], "properties": {
      "url": {"title": "URL", "description": "Where to.", "type": "string", "format": "uri", "pattern": "^https?://", "x-order": 1,
        "x-widget": "url", "x-hint": "write https://..."},
      "token": {"title": "Token", "description": "The token of the bot.", "type": "string", "pattern": "^[a-z]+$", "writeOnly": true, "x-order": 2},
      "mode": {"title": "Mode", "description": "How.", "type": "string", "enum": ["index", "stream"], "default": "index", "x-order": 3},
      "port": {"title": "Port", "description": "Which.", "type": "integer", "minimum": 1, "maximum": 65535, "default": 443},
      "ratio": {"title": "Ratio", "description": "How much.", "type": "number", "exclusiveMinimum": 0}
    }},
    "recipient": {"type": "object", "properties": {
      "names": {"title": "Names", "description": "Who.", "type": "array", "minItems": 1, "uniqueItems": true, "items": {"type": "string", "maxLength": 5}},
      "quiet": {"title": "Quiet", "description": "No sound.", "type": "boolean", "default": false}
    }}
  }
}`

// goodParts is a package without a fault; tests spoil one part of it.
func goodParts() plugin.Parts {
	return plugin.Parts{Manifest: []byte(goodManifest), Lint: []byte(goodSchema)}
}

func pack(tb testing.TB, parts plugin.Parts) []byte {
	tb.Helper()
	b, err := plugin.Pack(tiny, parts)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(tb testing.TB, parts plugin.Parts) *plugin.Package {
	tb.Helper()
	p, err := plugin.Parse("example.wasm", pack(tb, parts))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// check returns all problems of a package, of Parse or of Check, one a line.
func check(tb testing.TB, parts plugin.Parts) string {
	tb.Helper()
	p, err := plugin.Parse("example.wasm", pack(tb, parts))
	if err != nil {
		return strings.ReplaceAll(err.Error(), "example.wasm: ", "")
	}
	return text(p.Check())
}

func text(problems []plugin.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// firstParty reads manifests/<name> of the source tree and packs it with the tiny module.
func firstParty(tb testing.TB, name string) *plugin.Package {
	tb.Helper()
	b, err := plugin.PackDir(filepath.Join("..", "..", "manifests", name), tiny)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := plugin.Parse(name+".wasm", b)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func write(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name := range maps.Keys(files) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}

// differ fails the test if got is not want, showing both in full.
func differ(tb testing.TB, got, want string) {
	tb.Helper()
	if got != want {
		tb.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
