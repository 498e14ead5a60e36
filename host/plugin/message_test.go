package plugin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// withMessage is a good package with a message format and a template.
func withMessage(format, tmpl string) plugin.Parts {
	parts := goodParts()
	parts.Manifest = []byte(goodManifest + "[message]\nformat = \"" + format + "\"\n")
	if tmpl != "" {
		parts.Templates = map[string][]byte{"message.tmpl": []byte(tmpl)}
	}
	return parts
}

func sample(tb testing.TB, name string) *pdk.Alert {
	tb.Helper()
	for _, s := range plugin.Samples() {
		if s.Name == name {
			return &s.Alert
		}
	}
	tb.Fatalf("there is no sample %q", name)
	return nil
}

func render(tb testing.TB, p *plugin.Package, a *pdk.Alert, locale string, plain bool) plugin.Text {
	tb.Helper()
	t, err := p.Render(a, locale, plain)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestTelegramMessages(t *testing.T) {
	t.Parallel()
	p := firstParty(t, "telegram")
	got := render(t, p, sample(t, "flow, certificate expired"), "en", false)
	differ(t, got.Subject, "[Error] TLS certificate expired - 192.0.2.17 → www.example.org")
	differ(t, got.Text, `🟠 <b>TLS certificate expired</b>
<i>Error</i> · score 100

The certificate of www.example.org expired 12 days ago

<code>192.0.2.17:51324</code> → <code>198.51.100.7:443</code>
<code>www.example.org</code> · TLS · TCP · ↑ 2.3 kB ↓ 48.2 kB
CN=www.example.org
2026-03-14 09:26:53 UTC · eth0

💡 <b>What to do:</b> Renew the certificate on the server, or find out who else answers under its name.`)

	p.Zone = time.FixedZone("CET", 3600)
	got = render(t, p, sample(t, "host, ends"), "it-IT", false)
	differ(t, got.Subject, "[Critico] Terminato: Port scan - printer-3")
	differ(t, got.Text, `✅ <b>Port scan</b>
<i>Critico</i> · punteggio 200 · Terminato

192.0.2.66 tries few ports again

<code>192.0.2.66</code> (attaccante) · printer-3 · <code>02:00:5e:10:00:42</code>
misurato 512, limite 256
2026-03-14 10:26:53 CET · durata 7 min 5 s · eth0`)

	got = render(t, p, sample(t, "interface, starts"), "en", true)
	differ(t, got.Text, "🟡 Packet drops\nWarning · score 50 · Started\n\n4.1% of the packets were dropped\n\n2026-03-14 10:26:53 CET · eth0")
}

func TestEscaping(t *testing.T) {
	t.Parallel()
	const value = "a<b>&\"'`*_[x](y)|~\\ @everyone\r\n\x1b[31m\u202egnp\xff"
	for _, tc := range []struct{ format, want string }{
		{"text", "a<b>&\"'`*_[x](y)|~\\ @everyone  [31mgnp\ufffd"},
		{"html", "a&lt;b&gt;&amp;&#34;&#39;`*_[x](y)|~\\ @everyone  [31mgnp\ufffd"},
		{"basic_html", "a&lt;b&gt;&amp;\"'`*_[x](y)|~\\ @everyone  [31mgnp\ufffd"},
		{"markdown", "a\\<b\\>\\&\"'\\`\\*\\_\\[x\\](y)\\|\\~\\\\ @\u200beveryone  \\[31mgnp\ufffd"},
		{"basic_markdown", "a＜b＞＆\"'ˋ\u2217_[x］(y)|~\\ @\u200beveryone  [31mgnp\ufffd"},
		{"mrkdwn", "a&lt;b&gt;&amp;\"'`*_[x](y)|~\\ @\u200beveryone  [31mgnp\ufffd"},
		{"json", `a\u003cb\u003e\u0026\"'` + "`*_[x](y)|~\\\\ @everyone  [31mgnp\ufffd"},
	} {
		// Values are escaped wherever they come from: a field, a variable, a function, another template.
		p := parse(t, withMessage(tc.format, `{{define "t"}}{{.}}{{end}}{{define "text"}}{{.message}};{{$x := print .message}}{{$x}};`+
			`{{with .message}}{{.}}{{end}};{{template "t" .message}}{{end}}`))
		got := render(t, p, &pdk.Alert{Message: value, Title: "t", Severity: "error", Action: "store"}, "en", false)
		differ(t, got.Text, strings.Repeat(tc.want+";", 3)+tc.want)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	const tmpl = "{{define \"text\"}}{{bold .title}}|{{italic .title}}|{{code .title}}|{{link .title .info}}|{{bold .name}}|{{bold .score}}{{end}}"
	a := &pdk.Alert{Title: "a<`b", Info: "https://x.example/?a=1&b=2", Score: 7}
	for _, tc := range []struct{ format, want string }{
		{"text", "a<`b|a<`b|a<`b|a<`b https://x.example/?a=1&b=2||7"},
		{"html", "<b>a&lt;`b</b>|<i>a&lt;`b</i>|<code>a&lt;`b</code>|<a href=\"https://x.example/?a=1&amp;b=2\">a&lt;`b</a>||<b>7</b>"},
		{"markdown", "**a\\<\\`b**|*a\\<\\`b*|`a<ˋb`|[a\\<\\`b](<https://x.example/?a=1&b=2>)||**7**"},
		{"basic_markdown", "**a＜ˋb**|a＜ˋb|`a＜ˋb`|[a＜ˋb](https://x.example/?a=1&b=2)||**7**"},
		{"mrkdwn", "*a&lt;`b*|_a&lt;`b_|`a&lt;ˋb`|<https://x.example/?a=1&amp;b=2|a&lt;`b>||*7*"},
	} {
		p := parse(t, withMessage(tc.format, tmpl))
		differ(t, render(t, p, a, "en", false).Text, tc.want)
		differ(t, render(t, p, a, "en", true).Text, "a<`b|a<`b|a<`b|a<`b https://x.example/?a=1&b=2||7")
	}
	p := parse(t, withMessage("html", `{{define "text"}}{{link .title .info}}{{end}}`))
	for _, bad := range []string{"javascript:alert(1)", "//x", "https://x.example/\" onclick=\"y", "https://", "\x00"} {
		differ(t, render(t, p, &pdk.Alert{Title: "t", Info: bad}, "en", false).Text, "t")
	}
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`bytes 0`: "0 B", `bytes 999`: "999 B", `bytes 1000`: "1 kB", `bytes 12345`: "12.3 kB", `bytes 999949`: "1 MB", `bytes 1500000000`: "1.5 GB",
		`count 123456`: "123k", `number 1234.5678`: "1234.57", `number 3`: "3", `number -0.5`: "-0.5",
		`duration 0`: "0 s", `duration 61`: "1 min 1 s", `duration 3600`: "1 h", `duration 90061`: "1 d 1 h",
		`datetime 0`: "1970-01-01 00:00:00 UTC", `clock 61`: "00:01:01",
		`addr "::1" 53`: "[::1]:53", `addr "192.0.2.1" 0`: "192.0.2.1", `addr "" 7`: "",
		`severity "warning"`: "Warning", `severity "odd"`: "odd", `category "other"`: "Other", `entity "snmp_device"`: "SNMP device",
		`emoji "critical"`: "🔴", `emoji "critical" "release"`: "✅", `emoji "x"`: "⚪",
		`short 5 "abcdefgh"`: "abcd…", `lower "AbC"`: "abc", `upper "x"`: "X", `default "none" .name`: "none", `default "none" "a"`: "a",
		`add 1 2`: "3", `sub 5 7`: "-2", `print "a" 1 2.5 true`: "a12.5true", `len .message`: "0", `index .bytes 1`: "0", `slice "abcdef" 1 3`: "bc",
		`T "plugin.title"`: "Example", `T "when.lasted" "For" "2 h"`: "lasted 2 h", `eq .action ""`: "true",
	} {
		p := parse(t, withMessage("text", `{{define "text"}}{{`+expr+`}}{{end}}`))
		if got := render(t, p, &pdk.Alert{}, "en", false).Text; got != want {
			t.Errorf("{{%s}} gives %q, want %q", expr, got, want)
		}
	}
	p := parse(t, withMessage("json", `{{define "text"}}{"text": "{{.message}}", "all": {{json .bytes}}, "t": {{json .title}}}{{end}}`))
	text := render(t, p, sample(t, "hostile and far too long"), "en", false).Text
	var v struct{ Text, T string }
	if err := json.Unmarshal([]byte(text), &v); err != nil || !strings.HasPrefix(v.Text, "<b>") {
		t.Errorf("JSON: %v", err)
	}
	if plain := render(t, p, sample(t, "MAC address"), "en", true).Text; strings.Contains(plain, "{") || !strings.Contains(plain, "New device") {
		t.Errorf("plain text of a JSON template: %q", plain)
	}
}

// TestBadTemplates has what authors get wrong; each message names file and line and says what to do.
func TestBadTemplates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, format, tmpl, want string }{
		{"syntax", "text", "{{define \"text\"}}\n{{if .x}}", "templates/message.tmpl:2: unexpected EOF"},
		{"field", "text", "{{define \"text\"}}\n\n{{.mesage}}{{end}}", `templates/message.tmpl:3: an alert has no field "mesage"; did you mean "message"?`},
		{"unknown field", "text", "{{define \"text\"}}{{.qqq}}{{end}}", `an alert has no field "qqq"; the fields are action, advice, alert_id`},
		{"unknown function", "text", "{{define \"text\"}}\n{{env \"HOME\"}}{{end}}", `templates/message.tmpl:2: function "env" not defined`},
		{"forbidden function", "text", "{{define \"text\"}}\n{{printf \"%0999999d\" 1}}{{end}}", "templates/message.tmpl:2: the function printf cannot be used; there are T, action"},
		{"forbidden in parentheses", "text", "{{define \"text\"}}{{len (html .title)}}{{end}}", "the function html cannot be used"},
		{"the host's own function", "text", "{{define \"text\"}}{{_escape .title}}{{end}}", "the function _escape cannot be used"},
		{"text nobody wrote", "text", "{{define \"text\"}}{{T \"plugin.titel\"}}{{end}}", `the text "plugin.titel" is not in locales/en.toml; did you mean "plugin.title"?`},
		{"text chosen at run time", "text", "{{define \"text\"}}{{T (print \"x.\" .severity)}}{{end}}", `there is no text "x.error" in locales/en.toml`},
		{"outside", "text", "Hello {{.title}}\n{{define \"text\"}}x{{end}}", "templates/message.tmpl:1: this stands outside all blocks and would never be sent"},
		{"empty", "text", "{{define \"text\"}}{{if false}}x{{end}}{{end}}", "templates/message.tmpl: the message is empty (sample \"flow, certificate expired\" in en)"},
		{"own markup", "html", "{{define \"text\"}}\n<b>{{.title}}</b>{{end}}", "templates/message.tmpl:2: the template writes markup itself, so it cannot be sent as plain text"},
		{"tags that do not match", "html", "{{define \"plain\"}}x{{end}}{{define \"text\"}}<b><i>x</b></i>{{end}}", "</b> closes nothing"},
		{"tag left open", "basic_html", "{{define \"plain\"}}x{{end}}{{define \"text\"}}<b>x{{end}}", "<b> is not closed"},
		{"tag that Telegram refuses", "basic_html", "{{define \"plain\"}}x{{end}}{{define \"text\"}}<p>x</p>{{end}}", "the service does not take the element <p>"},
		{"no JSON", "json", "{{define \"text\"}}{\"a\": {{.message}}}{{end}}", "the message is no valid JSON; values stand in quotes"},
		{"wrong argument", "text", "{{define \"text\"}}{{bytes .title}}{{end}}", `want a number, got "TLS certificate expired"`},
		{"endless recursion", "text", "{{define \"a\"}}{{template \"a\" .}}{{end}}{{define \"text\"}}{{template \"a\" .}}{{end}}", "the template takes more than "},
		{"doubling recursion", "text", "{{define \"a\"}}{{if .}}{{template \"a\" .}}{{template \"a\" .}}{{end}}{{end}}{{define \"text\"}}{{template \"a\" .}}{{end}}", "the template takes more than "},
		{"endless loop", "text", "{{define \"text\"}}{{range 1000000000}}{{end}}{{end}}", "the template takes more than "},
		{"doubling text", "text", "{{define \"text\"}}{{$x := \"aaaaaaaa\"}}{{range 100}}{{$x = print $x $x}}{{end}}{{$x}}{{end}}", "a text in the template is larger than 65536 bytes"},
		{"huge output", "text", "{{define \"text\"}}{{$x := \"aaaaaaaa\"}}{{range 12}}{{$x = print $x $x}}{{end}}{{range 100}}{{$x}}{{end}}{{end}}", "the message is larger than 1048576 bytes"},
		{"huge file", "text", "{{/*" + strings.Repeat("x", 70000) + "*/}}", "has 70008 bytes; it may have 65536 at most"},
	} {
		if got := check(t, withMessage(tc.format, tc.tmpl)); !strings.Contains(got, tc.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
	parts := goodParts()
	parts.Templates = map[string][]byte{"endpoint.html": []byte("{{if}}")}
	if got := check(t, parts); !strings.Contains(got, "templates/endpoint.html:1: missing value for if") {
		t.Error(got)
	}
}

// TestDefaultMessage has no template of its own at all.
func TestDefaultMessage(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "html", "basic_html", "markdown", "basic_markdown", "mrkdwn"} {
		parts := withMessage(format, "")
		differ(t, check(t, parts), "")
		if got := render(t, parse(t, parts), sample(t, "MAC address"), "en", true).Text; !strings.HasPrefix(got, "🔵 New device · Notice\n") {
			t.Errorf("%s: %q", format, got)
		}
	}
}

var tags = regexp.MustCompile(`<[^>]*>`)

func TestLengthLimit(t *testing.T) {
	t.Parallel()
	measure := map[string]func(string) int{
		"runes": utf8.RuneCountInString, "bytes": func(s string) int { return len(s) },
		"utf16": func(s string) int { return len(utf16.Encode([]rune(s))) },
	}
	for _, format := range []string{"text", "basic_html", "markdown", "basic_markdown", "mrkdwn"} {
		for unit, count := range measure {
			for _, limit := range []int{200, 1000} {
				parts := withMessage(format, "")
				parts.Manifest = fmt.Appendf(parts.Manifest, "unit = %q\nmax_length = %d\n", unit, limit)
				p := parse(t, parts)
				for _, s := range plugin.Samples() {
					text := render(t, p, &s.Alert, "it", false).Text
					if format == "basic_html" {
						text = html.UnescapeString(tags.ReplaceAllString(text, ""))
					}
					n := count(text)
					if n > limit || !utf8.ValidString(text) {
						t.Errorf("%s, %s, %q: %d of %d", format, unit, s.Name, n, limit)
					}
					if s.Name == "hostile and far too long" && (n < limit*3/4 || !strings.Contains(text, "…")) {
						t.Errorf("%s, %s: only %d of %d are used: %q", format, unit, n, limit, text)
					}
				}
			}
		}
	}
	// A message that just fits is left alone; one more character shortens it by two and adds the ellipsis.
	parts := withMessage("basic_html", `{{define "text"}}{{bold .title}}: {{.message}}{{end}}`)
	parts.Manifest = append(parts.Manifest, "max_length = 64\n"...)
	p := parse(t, parts)
	a := pdk.Alert{Title: "T", Message: strings.Repeat("&", 61), Info: strings.Repeat("x", 5000), Action: "store"}
	differ(t, render(t, p, &a, "en", false).Text, "<b>T</b>: "+strings.Repeat("&amp;", 61))
	a.Message += "&"
	differ(t, render(t, p, &a, "en", false).Text, "<b>T</b>: "+strings.Repeat("&amp;", 60)+"…")
	// Nothing is cut between a letter and its accent.
	a.Message = strings.Repeat("e\u0301", 40)
	if got := render(t, p, &a, "en", false).Text; !strings.HasSuffix(got, "e\u0301…") {
		t.Errorf("%q", got)
	}
	// A template that does not fit even without the alert is found when the package is checked.
	parts = withMessage("text", `{{define "text"}}`+strings.Repeat("long ", 20)+`{{.message}}{{end}}`)
	parts.Manifest = append(parts.Manifest, "max_length = 64\n"...)
	if got := check(t, parts); !strings.Contains(got, `block "text" has 99 characters even without the alert's texts; it may have 64`) {
		t.Error(got)
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	p := firstParty(t, "webhook")
	subject, text, err := p.Compose(sample(t, "user").Raw, "en", false)
	if err != nil || subject != "[Warning] Login failed - eth0" || !strings.HasPrefix(text, "🟡 Warning: Login failed\n") {
		t.Errorf("%q, %q, %v", subject, text, err)
	}
	if _, _, err := p.Compose([]byte("{"), "en", false); err == nil || !strings.Contains(err.Error(), "plug-in webhook: the alert is no valid JSON") {
		t.Error(err)
	}
	// An alert that a template fails on gives a typed error.
	parts := withMessage("text", `{{define "text"}}{{index .bytes .score}}{{end}}`)
	_, err = parse(t, parts).Render(&pdk.Alert{Score: 5}, "en", false)
	var te *plugin.TemplateError
	if !errors.As(err, &te) || te.Problem.Line != 1 || te.Plugin != "example" {
		t.Errorf("%v", err)
	}
}

// TestConcurrentRender shares one package between goroutines, as deliveries do.
func TestConcurrentRender(t *testing.T) {
	t.Parallel()
	p := firstParty(t, "telegram")
	want := map[string]string{}
	for _, s := range plugin.Samples() {
		want[s.Name] = render(t, p, &s.Alert, "it", false).Text
	}
	done := make(chan string)
	for range 8 {
		go func() {
			for _, s := range plugin.Samples() {
				if got, err := p.Render(&s.Alert, "it", false); err != nil || got.Text != want[s.Name] {
					done <- s.Name
					return
				}
			}
			done <- ""
		}()
	}
	for range 8 {
		if name := <-done; name != "" {
			t.Errorf("%s came out differently", name)
		}
	}
}

func FuzzRender(f *testing.F) {
	f.Add("message <b>", "info", "host\x1b.example", `{{define "text"}}{{bold .title}} {{.message}}{{end}}`, uint8(1))
	f.Add("&amp;", "\xff", "`", `{{define "text"}}{{range .bytes}}{{.}}{{end}}{{template "parties" .}}{{end}}`, uint8(2))
	f.Add("", "", "", `{{define "a"}}{{template "a" .}}{{end}}{{define "text"}}{{template "a" .}}{{end}}`, uint8(3))
	f.Add("", "", "", `{{define "text"}}{{range $i, $x := .bytes}}{{break}}{{end}}{{with $y := print .info}}{{$y | code | bold}}{{end}}{{end}}`, uint8(4))
	formats := []string{"text", "html", "basic_html", "markdown", "mrkdwn", "json", "basic_markdown"}
	f.Fuzz(func(t *testing.T, message, info, hostname, tmpl string, format uint8) {
		parts := withMessage(formats[int(format)%len(formats)], tmpl)
		parts.Manifest = append(parts.Manifest, "max_length = 500\n"...)
		b, err := plugin.Pack(tiny, parts)
		if err != nil {
			t.Skip("too large")
		}
		p, err := plugin.Parse("f", b)
		if err != nil {
			return
		}
		a := pdk.Alert{Message: message, Info: info, Hostname: hostname, Client: "192.0.2.1", Server: "192.0.2.2", Action: "store"}
		for _, plain := range []bool{false, true} {
			text, err := p.Render(&a, "it", plain)
			if err != nil {
				continue
			}
			if strings.ContainsAny(text.Subject, "\n\r") || utf8.RuneCountInString(text.Subject) > 250 {
				t.Fatalf("subject %q", text.Subject)
			}
			if plain && utf8.RuneCountInString(text.Text) > 500 {
				t.Fatalf("%d characters", utf8.RuneCountInString(text.Text))
			}
		}
	})
}

// FuzzEscape puts hostile values in the host's own template and looks at what comes out of each format.
func FuzzEscape(f *testing.F) {
	for _, s := range plugin.Samples() {
		f.Add(s.Alert.Title, s.Alert.Hostname, s.Alert.Info)
	}
	f.Add("</b>", "`", "\x00\n\u2028\u202e\xff")
	f.Add("&lt;script>", "<!--", "]]>")
	htm := parse(f, withMessage("basic_html", ""))
	plain := parse(f, withMessage("text", `{{define "text"}}{{.title}}|{{.hostname}}|{{.info}}{{end}}`))
	js := parse(f, withMessage("json", `{{define "text"}}["{{.title}}", "{{code .hostname}}", {{json .info}}, "{{link .title .info}}"]{{end}}`))
	f.Fuzz(func(t *testing.T, title, hostname, info string) {
		a := pdk.Alert{Title: title, Hostname: hostname, Info: info, Client: title, Server: hostname, Severity: "error", Action: "store"}
		text := render(t, htm, &a, "en", false).Text
		if left := goodTags.ReplaceAllString(text, ""); strings.ContainsAny(left, "<>") || badEntity.MatchString(left) {
			t.Fatalf("a value got through: %q", text)
		}
		text = render(t, js, &a, "en", false).Text
		var list [4]string
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatalf("no JSON: %v: %q", err, text)
		}
		text = render(t, plain, &a, "en", false).Text
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u202e' || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("control characters got through: %q", text)
		}
	})
}

var (
	goodTags  = regexp.MustCompile(`</?(b|code)>`)
	badEntity = regexp.MustCompile(`&(?:[^alg]|$)`)
)

func BenchmarkRender10(b *testing.B) {
	p := firstParty(b, "telegram")
	samples := plugin.Samples()[:10]
	b.ReportAllocs()
	for b.Loop() {
		for i := range samples {
			if _, err := p.Render(&samples[i].Alert, "it", false); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkRenderTooLong(b *testing.B) {
	p := firstParty(b, "telegram")
	a := sample(b, "hostile and far too long")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Render(a, "it", false); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLinkBack looks for the link of an alert in the line that says when, in the ways of writing links that there are.
func TestLinkBack(t *testing.T) {
	t.Parallel()
	a := sample(t, "flow, certificate expired")
	a.Link = "https://siem.example/?id=1&ip=192.0.2.17"
	for format, want := range map[string]string{
		"text":       "eth0 · details https://siem.example/?id=1&ip=192.0.2.17",
		"html":       `eth0 · <a href="https://siem.example/?id=1&amp;ip=192.0.2.17">details</a>`,
		"basic_html": `eth0 · <a href="https://siem.example/?id=1&amp;ip=192.0.2.17">details</a>`,
		"mrkdwn":     "eth0 · <https://siem.example/?id=1&amp;ip=192.0.2.17|details>",
		"markdown":   "eth0 · [details](<https://siem.example/?id=1&ip=192.0.2.17>)",
	} {
		if got := render(t, parse(t, withMessage(format, "")), a, "en", false).Text; !strings.Contains(got, want) {
			t.Errorf("%s: no %s in %s", format, want, got)
		}
	}
	a.Link = "javascript:alert(1)"
	if got := render(t, parse(t, withMessage("html", "")), a, "en", false).Text; strings.Contains(got, "javascript") {
		t.Errorf("a link that is none: %s", got)
	}
}
