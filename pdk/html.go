package pdk

import "strings"

var unescapeHTML = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&nbsp;", " ", "&amp;", "&")

// PlainHTML writes HTML as text, in the order in which it is read: rows and blocks become lines, a row's heading ends in a colon, a
// link is followed by its address. It is for HTML that the host's templates made, with the entities that these write; of any other
// it makes some text, and never fails.
func PlainHTML(html string) string {
	var b strings.Builder
	link := ""
	text := func(s string) {
		for i := range len(s) {
			if s[i] == '\n' || s[i] == '\r' {
				b.WriteByte(' ') // a line of the source is none of the text
			} else {
				b.WriteByte(s[i])
			}
		}
	}
	for html != "" {
		i := strings.IndexByte(html, '<')
		if i < 0 {
			text(html)
			break
		}
		text(html[:i])
		j := strings.IndexByte(html[i:], '>')
		if j < 0 {
			break
		}
		tag := html[i+1 : i+j]
		html = html[i+j+1:]
		name, rest, _ := strings.Cut(tag, " ")
		name = strings.TrimSuffix(strings.ToLower(name), "/")
		switch {
		case name == "style", name == "script", name == "title":
			if k := strings.Index(html, "</"+name); k >= 0 {
				html = html[k:]
			} else {
				html = ""
			}
		case name == "a":
			link = ""
			if _, after, ok := strings.Cut(rest, `href="`); ok {
				link, _, _ = strings.Cut(after, `"`)
			}
		case name == "/a":
			if link != "" && !strings.HasSuffix(b.String(), link) {
				b.WriteString(" <" + link + ">")
			}
			link = ""
		case name == "/th":
			b.WriteString(": ")
		case name == "/td":
			b.WriteByte(' ')
		case name == "br", name == "/tr", name == "/p", name == "/div", name == "/table", name == "/li", len(name) == 3 && name[:2] == "/h":
			b.WriteByte('\n')
		}
	}
	return tidyLines(b.String())
}

// tidyLines leaves no spaces at the ends of lines nor several in a row, and no more than one empty line. Entities are resolved last,
// so that they can make no tags.
func tidyLines(s string) string {
	var b strings.Builder
	gap := false
	for line := range strings.Lines(s) {
		if strings.IndexByte(line, '&') >= 0 {
			line = unescapeHTML.Replace(line)
		}
		line = strings.Join(strings.Fields(line), " ")
		if line == "" {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte('\n')
		}
		gap = false
		b.WriteString(line + "\n")
	}
	return b.String()
}

// StripTags drops the tags of markup whose lines are lines already, and leaves the rest as it is, entities too. A "<" that no ">" ends
// begins no tag.
func StripTags(s string) string {
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return s
	}
	var b strings.Builder
	for ; i >= 0; i = strings.IndexByte(s, '<') {
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+j+1:]
	}
	return b.String() + s
}

// UnescapeHTML gives back what EscapeHTML was given.
func UnescapeHTML(s string) string { return unescapeHTML.Replace(s) }
