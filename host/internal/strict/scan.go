package strict

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// scan finds the lines on which each key of a TOML document stands, by the key's dotted name. The document has been
// decoded already, so it is valid and the scanner need only find its way: headers, keys, and the ends of values.
func scan(doc string) map[string][]int {
	s := scanner{doc: doc, line: 1, at: map[string][]int{}}
	s.scan()
	return s.at
}

func (s *scanner) scan() {
	var table toml.Key
	seen := map[string]int{}
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
			table = s.key()
			switch name := table.String(); {
			case many:
				s.array, s.index = name, seen[name]
				seen[name]++
			case !strings.HasPrefix(name, s.array+"."):
				s.array, s.index = "", 0
			}
			s.note(table)
			s.skip("] \t")
		default:
			s.pair(table)
		}
		if s.pos == start { // not TOML after all: give up rather than loop
			return
		}
	}
}

type scanner struct {
	doc  string
	pos  int
	line int
	at   map[string][]int

	array  string // the array of tables that the scanner is in, if any
	index  int    // which of its tables
	places []place
}

func (s *scanner) note(k toml.Key) {
	name := k.String()
	s.at[name] = append(s.at[name], s.line)
	s.places = append(s.places, place{path: name, table: s.array, index: s.index, line: s.line})
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
func (s *scanner) pair(table toml.Key) {
	k := append(append(toml.Key{}, table...), s.key()...)
	if len(k) == len(table) {
		return
	}
	for i := len(table) + 1; i <= len(k); i++ {
		s.note(k[:i])
	}
	s.skip("= \t")
	s.value(k)
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

// value skips a value and notes the keys of inline tables in it.
func (s *scanner) value(k toml.Key) {
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
		for {
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
				s.pair(k)
			default:
				s.value(k)
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

// Lines finds the lines on which each key of a valid TOML document stands, by the key's dotted name.
func Lines(data []byte) map[string][]int { return scan(string(data)) }
