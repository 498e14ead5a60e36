package plugin

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a package or with parameters.
type Problem struct {
	// Warning tells that the package can be used all the same.
	Warning bool `json:"warning,omitempty"`
	// Where names a file of the package or, for the module, its section: "manifest.toml", "locales/it.toml". It is empty
	// for parameters.
	Where string `json:"where,omitempty"`
	Line  int    `json:"line,omitempty"` // from 1; 0 if it is not known
	// Field is a dotted path: "net[0].reason" in a manifest, "endpoint.webhook_url" for parameters.
	Field string `json:"field,omitempty"`
	// Title is what a form calls the field, in the language of the message; only for parameters.
	Title string `json:"title,omitempty"`
	// Code names the kind of mistake for programs, one of Codes; only for parameters.
	Code    string `json:"code,omitempty"`
	Message string `json:"message"` // what is wrong and what to do; never a secret
}

// String writes the problem as WHERE:LINE: FIELD: MESSAGE.
func (p Problem) String() string {
	var b strings.Builder
	if p.Where != "" {
		b.WriteString(p.Where)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Named is the problem of a parameter as a line for a person: its name, its title if that says more, and the message.
func (p Problem) Named() string {
	name := p.Field
	if _, rest, ok := strings.Cut(name, "."); ok {
		name = rest
	}
	if p.Title != "" && !strings.EqualFold(p.Title, name) {
		name += " (" + p.Title + ")"
	}
	return name + " " + p.Message
}

// Invalid is the error for a package that cannot be used. It holds everything found wrong, not the first thing only.
type Invalid struct {
	Name     string // the file's path
	Problems []Problem
}

// Error writes one line for each problem.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.Name + ": " + p.String()
	}
	return strings.Join(lines, "\n")
}

// invalid makes an error of the problems that are no warnings, or nil if there are none.
func invalid(name string, problems []Problem) error {
	var bad []Problem
	for _, p := range problems {
		if !p.Warning {
			bad = append(bad, p)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return &Invalid{Name: name, Problems: bad}
}
