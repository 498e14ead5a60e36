package plugin

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// allowed are the elements that a plug-in's own markup may have, with their attributes. Nothing here can run, load, send or
// cover anything: no style, class or id either, which could dress markup up as the host's. Links are http and https only.
var allowed = map[string][]string{
	"p": nil, "br": nil, "hr": nil, "div": nil, "section": nil, "span": nil, "blockquote": nil, "pre": nil,
	"h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil,
	"b": nil, "strong": nil, "i": nil, "em": nil, "u": nil, "s": nil, "del": nil, "ins": nil, "small": nil, "sub": nil, "sup": nil,
	"mark": nil, "code": nil, "kbd": nil, "samp": nil, "var": nil, "q": nil, "abbr": {"title"},
	"ul": nil, "ol": {"start"}, "li": nil, "dl": nil, "dt": nil, "dd": nil,
	"table": nil, "caption": nil, "thead": nil, "tbody": nil, "tr": nil, "th": nil, "td": nil,
	"details": {"open"}, "summary": nil,
	"a": {"href"},
}

// everywhere are attributes that any allowed element may have.
var everywhere = []string{"lang", "dir"}

// attribute tells what an attribute's value must look like.
var attribute = map[string]*regexp.Regexp{
	"title": regexp.MustCompile(`^[^\x00-\x1f<>]{1,200}$`),
	"start": regexp.MustCompile(`^[0-9]{1,6}$`),
	"open":  regexp.MustCompile(`^(open)?$`),
	"lang":  regexp.MustCompile(`^[A-Za-z0-9-]{1,35}$`),
	"dir":   regexp.MustCompile(`^(ltr|rtl|auto)$`),
	"href":  regexp.MustCompile(`^https?://[A-Za-z0-9.\[\]:-]+([/?#][^\x00-\x20<>"\\^{|}` + "`" + `]*)?$`),
}

// policy is allowed in the words of the sanitiser.
var policy = sync.OnceValue(func() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	for name, attrs := range allowed {
		p.AllowNoAttrs().OnElements(name)
		for _, a := range attrs {
			p.AllowAttrs(a).Matching(attribute[a]).OnElements(name)
		}
		for _, a := range everywhere {
			p.AllowAttrs(a).Matching(attribute[a]).OnElements(name)
		}
	}
	p.AllowURLSchemes("http", "https")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(false)
	p.SkipElementsContent("script", "style", "iframe", "object", "embed", "svg", "math", "template", "noscript", "select", "textarea",
		"title", "xmp", "noembed", "noframes", "plaintext", "frameset")
	return p
})

// maxMarkup bounds a plug-in's text that is made HTML, in bytes.
const maxMarkup = maxValue

// maxDepth bounds how deeply elements may stand in each other; what is deeper is flattened.
const maxDepth = 40

// sanitise makes a stranger's HTML harmless: the sanitiser takes out what is not allowed, and the result is read as a browser
// reads it and written anew, every element closed, from those that are allowed alone. The hole, if there is one, is a text that
// stands for the host's own markup: an element that holds it and that no block may stand in becomes a plain one, and it is
// removed from attributes.
func sanitise(text, hole string) string {
	context := &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div}
	nodes, err := html.ParseFragment(strings.NewReader(policy().Sanitize(text)), context)
	if err != nil { // too deep for the parser
		return html.EscapeString(bare(text))
	}
	var b strings.Builder
	w := cleaner{b: &b, hole: hole}
	for _, n := range nodes {
		w.node(n, 0)
	}
	return b.String()
}

// bare is the text of markup that cannot be read.
func bare(text string) string { return visibleText(anyTag.ReplaceAllString(text, " ")) }

// cleaner writes allowed nodes.
type cleaner struct {
	b    *strings.Builder
	hole string
}

// flow are the elements that blocks may stand in.
var flow = []string{"div", "section", "blockquote", "li", "dd", "td", "details"}

func (c *cleaner) node(n *html.Node, depth int) {
	switch n.Type {
	case html.TextNode:
		c.b.WriteString(html.EscapeString(visibleText(n.Data)))
	case html.ElementNode:
		attrs, ok := allowed[n.Data]
		if !ok || n.Namespace != "" || depth > maxDepth {
			c.children(n, depth)
			return
		}
		name, holds := n.Data, c.hole != "" && holdsText(n, c.hole)
		if holds && !slices.Contains(flow, name) && name != "ul" && name != "ol" && name != "dl" {
			name, attrs = "div", nil
		}
		c.b.WriteString("<" + name)
		c.attributes(n, name, attrs, holds)
		c.b.WriteString(">")
		if slices.Contains(voidTags, name) {
			return
		}
		if name == "pre" { // the parser dropped a first line break, and would drop the next
			c.b.WriteString("\n")
		}
		c.children(n, depth+1)
		c.b.WriteString("</" + name + ">")
	default: // comments and the like
	}
}

func (c *cleaner) children(n *html.Node, depth int) {
	for child := range n.ChildNodes() {
		c.node(child, depth)
	}
}

func (c *cleaner) attributes(n *html.Node, name string, attrs []string, holds bool) {
	write := func(key, value string) { fmt.Fprintf(c.b, ` %s="%s"`, key, html.EscapeString(value)) }
	if name == "details" && holds {
		write("open", "") // a browser cannot point at a required field that does not show
	}
	for _, a := range n.Attr {
		known := slices.Contains(attrs, a.Key) || name == n.Data && slices.Contains(everywhere, a.Key)
		if !known || a.Namespace != "" || c.hole != "" && strings.Contains(a.Val, c.hole) || !attribute[a.Key].MatchString(a.Val) {
			continue
		}
		switch {
		case a.Key == "open" && holds:
		case a.Key == "href":
			write("href", a.Val)
			write("rel", "noopener noreferrer nofollow")
			write("target", "_blank")
		default:
			write(a.Key, a.Val)
		}
	}
}

// holdsText tells whether a text below the node holds s.
func holdsText(n *html.Node, s string) bool {
	for d := range n.Descendants() {
		if d.Type == html.TextNode && strings.Contains(d.Data, s) {
			return true
		}
	}
	return false
}

// visibleText takes out control characters and those that turn the direction of text, which could fake what a reader sees.
func visibleText(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\ufeff', r >= 0xe0000 && r <= 0xe007f:
			return -1
		}
		return r
	}, s)
}

// maxGuide bounds a set-up guide, in bytes: reading Markdown can take time that grows with the square of its length.
const maxGuide = 16 << 10

// markdown turns a set-up guide into HTML, HTML in it left out.
func markdown(text string) string {
	if len(text) > maxGuide {
		text = strings.ToValidUTF8(text[:maxGuide], "")
	}
	var b bytes.Buffer
	if err := goldmark.Convert([]byte(text), &b); err != nil {
		return "<pre>" + html.EscapeString(visibleText(text)) + "</pre>"
	}
	return sanitise(b.String(), "")
}

// leftOut names something of a guide that markdown leaves out; empty if all shows.
func leftOut(text string) string {
	var b bytes.Buffer
	if err := goldmark.Convert([]byte(text), &b); err != nil {
		return ""
	}
	if strings.Contains(b.String(), "<!-- raw HTML omitted -->") {
		return "HTML"
	}
	for _, r := range removals(b.String()) {
		// Attributes, such as the language of a code block, are Markdown's own and not missed.
		if what, _, ok := strings.Cut(r.what, " is not allowed"); ok && !strings.HasPrefix(what, "the attribute") {
			return what
		}
	}
	return ""
}

// action matches what stands between the braces of a template.
var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// removal is markup that sanitise takes out, for a warning.
type removal struct {
	line int
	what string
}

// removals lists what of a template's markup will be taken out, in the order of the text.
func removals(text string) []removal {
	// What an action writes is not known here; a word in its place keeps the lines.
	plain := action.ReplaceAllStringFunc(text, func(s string) string {
		return "https://a.example/" + strings.Repeat("\n", strings.Count(s, "\n"))
	})
	var list []removal
	line, z := 1, html.NewTokenizer(strings.NewReader(plain))
	add := func(format string, args ...any) { list = append(list, removal{line, fmt.Sprintf(format, args...)}) }
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return list
		}
		raw := len(z.Raw())
		lines := bytes.Count(z.Raw(), []byte("\n"))
		if t := z.Token(); kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			attrs, ok := allowed[t.Data]
			if !ok {
				add("the element <%s> is not allowed in forms", shorten(t.Data, 40, ""))
			}
			for _, a := range t.Attr {
				switch {
				case !ok:
				case !slices.Contains(attrs, a.Key) && !slices.Contains(everywhere, a.Key):
					add("the attribute %s of <%s> is not allowed in forms", shorten(a.Key, 40, ""), t.Data)
				case a.Key == "href" && !attribute["href"].MatchString(a.Val):
					add("the link to %s is not allowed in forms; links begin with https:// or http://", quote(a.Val))
				case !attribute[a.Key].MatchString(a.Val):
					add("the attribute %s of <%s> cannot be %s", a.Key, t.Data, quote(a.Val))
				}
			}
		} else if kind == html.DoctypeToken {
			add("a form is a part of a page; leave the doctype out")
		}
		if raw == 0 {
			return list
		}
		line += lines
	}
}
