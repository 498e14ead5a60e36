package egress

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestRedactFindsEveryForm(t *testing.T) {
	s := NewSecrets()
	h := s.Add("token", canary)
	hook := "https://user:pa55word@hooks.example/services/T0/B0/abcdefgh?key=1234567890"
	s.Add("url", hook)
	s.Add("tiny", "e")
	quoted, err := json.Marshal(canary)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		canary, h, string(quoted), strconv.Quote(canary), url.PathEscape(canary), url.QueryEscape(canary),
		strings.ToLower(url.QueryEscape(canary)), hook, url.QueryEscape(hook),
		"dial hooks.example: GET /services/T0/B0/abcdefgh?key=1234567890", "/services/T0/B0/abcdefgh", "key=1234567890", "pa55word",
		base64.StdEncoding.EncodeToString([]byte(canary)), base64.URLEncoding.EncodeToString([]byte(canary)),
		"Basic " + base64.StdEncoding.EncodeToString([]byte("a:"+canary)), base64.StdEncoding.EncodeToString([]byte("me:" + canary + "x")),
	} {
		got := s.Redact("before " + text + " after")
		if !strings.Contains(got, "‹secret:") || strings.Contains(got, text) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%q became %q", text, got)
		}
	}
	if got := s.Redact("hooks.example answered"); got != "hooks.example answered" {
		t.Errorf("got %q", got)
	}
}

func TestSecretsNeverPrint(t *testing.T) {
	s := NewSecrets()
	s.Add("token", canary)
	p := Policy{Secrets: s}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secrets", s, "policy", p)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secrets", s, "policy", p)
	js, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(js) + fmt.Sprintf("%v %+v %#v %s %q %d %x %v %+v %#v", s, s, s, s, s, s, s, p, p, p)
	for _, leak := range append(forms(canary), fmt.Sprintf("%x", canary), placeholderPrefix) {
		if strings.Contains(all, leak) {
			t.Fatalf("%q got out: %s", leak, all)
		}
	}
	if s.Add("none", "") != "" || s.Len() != 1 {
		t.Error("an empty secret got a placeholder")
	}
	var none *Secrets
	if none.Redact("a") != "a" || none.Replace("a") != "a" || none.String() != "0 secrets" {
		t.Error("a nil set does not behave as an empty one")
	}
}

func FuzzSecrets(f *testing.F) {
	f.Add(canary, "text with ", "more")
	f.Add("https://a.example/path/to/secret", "/path/to/secret", "")
	f.Add("aaaa", "aaa", "a")
	f.Add("\x00\xff\n\"", "tocsin-secret-", "tocsin-secret-0123")
	f.Fuzz(func(t *testing.T, value, before, after string) {
		s := NewSecrets()
		h := s.Add("n", value)
		if value == "" {
			return
		}
		if got := s.Replace(before + h + after); !strings.Contains(before, h) && got != before+value+after {
			t.Fatalf("replaced %q: %q", before+h+after, got)
		}
		// A value that is part of the mark itself cannot be told from it.
		if len(value) < minRedacted || strings.Contains("‹secret:n›", value) || strings.ContainsAny(value, "‹›") || !isASCII(value) {
			return
		}
		red := s.Redact(before + value + after + h)
		if strings.Contains(red, value) || strings.Contains(red, h) {
			t.Fatalf("%q is still in %q", value, red)
		}
	})
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("plain", "s3cret\n", 0o600)
	write("crlf", "s3cret\r\n", 0o444)
	write("two", "s3cret\n\n", 0o600)
	write("empty", "\n", 0o600)
	write("large", strings.Repeat("s3cret", 20_000), 0o600)
	write("open", "s3cret", 0o666)
	t.Setenv("TOCSIN_T", "s3cret")
	t.Setenv("TOCSIN_E", "")
	for _, c := range []struct{ ref, want, says string }{
		{"literal", "literal", ""},
		{"", "", ""},
		{"file:plain", "s3cret", ""},
		{"file:" + filepath.Join(dir, "crlf"), "s3cret", ""},
		{"file:two", "s3cret\n", ""},
		{"env:TOCSIN_T", "s3cret", ""},
		{"env:TOCSIN_E", "", "is empty"},
		{"env:TOCSIN_NOT_SET", "", "is not set"},
		{"env:", "", "names no environment variable"},
		{"file:", "", "names no file"},
		{"file:missing", "", "does not exist"},
		{"file:empty", "", "is empty"},
		{"file:large", "", "is this the right file"},
		{"file:.", "", "not a regular file"},
		{"file:open", "", "chmod o-w"},
	} {
		if c.ref == "file:open" && runtime.GOOS == "windows" {
			continue
		}
		got, err := Resolve(c.ref, dir)
		if got != c.want || (err == nil) != (c.says == "") {
			t.Errorf("%s: got %q, %v", c.ref, got, err)
		}
		if err != nil && (!errors.Is(err, ErrReference) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.ref) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: %v", c.ref, err)
		}
	}
}

func BenchmarkRedact(b *testing.B) {
	s := NewSecrets()
	s.Add("token", canary)
	text := strings.Repeat("an answer of a service without any secret in it. ", 20)
	b.ReportAllocs()
	for b.Loop() {
		s.Redact(text)
	}
}

// TestInclude: a set that includes others hides what they hold, and replaces none of their placeholders.
func TestInclude(t *testing.T) {
	a, b, all := NewSecrets(), NewSecrets(), NewSecrets()
	holder := a.Add("token", canary)
	b.Add("url", "https://hooks.example/services/Kx81jd72Hs9dk2Lq")
	for range 3 { // as at each reload
		all.Include(a)
		_ = all.Redact("x")
		all.Include(b)
	}
	if got := all.Redact(canary + " " + holder + " /services/Kx81jd72Hs9dk2Lq"); got != "‹secret:token› ‹secret:token› ‹secret:url›" || all.Len() != 2 {
		t.Errorf("got %q of %d", got, all.Len())
	}
	if got := all.Replace(holder); got != holder {
		t.Errorf("the placeholder became %q", got)
	}
}
