package egress

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// TestRedactForms plants a value in the forms in which services and errors quote what they were sent.
func TestRedactForms(t *testing.T) {
	s := NewSecrets()
	const value = `C4n4ry/"+&='é漢🔔\<end>`
	h := s.Add("v", value)
	s.Add("url", "https://u:passw0rd@hooks.example/services/T0000/B0000/Kx81jd72Hs9dk2Lq?key=q8s7d6f5g4")
	for name, text := range map[string]string{
		"itself": value, "placeholder": h, "hex": hex.EncodeToString([]byte(value)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(value))),
		"JSON": `C4n4ry/\"+&='é漢🔔\\<end>`, "Go's JSON": `C4n4ry/\"+\u0026='é漢🔔\\\u003cend\u003e`,
		"Python's JSON": `C4n4ry/\"+&='\u00e9\u6f22\ud83d\udd14\\<end>`, "PHP's JSON": `C4n4ry\/\"+&='\u00e9\u6f22\ud83d\udd14\\<end>`,
		"Go's quotes": `C4n4ry/\"+&='é漢🔔\\<end>`, "HTML": `C4n4ry/&#34;+&amp;=&#39;é漢🔔\&lt;end&gt;`, "PHP's HTML": `C4n4ry/&quot;+&amp;=&#039;é漢🔔\&lt;end&gt;`,
		"query": `C4n4ry%2F%22%2B%26%3D%27%C3%A9%E6%BC%A2%F0%9F%94%94%5C%3Cend%3E`, "query, small": `C4n4ry%2f%22%2b%26%3d%27%c3%a9%e6%bc%a2%f0%9f%94%94%5c%3cend%3e`,
		"URL's path": "/services/T0000/B0000/Kx81jd72Hs9dk2Lq", "URL's last part": "Kx81jd72Hs9dk2Lq", "URL's query": "key=q8s7d6f5g4",
		"URL's value": "q8s7d6f5g4", "URL's password": "passw0rd",
	} {
		if got := s.Redact("<<" + text + ">>"); strings.Contains(got, text) || !strings.Contains(got, "‹secret:") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for before := range 4 {
		text := base64.StdEncoding.EncodeToString([]byte("abcd"[:before] + value + "tail"))
		got := s.Redact(text)
		if core := text[8 : len(text)-12]; strings.Contains(got, core) {
			t.Errorf("base64 after %d bytes: %q", before, got)
		}
	}
}

// TestCutAnswers has a server whose answer is cut off within a secret, in each of its forms: no part of it may be left.
func TestCutAnswers(t *testing.T) {
	const limit = 1000
	x := newExecutor(t, Options{})
	sec := NewSecrets()
	sec.Add("token", canary)
	echoes := []string{canary, url.QueryEscape(canary), hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))}
	var body string
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	p := Policy{Grants: []Grant{grantTo(t, srv.URL)}, Secrets: sec, MaxResponse: limit}
	for _, echo := range echoes {
		for cut := range len(echo) + 2 {
			body = strings.Repeat("-", limit-cut) + echo + " and more"
			resp, terr := x.Do(t.Context(), &pdk.Request{HTTP: &pdk.HTTPRequest{Method: "GET", URL: srv.URL}}, p)
			if terr != nil || !resp.Truncated {
				t.Fatalf("%+v, %+v", resp, terr)
			}
			rest := strings.TrimSpace(strings.TrimPrefix(resp.Body, strings.Repeat("-", limit-cut)))
			if len(rest) >= minRedacted && !strings.HasPrefix(rest, "‹secret:token›") {
				t.Errorf("%s cut after %d bytes leaves %q", echo, cut, rest)
			}
		}
	}
}
