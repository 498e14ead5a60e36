package pdk

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestObject(t *testing.T) {
	o := NewObject([]byte("before "))
	o.Tidy = func(s string) string { return TruncateBytes(s, 6) }
	o.Put("put", "")
	o.Text("text", "")
	o.Text("cut", "longer than it may be")
	o.Put("whole", "longer than it may be")
	o.Int("zero", 0)
	o.Count("none", 0)
	o.Count("some", -3)
	o.Float("f", 0)
	o.Float("g", 1.5)
	o.True("no", false)
	o.True("yes", true)
	o.List("empty", "", "")
	o.List("list", "a", "", "b", "a", `"`)
	o.In("hollow", func() { o.In("more", func() { o.Text("x", "") }) })
	o.In("in", func() {
		o.Int("a", 1)
		o.In("deep", func() { o.Text("b", "c") })
		o.Int("d", 2)
	})
	o.Each("nothing", 0, nil)
	o.Each("each", 2, func(i int) { o.Int("i", int64(i)); o.List("l", "x") })
	o.Raw("raw", `{"x":[]}`)
	o.Raw("unset", "")
	const want = `before {"put":"","cut":"lon…","whole":"longer than it may be","zero":0,"some":-3,"g":1.5,"yes":true,` +
		`"list":["a","b","\""],"in":{"a":1,"deep":{"b":"c"},"d":2},"each":[{"i":0,"l":["x"]},{"i":1,"l":["x"]}],"raw":{"x":[]}}`
	if got := string(o.Done()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := string(NewObject(nil).Done()); got != "{}" {
		t.Errorf("got %s", got)
	}
}

func FuzzObject(f *testing.F) {
	f.Add("a", "b\x00\u202e\"", int64(1))
	f.Fuzz(func(t *testing.T, a, b string, n int64) {
		o := NewObject(nil)
		o.Text("a", a)
		o.In("in", func() { o.List("l", a, b, a); o.Count("n", n) })
		o.Each("e", int(n&3), func(int) { o.Text("b", b) })
		var v map[string]any
		got := o.Done()
		if err := json.Unmarshal(got, &v); err != nil {
			t.Errorf("%v in %s", err, got)
		}
	})
}

func TestPlainHTML(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a &lt;b&gt; c": "a <b> c\n", "<p>one</p><p>two</p>": "one\ntwo\n", "a<br>b<br/>c": "a\nb\nc\n",
		`<tr><th>Who</th><td>192.0.2.1</td><td>x</td></tr>`:                    "Who: 192.0.2.1 x\n",
		`see <a class="x" href="https://a.example/?a=1&amp;b=2">the page</a>.`: "see the page <https://a.example/?a=1&b=2>.\n",
		`<a href="https://a.example/">https://a.example/</a>`:                  "https://a.example/\n",
		"<style>p{}</style><script>x</script><title>t</title>b":                "b\n", "a <b": "a\n", "<script>x": "", "&amp;lt;b": "&lt;b\n",
		"<h1>a</h1>\n<br><br><p> b\n c </p>": "a\n\nb c\n",
	} {
		if got := PlainHTML(in); got != want {
			t.Errorf("PlainHTML(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestStripTags(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "", "<b>a</b>\n&lt;b&gt;": "a\n&lt;b&gt;", `<font color="x">a</font> b`: "a b", "a < b": "a < b", "<i>x</i> <": "x <", "a > b": "a > b",
	} {
		if got := StripTags(in); got != want {
			t.Errorf("StripTags(%q) = %q, want %q", in, got, want)
		}
	}
	const all = "<a href=\"x\">'&amp;'"
	if got := UnescapeHTML(EscapeHTML(all)); got != all {
		t.Errorf("unescaped %q is %q", all, got)
	}
}

func FuzzPlainHTML(f *testing.F) {
	f.Add(`<table><tr><th>a</th><td>b &amp; c<br>d</td></tr></table><a href="x">y</a>`)
	f.Add(`<style><`)
	f.Add("<a href=\"https://x.example\">x</a></a></a></a><script>1<2</script>&amp;lt;<unclosed")
	f.Add("<a href=\"<style><H><h1/>")
	f.Fuzz(func(t *testing.T, html string) {
		s := PlainHTML(html)
		if utf8.ValidString(html) && !utf8.ValidString(s) || strings.Contains(s, "\n\n\n") || len(s) > 3*len(html)+8 {
			t.Fatalf("%q became %q", html, s)
		}
	})
}
