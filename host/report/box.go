package report

import (
	"regexp"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Box draws rows as a table in a frame; head is its first row, and columns from center on are centred. Cells may hold
// colours.
func Box(head []string, rows [][]string, center int) string {
	widths := make([]int, len(head))
	for _, r := range append([][]string{head}, rows...) {
		for i, c := range r {
			widths[i] = max(widths[i], cells(c))
		}
	}
	var b strings.Builder
	rule := func(left, mid, right string) {
		for _, w := range widths {
			b.WriteString(left + strings.Repeat("─", w+2))
			left = mid
		}
		b.WriteString(right + "\n")
	}
	line := func(r []string) {
		for i, c := range r {
			free := widths[i] - cells(c)
			before := 0
			if i >= center {
				before = free / 2
			}
			b.WriteString("│ " + strings.Repeat(" ", before) + c + strings.Repeat(" ", free-before) + " ")
		}
		b.WriteString("│\n")
	}
	rule("╭", "┬", "╮")
	line(head)
	rule("├", "┼", "┤")
	for _, r := range rows {
		line(r)
	}
	rule("╰", "┴", "╯")
	return b.String()
}

// Frame draws a text in a frame of the given outer width, its lines broken at spaces where they are too long, and moved to
// the right by indent.
func Frame(text string, width, indent int) string {
	margin, inner := strings.Repeat(" ", indent), width-4
	var b strings.Builder
	b.WriteString(margin + "╭" + strings.Repeat("─", inner+2) + "╮\n")
	for line := range strings.SplitSeq(text, "\n") {
		for _, part := range wrap(printable(line), inner) {
			b.WriteString(margin + "│ " + part + strings.Repeat(" ", inner-runewidth.StringWidth(part)) + " │\n")
		}
	}
	b.WriteString(margin + "╰" + strings.Repeat("─", inner+2) + "╯\n")
	return b.String()
}

func wrap(line string, width int) []string {
	var parts []string
	for runewidth.StringWidth(line) > width {
		cut := runewidth.Truncate(line, width, "")
		if i := strings.LastIndexByte(cut, ' '); i > 0 && !strings.HasPrefix(line[len(cut):], " ") {
			cut = cut[:i]
		}
		parts = append(parts, strings.TrimRight(cut, " "))
		line = strings.TrimLeft(line[len(cut):], " ")
	}
	return append(parts, line)
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// cells is the width of a text on a terminal, without its colours.
func cells(s string) int { return runewidth.StringWidth(colours.ReplaceAllString(s, "")) }
