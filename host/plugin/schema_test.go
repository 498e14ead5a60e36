package plugin_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	t.Parallel()
	s := parse(t, goodParts()).Lint
	good := map[string]any{"url": "https://a.example", "token": "secret"}
	with := func(k string, v any) map[string]any {
		m := map[string]any{"url": "https://a.example", "token": "secret"}
		m[k] = v
		return m
	}
	for _, tc := range []struct {
		name                string
		endpoint, recipient map[string]any
		want                string
	}{
		{"good", good, map[string]any{"names": []string{"a"}, "quiet": true}, ""},
		{"endpoint alone", good, nil, ""},
		{"all missing", nil, nil, "endpoint.url: is missing; write https://...\nendpoint.token: is missing; it is needed: The token of the bot."},
		{"wrong type", with("mode", 7), nil, "endpoint.mode: must be text, but is a number; put it in quotes"},
		{"text for a number", with("port", "443"), nil, "endpoint.port: must be a whole number, but is text; write it without quotes"},
		{"broken number", with("port", 4.5), nil, "endpoint.port: must be a whole number, but is a number"},
		{"whole number as JSON has it", with("port", float64(443)), nil, ""},
		{"enum", with("mode", "strem"), nil, `endpoint.mode: "strem" is unknown; did you mean "stream"?`},
		{"enum, far off", with("mode", "x"), nil, `endpoint.mode: "x" is unknown; it must be one of index, stream`},
		{"minimum", with("port", 0), nil, "endpoint.port: is 0; it must be 1 or more"},
		{"maximum", with("port", 70000), nil, "endpoint.port: is 70000; it must be 65535 or less"},
		{"exclusive minimum", with("ratio", 0), nil, "endpoint.ratio: is 0; it must be more than 0"},
		{"secret is not shown", with("token", "S3CRET!"), nil, "endpoint.token: the value is not right; it must match ^[a-z]+$"},
		{"secret of the wrong type", with("token", 12345), nil, "endpoint.token: must be text, but is a number; put it in quotes"},
		{"URL is not shown", with("url", "ftp://user:pw@a.example"), nil, "endpoint.url: the value is not right; write https://..."},
		{"unknown", with("urll", 1), nil, `endpoint.urll: unknown parameter; did you mean "url"?`},
		{"unknown with control characters", with("a\x1b[2J", 1), nil, "endpoint.a [2J: unknown parameter; remove it, or use one of url, token, mode, port, ratio"},
		{"of the other part", good, map[string]any{"token": "x"}, "recipient.token: unknown parameter; it belongs to the endpoint"},
		{
			"list", good,
			map[string]any{"names": []any{"a", "toolong", 3}},
			"recipient.names[1]: has 7 characters; it may have 5 at most\nrecipient.names[2]: must be text, but is a number; put it in quotes",
		},
		{"list, empty and twice", good, map[string]any{"names": []any{}}, "recipient.names: has 0 entries; it must have 1 at least"},
		{"list, twice", good, map[string]any{"names": []any{"b", "a", "b"}}, "recipient.names: entries 1 and 3 are the same; remove one"},
		{"table", good, map[string]any{"quiet": map[string]any{"a": 1}}, "recipient.quiet: must be true or false, but is a table"},
		{"nothing", good, map[string]any{"quiet": nil}, "recipient.quiet: must be true or false, but is nothing"},
	} {
		differ(t, text(s.Lint(tc.endpoint, tc.recipient)), tc.want)
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	s := parse(t, goodParts()).Lint
	given := map[string]any{"url": "u", "port": int64(8443), "headers": []string{"a"}}
	endpoint, recipient := s.Fill(given, map[string]any{})
	if want := map[string]any{"url": "u", "port": float64(8443), "mode": "index", "headers": []any{"a"}}; !reflect.DeepEqual(endpoint, want) {
		t.Errorf("endpoint %#v", endpoint)
	}
	if want := map[string]any{"quiet": false}; !reflect.DeepEqual(recipient, want) {
		t.Errorf("recipient %#v", recipient)
	}
	if given["mode"] != nil || given["port"] != int64(8443) {
		t.Error("Fill changed what it was given")
	}
	if _, recipient := s.Fill(nil, nil); recipient != nil {
		t.Error("a recipient that is not at hand was made up")
	}
	// Defaults are copies: who changes one must not change the next.
	s = firstParty(t, "shell").Lint
	_, a := s.Fill(nil, map[string]any{})
	a["shell_script_options"] = append(a["shell_script_options"].([]any), "x")
	if _, b := s.Fill(nil, map[string]any{}); len(b["shell_script_options"].([]any)) != 0 {
		t.Error("a default is shared")
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	s := parse(t, goodParts()).Lint
	var names []string
	for _, f := range s.Fields() {
		names = append(names, f.Path()+":"+f.Type+":"+f.Widget)
	}
	differ(t, strings.Join(names, " "), "endpoint.url:string:url endpoint.token:string:password endpoint.mode:string:select "+
		"endpoint.port:integer:number endpoint.ratio:number:number recipient.names:array:lines recipient.quiet:boolean:checkbox")
	port := s.Fields()[3]
	if port.Default != float64(443) || *port.Minimum != 1 || *port.Maximum != 65535 || port.Required || port.Help != "Which." {
		t.Errorf("%+v", port)
	}
}

func TestBrokenSchemas(t *testing.T) {
	t.Parallel()
	prop := func(p string) string {
		return `{"properties": {"endpoint": {"properties": {` + "\n" + `"a": ` + p + `}}, "recipient": {}}}`
	}
	const at = "lint.schema.json:2: #/properties/endpoint/properties/a"
	for _, tc := range []struct{ name, schema, want string }{
		{"no JSON", "{\n\"a\": }", "lint.schema.json:2: this is no JSON: invalid character '}' looking for beginning of value"},
		{"cut", "{\n\"a\": {", "lint.schema.json:2: this is no JSON: the file ends too early"},
		{"not an object", "[]", "lint.schema.json:1: #: the schema must be a JSON object"},
		{"no parts", "{}", "lint.schema.json: #/properties: endpoint is missing; write \"endpoint\": {\"type\": \"object\", \"properties\": {}}, if it has no parameters"},
		{"old dialect", `{"$schema": "http://json-schema.org/draft-07/schema#"}`, `#/$schema: the dialect "http://json-schema.org/draft-07/schema#" is not read here`},
		{"other part", `{"properties": {"endpoint": {}, "recipient": {}, "recipients": {}}}`, "#/properties/recipients: the schema has the properties endpoint and recipient only"},
		{"reference", prop(`{"$ref": "file:///etc/passwd"}`), at + "/$ref: references are not read here"},
		{"type of no kind", prop(`{"title": "A", "type": "strng"}`), at + "/type: "},
		{"object", prop(`{"title": "A", "type": "object"}`), at + `/type: a parameter of type object must be texts by name`},
		{"null", prop(`{"title": "A", "type": "null"}`), at + `/type: a parameter cannot be of type "null"; write one of string, integer,`},
		{"list of lists", prop(`{"title": "A", "type": "array", "items": {"type": "array"}}`), at + `/items/type: a list cannot hold entries of type "array"`},
		{"titles", prop(`{"title": "A", "type": "string", "enum": ["one", "two"], "x-titles": {"onne": "One", "two": 2}}`), at + "/x-titles/onne: is no value of the enum; did you mean \"one\"?\n" + at + "/x-titles/two: must be text"},
		{"pattern", prop(`{"title": "A", "type": "string", "pattern": "(["}`), at + `/pattern: '([' is not valid regex`},
		{"negative length", prop(`{"title": "A", "type": "string", "minLength": -1}`), at + "/minLength: minimum: got -1, want 0"},
		{"keyword", prop(`{"title": "A", "type": "string", "patern": "a"}`), at + `/patern: unknown keyword; did you mean "pattern"?`},
		{"no title, no type", prop(`{}`), at + ": the title is missing; it is what a form shows\n" + at + ": the type is missing"},
		{"widget", prop(`{"title": "A", "type": "string", "x-widget": "dropdown"}`), at + "/x-widget: must be one of text"},
		{"default", prop(`{"title": "A", "type": "integer", "default": "x"}`), at + "/default: the default does not fit the parameter's own schema"},
		{"secret with a default", prop(`{"title": "A", "type": "string", "writeOnly": true, "default": "x"}`), at + "/default: a secret cannot have a default"},
		{"secret number", prop(`{"title": "A", "type": "integer", "writeOnly": true}`), "a secret (writeOnly) must be of type string"},
		{"required of nothing", `{"properties": {"endpoint": {"required": ["b"]}, "recipient": {}}}`, `#/properties/endpoint/required/0: "b" is required but not among the properties`},
		{"name", `{"properties": {"endpoint": {"properties": {"a b": {"title": "A", "type": "string"}}}, "recipient": {}}}`, "a parameter's name must begin with a letter"},
	} {
		parts := goodParts()
		parts.Lint = []byte(tc.schema)
		if got := check(t, parts); !strings.Contains(got, tc.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// TestPrintedParameters looks at what a form gets.
func TestPrintedParameters(t *testing.T) {
	t.Parallel()
	b, err := json.Marshal(firstParty(t, "telegram").Fields("it")[1])
	if err != nil {
		t.Fatal(err)
	}
	differ(t, string(b), `{"part":"endpoint","name":"telegram_api_url","title":"Server Bot API","help":"Da cambiare solo se gestisci un tuo server Bot API.",`+
		`"hint":"scrivi l'indirizzo completo, come https://api.telegram.org","type":"string","default":"https://api.telegram.org","widget":"url"}`)
}

func BenchmarkLint(b *testing.B) {
	s := firstParty(b, "webhook").Lint
	endpoint := map[string]any{"webhook_url": "https://a.example/hook", "webhook_username": "u", "webhook_password": "p", "headers": []any{"X-A: b"}}
	b.ReportAllocs()
	for b.Loop() {
		if problems := s.Lint(endpoint, map[string]any{}); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
