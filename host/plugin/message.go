package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"text/template/parse"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

const (
	fileMessage = "message.tmpl"
	whereTmpl   = dirTemplates + "/" + fileMessage
	// Names of the blocks that are rendered.
	blockSubject, blockText, blockPlain = "subject", "text", "plain"
	blockHost                           = "message" // the host's own text
)

// templateFiles are the files that a package may have in templates.
var templateFiles = []string{"endpoint.html", "recipient.html", fileMessage}

// message is a message template, ready to run. It is safe for concurrent use.
type message struct {
	set     *template.Template
	format  string
	max     int
	unit    string
	pool    sync.Pool       // of *runner
	literal int             // line of the first markup the template writes itself; 0 if there is none
	plain   bool            // it has a block "plain"
	used    map[string]bool // names that the template mentions, among them the fields of the alert
	own     []byte
}

// parseMessage parses message.tmpl on top of the host's own template, whose blocks it may replace, and rewrites it so that
// each value it writes is escaped and each loop is counted. The message is nil if there are problems.
func parseMessage(files map[string][]byte, want Message, w *words) (*message, []Problem) {
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if slices.Contains(templateFiles, name) {
			continue
		}
		text := "is no template of a plug-in; they are " + strings.Join(templateFiles, ", ")
		if near := strict.Nearest(name, templateFiles); near != "" {
			text = fmt.Sprintf("is no template of a plug-in; did you mean %q?", near)
		}
		problems = append(problems, Problem{Where: dirTemplates + "/" + strict.OneLine(name), Message: text})
	}
	m := &message{format: want.Format, max: want.MaxLength, unit: want.Unit, own: files[fileMessage]}
	if formats[m.format] == nil {
		return nil, problems // the check of the manifest says so
	}
	shared, _ := builtin.ReadFile("builtin/" + fileMessage)
	s := &state{}
	m.set = template.Must(template.New("the host's " + fileMessage).Option("missingkey=error").Funcs(s.funcs()).Parse(string(shared)))
	if m.own != nil {
		if len(m.own) > maxValue {
			return nil, append(problems, Problem{Where: whereTmpl, Message: fmt.Sprintf("has %d bytes; it may have %d at most", len(m.own), maxValue)})
		}
		own, err := m.set.New(fileMessage).Parse(string(m.own))
		if err != nil {
			return nil, append(problems, templateProblem(err))
		}
		problems = append(problems, m.outside(own)...)
	}
	c := templateCheck{words: w, format: formats[m.format], used: map[string]bool{}}
	for _, t := range m.set.Templates() {
		if t.Tree != nil && t.Root != nil {
			c.tree = t.Tree
			c.list(t.Root, true)
		}
	}
	m.plain = m.set.Lookup(blockPlain) != nil
	m.literal, m.used = c.literal, c.used
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return a.Line - b.Line })
	if problems = append(problems, c.problems...); len(problems) > 0 {
		return nil, problems
	}
	m.pool.New = func() any { return m.newRunner() }
	return m, nil
}

// outside reports text that stands outside all blocks, which would never be sent.
func (m *message) outside(t *template.Template) []Problem {
	if t == nil || t.Tree == nil || t.Root == nil {
		return nil
	}
	for _, n := range t.Root.Nodes {
		if text, ok := n.(*parse.TextNode); ok && strings.TrimSpace(string(text.Text)) == "" {
			continue
		}
		return []Problem{{Where: whereTmpl, Line: lineOf(t.Tree, n), Message: `this stands outside all blocks and would never be sent; ` +
			`put it in {{define "text"}} ... {{end}}`}}
	}
	return nil
}

func lineOf(tree *parse.Tree, n parse.Node) int {
	where, _ := tree.ErrorContext(n)
	parts := strings.Split(where, ":")
	if len(parts) < 3 {
		return 0
	}
	line, _ := strconv.Atoi(parts[len(parts)-2])
	return line
}

// blankLine is an empty line that a template has of its own, in contrast to one where a condition left nothing. It is kept as a
// paragraph, a character that no value can hold.
var blankLine = regexp.MustCompile(`\n([ \t]*\r?\n)+`)

const paragraph = "\x00"

// templateCheck walks a parsed template, checks what it may use, and rewrites it.
type templateCheck struct {
	words    *words
	format   *format
	tree     *parse.Tree
	literal  int
	used     map[string]bool
	problems []Problem
}

func (c *templateCheck) bad(n parse.Node, format string, args ...any) {
	where := whereTmpl
	if c.tree.ParseName != fileMessage {
		where = c.tree.ParseName
	}
	c.problems = append(c.problems, Problem{Where: where, Line: lineOf(c.tree, n), Message: fmt.Sprintf(format, args...)})
}

// list rewrites a list of nodes; counted puts a step at its head.
func (c *templateCheck) list(l *parse.ListNode, counted bool) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		c.node(n)
	}
	if counted {
		l.Nodes = append([]parse.Node{c.call(funcStep, l.Position())}, l.Nodes...)
	}
}

// call makes the node {{name}}.
func (c *templateCheck) call(name string, pos parse.Pos) *parse.ActionNode {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pos: pos, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe, Pos: pos, Cmds: []*parse.CommandNode{c.command(name, pos)},
	}}
}

func (c *templateCheck) command(name string, pos parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{
		parse.NewIdentifier(name).SetTree(c.tree).SetPos(pos),
	}}
}

func (c *templateCheck) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.TextNode:
		if c.literal == 0 && c.format.raw != nil {
			if at := c.format.raw.FindIndex(n.Text); at != nil {
				c.literal = lineOf(c.tree, n) + bytes.Count(n.Text[:at[0]], []byte("\n"))
			}
		}
		if c.format != formats["json"] || c.tree.ParseName != fileMessage {
			n.Text = blankLine.ReplaceAll(n.Text, []byte("\n"+paragraph+"\n"))
		}
	case *parse.ActionNode:
		c.pipe(n.Pipe)
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, c.command(funcEscape, n.Pos))
		}
	case *parse.IfNode:
		c.branch(&n.BranchNode, false)
	case *parse.WithNode:
		c.branch(&n.BranchNode, false)
	case *parse.RangeNode:
		c.branch(&n.BranchNode, true)
	case *parse.TemplateNode:
		c.pipe(n.Pipe)
	case *parse.ListNode:
		c.list(n, false)
	}
}

func (c *templateCheck) branch(n *parse.BranchNode, loop bool) {
	c.pipe(n.Pipe)
	c.list(n.List, loop)
	c.list(n.ElseList, false)
}

func (c *templateCheck) pipe(p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, cmd := range p.Cmds {
		c.commandNode(cmd)
	}
}

func (c *templateCheck) commandNode(cmd *parse.CommandNode) {
	for i, arg := range cmd.Args {
		switch a := arg.(type) {
		case *parse.FieldNode:
			c.field(a)
		case *parse.VariableNode:
			c.use(a.Ident)
		case *parse.StringNode:
			c.used[a.Text] = true // index . "message"
		case *parse.PipeNode:
			c.pipe(a)
		case *parse.ChainNode:
			c.use(a.Field)
			if p, ok := a.Node.(*parse.PipeNode); ok {
				c.pipe(p)
			}
		case *parse.IdentifierNode:
			c.function(a)
			if a.Ident == "T" && i == 0 && len(cmd.Args) > 1 {
				if key, ok := cmd.Args[1].(*parse.StringNode); ok && !c.words.english[key.Text] && !c.words.unread {
					c.text(key)
				}
			}
		}
	}
}

// field checks that there is such a field. Whatever the dot is, an alert, a pair or a value, it has no others.
func (c *templateCheck) field(n *parse.FieldNode) {
	c.use(n.Ident)
	if name := n.Ident[0]; !slices.Contains(alertKeys, name) && name != "a" && name != "b" {
		c.bad(n, "%s", noField(name))
	}
}

// noField says that an alert does not have what a template names.
func noField(name string) string {
	text := fmt.Sprintf("an alert has no field %q; ", name)
	if near := strict.Nearest(name, alertKeys); near != "" {
		return text + fmt.Sprintf("did you mean %q?", near)
	}
	return text + "the fields are " + strings.Join(alertKeys, ", ")
}

func (c *templateCheck) use(names []string) {
	for _, n := range names {
		c.used[n] = true
	}
}

func (c *templateCheck) text(key *parse.StringNode) {
	where := dirLocales + "/en.toml"
	if near := strict.Nearest(key.Text, slices.Collect(maps.Keys(c.words.english))); near != "" {
		c.bad(key, "the text %s is not in %s; did you mean %q?", quote(key.Text), where, near)
		return
	}
	c.bad(key, "the text %s is not in %s; add it", quote(key.Text), where)
}

func (c *templateCheck) function(n *parse.IdentifierNode) {
	if !slices.Contains(usable, n.Ident) {
		c.bad(n, "the function %s cannot be used; there are %s", strict.OneLine(n.Ident), strings.Join(usable, ", "))
	}
}

// usable are the functions that templates may use.
var usable = func() []string {
	list := slices.Clone(goFuncs)
	for name := range (&state{}).funcs() {
		if name != funcEscape && name != funcStep {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}()

// templateError matches what text/template says: its name, line and column, and the fault.
var templateError = regexp.MustCompile(`(?s)^template: ([^:]*):(\d+)(?::\d+)?: (.*)$`)

var executing = regexp.MustCompile(`(?s)^executing "([^"]*)" at (.*)$`)

// templateProblem puts an error of text/template as a problem.
func templateProblem(err error) Problem {
	p := Problem{Where: whereTmpl, Message: strict.OneLine(err.Error())}
	if m := templateError.FindStringSubmatch(err.Error()); m != nil {
		if m[1] != fileMessage {
			p.Where = m[1]
		}
		p.Line, _ = strconv.Atoi(m[2])
		text := m[3]
		if at := executing.FindStringSubmatch(text); at != nil {
			text = fmt.Sprintf("in block %q at %s", at[1], at[2])
		}
		p.Message = strict.OneLine(strings.ReplaceAll(text, funcEscape, "the value"))
	}
	for _, own := range []error{errSteps, errTime, errOutput, errValue} {
		if errors.Is(err, own) {
			p.Message = own.Error()
		}
	}
	if m := noKey.FindStringSubmatch(p.Message); m != nil {
		p.Message = noField(m[1])
	}
	return p
}

var noKey = regexp.MustCompile(`map has no entry for key "([^"]*)"`)

// TemplateError is a message template's failure on one alert.
type TemplateError struct {
	Plugin  string
	Problem Problem
	Err     error // what text/template said
}

// Error names the plug-in, file and line.
func (e *TemplateError) Error() string { return "plug-in " + e.Plugin + ": " + e.Problem.String() }

// Unwrap returns the cause.
func (e *TemplateError) Unwrap() error { return e.Err }

// runner runs a message template; one rendering at a time.
type runner struct {
	m   *message
	set *template.Template
	s   *state
	out limited
}

func (m *message) newRunner() *runner {
	r := &runner{m: m, s: &state{}}
	// The set has parsed already, so it can be cloned.
	r.set = template.Must(m.set.Clone()).Funcs(r.s.funcs())
	return r
}

// limited collects output up to maxOutput.
type limited struct{ b []byte }

// Write fails beyond the limit, which ends the template.
func (l *limited) Write(p []byte) (int, error) {
	if len(l.b)+len(p) > maxOutput {
		return 0, errOutput
	}
	l.b = append(l.b, p...)
	return len(p), nil
}

// run renders one block for an alert's fields.
func (r *runner) run(block string, f *format, data map[string]any) (string, error) {
	r.s.format, r.s.steps, r.s.deadline = f, 0, time.Now().Add(maxTime)
	r.out.b = r.out.b[:0]
	if err := r.set.ExecuteTemplate(&r.out, block, data); err != nil {
		return "", err
	}
	return string(r.out.b), nil
}
