package botapi

import (
	"fmt"
	"strings"
)

// allowed are the tags of the service's HTML style with the name of the entity each makes.
var allowed = map[string]bool{
	"b": true, "strong": true, "i": true, "em": true, "u": true, "ins": true, "s": true, "strike": true, "del": true,
	"span": true, "tg-spoiler": true, "a": true, "tg-emoji": true, "code": true, "pre": true, "blockquote": true,
}

// parseHTML gives the text that a reader sees, or the service's words on what is wrong.
func parseHTML(s string) (string, string) {
	var out strings.Builder
	var open []string
	for i := 0; i < len(s); {
		switch s[i] {
		case '&':
			end := strings.IndexByte(s[i:], ';')
			if end > 0 && end <= 10 {
				if r, ok := entity(s[i+1 : i+end]); ok {
					out.WriteString(r)
					i += end + 1
					continue
				}
			}
			out.WriteByte('&')
			i++
		case '<':
			end := strings.IndexByte(s[i:], '>')
			if end < 0 {
				return "", fmt.Sprintf("Unclosed start tag at byte offset %d", i)
			}
			tag := s[i+1 : i+end]
			if name, closing := strings.CutPrefix(tag, "/"); closing {
				name = strings.ToLower(strings.TrimSpace(name))
				if len(open) == 0 {
					return "", fmt.Sprintf("Unexpected end tag at byte offset %d", i)
				}
				if last := open[len(open)-1]; last != name {
					return "", fmt.Sprintf("Unmatched end tag at byte offset %d, expected %q, found %q", i, "</"+last+">", "</"+name+">")
				}
				open = open[:len(open)-1]
			} else {
				name, _, _ := strings.Cut(strings.TrimSpace(tag), " ")
				name = strings.ToLower(name)
				if !allowed[name] {
					return "", fmt.Sprintf("Unsupported start tag %q at byte offset %d", name, i)
				}
				open = append(open, name)
			}
			i += end + 1
		default:
			out.WriteByte(s[i])
			i++
		}
	}
	if len(open) > 0 {
		return "", fmt.Sprintf("Can't find end tag corresponding to start tag %q", open[len(open)-1])
	}
	return out.String(), ""
}

func entity(name string) (string, bool) {
	switch name {
	case "lt":
		return "<", true
	case "gt":
		return ">", true
	case "amp":
		return "&", true
	case "quot":
		return `"`, true
	case "#39", "#x27":
		return "'", true
	}
	return "", false
}
