package report

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Terminal says what a stream can show.
type Terminal struct {
	IsTerminal bool
	Color      bool // a terminal, and neither NO_COLOR nor TERM=dumb is set (https://no-color.org)
	Width      int
}

// Inspect looks at a stream; one that is no file is no terminal.
func Inspect(w io.Writer) Terminal {
	t := Terminal{Width: 80}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return t
	}
	t.IsTerminal = true
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		t.Width = n
	}
	t.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return t
}

// Severity colours a cell by the severity it names.
func Severity(name, cell string) string {
	code := ""
	switch name {
	case "emergency", "alert", "critical":
		code = "1;31"
	case "error":
		code = "31"
	case "warning":
		code = "33"
	case "notice":
		code = "36"
	default:
		return cell
	}
	return "\x1b[" + code + "m" + cell + "\x1b[0m"
}

// Bold and Dim emphasise a text where on is true.
func Bold(on bool, s string) string { return style(on, "1", s) }

// Dim makes a text recede where on is true.
func Dim(on bool, s string) string { return style(on, "2", s) }

// Good and Bad colour an outcome where on is true.
func Good(on bool, s string) string { return style(on, "32", s) }

// Bad colours a failure where on is true.
func Bad(on bool, s string) string { return style(on, "31", s) }

func style(on bool, code, s string) string {
	if !on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
