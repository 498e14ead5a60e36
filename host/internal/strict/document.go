package strict

import "strings"

// Document knows on which line each key of a TOML text stands.
type Document struct {
	File string
	at   []place
}

type place struct {
	path  string // dotted, without indexes
	table string // the array of tables it stands in, if any
	index int    // which one of them
	line  int
}

// Line gives the line of a key; table names the array of tables it stands in and index which one, from 0. An empty key
// asks for the line of the table's own header. 0 means unknown.
func (d *Document) Line(table string, index int, key string) int {
	path := table
	if key != "" {
		path = strings.TrimPrefix(table+"."+key, ".")
	}
	header := 0
	for _, p := range d.at {
		if table != "" && (p.table != table || p.index != index) {
			continue
		}
		if p.path == path {
			return p.line
		}
		if p.path == table && header == 0 {
			header = p.line
		}
	}
	return header
}

// Problem makes a problem at a key; see Line.
func (d *Document) Problem(table string, index int, key, text string) *Problem {
	return &Problem{File: d.File, Line: d.Line(table, index, key), Text: text}
}

func (d *Document) lines(path string) []int {
	var ls []int
	for _, p := range d.at {
		if p.path == path {
			ls = append(ls, p.line)
		}
	}
	return ls
}

// scan finds headers and keys. It is only asked about texts that the TOML library reads, or to point at a line of one
// that it does not, so it need not find every mistake: a line it cannot read is passed over.
func scan(file string, data []byte) *Document {
	d := &Document{File: file}
	var table, array string
	index, depth := 0, 0
	counts := map[string]int{}
	fence := "" // the closing quotes of a multi-line string
	for n, line := range strings.Split(string(data), "\n") {
		s := strings.TrimSpace(line)
		if fence != "" {
			if !strings.Contains(s, fence) {
				continue
			}
			fence = ""
			continue
		}
		if depth == 0 && strings.HasPrefix(s, "[") {
			double := strings.HasPrefix(s, "[[")
			name, _, ok := strings.Cut(strings.TrimLeft(s, "["), "]")
			if !ok {
				continue
			}
			table = clean(name)
			if double {
				array, index = table, counts[table]
				counts[table]++
			} else if !strings.HasPrefix(table+".", array+".") {
				array, index = "", 0
			}
			d.at = append(d.at, place{path: table, table: array, index: index, line: n + 1})
			continue
		}
		if s == "" || s[0] == '#' {
			continue
		}
		value := s
		if depth == 0 {
			key, rest, ok := cutKey(s)
			if !ok {
				continue
			}
			value = rest
			path := strings.TrimPrefix(table+"."+clean(key), ".")
			d.at = append(d.at, place{path: path, table: array, index: index, line: n + 1})
		}
		var open string
		open, depth = follow(value, depth)
		fence = open
	}
	return d
}

// cutKey splits "key = value" at the first "=" that is not within quotes.
func cutKey(s string) (key, value string, ok bool) {
	var quote byte
	for i := range len(s) {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '=':
			return s[:i], strings.TrimSpace(s[i+1:]), true
		case c == '#':
			return "", "", false
		}
	}
	return "", "", false
}

// follow walks a value and gives the closing quotes of a multi-line string left open, and the depth of open brackets.
func follow(s string, depth int) (fence string, _ int) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\'':
			three := strings.Repeat(string(c), 3)
			if strings.HasPrefix(s[i:], three) {
				end := strings.Index(s[i+3:], three)
				if end < 0 {
					return three, depth
				}
				i += 3 + end + 2
				continue
			}
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' && c == '"' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '#':
			return "", depth
		}
	}
	return "", depth
}

// clean removes quotes and the spaces around dots of a key.
func clean(key string) string {
	parts := strings.Split(strings.TrimSpace(key), ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}
