package plugin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/tocsin-net/tocsin/host/plugin"
)

const formSchema = `{"properties": {
  "endpoint": {"required": ["url", "token"], "properties": {
    "url": {"title": "URL", "description": "Where to.", "type": "string", "format": "uri", "x-hint": "write https://...", "x-order": 1, "examples": ["https://a.example"]},
    "token": {"title": "Token", "description": "Of the bot.", "type": "string", "pattern": "^[a-z]+$", "writeOnly": true, "x-order": 2},
    "key": {"title": "Key", "description": "Another secret.", "type": "string", "writeOnly": true, "x-order": 3},
    "mode": {"title": "Mode", "description": "How.", "type": "string", "enum": ["index", "stream"], "x-titles": {"index": "One index"}, "default": "index", "x-order": 4},
    "level": {"title": "Level", "description": "Which.", "type": "integer", "enum": [1, 2], "x-order": 5},
    "port": {"title": "Port", "description": "Which.", "type": "integer", "minimum": 1, "maximum": 65535, "default": 443, "x-order": 6},
    "ratio": {"title": "Ratio", "description": "How much.", "type": "number", "x-order": 7},
    "quiet": {"title": "Quiet", "description": "No sound.", "type": "boolean", "default": true, "x-order": 8},
    "names": {"title": "Names", "description": "Who.", "type": "array", "items": {"type": "string"}, "x-order": 9},
    "codes": {"title": "Codes", "description": "Which.", "type": "array", "items": {"type": "integer"}, "x-order": 10},
    "labels": {"title": "Labels", "description": "Of it.", "type": "object", "additionalProperties": {"type": "string"}, "x-order": 11},
    "text": {"title": "Text", "description": "Free.", "type": "string", "x-order": 12},
    "mail": {"title": "Mail", "description": "To.", "type": "string", "format": "email", "x-order": 13}
  }},
  "recipient": {"properties": {}}
}}`

// withForm is a package with a form for its endpoint; an empty text leaves the form out.
func withForm(text string) plugin.Parts {
	parts := goodParts()
	parts.Lint = []byte(formSchema)
	parts.Locales = map[string][]byte{
		"en.toml": []byte("hello = \"Hello & <b>bye</b>\"\nmore = \"More\"\n"),
		"it.toml": []byte("hello = \"Ciao\"\nmore = \"Altro\"\nplugin.help = \"Niente *da* fare.\"\n[endpoint.url]\ntitle = \"Indirizzo\"\n[endpoint.mode.choice]\nindex = \"Un indice\"\n"),
	}
	if text != "" {
		parts.Templates = map[string][]byte{"endpoint.html": []byte(text)}
	}
	return parts
}

func form(tb testing.TB, p *plugin.Package, part string, in plugin.FormInput) string {
	tb.Helper()
	got, err := p.Form(part, in)
	if err != nil {
		tb.Fatal(err)
	}
	return string(got)
}

// inputs lists what a browser would ask for, one input a line, in the order of the page.
func inputs(tb testing.TB, page string) string {
	tb.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || !slices.Contains([]string{"input", "select", "textarea"}, n.Data) {
			continue
		}
		a := map[string]string{}
		for _, attr := range n.Attr {
			a[attr.Key] = attr.Val
		}
		line := n.Data + " " + a["type"] + " " + a["name"]
		for _, key := range []string{"value", "min", "max", "step", "placeholder", "aria-invalid"} {
			if v := a[key]; v != "" {
				line += " " + key + "=" + v
			}
		}
		for _, key := range []string{"required", "checked"} {
			if _, ok := a[key]; ok {
				line += " " + key
			}
		}
		list = append(list, line)
	}
	return strings.Join(list, "\n")
}

func TestDefaultForm(t *testing.T) {
	t.Parallel()
	p := parse(t, withForm(""))
	page := form(t, p, "endpoint", plugin.FormInput{Locale: "en"})
	differ(t, inputs(t, page), `input url endpoint.url placeholder=https://a.example required
input password endpoint.token required
input password endpoint.key
select  endpoint.mode
select  endpoint.level
input number endpoint.port min=1 max=65535 step=1
input number endpoint.ratio step=any
input hidden endpoint.quiet value=off
input checkbox endpoint.quiet value=on checked
textarea  endpoint.names
textarea  endpoint.codes
textarea  endpoint.labels
input text endpoint.text
input email endpoint.mail`)
	for _, want := range []string{
		`<div class="form" lang="en">`, `<details class="guide" open><summary>Set-up guide</summary>`, "<p>Nothing to set up.</p>",
		`<label for="endpoint-url">URL <span class="required" title="required">*</span></label>`,
		`<p class="help" id="endpoint-url-help">Where to.</p>`, `aria-describedby="endpoint-url-help endpoint-url-hint"`,
		`<p class="hint" id="endpoint-url-hint">Write https://...</p>`, `<option value="index" selected>One index (default)</option>`,
		`<option value="" selected>not set</option>`, "Default: 443.", "No value is stored yet.", "One entry a line.", "One NAME: VALUE a line.",
		"Fields marked with * are required.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the form lacks %s\n%s", want, page)
		}
	}
	if page := form(t, p, "recipient", plugin.FormInput{}); !strings.Contains(page, "There is nothing to set here.") {
		t.Error(page)
	}
	if _, err := p.Form("endpoints", plugin.FormInput{}); err == nil {
		t.Error("a form of no part")
	}
}

func TestOwnForm(t *testing.T) {
	t.Parallel()
	parts := withForm(`<p>{{t "hello"}} <a href="https://a.example/x?a=1&amp;b=2">there</a></p>
<p>{{field "token"}}</p>
{{group (t "more") "url" "port"}}{{group "Plain" "names"}}
<details><summary>x</summary>{{fields}}</details>{{help}}`)
	p := parse(t, parts)
	if got := text(p.Check()); strings.Contains(got, "html") {
		t.Error(got)
	}
	page := form(t, p, "endpoint", plugin.FormInput{Locale: "it", Values: map[string]any{"mode": "stream", "names": []any{"a"}}})
	for _, want := range []string{
		`<div class="form" lang="it"><p>Ciao <a href="https://a.example/x?a=1&amp;b=2" rel="noopener noreferrer nofollow" target="_blank">there</a></p>`,
		`<details class="group" open><summary>Altro</summary>`, `<details class="group" open><summary>Plain</summary>`,
		`<label for="endpoint-url">Indirizzo `, "<em>da</em>", `<option value="index">Un indice (predefinito)</option>`, "<summary>Guida alla configurazione</summary>",
		`<details open="">`, "I campi con * sono obbligatori.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the form lacks %s\n%s", want, page)
		}
	}
	if strings.Contains(page, "<p><div") || strings.Count(page, `name="endpoint.token"`) != 1 {
		t.Error(page)
	}
	order := inputs(t, page)
	if !strings.HasPrefix(order, "input password endpoint.token") || strings.Index(order, "endpoint.names") > strings.Index(order, "endpoint.mode") {
		t.Errorf("the order of the fields:\n%s", order)
	}
	// What a text says is text, also where it looks like markup.
	if page := form(t, p, "endpoint", plugin.FormInput{Locale: "en"}); !strings.Contains(page, "<p>Hello &amp; &lt;b&gt;bye&lt;/b&gt; <a") {
		t.Error(page)
	}
	// A group in which nothing is needed is closed.
	if page := form(t, p, "endpoint", plugin.FormInput{}); !strings.Contains(page, `<details class="group"><summary>Plain`) {
		t.Error(page)
	}
}

// TestSecretsAreNotShown plants values and looks for them.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	p := parse(t, withForm(""))
	values := map[string]any{"token": "S3CRETtoken", "key": "S3CRETkey", "url": `"><script>x</script>`, "port": "S3"}
	problems := p.LintParams("en", values, nil)
	page := form(t, p, "endpoint", plugin.FormInput{Values: values, Problems: problems})
	if strings.Contains(page, "S3CRET") || strings.Contains(page, "<script") {
		t.Error(page)
	}
	for _, want := range []string{
		"A value is stored.", `name="endpoint.key.remove"`, `<div class="problems" role="alert"><p>3 fields are not right yet:`,
		`<a href="#endpoint-token">Token</a>: the value is not right; it must match ^[a-z]+$`, `aria-invalid="true"`,
		`<p class="problem" id="endpoint-port-problem">Must be a whole number, but is text; write it without quotes.</p>`,
		`value="&#34;&gt;&lt;script&gt;x&lt;/script&gt;"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the form lacks %s\n%s", want, page)
		}
	}
	if strings.Contains(page, `endpoint.token.remove`) {
		t.Error("a required secret can be removed")
	}
	if strings.Contains(inputs(t, page), "password endpoint.token required") {
		t.Error("a secret that is set must be entered again")
	}
}

// submit is what a browser sends of a page as it stands.
func submit(tb testing.TB, page string) url.Values {
	tb.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		tb.Fatal(err)
	}
	values := url.Values{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		a := map[string]string{}
		for _, attr := range n.Attr {
			a[attr.Key] = attr.Val
		}
		_, checked := a["checked"]
		switch {
		case n.Data == "textarea":
			content := ""
			if n.FirstChild != nil {
				content = n.FirstChild.Data
			}
			values.Add(a["name"], strings.ReplaceAll(content, "\n", "\r\n"))
		case n.Data == "select":
			for o := range n.ChildNodes() {
				for _, attr := range o.Attr {
					if attr.Key == "selected" {
						values.Add(a["name"], o.Attr[0].Val)
					}
				}
			}
			if len(values[a["name"]]) == 0 {
				values.Add(a["name"], "")
			}
		case n.Data == "input" && (a["type"] != "checkbox" || checked):
			values.Add(a["name"], a["value"])
		}
	}
	return values
}

// TestRoundTrip posts forms back as they stand and wants the parameters that they showed.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	p := parse(t, withForm(""))
	base := map[string]any{"url": "https://a.example/?a=b&c=\"d\"", "token": "abc", "quiet": true, "mode": "index"}
	for name, extra := range map[string]map[string]any{
		"plain":       {"port": 8443.0, "ratio": 0.5, "text": "a <b> & 'c'", "mail": "a@b.example", "key": "k k", "level": 2.0, "mode": "stream", "quiet": false},
		"lists":       {"names": []any{"a", " b ", "c: d", "\"q\""}, "codes": []any{1.0, -2.0, 1e9}, "labels": map[string]any{"b": "2: x", "a": "1"}},
		"odd lists":   {"names": []any{"two\nlines", "", "[\"a\"]"}, "labels": map[string]any{"a:b": " x ", "": "y\nz", "{": ""}},
		"empty":       {"names": []any{}, "labels": map[string]any{}},
		"looks odd":   {"names": []any{"[\"a\"]"}, "labels": map[string]any{"{\"a\"": "\"b\"}"}},
		"many lines":  {"text": "\nfirst line is empty\n\n</textarea><script>\n"},
		"big numbers": {"ratio": -1e-9, "codes": []any{9007199254740991.0}},
	} {
		values := maps.Clone(base)
		maps.Copy(values, extra)
		got, problems := p.ParseForm("endpoint", "en", submit(t, form(t, p, "endpoint", plugin.FormInput{Values: values})), values)
		if len(problems) > 0 {
			t.Errorf("%s: %s", name, text(problems))
		}
		for _, list := range []string{"names", "labels"} { // an empty one is the same as none
			if v, ok := values[list]; ok && reflect.ValueOf(v).Len() == 0 {
				delete(values, list)
			}
		}
		if !reflect.DeepEqual(got, values) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, values)
		}
	}
}

func TestParseForm(t *testing.T) {
	t.Parallel()
	p := parse(t, withForm(""))
	good := map[string]any{"url": "https://a.example", "token": "abc", "key": "old"}
	for _, tc := range []struct {
		name, form string
		want       string // of the parameters, as fmt prints them
		problems   string
	}{
		{"nothing was sent", "", "map[key:old token:abc url:https://a.example]", ""},
		{"other inputs", "csrf=x&action=save&recipient.names=y", "map[key:old token:abc url:https://a.example]", ""},
		{"emptied", "endpoint.url=&endpoint.mode=", "map[key:old token:abc]", "endpoint.url: manca; write https://..."},
		{"secrets left empty", "endpoint.token=&endpoint.key=", "map[key:old token:abc url:https://a.example]", ""},
		{"secret changed", "endpoint.token=xyz", "map[key:old token:xyz url:https://a.example]", ""},
		{"secret wrong", "endpoint.token=123", "map[key:old token:abc url:https://a.example]", "endpoint.token: il valore non va bene"},
		{"secret removed", "endpoint.key=&endpoint.key.remove=on", "map[token:abc url:https://a.example]", ""},
		{"required secret", "endpoint.token=&endpoint.token.remove=on", "map[key:old token:abc url:https://a.example]", "endpoint.token: manca"},
		{"spaces", "endpoint.url=+https://b.example+%0a&endpoint.port=+80+&endpoint.text=+x+", "map[key:old port:80 text: x  token:abc url:https://b.example]", ""},
		{
			"no number", "endpoint.port=8o&endpoint.ratio=NaN&endpoint.codes=1%0a2.5", "map[codes:1\n2.5 key:old port:8o ratio:NaN token:abc url:https://a.example]",
			`endpoint.port: "8o" non è un numero intero` + "\n" + `endpoint.ratio: "NaN" non è un numero` + "\n" + `endpoint.codes: "2.5" non è un numero intero`,
		},
		{"out of range", "endpoint.port=70000", "map[key:old port:70000 token:abc url:https://a.example]", "endpoint.port: è 70000; dev'essere al massimo 65535"},
		{"enum", "endpoint.mode=strem&endpoint.level=2", "map[key:old level:2 mode:strem token:abc url:https://a.example]", `endpoint.mode: "strem" è sconosciuto; intendevi "stream"?`},
		{"pairs", "endpoint.labels=a%0db:c", "map[key:old labels:map[a\rb:c] token:abc url:https://a.example]", ""},
		{"no pair", "endpoint.labels=a:b%0d%0ac", "map[key:old labels:a:b\nc token:abc url:https://a.example]", "endpoint.labels: la riga 2 non è NOME: VALORE; scrivi su ogni riga"},
		{"pair twice", "endpoint.labels=a:b%0aa:c", "map[key:old labels:a:b\na:c token:abc url:https://a.example]", `endpoint.labels: il nome "a" compare due volte; togline uno`},
		{"twice", "endpoint.text=a&endpoint.text=b", "map[key:old token:abc url:https://a.example]", "endpoint.text: è stato inviato più di una volta"},
		{"box off", "endpoint.quiet=off", "map[key:old quiet:false token:abc url:https://a.example]", ""},
		{"box on", "endpoint.quiet=off&endpoint.quiet=on", "map[key:old quiet:true token:abc url:https://a.example]", ""},
		{"stranger", "endpoint.urll=x", "map[key:old token:abc url:https://a.example]", `endpoint.urll: parametro sconosciuto; intendevi "url"?`},
		{"not UTF-8", "endpoint.text=%ff", "map[key:old text:\ufffd token:abc url:https://a.example]", ""},
	} {
		values, err := url.ParseQuery(tc.form)
		if err != nil {
			t.Fatal(err)
		}
		params, problems := p.ParseForm("endpoint", "it", values, good)
		if got := fmt.Sprint(params); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		lines, want := strings.Split(text(problems), "\n"), strings.Split(tc.problems, "\n")
		if len(lines) != len(want) {
			t.Errorf("%s: %q", tc.name, lines)
			continue
		}
		for i := range lines {
			if !strings.Contains(lines[i], want[i]) {
				t.Errorf("%s: %q, want %q", tc.name, lines[i], want[i])
			}
		}
	}
	// A form with problems shows what was typed.
	values := url.Values{"endpoint.port": {"8o"}, "endpoint.labels": {"x"}}
	params, problems := p.ParseForm("endpoint", "it", values, good)
	page := form(t, p, "endpoint", plugin.FormInput{Locale: "it", Values: params, Problems: problems})
	for _, want := range []string{`value="8o"`, "\nx</textarea>", `<p>2 campi non vanno ancora bene:</p>`, "&#34;8o&#34; non è un numero intero."} {
		if !strings.Contains(page, want) {
			t.Errorf("lacks %s\n%s", want, page)
		}
	}
}

// TestPage looks at what a browser is told to allow.
func TestPage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"webhook", "telegram", "shell"} {
		p := firstParty(t, name)
		for _, part := range []string{"endpoint", "recipient"} {
			b, err := p.Page(part, plugin.FormInput{Locale: "it"})
			if err != nil {
				t.Fatal(err)
			}
			page := string(b)
			_, rest, _ := strings.Cut(page, "<style>")
			style, body, ok := strings.Cut(rest, "</style>")
			sum := sha256.Sum256([]byte(style))
			policy := `content="default-src 'none'; style-src 'sha256-` + base64.StdEncoding.EncodeToString(sum[:]) + `'; form-action 'none'; base-uri 'none'"`
			for _, want := range []string{policy, `<html lang="it">`, `<meta name="viewport" content="width=device-width, initial-scale=1">`} {
				if !ok || !strings.Contains(page, want) {
					t.Errorf("%s: the page lacks %s", name, want)
				}
			}
			for _, bad := range []string{"<script", "style=", "src=", "onclick", "http-equiv=\"refresh"} {
				if strings.Contains(body, bad) {
					t.Errorf("%s: the page has %s", name, bad)
				}
			}
			for _, f := range p.Fields("it") {
				if f.Part == part && (!strings.Contains(page, `name="`+f.Path()+`"`) || !strings.Contains(page, html.EscapeString(f.Title))) {
					t.Errorf("%s: the page lacks %s", name, f.Path())
				}
			}
			if strings.Contains(page, "<strong>webhook_url</strong>") {
				t.Error("the guide names a parameter by its key")
			}
		}
	}
}

func BenchmarkForm(b *testing.B) {
	p := parse(b, withForm(""))
	in := plugin.FormInput{Locale: "it", Values: map[string]any{"url": "https://a.example", "token": "abc", "names": []any{"a", "b"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Form("endpoint", in); err != nil {
			b.Fatal(err)
		}
	}
}
