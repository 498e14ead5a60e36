package plugin

import (
	"errors"
	"fmt"
	"html"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FormInput is what a form shows besides the package's own texts.
type FormInput struct {
	Locale   string
	Values   map[string]any // the parameters as they are; a secret's value is not shown, only that there is one
	Problems []Problem      // what is wrong with them, as LintParams or ParseForm found
}

// ErrForm says that a package's form cannot be used; Check says why.
var ErrForm = errors.New("the plug-in's form is broken; see tocsin plugin lint")

// parseForms reads the forms of both parts. A part without one gets the guide and all of its fields.
func parseForms(files map[string][]byte, w *words, schema *Schema) (map[string]*formTemplate, []Problem) {
	forms := map[string]*formTemplate{}
	var problems []Problem
	for _, part := range parts {
		text, ok := files[part+".html"]
		if !ok {
			text = []byte(plainForm)
		}
		f, list := parseForm(part, string(text), w, schema)
		forms[part] = f
		if ok {
			problems = append(problems, list...)
		}
	}
	return forms, problems
}

// Form renders the form of a part, "endpoint" or "recipient", as HTML to be put between <form> and its button. The names of its
// inputs are the fields' paths, as ParseForm reads them. Its classes are host, guide, group, field, check, help, hint, problem,
// problems, note and required. It has no scripts and no styles. Safe for concurrent use.
func (p *Package) Form(part string, in FormInput) (template.HTML, error) {
	f := p.forms[part]
	if f == nil {
		if slices.Contains(parts, part) {
			return "", fmt.Errorf("%s: %s.html: %w", p.Name(), part, ErrForm)
		}
		return "", fmt.Errorf("there is no form %q; the forms are endpoint and recipient", part)
	}
	words := p.words.in(in.Locale)
	pieces, err := f.pieces(words)
	if err != nil {
		return "", fmt.Errorf("%s: %s.html: %w", p.Name(), part, err)
	}
	w := formHTML{say: phrases().in(in.Locale), in: in, part: part, fields: map[string]Field{}}
	required := false
	for _, field := range p.Fields(in.Locale) {
		if field.Part == part {
			w.fields[field.Name] = field
			required = required || field.Required
		}
	}
	w.printf(`<div class="form" lang="%s">`, words.tag)
	w.summary()
	noted := false
	for _, piece := range pieces {
		w.b.WriteString(piece.html)
		if piece.call == nil {
			continue
		}
		if !noted && required && piece.call.helper != helpGuide {
			noted = true
			w.printf(`<p class="note">%s</p>`, w.phrase("form.all_required"))
		}
		switch piece.call.helper {
		case helpGuide:
			w.guide(p.Guide(in.Locale))
		case helpGroup:
			w.group(piece.title, piece.call.names)
		case helpField, helpFields:
			if len(w.fields) == 0 {
				w.printf(`<p class="note">%s</p>`, w.phrase("form.none"))
			}
			for _, name := range piece.call.names {
				w.field(w.fields[name])
			}
		}
	}
	w.b.WriteString("</div>\n")
	return template.HTML(w.b.String()), nil // the plug-in's markup is sanitised, all else is escaped
}

// Guide is the set-up guide of the package as HTML, in a locale or in English; empty if there is none. Parameters in bold have
// their titles.
func (p *Package) Guide(locale string) template.HTML {
	l := p.words.in(locale)
	if made, ok := p.guides.Load(l.tag); ok {
		return made.(template.HTML)
	}
	_, help := p.Describe(locale)
	// A guide names parameters as a configuration does, in bold; who reads it in a form knows them by their titles.
	var titles []string
	for _, f := range p.Fields(locale) {
		titles = append(titles, "<strong>"+f.Name+"</strong>", "<strong>"+html.EscapeString(visibleText(f.Title))+"</strong>")
	}
	guide := template.HTML(strings.NewReplacer(titles...).Replace(markdown(help))) // sanitised
	p.guides.Store(l.tag, guide)
	return guide
}

// formHTML writes the host's markup of one form.
type formHTML struct {
	b      strings.Builder
	say    *lang
	in     FormInput
	part   string
	fields map[string]Field
}

// printf writes markup; its text arguments are escaped.
func (w *formHTML) printf(format string, args ...any) {
	for i, a := range args {
		if s, ok := a.(fmt.Stringer); ok {
			a = s.String()
		}
		if s, ok := a.(string); ok {
			args[i] = html.EscapeString(visibleText(s))
		}
	}
	fmt.Fprintf(&w.b, format, args...)
}

func (w *formHTML) phrase(id string, args ...any) string { return w.say.phrase(id, args...) }

// summary lists the problems on top, each with a link to its field.
func (w *formHTML) summary() {
	var list []Problem
	for _, p := range w.in.Problems {
		if strings.HasPrefix(p.Field, w.part+".") && !p.Warning {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return
	}
	w.printf(`<div class="problems" role="alert"><p>%s</p><ul>`, w.phrase("form.problems", "Count", len(list)))
	for _, p := range list {
		if f, ok := w.fields[fieldName(p.Field)]; ok {
			w.printf(`<li><a href="#%s">%s</a>: %s</li>`, f.id(), f.Title, p.Message)
		} else {
			w.printf(`<li>%s</li>`, p.Named())
		}
	}
	w.b.WriteString("</ul></div>\n")
}

// fieldName is the name of the parameter that a problem's path lies in.
func fieldName(path string) string {
	_, name, _ := strings.Cut(path, ".")
	if i := strings.IndexAny(name, ".["); i >= 0 {
		name = name[:i]
	}
	return name
}

func (f Field) id() string { return f.Part + "-" + f.Name }

func (w *formHTML) guide(guide template.HTML) {
	if guide == "" {
		return
	}
	open := ""
	if len(w.in.Values) == 0 {
		open = " open"
	}
	w.printf(`<details class="guide"%s><summary>%s</summary>`+"\n%s</details>\n", template.HTML(open), w.phrase("form.guide"), guide)
}

// group writes fields that belong together. It is closed as long as nothing in it needs attention.
func (w *formHTML) group(title string, names []string) {
	open := ""
	for _, name := range names {
		f := w.fields[name]
		if _, set := w.in.Values[name]; set || f.Required || len(w.problems(f)) > 0 {
			open = " open"
		}
	}
	w.printf(`<details class="group"%s><summary>%s</summary>`+"\n", template.HTML(open), title)
	for _, name := range names {
		w.field(w.fields[name])
	}
	w.b.WriteString("</details>\n")
}

func (w *formHTML) problems(f Field) []Problem {
	var list []Problem
	for _, p := range w.in.Problems {
		if strings.HasPrefix(p.Field, w.part+".") && fieldName(p.Field) == f.Name && !p.Warning {
			list = append(list, p)
		}
	}
	return list
}

// field writes a label, an input, and what there is to say about them.
func (w *formHTML) field(f Field) {
	id, problems := f.id(), w.problems(f)
	value, set := w.in.Values[f.Name]
	set = set && value != nil && value != ""
	var about []string
	var notes strings.Builder
	note := func(kind, text string) {
		if text = strings.TrimSpace(text); text == "" {
			return
		}
		about = append(about, id+"-"+kind)
		fmt.Fprintf(&notes, `<p class="%s" id="%s-%s">%s</p>`+"\n", kind, id, kind, html.EscapeString(visibleText(text)))
	}
	note("help", f.Help)
	help := notes.String()
	notes.Reset()
	var wrong []string
	for _, p := range problems {
		wrong = append(wrong, sentence(p.Message))
	}
	note("problem", strings.Join(wrong, " "))
	note("hint", strings.Join(w.hints(f, set, len(problems) > 0), " "))

	class := "field"
	if len(problems) > 0 {
		class += " wrong"
	}
	if f.Type == "boolean" {
		class += " check"
	}
	w.printf(`<div class="%s">`+"\n", class)
	label := func() {
		w.printf(`<label for="%s">%s`, id, f.Title)
		if f.Required && f.Type != "boolean" {
			w.printf(` <span class="required" title="%s">*</span>`, w.phrase("form.required"))
		}
		w.b.WriteString("</label>\n")
	}
	input := inputHTML{w: w, f: f, set: set, value: value}
	fmt.Fprintf(&input.attrs, ` id="%s" name="%s"`, id, html.EscapeString(f.Path()))
	if len(about) > 0 {
		fmt.Fprintf(&input.attrs, ` aria-describedby="%s"`, strings.Join(about, " "))
	}
	if len(problems) > 0 {
		input.attrs.WriteString(` aria-invalid="true"`)
	}
	if f.Type == "boolean" {
		input.checkbox()
		label()
		w.b.WriteString(help)
	} else {
		label()
		w.b.WriteString(help)
		input.write()
	}
	w.b.WriteString(notes.String() + "</div>\n")
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if first, n := utf8.DecodeRuneInString(s); n > 0 {
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".?!") {
		s += "."
	}
	return s
}

// hints are what to write in the field. A problem's message has the plug-in's hint already.
func (w *formHTML) hints(f Field, set, wrong bool) []string {
	var list []string
	add := func(s string) { list = append(list, sentence(s)) }
	if f.Secret {
		add(w.phrase(map[bool]string{true: "form.secret_set", false: "form.secret_not_set"}[set]))
	}
	if !wrong {
		add(f.Hint)
	}
	switch f.Type {
	case "array":
		add(w.phrase("form.lines"))
	case "object":
		add(w.phrase("form.pairs"))
	}
	if text := showValue(f, f.Default); text != "" && f.Type != "boolean" && len(f.Enum) == 0 {
		add(w.phrase("form.default", "Value", shorten(strings.ReplaceAll(text, "\n", ", "), 200, "")))
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// inputHTML writes the input of one field.
type inputHTML struct {
	w     *formHTML
	f     Field
	set   bool
	value any
	attrs strings.Builder
}

func (in *inputHTML) checkbox() {
	on, _ := in.value.(bool)
	if !in.set {
		on, _ = in.f.Default.(bool)
	}
	checked := ""
	if on {
		checked = " checked"
	}
	// The hidden one tells ParseForm that the question was asked.
	fmt.Fprintf(&in.w.b, `<input type="hidden" name="%s" value="off"><input type="checkbox" value="on"%s%s>`+"\n",
		html.EscapeString(in.f.Path()), in.attrs.String(), checked)
}

var colour = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func (in *inputHTML) write() {
	f, w := in.f, in.w
	if f.Required && (!f.Secret || !in.set) {
		in.attrs.WriteString(" required")
	}
	text := ""
	if in.set && !f.Secret {
		text = showValue(f, in.value)
	}
	switch {
	case f.Secret:
		w.printf(`<input type="password" autocomplete="new-password" spellcheck="false"%s>`+"\n", template.HTML(in.attrs.String()))
		if in.set && !f.Required {
			w.printf(`<label class="remove"><input type="checkbox" name="%s" value="on"> %s</label>`+"\n", f.Path()+removeSuffix, w.phrase("form.secret_remove"))
		}
		return
	case len(f.Enum) > 0:
		in.options()
		return
	}
	placeholder := ""
	if f.Example != "" {
		placeholder = fmt.Sprintf(` placeholder="%s"`, html.EscapeString(visibleText(f.Example)))
	}
	if f.Type == "array" || f.Type == "object" || f.Widget == "textarea" || strings.Contains(text, "\n") {
		rows := min(max(3, 1+strings.Count(text, "\n")), 12)
		// The line break after the tag is dropped by browsers; without it they would drop one of the value.
		fmt.Fprintf(&w.b, `<textarea rows="%d" spellcheck="false"%s%s>`+"\n%s</textarea>\n", rows, placeholder, in.attrs.String(), html.EscapeString(text))
		return
	}
	kind := "text"
	switch {
	case f.Type == "integer" || f.Type == "number":
		if kind = "number"; in.set && !isNumber(in.value) {
			kind = "text" // what was typed and is wrong: a number field would hide it
		}
		in.limits(kind)
	case f.Widget == "url" || f.Widget == "email":
		kind = f.Widget
		in.attrs.WriteString(` spellcheck="false" autocapitalize="none"`)
	case f.Widget == "colour" && colour.MatchString(text):
		kind = "color"
	default:
		in.attrs.WriteString(` spellcheck="false" autocapitalize="none"`)
	}
	fmt.Fprintf(&w.b, `<input type="%s" value="%s" autocomplete="off"%s%s>`+"\n", kind, html.EscapeString(text), placeholder, in.attrs.String())
}

func (in *inputHTML) limits(kind string) {
	if kind != "number" {
		in.attrs.WriteString(` inputmode="decimal"`)
		return
	}
	step := "any"
	if in.f.Type == "integer" {
		step = "1"
	}
	if in.f.Minimum != nil {
		fmt.Fprintf(&in.attrs, ` min="%s"`, plainText(*in.f.Minimum))
	}
	if in.f.Maximum != nil {
		fmt.Fprintf(&in.attrs, ` max="%s"`, plainText(*in.f.Maximum))
	}
	fmt.Fprintf(&in.attrs, ` step="%s"`, step)
}

// options writes a list to choose from.
func (in *inputHTML) options() {
	w, f := in.w, in.f
	fmt.Fprintf(&w.b, "<select%s>\n", in.attrs.String())
	chosen := ""
	if in.set {
		chosen = plainText(plainJSON(in.value))
	} else if f.Default != nil {
		chosen = plainText(f.Default)
	}
	option := func(value, text string) {
		selected := ""
		if value == chosen {
			selected = " selected"
		}
		w.printf(`<option value="%s"%s>%s</option>`+"\n", value, template.HTML(selected), text)
	}
	if f.Default == nil {
		text := "form.not_set"
		if f.Required {
			text = "form.choose"
		}
		option("", w.phrase(text))
	}
	found := chosen == ""
	for _, v := range f.Enum {
		value := plainText(v)
		text := value
		if t := f.Titles[value]; t != "" {
			text = t
		}
		if f.Default != nil && plainText(f.Default) == value {
			text = w.phrase("form.default_choice", "Value", text)
		}
		option(value, text)
		found = found || value == chosen
	}
	if !found { // a wrong value stays visible until somebody chooses another
		option(chosen, chosen)
	}
	w.b.WriteString("</select>\n")
}

// sortedNames is the order of a table's entries in a form.
func sortedNames(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
