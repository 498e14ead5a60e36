package plugin

import (
	"encoding/json"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A format is a markup language of messages: how a value is made harmless in it, how it marks text, and what of it a
// reader sees.
type format struct {
	escape             func(string) string
	bold, italic, code func(string) markup
	link               func(text, url string) markup
	visible            func(string) string
	raw                *regexp.Regexp // finds markup that a template writes itself; nil: cannot be told
}

// markup is text that is escaped already.
type markup string

// The message formats of Manifest.Message.Format.
var formats = map[string]*format{
	"text": {
		escape: identity, bold: asIs, italic: asIs, code: asIs, visible: identity,
		link: func(text, url string) markup { return markup(join(" ", text, url)) },
	},
	"html":       htmlFormat(html.EscapeString),
	"basic_html": htmlFormat(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace),
	"markdown": {
		escape:  escapeMarkdown,
		bold:    around("**", escapeMarkdown),
		italic:  around("*", escapeMarkdown),
		code:    around("`", noBackticks),
		link:    func(text, url string) markup { return markup("[" + escapeMarkdown(text) + "](<" + url + ">)") },
		visible: identity,
	},
	// basic_markdown is for services with a few marks (bold, code, links, headings, quotes) and no way to escape them.
	"basic_markdown": {
		escape: lookAlikes,
		bold:   around("**", lookAlikes),
		italic: func(s string) markup { return markup(lookAlikes(s)) },
		code:   around("`", lookAlikes),
		link: func(text, url string) markup {
			return markup("[" + lookAlikes(text) + "](" + parens.Replace(url) + ")")
		},
		visible: identity,
	},
	"mrkdwn": {
		escape:  escapeSlack,
		bold:    around("*", escapeSlack),
		italic:  around("_", escapeSlack),
		code:    around("`", func(s string) string { return escapeSlack(noBackticks(s)) }),
		link:    func(text, url string) markup { return markup("<" + escapeSlack(url) + "|" + escapeSlack(text) + ">") },
		visible: identity,
	},
	"json": {
		escape: escapeJSON, bold: jsonText, italic: jsonText, code: jsonText, visible: identity,
		link: func(text, url string) markup { return jsonText(join(" ", text, url)) },
	},
}

func formatNames() []string {
	return []string{"text", "html", "basic_html", "markdown", "basic_markdown", "mrkdwn", "json"}
}

func identity(s string) string { return s }
func asIs(s string) markup     { return markup(s) }

func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// around puts a mark on both sides of text; no text gets no marks.
func around(mark string, escape func(string) string) func(string) markup {
	return func(s string) markup {
		if s = strings.TrimSpace(s); s == "" {
			return ""
		}
		return markup(mark + escape(s) + mark)
	}
}

var tag = regexp.MustCompile(`</?[A-Za-z!][^<>]*>`)

func htmlFormat(escape func(string) string) *format {
	element := func(name string) func(string) markup {
		return func(s string) markup {
			if s == "" {
				return ""
			}
			return markup("<" + name + ">" + escape(s) + "</" + name + ">")
		}
	}
	return &format{
		escape: escape, bold: element("b"), italic: element("i"), code: element("code"), raw: tag,
		link: func(text, url string) markup {
			return markup(`<a href="` + html.EscapeString(url) + `">` + escape(text) + "</a>")
		},
		visible: func(s string) string { return html.UnescapeString(tag.ReplaceAllString(s, "")) },
	}
}

// escapeMarkdown escapes what CommonMark, Discord, Mattermost and Teams read as markup.
func escapeMarkdown(s string) string {
	if !strings.ContainsAny(s, "\\`*_[]<>#|~&@") {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune("\\`*_[]<>#|~&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return noMentions(b.String())
}

// alike replaces each mark by a character that looks like it and is none. Of brackets only those that would make a link are
// concerned, since an IPv6 address with a port has them too.
var (
	alike  = strings.NewReplacer("*", "\u2217", "`", "ˋ", "<", "＜", ">", "＞", "#", "＃", "&", "＆", "](", "］(")
	parens = strings.NewReplacer("(", "%28", ")", "%29")
)

func lookAlikes(s string) string { return noMentions(alike.Replace(s)) }

// escapeSlack escapes the three characters that Slack's mrkdwn reserves.
func escapeSlack(s string) string {
	return noMentions(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s))
}

// mention matches the words that call everyone in a room.
var mention = regexp.MustCompile(`(?i)@(channel|all|here|everyone)`)

// noMentions keeps a value from calling everyone, by an invisible space after the at sign.
func noMentions(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return mention.ReplaceAllString(s, "@\u200b$1")
}

// noBackticks replaces the one character that ends code in Markdown.
func noBackticks(s string) string { return strings.ReplaceAll(s, "`", "ˋ") }

// escapeJSON writes text as it stands between the quotes of a JSON string.
func escapeJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(b[1 : len(b)-1])
}

func jsonText(s string) markup { return markup(escapeJSON(s)) }

// clean makes a value one line of valid text: no control characters, none that turn the direction of text, which could
// fake what a reader sees.
func clean(s string) string {
	ok := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == 0x7f || c >= 0x80 {
			ok = false
			break
		}
	}
	if ok {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return ' '
		case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u200e', r == '\u200f', r == '\ufeff':
			return -1
		case r >= 0xe0000 && r <= 0xe007f: // invisible tag characters
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// The units of Manifest.Message.Unit.
var units = []string{"runes", "bytes", "utf16"}

// length measures text in a unit; empty means runes.
func length(s, unit string) int {
	switch unit {
	case "bytes":
		return len(s)
	case "utf16":
		n := 0
		for _, r := range s {
			n += utf16.RuneLen(r)
		}
		return n
	}
	return utf8.RuneCountInString(s)
}

// shorten cuts text to at most n units, the last of them an ellipsis. It cuts before a character that belongs to the one
// before it, such as an accent.
func shorten(s string, n int, unit string) string {
	if length(s, unit) <= n {
		return s
	}
	n -= length("…", unit)
	used, cut := 0, 0
	joined := false
	for i, r := range s {
		if !unicode.Is(unicode.Mn, r) && r != '\u200d' && !joined {
			cut = i
		}
		joined = r == '\u200d'
		if used += length(string(r), unit); used > n {
			break
		}
	}
	if n < 0 {
		return ""
	}
	return strings.TrimRight(s[:cut], " ") + "…"
}

// plainText writes a template's value as text, without markup.
func plainText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case markup:
		return string(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}
