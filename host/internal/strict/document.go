package strict

import (
	"fmt"
	"strings"
)

// Problem is a mistake at a place in a TOML text. Its Error reads "file:line: text".
type Problem struct {
	File string
	Line int // from 1; 0 if unknown
	Text string
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Document knows on which line each key of a TOML text stands, also within arrays of tables.
type Document struct {
	file string
	at   []place
}

type place struct {
	path  string // dotted, without indexes
	table string // the array of tables it stands in, if any
	index int    // which one of them
	line  int
}

// Scan reads where the keys of a valid TOML text stand.
func Scan(file string, data []byte) *Document {
	s := scanner{doc: string(data), line: 1, at: map[string][]int{}}
	s.scan()
	return &Document{file: file, at: s.places}
}

// Line gives the line of a key; table names the array of tables it stands in and index which one, from 0. For a key that
// is not there, or an empty one, it is the line of the table's header. 0 means unknown.
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
	return &Problem{File: d.file, Line: d.Line(table, index, key), Text: text}
}
