package strict

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Problem is a mistake at a place in a TOML text. Its Error reads "file:line: text".
type Problem struct {
	File string
	Line int    // from 1; 0 if unknown
	Path string // where, as in Mistake; may be empty
	Text string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Document knows on which line each key of a TOML text stands, also within lists of tables.
type Document struct {
	file  string
	lines map[string]int // by path; of a table that is written in parts, the first
	// folded are those with capitals, by their path in small letters.
	folded map[string]int
}

// Scan reads where the keys of a valid TOML text stand.
func Scan(file string, data []byte) *Document {
	s := scanner{doc: string(data), line: 1, at: map[string][]int{}, lines: map[string]int{}, count: map[string]int{}}
	s.scan()
	d := &Document{file: file, lines: s.lines, folded: map[string]int{}}
	for path, line := range s.lines {
		if small := strings.ToLower(path); small != path && (d.folded[small] == 0 || line < d.folded[small]) {
			d.folded[small] = line
		}
	}
	return d
}

// At gives the line of a path, such as "net[1].host" or `outcomes."exit 0"`; 0 if it is not there.
// Case does not matter where no other key differs by it alone.
func (d *Document) At(path string) int {
	if n, ok := d.lines[path]; ok {
		return n
	}
	return d.folded[strings.ToLower(path)]
}

// Line gives the line of a key; table names the list of tables it stands in and i which one, from 0. For a key that is not
// there, or an empty one, it is the line of the table's header. 0 means unknown.
func (d *Document) Line(table string, i int, key string) int {
	if n := d.At(pathOf(table, i, key)); n > 0 {
		return n
	}
	return d.At(pathOf(table, i, ""))
}

// Problem makes a problem at a key; see Line.
func (d *Document) Problem(table string, i int, key, text string) *Problem {
	return &Problem{File: d.file, Line: d.Line(table, i, key), Path: pathOf(table, i, key), Text: text}
}

func pathOf(table string, i int, key string) string {
	switch {
	case table == "":
		return key
	case key == "":
		return index(table, i)
	}
	return index(table, i) + "." + key
}

// dot is the path of a key in a table.
func dot(table, key string) string {
	return strings.TrimPrefix(table+"."+toml.Key{key}.String(), ".")
}

// index is the path of an entry of a list.
func index(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
