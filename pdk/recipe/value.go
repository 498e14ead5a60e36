package recipe

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// scope is what values are taken from.
type scope struct {
	recipe              *Recipe
	now                 int64
	endpoint, recipient pdk.Params
	delivery            *pdk.Delivery
	alert               map[string]any // read when it is asked for
}

// raw is a value that is JSON already.
type raw []byte

// lookup gives the value of a name; nil if there is none.
func (s *scope) lookup(name string) any {
	d := s.delivery
	head, rest, _ := strings.Cut(name, ".")
	switch head {
	case "endpoint":
		return s.endpoint[rest]
	case "recipient":
		return s.recipient[rest]
	case "text":
		return d.Text
	case "subject":
		return d.Subject
	case "id":
		return d.ID
	case "plain":
		return d.Plain
	case "attempt":
		return float64(d.Attempt)
	case "now":
		return float64(s.now)
	case "provider_id":
		if rest == "" {
			return d.ProviderID
		}
		parts := strings.Split(d.ProviderID, " ")
		if i, err := strconv.Atoi(rest); err == nil && i < len(parts) {
			return parts[i]
		}
		return nil
	case "alert":
		if rest == "" {
			return raw(compact(d.Alert.Raw))
		}
		if s.alert == nil {
			v, _ := pdk.ParseJSON(d.Alert.Raw)
			if s.alert, _ = v.(map[string]any); s.alert == nil {
				s.alert = map[string]any{}
			}
		}
		return s.alert[rest]
	}
	return nil
}

// compact takes the space between the tokens of JSON away, so that it is one line.
func compact(b []byte) []byte {
	out, quoted := make([]byte, 0, len(b)), false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case quoted && c == '\\' && i+1 < len(b):
			out = append(out, c)
			i++
			c = b[i]
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\n' || c == '\r' || c == '\t'):
			continue
		}
		out = append(out, c)
	}
	return out
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case raw:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// plain writes a value as text.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case raw:
		return string(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = plain(e)
		}
		return strings.Join(parts, ",")
	}
	return string(pdk.AppendJSON(nil, v))
}

// value is a placeholder: a name and what is done with its value.
type value struct {
	name    string
	filters []filter
}

type filter struct{ name, arg string }

// filterNames are the filters; wants is what stands after one, if anything does.
var filterNames = []string{"br", "bytes", "escape", "lower", "marked", "or", "path", "quiet", "runes", "strip", "text", "upper", "words"}

func wants(filter string) string {
	switch filter {
	case "runes", "bytes":
		return "a number"
	case "words":
		return "the name of a table of words"
	case "or":
		return "another value"
	}
	return ""
}

func (v *value) value(s *scope) any {
	x := s.lookup(v.name)
	for _, f := range v.filters {
		x = f.apply(x, s)
	}
	return x
}

func (f filter) apply(x any, s *scope) any {
	switch f.name {
	case "or":
		if empty(x) {
			return s.lookup(f.arg)
		}
		return x
	case "marked": // nothing, where the text has no markup
		if s.delivery.Plain {
			return nil
		}
		return x
	case "words":
		list := s.recipe.words[f.arg]
		if w, ok := list[plain(x)]; ok {
			return w
		}
		return list["*"]
	}
	if x == nil {
		return nil
	}
	t := plain(x)
	n, _ := strconv.Atoi(f.arg)
	switch f.name {
	case "path":
		return pdk.EscapePath(t)
	case "runes":
		return pdk.TruncateRunes(t, n)
	case "bytes":
		return pdk.TruncateBytes(t, n)
	case "strip":
		if s.delivery.Plain {
			return t
		}
		return strip(t)
	case "escape": // of a plain text that goes where HTML is read
		if !s.delivery.Plain {
			return t
		}
		return pdk.EscapeHTML(t)
	case "quiet":
		return quiet(t)
	case "br":
		return strings.ReplaceAll(t, "\n", "<br>")
	case "upper":
		return strings.ToUpper(t)
	case "lower":
		return strings.ToLower(t)
	}
	return t // text
}

// everybody are the words that call everyone in a room.
var everybody = []string{"channel", "all", "here", "everyone"}

// quiet keeps a text from calling everyone, by an invisible space after the at sign.
func quiet(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '@')
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i+1])
		s = s[i+1:]
		for _, w := range everybody {
			if len(s) >= len(w) && strings.EqualFold(s[:len(w)], w) {
				b.WriteString("\u200b")
				break
			}
		}
	}
}

var unescape = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&#34;", `"`, "&#39;", "'", "&amp;", "&")

// strip drops the tags of HTML and resolves the entities that the host writes.
func strip(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		j := strings.IndexByte(s[i:], '>')
		if j < 0 {
			s = ""
			break
		}
		s = s[i+j+1:]
	}
	b.WriteString(s)
	return unescape.Replace(b.String())
}

// text is a text with placeholders: literals and values in turn.
type text struct {
	parts []part
	needs *value // its one value: a header without it is left out
	url   bool
}

type part struct {
	literal string
	value   *value // nil: the literal stands
}

func (t *text) write(s *scope) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.value == nil {
			lit := p.literal
			if t.url && strings.HasPrefix(lit, "/") && strings.HasSuffix(b.String(), "/") {
				lit = lit[1:] // users end an address with a slash or do not
			}
			b.WriteString(lit)
			continue
		}
		b.WriteString(plain(p.value.value(s)))
	}
	return b.String()
}

// node is a part of a JSON body.
type node interface {
	// append writes the node; false if there is nothing to write, so that its key is left out.
	append(b []byte, s *scope) ([]byte, bool)
}

type literal struct{ v any }

func (n literal) append(b []byte, _ *scope) ([]byte, bool) { return pdk.AppendJSON(b, n.v), true }

type textNode struct{ *text }

func (n textNode) append(b []byte, s *scope) ([]byte, bool) {
	if len(n.parts) == 1 && n.parts[0].value != nil {
		v := n.parts[0].value.value(s)
		if empty(v) {
			return b, false
		}
		if r, ok := v.(raw); ok {
			return append(b, r...), true
		}
		return pdk.AppendJSON(b, v), true
	}
	return pdk.AppendJSONString(b, n.write(s)), true
}

type objectNode struct {
	keys  []string
	nodes []node
}

func (n objectNode) append(b []byte, s *scope) ([]byte, bool) {
	b = append(b, '{')
	first := true
	for i, k := range n.keys {
		start := len(b)
		if !first {
			b = append(b, ',')
		}
		b = append(pdk.AppendJSONString(b, k), ':')
		var ok bool
		if b, ok = n.nodes[i].append(b, s); !ok {
			b = b[:start]
			continue
		}
		first = false
	}
	return append(b, '}'), true
}

type listNode []node

func (n listNode) append(b []byte, s *scope) ([]byte, bool) {
	b = append(b, '[')
	first := true
	for _, e := range n {
		start := len(b)
		if !first {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = e.append(b, s); !ok {
			b = b[:start]
			continue
		}
		first = false
	}
	return append(b, ']'), true
}
