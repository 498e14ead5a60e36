package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// perCard is what a card costs beside its own HTML, its line in the summary included.
const perCard = 700

// Parts of the HTML. Mail programs know tables and inline styles; those that know more also show it dark, by the classes that
// the message template uses too. Nothing is fetched from anywhere.
const (
	htmlHead = `<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
		`<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark"><style>` +
		`:root{color-scheme:light dark}@media (prefers-color-scheme:dark){.page{background:#0d1117!important}` +
		`.card{background:#161b22!important;border-color:#30363d!important}.strong{color:#f0f6fc!important}` +
		`.text{color:#d1d9e0!important}.dim{color:#9198a1!important}.box{background:#21262d!important}}` +
		`@media (max-width:480px){.pad{padding-left:14px!important;padding-right:14px!important}}</style>`
	htmlBody = `<body class="page" style="margin:0;padding:0;background:#f0f2f5;-webkit-text-size-adjust:100%">` +
		`<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" style="background:#f0f2f5"><tr>` +
		`<td align="center" style="padding:12px 8px"><table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" ` +
		`style="max-width:600px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">`
	htmlEnd = `</table></td></tr></table></body></html>`
	cellIn  = "\n" + `<tr><td style="padding:0 0 12px 0">`
	cellOut = `</td></tr>`
	listIn  = cellIn + `<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" border="0" ` +
		`style="background:#ffffff;border:1px solid #d1d9e0;border-radius:8px;border-collapse:separate">`
	listOut = `<tr><td style="font-size:1px;line-height:8px;height:8px">&nbsp;</td></tr></table>` + cellOut
	lineIn  = `<tr><td class="text pad" style="padding:8px 20px 0 20px;font-size:14px;line-height:20px;color:#1f2328">`
	lineOut = `</td></tr>`
)

// content is a delivery's card, or its text if it is to be plain.
func content(d *pdk.Delivery) string {
	if s := strings.TrimSpace(d.Text); s != "" {
		return s
	}
	s := strings.TrimSpace(d.Alert.Title + ": " + pdk.TruncateRunes(d.Alert.Message, 2000))
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if d.Plain {
		return s
	}
	return pdk.EscapeHTML(s)
}

// htmlPart is the HTML of a mail: of several alerts first a line for each, then the cards.
func htmlPart(locale, title string, b *bundle) string {
	var s strings.Builder
	s.Grow(b.size + 4000)
	s.WriteString(`<!DOCTYPE html><html lang="` + pdk.EscapeHTML(locale) + `"><head>` + htmlHead + "<title>" + pdk.EscapeHTML(title) + "</title></head>")
	s.WriteString(htmlBody)
	if len(b.list) > 1 {
		s.WriteString(listIn)
		for _, d := range b.list {
			s.WriteString(lineIn + sign(d) + " " + pdk.EscapeHTML(headline(d)) + lineOut)
		}
		s.WriteString(listOut)
	}
	for _, c := range b.cards {
		s.WriteString(cellIn + c + cellOut)
	}
	s.WriteString(htmlEnd)
	return s.String()
}

// textPart is the same as text.
func textPart(b *bundle) string {
	var s strings.Builder
	if len(b.list) > 1 {
		for _, d := range b.list {
			s.WriteString(sign(d) + " " + headline(d) + "\n")
		}
		s.WriteString("\n" + strings.Repeat("-", 60) + "\n")
	}
	for i, c := range b.cards {
		if i > 0 {
			s.WriteString("\n" + strings.Repeat("-", 60) + "\n")
		}
		if !b.plain {
			c = plain(c)
		}
		s.WriteString(strings.TrimSpace(c) + "\n")
	}
	return s.String()
}

// sign shows the severity at a glance, as the host's templates do.
func sign(d *pdk.Delivery) string {
	if d.Alert.Action == "release" {
		return "✅"
	}
	switch d.Alert.Severity {
	case "emergency", "alert", "critical":
		return "🔴"
	case "error":
		return "🟠"
	case "warning":
		return "🟡"
	case "notice", "info":
		return "🔵"
	}
	return "⚪"
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&nbsp;", " ", "&amp;", "&")

// plain writes HTML as text, in the order in which it is read: rows and blocks are lines, a heading of a row ends in a
// colon, a link is followed by its address.
func plain(html string) string {
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
		case name == "/a" && link != "" && !strings.HasSuffix(b.String(), link):
			b.WriteString(" <" + link + ">")
		case name == "/th":
			b.WriteString(": ")
		case name == "/td":
			b.WriteByte(' ')
		case name == "br", name == "/tr", name == "/p", name == "/div", name == "/table", name == "/li", len(name) == 3 && name[:2] == "/h":
			b.WriteByte('\n')
		}
	}
	return lines(b.String())
}

// lines tidies text: no spaces at the ends of lines nor several in a row, and no more than one empty line. References are
// resolved last, so that they can make no tags.
func lines(s string) string {
	var b strings.Builder
	gap := false
	for line := range strings.Lines(s) {
		if strings.IndexByte(line, '&') >= 0 {
			line = unescape.Replace(line)
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
