package strict

import (
	"cmp"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// Mistake is one thing wrong in a file.
type Mistake struct {
	Line    int    // from 1; 0 if it is not known
	Key     string // dotted, as TOML writes it; may be empty
	Path    string // Key with the index of each entry of a list, from 0, such as "net[1].host"
	Meant   string // for an unknown key: the Path that was probably meant; may be empty
	Message string // what is wrong and what to do, one line
}

// Error lists every mistake found in one file.
type Error struct {
	File     string
	Mistakes []Mistake
	// Cut tells that the file is no TOML, so that nothing of it was read. All other mistakes leave only their own places unread.
	Cut bool
}

// Error writes one line for each mistake, as FILE:LINE: KEY: MESSAGE.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems() {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// Problems are the mistakes, each as an error of its own.
func (e *Error) Problems() []*Problem {
	list := make([]*Problem, len(e.Mistakes))
	for i, m := range e.Mistakes {
		text := m.Message
		if m.Key != "" {
			text = m.Key + ": " + text
		}
		list[i] = &Problem{File: e.File, Line: m.Line, Path: m.Path, Text: text}
	}
	return list
}

// Covers tells whether what else is wrong at a path may follow from one of the mistakes: one at the path itself, in what it
// holds, or in what holds it. A nil error covers nothing.
func (e *Error) Covers(path string) bool {
	if e == nil || path == "" {
		return false
	}
	return slices.ContainsFunc(e.Mistakes, func(m Mistake) bool {
		return within(path, m.Path) || within(m.Path, path) || m.Meant != "" && (within(path, m.Meant) || within(m.Meant, path))
	})
}

// within tells whether path is at or below the other one. Case does not matter, as it does not for keys.
func within(path, above string) bool {
	path, above = strings.ToLower(path), strings.ToLower(above)
	rest, ok := strings.CutPrefix(path, above)
	return ok && above != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Unknown begins the message about a key that the value has no place for.
const Unknown = "unknown key"

// Decode reads TOML 1.0 into v, a pointer to a struct or map. The error is an *Error that names file: a syntax error alone, or
// else all keys that v has no place for and all values of the wrong type, in the order of their lines. What is right is
// decoded all the same.
func Decode(file string, data []byte, v any) error {
	if i := invalidByte(data); i >= 0 {
		line := 1 + strings.Count(string(data[:i]), "\n")
		return &Error{File: file, Cut: true, Mistakes: []Mistake{{Line: line, Message: "this byte is not UTF-8 text; save the file as UTF-8"}}}
	}
	if line := tooDeep(data); line > 0 {
		return &Error{File: file, Cut: true, Mistakes: []Mistake{{Line: line, Message: "values or keys are nested deeper than " + strconv.Itoa(maxDepth) + " here"}}}
	}
	tree := map[string]any{}
	if _, err := toml.Decode(string(data), &tree); err != nil {
		return &Error{File: file, Cut: true, Mistakes: []Mistake{syntax(err)}}
	}
	f := filler{doc: Scan(file, data)}
	f.fill(tree, reflect.ValueOf(v).Elem(), at{})
	if len(f.found) == 0 {
		return nil
	}
	slices.SortStableFunc(f.found, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: file, Mistakes: f.found}
}

func invalidByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// maxDepth is how deep values and the parts of keys may be nested. Reading takes the square of it in time and memory, in the library too.
const maxDepth = 64

// tooDeep gives the line on which a text, which may not be TOML, is nested deeper than maxDepth; 0 if it is nowhere.
func tooDeep(data []byte) int {
	s := scanner{doc: string(data), line: 1}
	open, dots := 0, 0
	for s.pos < len(s.doc) {
		switch s.doc[s.pos] {
		case '"', '\'':
			s.quoted()
			continue
		case '#':
			s.blank(false)
			continue
		case '[', '{':
			open, dots = open+1, 0
		case ']', '}':
			open, dots = max(0, open-1), 0
		case '.':
			dots++
		case '\n':
			s.line++
			dots = 0
		case '=', ',':
			dots = 0
		}
		if open > maxDepth || dots >= maxDepth {
			return s.line
		}
		s.pos++
	}
	return 0
}

// position matches what the library puts in front of its messages.
var position = regexp.MustCompile(`^(?:toml: )?line (\d+)(?: \(last key (".*?")\))?: `)

func syntax(err error) Mistake {
	text := err.Error()
	var m Mistake
	if p := position.FindStringSubmatch(text); p != nil {
		m.Line, _ = strconv.Atoi(p[1])
		m.Key, _ = strconv.Unquote(p[2])
		text = text[len(p[0]):]
	}
	if p, ok := errors.AsType[toml.ParseError](err); ok {
		if m.Line = p.Position.Line; m.Key == "" {
			m.Key = p.LastKey
		}
	}
	m.Key, m.Message = OneLine(m.Key), OneLine(strings.TrimPrefix(text, "toml: "))
	return m
}

// OneLine makes text fit for an error message: without control characters and bounded.
func OneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
	if len(s) > 300 {
		cut := 300
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// Nearest returns the known word that word was probably meant to be, or "" if none is close: the only one that begins with it,
// or the one with the fewest mistakes, at most one in three letters, where a swap of neighbours counts once. Case does not
// matter.
func Nearest(word string, known []string) string {
	var whole []string
	for _, k := range known {
		if len(word) >= 3 && len(k) > len(word) && strings.EqualFold(k[:len(word)], word) {
			whole = append(whole, k)
		}
	}
	if len(whole) == 1 {
		return whole[0]
	}
	best, least := "", len([]rune(word))/3+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance is the optimal string alignment distance of two words, bounded to words of 64 letters.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(next[j-1]+1, row[j]+1, row[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
