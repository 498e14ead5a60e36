package smtpd

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

var (
	tagForm  = regexp.MustCompile(`^<(/?)([A-Za-z][A-Za-z0-9]*)((?: [a-z-]+="[^"<>]*")*) ?/?>`)
	attrForm = regexp.MustCompile(` ([a-z-]+)="([^"]*)"`)
	entity   = regexp.MustCompile(`^&(#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});`)
	fetches  = regexp.MustCompile(`(?i)url *\(|@import|expression *\(|javascript:`)
)

// Elements that a mail may have. Those that fetch, run or ask for something are not among them.
var (
	void     = []string{"meta", "br", "hr"}
	elements = []string{
		"html", "head", "title", "style", "body", "table", "tbody", "thead", "tr", "td", "th", "p", "div", "span", "b", "i", "u", "s", "strong", "em", "code", "pre",
		"a", "ul", "ol", "li", "h1", "h2", "h3", "h4", "blockquote",
	}
)

// readHTML reads a document more strictly than HTML asks: elements close in order, attributes are quoted, every "&" begins a
// reference, and nothing is fetched or run. It gives what the body shows, a link's address behind its text unless that is the same,
// and what is wrong.
func readHTML(doc string) (shown string, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	rest, ok := cutPrefixFold(doc, "<!DOCTYPE html>")
	if !ok {
		fault("it does not begin with its document type")
	}
	var out strings.Builder
	var open []string
	link := ""
	for rest != "" && len(faults) < 5 {
		if rest[0] != '<' {
			text := rest
			if i := strings.IndexByte(rest, '<'); i >= 0 {
				text = rest[:i]
			}
			rest = rest[len(text):]
			if i := badReference(text); i >= 0 {
				fault("a & that begins no reference: %.40q", text[i:])
			}
			if slices.Contains(open, "body") {
				out.WriteString(html.UnescapeString(text))
			} else if strings.TrimSpace(text) != "" && !slices.Contains(open, "title") {
				fault("text outside of the body: %.40q", text)
			}
			continue
		}
		p := tagForm.FindStringSubmatch(rest)
		if p == nil {
			fault("a < that begins no element: %.60q", rest)
			break
		}
		rest = rest[len(p[0]):]
		name := strings.ToLower(p[2])
		switch {
		case !slices.Contains(elements, name) && !slices.Contains(void, name):
			fault("the element %s has no place in a mail", name)
		case p[1] == "/":
			if len(open) == 0 || open[len(open)-1] != name {
				fault("</%s> ends nothing: open are %v", name, open)
				break
			}
			open = open[:len(open)-1]
			if name == "a" && !strings.HasSuffix(out.String(), link) {
				out.WriteString(" " + link)
			}
			continue
		case !slices.Contains(void, name):
			open = append(open, name)
			if name == "a" {
				link = ""
			}
		}
		for _, a := range attrForm.FindAllStringSubmatch(p[3], -1) {
			value := html.UnescapeString(a[2])
			switch {
			case badReference(a[2]) >= 0:
				fault("a & that begins no reference in %s", a[0])
			case strings.HasPrefix(a[1], "on"), a[1] == "src", a[1] == "background", fetches.MatchString(value):
				fault("%s fetches or runs something", a[0])
			case a[1] == "href" && !strings.HasPrefix(value, "https://") && !strings.HasPrefix(value, "http://"):
				fault("%s leads out of the web", a[0])
			case a[1] == "href" && name == "a":
				link = value
			}
		}
		if name == "style" && p[1] == "" {
			css, after, ended := strings.Cut(rest, "</style>")
			if !ended || fetches.MatchString(css) {
				fault("the style has no end, or fetches something")
			}
			rest, open = after, open[:len(open)-1]
		}
	}
	if len(open) > 0 && len(faults) == 0 {
		fault("open at the end: %v", open)
	}
	return out.String(), faults
}

// badReference finds an "&" that begins no character reference; -1 if there is none.
func badReference(s string) int {
	for i := range len(s) {
		if s[i] == '&' && !entity.MatchString(s[i:]) {
			return i
		}
	}
	return -1
}
