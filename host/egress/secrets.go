package egress

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	placeholderPrefix = "tocsin-secret-"
	placeholderLen    = len(placeholderPrefix) + 32
	// minRedacted is the length from which a value is searched for. Shorter ones occur in any text by chance, and marking
	// them there would give them away.
	minRedacted = 4
)

// Secrets holds the secrets of one endpoint. Plug-ins, requests under way and logs see an opaque placeholder in place of
// each; it is random, so that one endpoint's plug-in cannot name another's. Safe for concurrent use; it prints as its
// count and never as its content.
type Secrets struct {
	mu       sync.RWMutex // mu guards what follows
	list     []secret
	byHolder map[string]int // index in list
	redactor *strings.Replacer
	found    []string // what the redactor looks for; set with it
}

type secret struct{ name, value, holder string }

// NewSecrets makes an empty set.
func NewSecrets() *Secrets { return &Secrets{byHolder: map[string]int{}} }

// Add stores a secret and returns its placeholder, which has letters, digits and hyphens only and so survives any
// escaping. An empty value needs no placeholder and gives none. The name is public: it stands in redacted texts.
func (s *Secrets) Add(name, value string) string {
	if value == "" {
		return ""
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	holder := placeholderPrefix + hex.EncodeToString(b[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byHolder[holder] = len(s.list)
	s.list = append(s.list, secret{name, value, holder})
	s.redactor = nil
	return holder
}

// Include makes Redact find what another set holds, its placeholders too. Replace does not know these.
func (s *Secrets) Include(other *Secrets) {
	other.mu.RLock()
	more := slices.Clone(other.list)
	other.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range more {
		if !slices.Contains(s.list, x) {
			s.list, s.redactor = append(s.list, x), nil
		}
	}
}

// Len is the number of secrets. A nil set has none.
func (s *Secrets) Len() int {
	if s == nil {
		return 0
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.list)
}

// Replace puts the secrets in place of their placeholders, without any escaping.
func (s *Secrets) Replace(text string) string {
	out, _ := s.replace(text, func(v string) string { return v })
	return out
}

// replace puts escape(secret) in place of every placeholder and reports whether there was one.
func (s *Secrets) replace(text string, escape func(string) string) (string, bool) {
	if s == nil || !strings.Contains(text, placeholderPrefix) {
		return text, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var b strings.Builder
	found := false
	for {
		i := strings.Index(text, placeholderPrefix)
		if i < 0 || len(text)-i < placeholderLen {
			break
		}
		n, ok := s.byHolder[text[i:i+placeholderLen]]
		if !ok {
			b.WriteString(text[:i+len(placeholderPrefix)])
			text = text[i+len(placeholderPrefix):]
			continue
		}
		found = true
		b.WriteString(text[:i])
		b.WriteString(escape(s.list[n].value))
		text = text[i+placeholderLen:]
	}
	if !found && b.Len() == 0 {
		return text, false
	}
	b.WriteString(text)
	return b.String(), found
}

// Redact puts ‹secret:name› in place of every secret and placeholder in a text that may reach a log, an error, the ledger
// or a plug-in. It finds values as they are and escaped for URLs, JSON (as JavaScript, Go, PHP and Python do), HTML and Go,
// in hexadecimal, in base64 at any alignment and, of a URL, its path, its query and the long parts of both alone. Values
// shorter than four bytes are not searched for. A nil set redacts nothing.
func (s *Secrets) Redact(text string) string {
	if s == nil || text == "" {
		return text
	}
	s.mu.RLock()
	r, n := s.redactor, len(s.list)
	s.mu.RUnlock()
	if n == 0 {
		return text
	}
	if r == nil {
		r, _ = s.buildRedactor()
	}
	return r.Replace(text)
}

// cutTail takes the beginning of a secret off the end of a text that was cut off there: Redact would not know it.
func (s *Secrets) cutTail(text string) string {
	if s.Len() == 0 {
		return text
	}
	_, found := s.buildRedactor()
	cut := len(text)
	for _, f := range found {
		for n := min(len(f)-1, len(text)); n >= minRedacted && len(text)-n < cut; n-- {
			if strings.HasSuffix(text, f[:n]) {
				cut = len(text) - n
				break
			}
		}
	}
	return text[:cut]
}

func (s *Secrets) buildRedactor() (*strings.Replacer, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redactor != nil {
		return s.redactor, s.found
	}
	type pair struct{ from, to string }
	var pairs []pair
	s.found = nil
	for _, x := range s.list {
		mark := "‹secret:" + x.name + "›"
		values := forms(x.value)
		s.found = append(s.found, values...)
		for _, form := range append(values, x.holder) {
			pairs = append(pairs, pair{form, mark})
		}
	}
	// The replacer takes the first pair that matches at a place: long ones first, so that no tail of one is left.
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(len(b.from), len(a.from)) })
	flat := make([]string, 0, 2*len(pairs))
	for _, p := range pairs {
		flat = append(flat, p.from, p.to)
	}
	s.redactor = strings.NewReplacer(flat...)
	return s.redactor, s.found
}

// The shortest parts of a URL that are searched for alone. Shorter ones are words that any text may have.
const (
	minURLPart    = 8  // the path, the query, a value of the query
	minURLSegment = 16 // one segment of the path
)

// forms lists how a value may appear in a text.
func forms(v string) []string {
	if len(v) < minRedacted {
		return nil
	}
	raw := []string{v}
	if t := strings.TrimSpace(v); t != v && len(t) >= minRedacted {
		raw = append(raw, t)
	}
	if u, err := url.Parse(v); err == nil && u.Host != "" {
		// Errors and servers name a URL's path without its host; the path, the query and the user are what is secret.
		parts := []string{u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery, u.User.String()}
		for _, values := range u.Query() {
			parts = append(parts, values...)
		}
		for _, part := range parts {
			if len(part) >= minURLPart {
				raw = append(raw, part)
			}
		}
		for segment := range strings.SplitSeq(u.Path, "/") {
			if len(segment) >= minURLSegment {
				raw = append(raw, segment)
			}
		}
		if p, ok := u.User.Password(); ok && len(p) >= minRedacted {
			raw = append(raw, p)
		}
	}
	var out []string
	for _, r := range raw {
		out = append(out, r, jsonEscape(r, true), jsonEscape(r, false), jsonASCII(r), strings.Trim(strconv.Quote(r), `"`))
		out = append(out, strings.ReplaceAll(jsonASCII(r), "/", `\/`), strings.ReplaceAll(jsonEscape(r, false), "/", `\/`))
		out = append(out, html.EscapeString(r), strings.NewReplacer("&#34;", "&quot;", "&#39;", "&#039;").Replace(html.EscapeString(r)))
		h := hex.EncodeToString([]byte(r))
		out = append(out, h, strings.ToUpper(h))
		for _, e := range []string{url.PathEscape(r), url.QueryEscape(r), strings.ReplaceAll(url.QueryEscape(r), "+", "%20")} {
			out = append(out, e, lowerPercents(e))
		}
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			for shift := range 3 {
				if f := base64Inner(enc, r, shift); len(f) >= 6 {
					out = append(out, f, url.QueryEscape(f), strings.ReplaceAll(f, "/", `\/`))
				}
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(f string) bool { return len(f) < minRedacted })
}

// jsonASCII writes v as the inside of a JSON string in ASCII alone, as PHP and Python do.
func jsonASCII(v string) string {
	var b strings.Builder
	for _, r := range jsonEscape(v, false) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// base64Inner gives the characters of the encoding that depend on v alone when v starts shift bytes into a group of three,
// as a password does behind "user:".
func base64Inner(enc *base64.Encoding, v string, shift int) string {
	e := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + v))
	e = e[[3]int{0, 2, 3}[shift]:]
	if (shift+len(v))%3 != 0 && e != "" {
		e = e[:len(e)-1] // shares bits with whatever follows
	}
	return e
}

func lowerPercents(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

// jsonEscape writes v as the inside of a JSON string.
func jsonEscape(v string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if err := e.Encode(v); err != nil {
		return v // unreachable: a string always encodes
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return out[1 : len(out)-1]
}

// String tells how many secrets there are.
func (s *Secrets) String() string { return fmt.Sprintf("%d secrets", s.Len()) }

// Format prints the same as String for every verb, so that %+v and %#v give nothing away.
func (s *Secrets) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalJSON writes what String says.
func (s *Secrets) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue logs what String says.
func (s *Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }
