package report

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
)

// Format is the shape in which rows are printed.
type Format string

// The formats.
const (
	JSONL Format = "jsonl"
	Table Format = "table"
	CSV   Format = "csv"
)

// ParseFormat reads a format's name; "" means a table on a terminal and JSON lines elsewhere.
func ParseFormat(s string, terminal bool) (Format, error) {
	switch f := Format(strings.ToLower(s)); f {
	case JSONL, Table, CSV:
		return f, nil
	case "json":
		return JSONL, nil
	case "":
		if terminal {
			return Table, nil
		}
		return JSONL, nil
	}
	return "", fmt.Errorf("unknown format %q: it is one of jsonl, table, csv", s)
}

// Column is one column of a table.
type Column struct {
	Name  string
	Right bool // numbers stand at the right
	Max   int  // widest a cell may be in a table, in terminal cells; 0: no bound
	// Width, where all columns have one, is how wide a column of a table is, so that each row is printed as it comes.
	Width int
}

// sampled is how many rows a table looks at before it settles its column widths.
const sampled = 512

// Writer prints rows. It is not safe for concurrent use. Call Close at the end: it prints what is held back.
type Writer struct {
	format Format
	cols   []Column
	out    *bufio.Writer
	csv    *csv.Writer
	line   []byte
	held   [][]string
	widths []int
	paint  func(col int, cell string) string
	rows   int
	err    error
}

// NewWriter makes a Writer. paint, if not nil, colours a padded cell of a table.
func NewWriter(w io.Writer, f Format, cols []Column, paint func(col int, cell string) string) *Writer {
	wr := &Writer{format: f, cols: cols, out: bufio.NewWriterSize(w, 64<<10), paint: paint}
	if f == CSV {
		wr.csv = csv.NewWriter(wr.out)
		head := make([]string, len(cols))
		for i, c := range cols {
			head[i] = c.Name
		}
		wr.err = wr.csv.Write(head)
	}
	return wr
}

// Row prints one row: object appends its JSON, cells gives its cells; only the one the format needs is called.
func (w *Writer) Row(object func([]byte) []byte, cells func() []string) error {
	if w.err != nil {
		return w.err
	}
	w.rows++
	switch w.format {
	case JSONL:
		w.line = append(object(w.line[:0]), '\n')
		_, w.err = w.out.Write(w.line)
	case CSV:
		w.err = w.csv.Write(cells())
	case Table:
		row := cells()
		for i := range row {
			row[i] = printable(row[i])
		}
		if w.widths != nil {
			w.print(row)
			break
		}
		if w.held = append(w.held, row); len(w.held) >= sampled || w.fixed() {
			w.settle()
		}
	}
	return w.err
}

// fixed tells whether the widths are known before any row is.
func (w *Writer) fixed() bool {
	return !slices.ContainsFunc(w.cols, func(c Column) bool { return c.Width == 0 })
}

// Rows is the number of rows given so far.
func (w *Writer) Rows() int { return w.rows }

// Flush sends what is buffered on its way; a table's first rows stay held until its widths are known.
func (w *Writer) Flush() error {
	if w.csv != nil {
		w.csv.Flush()
	}
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// Close prints what is held back and flushes; it does not close the underlying writer.
func (w *Writer) Close() error {
	if w.format == Table && w.widths == nil && w.rows > 0 {
		w.settle()
	}
	return w.Flush()
}

func (w *Writer) settle() {
	w.widths = make([]int, len(w.cols))
	head := make([]string, len(w.cols))
	for i, c := range w.cols {
		head[i] = strings.ToUpper(strings.ReplaceAll(c.Name, "_", " "))
		w.widths[i] = runewidth.StringWidth(head[i])
	}
	for _, r := range w.held {
		for i, cell := range r {
			n := runewidth.StringWidth(cell)
			if m := w.cols[i].Max; m > 0 {
				n = min(n, m)
			}
			w.widths[i] = max(w.widths[i], n)
		}
	}
	if w.fixed() {
		for i, c := range w.cols {
			w.widths[i] = c.Width
		}
	}
	w.raw(head)
	for _, r := range w.held {
		w.print(r)
	}
	w.held = nil
}

func (w *Writer) print(row []string) {
	w.each(row, w.paint)
}

func (w *Writer) raw(row []string) { w.each(row, nil) }

func (w *Writer) each(row []string, paint func(int, string) string) {
	for i, cell := range row {
		cell = runewidth.Truncate(cell, w.widths[i], "…")
		pad := strings.Repeat(" ", max(0, w.widths[i]-runewidth.StringWidth(cell)))
		last := i == len(row)-1
		text := cell
		if paint != nil {
			text = paint(i, cell)
		}
		switch {
		case w.cols[i].Right:
			text = pad + text
		case !last:
			text += pad
		}
		if i > 0 {
			text = "  " + text
		}
		if _, err := w.out.WriteString(text); err != nil && w.err == nil {
			w.err = err
		}
	}
	if err := w.out.WriteByte('\n'); err != nil && w.err == nil {
		w.err = err
	}
}

// printable replaces what would move a terminal's cursor or change its colours: traffic and plug-ins are hostile.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || r == utf8.RuneError || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return '·'
		}
		return r
	}, s)
}
