package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Parts of the HTML. Mail programs know tables and inline styles; those that know more also show it dark, by the classes that
// the message template uses too. Nothing is fetched from anywhere.
const (
	htmlHead = `<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
		`<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark"><style>` +
		`:root{color-scheme:light dark}@media (prefers-color-scheme:dark){.page{background:#0d1117!important}` +
		`.card{background:#161b22!important;border-color:#30363d!important}.strong{color:#f0f6fc!important}` +
		`.text{color:#d1d9e0!important}.dim{color:#9198a1!important}.box{background:#21262d!important}}` +
		`@media (max-width:480px){.pad{padding-left:14px!important;padding-right:14px!important}}</style><title>`
	htmlBody = `</title></head><body class="page" style="margin:0;padding:0;background:#f0f2f5;-webkit-text-size-adjust:100%">` +
		`<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" style="background:#f0f2f5">` +
		`<tr><td align="center" style="padding:12px 8px"><table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" ` +
		`style="max-width:600px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">`
	cellIn  = "\n" + `<tr><td style="padding:0 0 12px 0">`
	cellOut = `</td></tr>`
	listIn  = cellIn + `<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" border="0" ` +
		`style="background:#ffffff;border:1px solid #d1d9e0;border-radius:8px;border-collapse:separate">`
	lineIn = `<tr><td class="text pad" style="padding:8px 20px 0 20px;font-size:14px;line-height:20px;color:#1f2328">`
	ruler  = "\n\n------------------------------------------------------------\n"
)

// content is a delivery's card, or its text if it is to be plain.
func content(d *pdk.Delivery) string {
	s := pdk.Line(pdk.TruncateRunes(d.Alert.Brief(), 2000))
	switch text := strings.TrimSpace(d.Text); {
	case text != "":
		return text
	case d.Plain:
		return s
	}
	return pdk.EscapeHTML(s)
}

// headline is what the subject and the summary say of an alert.
func headline(d *pdk.Delivery) string {
	return pdk.Line(pdk.First(strings.TrimSpace(d.Subject), pdk.TruncateRunes("["+d.Alert.Severity+"] "+d.Alert.Title, 250)))
}

// htmlPart is the HTML of a mail: of several alerts first a line for each, then the cards.
func htmlPart(locale, title string, b *bundle) string {
	var s strings.Builder
	s.Grow(b.size + 4000)
	s.WriteString(`<!DOCTYPE html><html lang="` + pdk.EscapeHTML(locale) + `"><head>` + htmlHead + pdk.EscapeHTML(title) + htmlBody)
	if len(b.lines) > 1 {
		s.WriteString(listIn)
		for _, l := range b.lines {
			s.WriteString(lineIn + pdk.EscapeHTML(l) + cellOut)
		}
		s.WriteString(`<tr><td style="font-size:1px;line-height:8px;height:8px">&nbsp;</td></tr></table>` + cellOut)
	}
	for _, c := range b.cards {
		s.WriteString(cellIn + c + cellOut)
	}
	s.WriteString(`</table></td></tr></table></body></html>`)
	return s.String()
}

// textPart is the same as text.
func textPart(b *bundle) string {
	var parts []string
	if len(b.lines) > 1 {
		parts = append(parts, strings.Join(b.lines, "\n"))
	}
	for _, c := range b.cards {
		if !b.plain {
			c = pdk.PlainHTML(c)
		}
		parts = append(parts, strings.TrimSpace(c))
	}
	return strings.Join(parts, ruler) + "\n"
}
