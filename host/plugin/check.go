package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Check finds all that is wrong with a package: the manifest's fields, what it asks for, the table of outcomes, locales, and
// the message template, which is rendered for each of Samples in each language. The module is not run. The result is made
// once. A package with a problem that is no warning must not be used; see Load.
func (p *Package) Check() []Problem {
	p.check.Do(func() {
		p.problems = slices.Clone(p.found)
		if p.unread == nil || !p.unread.Cut { // or all of it would be missing
			p.problems = append(p.problems, slices.DeleteFunc(p.checkManifest(), func(bad Problem) bool { return p.unread.Covers(bad.Field) })...)
		}
		p.problems = slices.Concat(p.problems, p.checkForms(), p.checkLocales(), p.checkVectors())
		if !slices.ContainsFunc(p.found, inLocales) && !p.unread.Covers("message") {
			p.problems = append(p.problems, p.checkMessages()...)
		}
		// Warnings come last, the rest in the order of the files.
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return b2i(a.Warning) - b2i(b.Warning) })
	})
	return slices.Clone(p.problems)
}

func inLocales(p Problem) bool { return strings.HasPrefix(p.Where, dirLocales) }

// vector is the frame of a test vector; package pdk/pdktest says what is in it.
type vector struct {
	Name     string          `json:"name"`
	Function string          `json:"function"`
	Input    json.RawMessage `json:"input"`
	Output   json.RawMessage `json:"output"`
}

func (p *Package) checkVectors() []Problem {
	var problems []Problem
	functions := []string{"render", "classify", "lint", "probe"}
	for _, name := range slices.Sorted(maps.Keys(p.Vectors)) {
		bad := func(format string, args ...any) {
			problems = append(problems, Problem{Where: dirVectors + "/" + name, Message: fmt.Sprintf(format, args...)})
		}
		if path.Ext(name) != ".json" {
			bad("a test vector is a file .json")
			continue
		}
		var v vector
		if err := json.Unmarshal(p.Vectors[name], &v); err != nil {
			bad("this is no test vector: %s", strict.OneLine(err.Error()))
			problems[len(problems)-1].Line = jsonProblem(p.Vectors[name], err).Line
			continue
		}
		if p.Manifest.World == "endpoint" && !slices.Contains(functions, v.Function) {
			bad("the function %s is unknown; it is one of %s", quote(v.Function), strings.Join(functions, ", "))
		}
		if v.Input == nil {
			bad("the input is missing")
		}
	}
	return problems
}

// checkMessages renders every sample in every language, with and without markup.
func (p *Package) checkMessages() []Problem {
	if p.message == nil {
		return nil
	}
	var problems []Problem
	note := func(bad Problem) {
		same := func(o Problem) bool {
			return o.Where == bad.Where && o.Line == bad.Line && o.Field == "" && sameText(o, bad)
		}
		if !slices.ContainsFunc(problems, same) {
			problems = append(problems, bad)
		}
	}
	if p.message.literal > 0 && !p.message.plain {
		note(Problem{Where: whereTmpl, Line: p.message.literal, Message: `the template writes markup itself, so it cannot be sent as plain ` +
			`text; use bold, italic, code or link, or add a block "plain"`})
	}
	start := time.Now()
	for _, locale := range p.Languages() {
		for _, s := range madeUp() {
			for _, plain := range []bool{false, true} {
				list, err := p.checkMessage(s, locale, plain)
				for _, bad := range list {
					note(bad)
				}
				// A template that runs away does so for each sample; once is enough.
				if errors.Is(err, errSteps) || errors.Is(err, errTime) || errors.Is(err, errOutput) || errors.Is(err, errValue) {
					return problems
				}
				if time.Since(start) > maxCheck {
					note(Problem{Where: whereTmpl, Message: fmt.Sprintf("the template is too slow: a few messages took more than %v", maxCheck)})
					return problems
				}
			}
		}
	}
	return problems
}

// maxCheck bounds the time for the messages of a package, which is thousands of times what they need.
const maxCheck = 20 * time.Second

// sameText compares messages but for the sample they name at the end.
func sameText(a, b Problem) bool {
	x, _, _ := strings.Cut(a.Message, " (sample")
	y, _, _ := strings.Cut(b.Message, " (sample")
	return x == y
}

func (p *Package) checkMessage(s Sample, locale string, plain bool) ([]Problem, error) {
	which := fmt.Sprintf(" (sample %q in %s)", s.Name, locale)
	t, err := p.Render(&s.Alert, locale, plain)
	if err != nil {
		bad := templateProblem(err)
		if te, ok := errors.AsType[*TemplateError](err); ok {
			bad = te.Problem
		}
		bad.Message += which
		return []Problem{bad}, err
	}
	var problems []Problem
	bad := func(format string, args ...any) {
		problems = append(problems, Problem{Where: whereTmpl, Message: fmt.Sprintf(format, args...) + which})
	}
	if t.Text == "" {
		bad("the message is empty")
	}
	if t.Subject == "" {
		bad("the subject is empty")
	}
	if plain {
		return problems, nil
	}
	switch p.message.format {
	case "json":
		if !json.Valid([]byte(t.Text)) {
			bad("the message is no valid JSON; values stand in quotes, such as {\"text\": \"{{.message}}\"}, or are written with json")
		}
	case "html", "basic_html":
		var allowed []string
		if p.message.format == "basic_html" {
			allowed = basicTags
		}
		if what := checkTags(t.Text, allowed); what != "" {
			bad("%s", what)
		}
	}
	return problems, nil
}

// basicTags are the elements of the small HTML that chat services take (those of the Bot API 10.1, the largest such list).
var basicTags = []string{
	"b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "a", "tg-emoji", "tg-time", "code", "pre", "blockquote",
}

// voidTags are elements without an end.
var voidTags = []string{"br", "hr", "img", "wbr"}

var anyTag = regexp.MustCompile(`<(/?)([A-Za-z][A-Za-z0-9-]*)[^<>]*>`)

// checkTags says what is wrong with the tags of an HTML text: one that is not allowed, not closed, or closed in the wrong
// order; or a < that begins no tag.
func checkTags(text string, allowed []string) string {
	var open []string
	for _, m := range anyTag.FindAllStringSubmatch(text, -1) {
		name := strings.ToLower(m[2])
		switch {
		case allowed != nil && !slices.Contains(allowed, name):
			return fmt.Sprintf("the service does not take the element <%s>; it takes %s", name, strings.Join(allowed, ", "))
		case slices.Contains(voidTags, name):
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			return fmt.Sprintf("</%s> closes nothing", name)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Sprintf("<%s> is not closed", open[len(open)-1])
	}
	if strings.Contains(anyTag.ReplaceAllString(text, ""), "<") {
		return "a < begins no tag; write &lt;"
	}
	return ""
}
