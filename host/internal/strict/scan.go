package strict

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// Lines finds the lines on which each key of a valid TOML document stands, by the key's dotted name.
func Lines(data []byte) map[string][]int {
	s := scanner{doc: string(data), line: 1, at: map[string][]int{}, lines: map[string]int{}, count: map[string]int{}}
	s.scan()
	return s.at
}

// scanner finds the lines on which each key of a TOML document stands. The document has been decoded already, so it is valid
// and the scanner need only find its way: headers, keys, and the ends of values.
type scanner struct {
	doc  string
	pos  int
	line int

	at    map[string][]int // by dotted name
	lines map[string]int   // by path, the first
	count map[string]int   // of the tables in a list of tables, by the list's path
	size  int              // of all names and paths that were noted, in bytes
}

// maxNotes bounds what is kept of names and paths, in bytes: long ones of many keys would take far more than the text. Where the rest
// stands is not known then.
const maxNotes = 8 << 20

func (s *scanner) scan() {
	var table at
	for {
		s.blank(true)
		if s.pos >= len(s.doc) {
			return
		}
		start := s.pos
		switch {
		case s.doc[s.pos] == '[':
			many := strings.HasPrefix(s.doc[s.pos:], "[[")
			s.skip("[")
			table = s.header(s.key(), many)
			s.skip("] \t")
		default:
			s.pair(table)
		}
		if s.pos == start { // not TOML after all: give up rather than loop
			return
		}
	}
}

// header notes a table, or the next one of a list of tables. A name in it that is such a list means the list's last table.
func (s *scanner) header(k toml.Key, many bool) at {
	t := at{key: k}
	for i, part := range k {
		t.path = dot(t.path, part)
		switch n := s.count[t.path]; {
		case many && i == len(k)-1:
			s.count[t.path]++
			s.place(t.path)
			t.path = index(t.path, n)
		case n > 0:
			t.path = index(t.path, n-1)
		}
		s.place(t.path)
	}
	s.note(t)
	return t
}

func (s *scanner) note(a at) {
	name := a.key.String()
	if s.size += len(name); s.size > maxNotes {
		return
	}
	s.at[name] = append(s.at[name], s.line)
	s.place(a.path)
}

func (s *scanner) place(path string) {
	if _, ok := s.lines[path]; !ok {
		if s.size += len(path); s.size > maxNotes {
			return
		}
		s.lines[path] = s.line
	}
}

func (s *scanner) skip(set string) {
	for s.pos < len(s.doc) && strings.IndexByte(set, s.doc[s.pos]) >= 0 {
		s.pos++
	}
}

// blank skips spaces and comments, and line ends too if lines is set.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.doc) {
		switch c := s.doc[s.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
			s.line++
		case c == '#':
			for s.pos < len(s.doc) && s.doc[s.pos] != '\n' {
				s.pos++
			}
			continue
		default:
			return
		}
		s.pos++
	}
}

// pair reads KEY = VALUE, whose key is relative to table.
func (s *scanner) pair(table at) {
	k := s.key()
	if len(k) == 0 {
		return
	}
	for _, part := range k {
		table = table.member(part)
		s.note(table)
	}
	s.skip("= \t")
	s.value(table)
}

// key reads a dotted key.
func (s *scanner) key() toml.Key {
	var k toml.Key
	for {
		s.skip(" \t")
		if s.pos >= len(s.doc) {
			return k
		}
		if c := s.doc[s.pos]; c == '"' || c == '\'' {
			start := s.pos
			s.quoted()
			// The library unquotes it for us, so that its escapes need no second reading.
			var v struct{ K string }
			if _, err := toml.Decode("K = "+s.doc[start:s.pos], &v); err != nil {
				return nil
			}
			k = append(k, v.K)
		} else {
			start := s.pos
			for s.pos < len(s.doc) && strings.IndexByte(" \t\r\n.=]#", s.doc[s.pos]) < 0 {
				s.pos++
			}
			if start == s.pos {
				return k
			}
			k = append(k, s.doc[start:s.pos])
		}
		s.skip(" \t")
		if s.pos >= len(s.doc) || s.doc[s.pos] != '.' {
			return k
		}
		s.pos++
	}
}

// quoted skips a string of any of the four kinds.
func (s *scanner) quoted() {
	q := s.doc[s.pos : s.pos+1]
	escapes := q == `"`
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s.doc[s.pos:], triple) {
		q = triple
	}
	s.pos += len(q)
	for s.pos < len(s.doc) {
		switch {
		case strings.HasPrefix(s.doc[s.pos:], q):
			s.pos += len(q)
			// A string of three quotes may end in up to two more.
			for len(q) == 3 && s.pos < len(s.doc) && s.doc[s.pos] == q[0] {
				s.pos++
			}
			return
		case s.doc[s.pos] == '\\' && escapes && s.pos+1 < len(s.doc):
			s.pos++
		}
		if s.pos < len(s.doc) && s.doc[s.pos] == '\n' {
			s.line++
		}
		s.pos++
	}
}

// value skips a value and notes the entries of lists and the keys of inline tables in it.
func (s *scanner) value(a at) {
	if s.pos >= len(s.doc) {
		return
	}
	switch c := s.doc[s.pos]; c {
	case '"', '\'':
		s.quoted()
	case '[', '{':
		end := byte(']')
		if c == '{' {
			end = '}'
		}
		s.pos++
		for i := 0; ; {
			s.blank(true)
			if s.pos >= len(s.doc) {
				return
			}
			start := s.pos
			switch d := s.doc[s.pos]; {
			case d == end:
				s.pos++
				return
			case d == ',':
				s.pos++
			case c == '{':
				s.pair(a)
			default:
				s.place(index(a.path, i))
				s.value(a.entry(i))
				i++
			}
			if s.pos == start {
				return
			}
		}
	default:
		for s.pos < len(s.doc) && strings.IndexByte(",]}#\n", s.doc[s.pos]) < 0 {
			s.pos++
		}
	}
}
