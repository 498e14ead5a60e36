package plugin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// TestEveryPhraseInEveryLanguage holds the host's own texts complete: the same keys, with the same blanks, in each language, and
// a text for each code.
func TestEveryPhraseInEveryLanguage(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("builtin", "phrases", "*.toml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	blank := regexp.MustCompile(`\{\{\.\w+\}\}`)
	texts := map[string]map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var tree map[string]any
		if err := toml.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		texts[file] = map[string]string{}
		flatten("", tree, texts[file])
	}
	english := texts[files[slices.IndexFunc(files, func(f string) bool { return strings.HasSuffix(f, "en.toml") })]]
	for file, own := range texts {
		for key, text := range english {
			if own[key] == "" {
				t.Errorf("%s lacks %s", file, key)
				continue
			}
			want, got := blank.FindAllString(text, -1), blank.FindAllString(own[key], -1)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(want, got) {
				t.Errorf("%s: %s has the blanks %v, in English %v", file, key, got, want)
			}
		}
		for key := range own {
			if english[key] == "" {
				t.Errorf("%s: %s is not in English", file, key)
			}
		}
		for _, code := range plugin.Codes() {
			if own["problem."+code+".text"] == "" {
				t.Errorf("%s has no text for the code %s", file, code)
			}
		}
	}
	for key := range english {
		code, _, _ := strings.Cut(strings.TrimPrefix(key, "problem."), ".")
		if strings.HasPrefix(key, "problem.") && !slices.Contains(plugin.Codes(), code) {
			t.Errorf("nothing says %s", key)
		}
	}
}

func flatten(prefix string, tree map[string]any, out map[string]string) {
	for k, v := range tree {
		if sub, ok := v.(map[string]any); ok {
			flatten(prefix+k+".", sub, out)
			continue
		}
		out[prefix+k], _ = v.(string)
	}
}

func TestLintInItalian(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.Locales = map[string][]byte{"it.toml": []byte(`
[endpoint.url]
title = "Indirizzo"
hint = "scrivi https://..."
[endpoint.token]
help = "Il token del bot."
title = "Gettone"
[recipient.names]
title = "Nomi"
`)}
	p := parse(t, parts)
	good := map[string]any{"url": "https://a.example", "token": "secret"}
	with := func(k string, v any) map[string]any {
		return map[string]any{"url": "https://a.example", "token": "secret", k: v}
	}
	for _, tc := range []struct {
		endpoint, recipient map[string]any
		want                string
	}{
		{good, map[string]any{}, ""},
		{nil, nil, "endpoint.url: manca; scrivi https://...\nendpoint.token: manca; è obbligatorio: Il token del bot."},
		{with("mode", 7), nil, "endpoint.mode: dev'essere testo, ma è un numero; mettilo tra virgolette"},
		{with("port", "443"), nil, "endpoint.port: dev'essere un numero intero, ma è testo; scrivilo senza virgolette"},
		{with("mode", "strem"), nil, `endpoint.mode: "strem" è sconosciuto; intendevi "stream"?`},
		{with("mode", "x"), nil, `endpoint.mode: "x" è sconosciuto; dev'essere uno di questi: index, stream`},
		{with("port", 0), nil, "endpoint.port: è 0; dev'essere almeno 1"},
		{with("ratio", 0), nil, "endpoint.ratio: è 0; dev'essere maggiore di 0"},
		{with("token", "S3CRET!"), nil, "endpoint.token: il valore non va bene; deve corrispondere a ^[a-z]+$"},
		{with("url", "ftp://x:y@a"), nil, "endpoint.url: il valore non va bene; scrivi https://..."},
		{with("urll", 1), nil, `endpoint.urll: parametro sconosciuto; intendevi "url"?`},
		{good, map[string]any{"names": []any{}}, "recipient.names: ha 0 voci; deve averne almeno 1"},
		{good, map[string]any{"names": []any{"toolong"}}, "recipient.names[0]: ha 7 caratteri; può averne al massimo 5"},
		{good, map[string]any{"names": []any{"a", "a"}}, "recipient.names: le voci 1 e 2 sono uguali; togline una"},
		{good, map[string]any{"token": "x"}, "recipient.token: parametro sconosciuto; appartiene a: endpoint"},
	} {
		differ(t, text(p.LintParams("it-CH", tc.endpoint, tc.recipient)), tc.want)
	}
	bad := p.LintParams("it", with("port", 0), map[string]any{"names": []any{"toolong"}})
	if len(bad) != 2 || bad[0].Code != "minimum" || bad[1].Code != "max_length" || bad[1].Title != "Nomi" {
		t.Errorf("%+v", bad)
	}
	differ(t, bad[0].Named(), "port è 0; dev'essere almeno 1")
	differ(t, bad[1].Named(), "names[0] (Nomi) ha 7 caratteri; può averne al massimo 5")
	// A language that nobody speaks here is English, and Schema.Lint always is.
	differ(t, text(p.LintParams("tlh", nil, nil)), text(p.Lint.Lint(nil, nil)))
}

// TestEveryKindOfMistake goes through the keywords that the tests above leave out.
func TestEveryKindOfMistake(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		property, english, italian string
		value                      any
	}{
		{`"type": "string", "const": "a"`, `must be "a"`, `dev'essere "a"`, "b"},
		{`"type": "number", "multipleOf": 5`, "is 7; it must be a multiple of 5", "è 7; dev'essere un multiplo di 5", 7},
		{`"type": "number", "exclusiveMaximum": 5`, "is 7; it must be less than 5", "è 7; dev'essere minore di 5", 7},
		{`"type": "array", "contains": {"const": 1}`, "lacks an entry that it must have", "manca una voce obbligatoria", []any{2}},
		{`"type": "array", "maxItems": 1`, "has 2 entries; it may have 1 at most", "ha 2 voci; può averne al massimo 1", []any{1, 2}},
		{`"type": "string", "not": {"const": "a"}`, "is not right; the parameter's help says what it takes", "non va bene; la descrizione del parametro dice che cosa accetta", "a"},
		{`"type": "string", "minLength": 2`, "has 1 characters; it must have 2 at least", "ha 1 caratteri; deve averne almeno 2", "a"},
		{`"type": "string", "minLength": 2`, "is empty; write a value or leave it out", "è vuoto; scrivi un valore oppure toglilo", ""},
		{`"type": "string", "format": "email"`, `"x" is not right; it must be a valid email`, `"x" non va bene; il formato dev'essere email`, "x"},
	} {
		parts := goodParts()
		parts.Manifest = []byte(strings.Replace(goodManifest, "{endpoint.url}", "a.example", 1))
		parts.Lint = []byte(`{"properties": {"endpoint": {"properties": {"a": {"title": "A", "description": "A.", ` + tc.property + `}}}, "recipient": {}}}`)
		p := parse(t, parts)
		differ(t, text(p.LintParams("en", map[string]any{"a": tc.value}, nil)), "endpoint.a: "+tc.english)
		differ(t, text(p.LintParams("it", map[string]any{"a": tc.value}, nil)), "endpoint.a: "+tc.italian)
	}
}
