package pdk

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

func TestTruncate(t *testing.T) {
	for _, s := range []string{"", "a", "abcdef", "ééééé", "🚨🚨🚨🚨", "a🚨é漢b", "bad\xff\xfeutf8"} {
		for n := range 12 {
			if got := TruncateRunes(s, n); utf8.RuneCountInString(got) > n {
				t.Errorf("TruncateRunes(%q, %d) = %q", s, n, got)
			}
			if got := TruncateBytes(s, n); len(got) > n || utf8.ValidString(s) && !utf8.ValidString(got) {
				t.Errorf("TruncateBytes(%q, %d) = %q", s, n, got)
			}
			if got := TruncateUTF16(s, n); len(utf16.Encode([]rune(got))) > n {
				t.Errorf("TruncateUTF16(%q, %d) = %q", s, n, got)
			}
		}
	}
	if got := TruncateRunes("abcdef", 4); got != "abc…" {
		t.Errorf("got %q", got)
	}
	if got := TruncateUTF16("ab🚨c", 4); got != "ab…" {
		t.Errorf("got %q", got)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(1994, 11, 6, 8, 48, 37, 0, time.UTC).UnixMilli()
	for in, want := range map[string]int64{
		"120": 120_000, "0": 0, "-5": 0, "": 0, "soon": 0, "1.5": 0, "99999999999999999999": 0,
		"Sun, 06 Nov 1994 08:49:37 GMT":     60_000,
		"Sun Nov  6 08:49:37 1994":          60_000,
		"Sun, 06 Nov 1994 08:00:00 GMT":     0,
		"Sun, 06 Xxx 1994 08:49:37 GMT":     0,
		"Sun, 06 Nov 1994 25:49:37 GMT":     0,
		"Sun, 06 Nov 1994 08:49:37 +0200":   0,
		"Thursday, 29-Feb-24 00:00:00 GMT":  time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC).UnixMilli() - now,
		"Fri, 01 Mar 2199 12:00:00 GMT":     time.Date(2199, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli() - now,
		"Thu, 31 Dec 2099 23:59:59 GMT":     time.Date(2099, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli() - now,
		" Wed, 01 Jan 2020 00:00:00 GMT \t": time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() - now,
	} {
		if got := RetryAfter(map[string]string{"retry-after": in}, now); got != want {
			t.Errorf("%q: got %d, want %d", in, got, want)
		}
	}
	// The service's clock is an hour ahead, or a day behind: what counts is how long after its answer it wants to be asked.
	for date, want := range map[string]int64{
		"Sun, 06 Nov 1994 09:48:37 GMT": 60_000, "Sat, 05 Nov 1994 08:48:37 GMT": 86_400_000 + 3_660_000, "no date": 3_660_000,
		"Sun, 06 Nov 1994 10:00:00 GMT": 0,
	} {
		if got := RetryAfter(map[string]string{"retry-after": "Sun, 06 Nov 1994 09:49:37 GMT", "date": date}, now); got != want {
			t.Errorf("answered %q: got %d, want %d", date, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add("120")
	f.Fuzz(func(t *testing.T, s string) {
		if got := RetryAfter(map[string]string{"retry-after": s}, 784111700000); got < 0 {
			t.Errorf("%q: %d", s, got)
		}
		if want, err := time.Parse(time.RFC1123, s); err == nil && strings.HasSuffix(s, "GMT") {
			if got, ok := parseHTTPDate(s); ok && got != want.Unix() {
				t.Errorf("%q: got %d, want %d", s, got, want.Unix())
			}
		}
	})
}

func TestEscape(t *testing.T) {
	if got := EscapeHTML(`<a href="x">&'`); got != `&lt;a href=&#34;x&#34;&gt;&amp;&#39;` {
		t.Error(got)
	}
	if got := EscapeMarkdown("a*b_[c](d) é"); got != `a\*b\_\[c\]\(d\) é` {
		t.Error(got)
	}
	if got := JoinURL("https://h/base/", "/a", "b c", EscapePath("d/é")); got != "https://h/base/a/b c/d%2F%C3%A9" {
		t.Error(got)
	}
}

func TestParams(t *testing.T) {
	p := Params{"s": "x", "e": "", "n": nil, "f": -1001234567890.0, "h": 1.5, "i": int64(7), "b": true, "bs": "false", "l": []any{"a", 2.0}, "ns": "12"}
	for _, c := range []struct{ got, want any }{
		{p.String("s", "d"), "x"},
		{p.String("e", "d"), ""},
		{p.String("n", "d"), "d"},
		{p.String("missing", "d"), "d"},
		{p.String("f", ""), "-1001234567890"},
		{p.String("i", ""), "7"},
		{p.String("b", ""), "true"},
		{p.String("l", "d"), "d"},
		{p.Int("f", 1), int64(-1001234567890)},
		{p.Int("h", 3), int64(3)},
		{p.Int("i", 1), int64(7)},
		{p.Int("ns", 1), int64(12)},
		{p.Int("s", 9), int64(9)},
		{p.Bool("b", false), true},
		{p.Bool("bs", true), false},
		{p.Bool("s", true), true},
		{p.Strings("l"), []string{"a", "2"}},
		{p.Strings("s"), []string{"x"}},
		{p.Strings("e"), []string(nil)},
		{p.Strings("b"), []string(nil)},
		{p.Has("s"), true},
		{p.Has("e"), false},
		{p.Has("n"), false},
		{p.Has("missing"), false},
		{Params(nil).String("s", "d"), "d"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %#v, want %#v", c.got, c.want)
		}
	}
}

func TestEndpointCall(t *testing.T) {
	e := &Endpoint{
		Render: func(in *RenderInput) (*RenderOutput, error) {
			switch in.Locale {
			case "panic":
				var p *Alert
				_ = p.ID
			case "text":
				panic("boom")
			case "error":
				return nil, errors.New("no such chat")
			case "nil":
				return nil, nil
			}
			return &RenderOutput{}, nil
		},
	}
	for in, want := range map[string]string{
		`{"locale":"panic"}`: "panic: runtime error: invalid memory address or nil pointer dereference",
		`{"locale":"text"}`:  "panic: boom", `{"locale":"error"}`: "no such chat",
		`{"locale":"nil"}`: "the function returned neither a result nor an error", `{"locale":1}`: "JSON: locale: want a string, got a number (byte 10)",
	} {
		if out, err := e.Call(ExportRender, []byte(in)); err == nil || err.Error() != want || out != nil {
			t.Errorf("%s: got %q, %v, want %q", in, out, err, want)
		}
	}
	if out, err := e.Call(ExportRender, []byte(`{}`)); err != nil || string(out) != `{"requests":[]}` {
		t.Errorf("got %q, %v", out, err)
	}
	for _, f := range []string{ExportClassify, ExportLint, ExportProbe, "x"} {
		if _, err := e.Call(f, []byte(`{}`)); !errors.Is(err, ErrNotOffered) {
			t.Errorf("%s: %v", f, err)
		}
	}
}
