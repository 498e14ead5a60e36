package plugin_test

import (
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

func withLocales(tmpl string, files map[string]string) plugin.Parts {
	parts := withMessage("text", tmpl)
	parts.Locales = map[string][]byte{}
	for name, text := range files {
		parts.Locales[name] = []byte(text)
	}
	return parts
}

func TestLocales(t *testing.T) {
	t.Parallel()
	parts := withLocales(`{{define "text"}}{{T "hello" "Name" .title}}/{{T "only.english"}}/{{T "hosts" "Count" .score}}/{{severity "error"}}{{end}}`,
		map[string]string{
			"en.toml":    "hello = \"Hello {{.Name}}\"\n[only]\nenglish = \"English\"\n[hosts]\none = \"{{.Count}} host\"\nother = \"{{.Count}} hosts\"\n",
			"it.toml":    "hello = \"Ciao {{ .Name }}\"\nplugin.about = \"Manda.\"\n[hosts]\ndescription = \"plural\"\none = \"{{.Count}} host solo\"\nother = \"{{.Count}} host\"\n[severity]\nerror = \"ERRORE\"\n",
			"pt-BR.toml": "hello = \"Oi\"\n",
		})
	differ(t, check(t, parts), "locales/it.toml: warning: does not have these texts, which will be in English: plugin.help, endpoint.url.title, "+
		"endpoint.url.help, endpoint.url.hint, endpoint.token.title, endpoint.token.help, endpoint.mode.title, endpoint.mode.help, endpoint.port.title, "+
		"endpoint.port.help and 7 more\nlocales/pt-BR.toml: warning: does not have these texts, which will be in English: plugin.about, plugin.help, "+
		"endpoint.url.title, endpoint.url.help, endpoint.url.hint, endpoint.token.title, endpoint.token.help, endpoint.mode.title, endpoint.mode.help, "+
		"endpoint.port.title and 9 more")
	p := parse(t, parts)
	for locale, want := range map[string]string{
		"en": "Hello {{.Name}}/English/1 host/Error", "it": "Ciao {{.Name}}/English/1 host solo/ERRORE", "it-CH": "Ciao {{.Name}}/English/1 host solo/ERRORE",
		"pt-BR": "Oi/English/1 host/Error", "fr": "Hello {{.Name}}/English/1 host/Error", "": "Hello {{.Name}}/English/1 host/Error", "?!": "Hello {{.Name}}/English/1 host/Error",
	} {
		// The value looks like a blank and must stay a value.
		if got := render(t, p, &pdk.Alert{Title: "{{.Name}}", Score: 1}, locale, false).Text; got != want {
			t.Errorf("%q: %q, want %q", locale, got, want)
		}
	}
	if got := render(t, p, &pdk.Alert{Title: "x", Score: 2}, "it", false).Text; !strings.Contains(got, "/2 host/") {
		t.Errorf("plural: %q", got)
	}
	if about, _ := p.Describe("it"); about != "Manda." {
		t.Errorf("description %q", about)
	}
	differ(t, strings.Join(p.Languages(), " "), "en it pt-BR")
}

func TestBadLocales(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, text, want string }{
		{"syntax", "en.toml", "a = ", "locales/en.toml:1: "},
		{"not in English", "it.toml", "plugin.titl = \"x\"", `locales/it.toml:1: plugin.titl: the key is not in locales/en.toml; did you mean "plugin.title"?`},
		{"number", "en.toml", "[a]\nb = 7", "locales/en.toml:2: a.b: must be text in quotes"},
		{"empty", "en.toml", "a = \"\"", "locales/en.toml:1: a: is empty; write the text or remove the key"},
		{"program", "en.toml", "a = \"{{range 9}}x{{end}}\"", "locales/en.toml:1: a: only {{.Name}} may stand between braces in a text"},
		{"plural of a number", "en.toml", "[a]\nother = \"x\"\none = 1", "locales/en.toml:3: a.one: must be text in quotes"},
		{"no language", "english!.toml", "", "the name must be a language and .toml"},
		{"folder", "it/x.toml", "", "locales/it/x.toml: the name must be a language and .toml"},
		{"blank that nothing fills", "en.toml", "a = \"{{.Who}}\"", `the text "{{.Who}}" has a blank {{.Who}} that nothing is given for`},
	} {
		parts := withLocales(`{{define "text"}}{{T "plugin.title"}}{{end}}`, map[string]string{tc.file: tc.text})
		if tc.name == "blank that nothing fills" {
			parts.Templates["message.tmpl"] = []byte(`{{define "text"}}{{T "a"}}{{end}}`)
		}
		if got := check(t, parts); !strings.Contains(got, tc.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.Vectors = map[string][]byte{
		"good.json": []byte(`{"name": "x", "function": "render", "input": {}, "output": {}}`),
		"bad.json":  []byte(`{"function": "rendr"}`), "cut.json": []byte(`{`), "x.txt": nil,
	}
	differ(t, check(t, parts), `vectors/bad.json: the function "rendr" is unknown; it is one of render, classify, lint, probe
vectors/bad.json: the input is missing
vectors/cut.json:1: this is no test vector: unexpected end of JSON input
vectors/x.txt: a test vector is a file .json`)
}
