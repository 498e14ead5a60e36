package plugin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template/parse"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// The helpers of forms. Each but t stands for markup of the host's.
const (
	helpField  = "field"
	helpFields = "fields"
	helpGroup  = "group"
	helpGuide  = "help"
	helpText   = "t"
)

// helpers are the functions that forms may use, with how they are written. T is t as messages write it.
var helpers = map[string]string{
	helpField: `{{field "NAME"}}`, helpFields: "{{fields}}", helpGroup: `{{group "TITLE" "NAME" ...}}`, helpGuide: "{{help}}",
	helpText: `{{t "KEY"}}`, "T": `{{t "KEY"}}`,
}

// plainForm is the form of a package that has none of its own.
const plainForm = "{{help}}\n{{fields}}"

// formTemplate is one of a package's forms. It has no loops, conditions and calls of templates, so it ends, and what it writes is
// the same for all values: it is run and sanitised once a language, with holes where the host's markup goes. It is safe for
// concurrent use.
type formTemplate struct {
	part  string
	calls []formCall
	made  sync.Map // of []formPiece by language

	mu    sync.Mutex // mu guards what follows
	set   *template.Template
	state *formState // what the set's functions are bound to
}

// maxTags bounds the tags of a form: html/template takes time that grows with the square of their number.
const maxTags = 2000

// formCall is one use of a helper that stands for markup.
type formCall struct {
	helper string
	line   int
	names  []string // of the fields it shows, in their order; resolved for fields
}

// formPiece is a part of a form: markup of the plug-in's, harmless, and then a call, if there is one.
type formPiece struct {
	html  string
	call  *formCall
	title string // of a group
}

// parseForm parses a form and lists all that is wrong with it. The form is nil if it cannot be used.
func parseForm(part, text string, w *words, schema *Schema) (*formTemplate, []Problem) {
	c := formCheck{part: part, words: w, schema: schema, shown: map[string]bool{}}
	if len(text) > maxMarkup {
		c.bad(0, "has %d bytes; it may have %d at most", len(text), maxMarkup)
		return nil, c.problems
	}
	if n := strings.Count(text, "<"); n > maxTags {
		c.bad(0, "has %d tags; it may have %d at most", n, maxTags)
		return nil, c.problems
	}
	c.tree = parse.New(c.name())
	c.tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := c.tree.Parse(text, "", "", trees); err != nil {
		c.fault(err)
		return nil, c.problems
	}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		if name != c.name() {
			c.bad(lineOf(trees[name], trees[name].Root), "a form is one piece; write the block %s out where it belongs", quote(name))
		}
	}
	for _, n := range c.tree.Root.Nodes {
		c.node(n)
	}
	c.complete()
	for _, r := range removals(text) {
		c.bad(r.line, "%s; it is removed", r.what)
		c.problems[len(c.problems)-1].Warning = true
	}
	if hasErrors(c.problems) {
		return nil, c.problems
	}
	f := &formTemplate{part: part, calls: c.calls, state: &formState{}}
	var err error
	if f.set, err = template.New(c.name()).Funcs(f.state.funcs()).Parse(text); err != nil {
		c.fault(err)
		return nil, c.problems
	}
	return f, c.problems
}

// checkForms runs the forms in every language and reports what goes wrong or is lost.
func (p *Package) checkForms() []Problem {
	problems := slices.Concat(p.formProblems, p.checkGuides())
	start := time.Now()
	for _, part := range parts {
		f := p.forms[part]
		if f == nil {
			continue
		}
		c := formCheck{part: part, calls: f.calls}
		for _, l := range p.words.langs {
			pieces, err := f.pieces(l)
			if err != nil {
				c.fault(err)
			} else {
				c.lost(pieces)
			}
			if time.Since(start) > maxCheck {
				c.bad(0, "the form is too slow: it took more than %v", maxCheck)
			}
			if len(c.problems) > 0 {
				break // the next language would say the same
			}
		}
		problems = append(problems, c.problems...)
	}
	return problems
}

// checkGuides looks at the set-up guide in each language.
func (p *Package) checkGuides() []Problem {
	var problems []Problem
	for _, l := range p.words.langs {
		text := l.or("plugin.help", p.Manifest.Help)
		bad := Problem{Where: fileManifest, Field: "help"}
		if l.tag != p.words.langs[0].tag {
			bad = Problem{Where: dirLocales + "/" + l.tag.String() + ".toml", Field: "plugin.help"}
		}
		if len(text) > maxGuide {
			bad.Message = fmt.Sprintf("has %d bytes; a set-up guide may have %d at most", len(text), maxGuide)
			problems = append(problems, bad)
			continue
		}
		if what := leftOut(text); what != "" {
			bad.Warning, bad.Message = true, what+" is left out of the set-up guide; write plain Markdown without HTML and images"
			problems = append(problems, bad)
		}
	}
	return slices.CompactFunc(problems, func(a, b Problem) bool { return a.Message == b.Message && a.Field == b.Field && a.Where == b.Where })
}

func hasErrors(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// formCheck walks a form's template.
type formCheck struct {
	part     string
	words    *words
	schema   *Schema
	tree     *parse.Tree
	calls    []formCall
	shown    map[string]bool
	rest     bool // {{fields}} stands in it
	guide    bool
	problems []Problem
}

func (c *formCheck) name() string { return c.part + ".html" }

func (c *formCheck) bad(line int, format string, args ...any) {
	p := Problem{Where: dirTemplates + "/" + c.name(), Line: line, Message: fmt.Sprintf(format, args...)}
	if !slices.Contains(c.problems, p) {
		c.problems = append(c.problems, p)
	}
}

// fault reports what the template package says.
func (c *formCheck) fault(err error) {
	bad := templateProblem(err)
	if m := escaperError.FindStringSubmatch(err.Error()); m != nil {
		bad.Line, _ = strconv.Atoi(m[1])
		bad.Message = strict.OneLine(m[2])
	}
	if errors.Is(err, errOutput) {
		bad.Message = fmt.Sprintf("the form is larger than %d bytes", maxOutput)
	}
	bad.Where = dirTemplates + "/" + c.name()
	c.problems = append(c.problems, bad)
}

// escaperError matches what html/template says, which differs from text/template.
var escaperError = regexp.MustCompile(`(?s)^html/template: ?[^:]*(?::(\d+))?(?::\d+)?: (.*)$`)

func (c *formCheck) node(n parse.Node) {
	line := lineOf(c.tree, n)
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode:
	case *parse.ActionNode:
		if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 {
			c.bad(line, "%s cannot stand in a form, which has no variables and no pipelines; write %s", quote(n.String()), helperList())
			return
		}
		c.call(line, n.Pipe.Cmds[0], true)
	case *parse.TemplateNode:
		c.bad(line, "a form calls no other template; write it out")
	default:
		c.bad(line, "a form has no conditions and no loops; write %s", helperList())
	}
}

func helperList() string {
	return strings.Join([]string{helpers[helpField], helpers[helpFields], helpers[helpGroup], helpers[helpGuide], helpers[helpText]}, ", ")
}

// call checks one helper with its arguments.
func (c *formCheck) call(line int, cmd *parse.CommandNode, top bool) {
	id, ok := cmd.Args[0].(*parse.IdentifierNode)
	if !ok {
		c.bad(line, "%s cannot stand in a form; write %s", quote(cmd.String()), helperList())
		return
	}
	name := id.Ident
	if helpers[name] == "" {
		if near := strict.Nearest(name, slices.Collect(maps.Keys(helpers))); near != "" {
			c.bad(line, "there is no helper %s; did you mean %s?", quote(name), helpers[near])
		} else {
			c.bad(line, "there is no helper %s; write %s", quote(name), helperList())
		}
		return
	}
	if text := name == helpText || name == "T"; !text && !top {
		c.bad(line, "%s stands alone, not among the arguments of another helper", helpers[name])
		return
	}
	var texts []string
	for i, a := range cmd.Args[1:] {
		switch a := a.(type) {
		case *parse.StringNode:
			texts = append(texts, a.Text)
		case *parse.PipeNode:
			if name == helpGroup && i == 0 && len(a.Decl) == 0 && len(a.Cmds) == 1 {
				c.call(line, a.Cmds[0], false)
				texts = append(texts, a.String())
				continue
			}
			c.bad(line, "%s is not understood here; write text in quotes, as in %s", quote(a.String()), helpers[name])
			return
		default:
			c.bad(line, "%s is not understood here; write text in quotes, as in %s", quote(a.String()), helpers[name])
			return
		}
	}
	c.use(line, name, texts)
}

func (c *formCheck) use(line int, name string, texts []string) {
	wrong := func() { c.bad(line, "%s has the wrong number of arguments; write %s", name, helpers[name]) }
	call := formCall{helper: name, line: line}
	switch name {
	case helpText, "T":
		if len(texts)%2 != 1 {
			wrong()
			return
		}
		c.text(line, texts[0])
		return
	case helpField:
		if len(texts) != 1 {
			wrong()
			return
		}
		call.names = texts
	case helpGroup:
		if len(texts) < 2 {
			wrong()
			return
		}
		if strings.TrimSpace(texts[0]) == "" {
			c.bad(line, "the group has no title; write %s", helpers[name])
		}
		call.names = texts[1:]
	case helpFields, helpGuide:
		if len(texts) > 0 {
			wrong()
			return
		}
		once := &c.rest
		if name == helpGuide {
			once = &c.guide
		}
		if *once {
			c.bad(line, "%s stands twice; once is enough", helpers[name])
		}
		*once = true
	}
	for _, n := range call.names {
		c.field(line, n)
	}
	c.calls = append(c.calls, call)
}

func (c *formCheck) field(line int, name string) {
	names := c.schema.names(c.part)
	switch {
	case c.schema.unread:
	case !slices.Contains(names, name):
		if near := strict.Nearest(name, names); near != "" {
			c.bad(line, "the %s has no parameter %s; did you mean %q?", c.part, quote(name), near)
		} else if _, ok := c.schema.field(other(c.part), name); ok {
			c.bad(line, "the %s has no parameter %s; it belongs to the %s", c.part, quote(name), other(c.part))
		} else if len(names) == 0 {
			c.bad(line, "the %s has no parameter %s, nor any other", c.part, quote(name))
		} else {
			c.bad(line, "the %s has no parameter %s; it has %s", c.part, quote(name), strings.Join(names, ", "))
		}
	case c.shown[name]:
		c.bad(line, "the parameter %s is asked for twice", name)
	}
	c.shown[name] = true
}

func (c *formCheck) text(line int, key string) {
	if c.words.english[key] || c.words.unread {
		return
	}
	where := dirLocales + "/en.toml"
	if near := strict.Nearest(key, slices.Collect(maps.Keys(c.words.english))); near != "" {
		c.bad(line, "the text %s is not in %s; did you mean %q?", quote(key), where, near)
		return
	}
	c.bad(line, "the text %s is not in %s; add it", quote(key), where)
}

// complete fills in what {{fields}} stands for, and reports parameters that are never asked for.
func (c *formCheck) complete() {
	var left []string
	for _, f := range c.schema.fields {
		if f.Part != c.part || c.shown[f.Name] {
			continue
		}
		left = append(left, f.Name)
		if !c.rest {
			c.bad(0, "the parameter %s is never asked for; write %s or %s", f.Name, strings.Replace(helpers[helpField], "NAME", f.Name, 1), helpers[helpFields])
			c.problems[len(c.problems)-1].Warning = !f.Required
		}
	}
	for i := range c.calls {
		if c.calls[i].helper == helpFields {
			c.calls[i].names = left
		}
	}
}

// lost reports calls that were taken out with the markup they stood in.
func (c *formCheck) lost(pieces []formPiece) {
	for i := range c.calls {
		call := &c.calls[i]
		if !slices.ContainsFunc(pieces, func(p formPiece) bool { return p.call == call }) {
			c.bad(call.line, "%s stands in an attribute or in an element that is removed, so it would never show", helpers[call.helper])
		}
	}
}

// formState is what the helpers of one run share.
type formState struct {
	lang   *lang
	hole   string
	titles []string // of the calls made so far; of groups only they mean something
}

// hold makes the text that stands for the next call.
func (s *formState) hold(title string) string {
	s.titles = append(s.titles, title)
	return s.hole + "-" + strconv.Itoa(len(s.titles)-1) + "-"
}

func (s *formState) funcs() template.FuncMap {
	text := func(key string, args ...any) (string, error) { return s.lang.say(key, args...) }
	return template.FuncMap{
		helpField:  func(string) string { return s.hold("") },
		helpFields: func() string { return s.hold("") },
		helpGuide:  func() string { return s.hold("") },
		helpGroup:  func(title string, _ ...string) string { return s.hold(title) },
		helpText:   text, "T": text,
	}
}

// pieces runs the form in a language and makes it harmless.
func (f *formTemplate) pieces(l *lang) ([]formPiece, error) {
	if made, ok := f.made.Load(l.tag); ok {
		return made.([]formPiece), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	// Nobody can guess the hole, so no text of the plug-in's can pass for one.
	s := f.state
	*s = formState{lang: l, hole: "tocsin" + rand.Text()}
	var out limited
	if err := f.set.Execute(&out, nil); err != nil {
		return nil, err
	}
	var pieces []formPiece
	clean := sanitise(string(out.b), s.hole)
	for {
		before, rest, ok := strings.Cut(clean, s.hole+"-")
		number, after, ok2 := strings.Cut(rest, "-")
		i, err := strconv.Atoi(number)
		if !ok || !ok2 || err != nil || i < 0 || i >= len(s.titles) || i >= len(f.calls) {
			pieces = append(pieces, formPiece{html: before})
			break
		}
		pieces = append(pieces, formPiece{html: before, call: &f.calls[i], title: s.titles[i]})
		clean = after
	}
	f.made.Store(l.tag, pieces)
	return pieces, nil
}
