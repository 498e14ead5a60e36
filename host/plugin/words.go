package plugin

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	i18ntemplate "github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

//go:embed builtin
var builtin embed.FS

// words are a package's messages in all its languages. What a language lacks is said in English.
type words struct {
	bundle  *i18n.Bundle
	matcher language.Matcher
	langs   []*lang         // in the matcher's order, English first
	english map[string]bool // the ids that exist
	needed  []string        // those of the package itself that every language of its should have
	given   []given         // the package's own files
	unread  bool            // en.toml cannot be read, so that nothing can be said about what is in it
}

// given is one of a package's own locales.
type given struct {
	where string
	tag   language.Tag
	ids   map[string]bool
}

// lang speaks one language. It is safe for concurrent use.
type lang struct {
	words *words
	tag   language.Tag
	loc   *i18n.Localizer
	said  sync.Map // of messages without arguments: id to text
}

// maxLangs bounds the languages of a package.
const maxLangs = 100

// parseWords reads the host's messages and then the package's, which may replace them. English for titles and help of the
// parameters is taken from the schema.
func parseWords(files map[string][]byte, m *Manifest, schema *Schema) (*words, []Problem) {
	w := &words{bundle: i18n.NewBundle(language.English), english: map[string]bool{}}
	var problems []Problem
	tags := []language.Tag{language.English}
	add := func(where string, tag language.Tag, list []*i18n.Message, bad []Problem) {
		problems = append(problems, bad...)
		if len(bad) > 0 { // it will not be used, but what can be read of it is there
			w.unread = w.unread || tag == language.English && list == nil
		} else if err := w.bundle.AddMessages(tag, list...); err != nil {
			problems = append(problems, Problem{Where: where, Message: fmt.Sprintf("the language %s cannot be used: %v", tag, err)})
			return
		}
		for _, msg := range list {
			if tag == language.English {
				w.english[msg.ID] = true
			} else if !w.english[msg.ID] && !w.unread {
				p := Problem{Where: where, Field: msg.ID, Message: fmt.Sprintf("the key is not in %s/en.toml; every text needs its English", dirLocales)}
				if near := strict.Nearest(msg.ID, slices.Collect(maps.Keys(w.english))); near != "" {
					p.Message = fmt.Sprintf("the key is not in %s/en.toml; did you mean %q?", dirLocales, near)
				}
				problems = append(problems, p)
			}
		}
		if len(bad) == 0 && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	w.own(m, schema)
	for _, l := range hostWords() {
		add(l.where, l.tag, l.list, l.bad)
	}
	if len(files) > maxLangs {
		problems = append(problems, Problem{Where: sectionLocales, Message: fmt.Sprintf("has %d languages; it may have %d at most", len(files), maxLangs)})
		files = nil
	}
	names := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(b2i(a != "en.toml"), b2i(b != "en.toml")) })
	for _, name := range names {
		where := dirLocales + "/" + strict.OneLine(name)
		tag, list, bad := parseLocale(where, name, files[name])
		before := len(problems)
		add(where, tag, list, bad)
		own := given{where, tag, map[string]bool{}}
		for _, msg := range list {
			own.ids[msg.ID] = true
			if tag == language.English {
				w.needed = append(w.needed, msg.ID)
			}
		}
		lines := strict.Lines(files[name])
		for i := before; i < len(problems); i++ {
			if at := lines[problems[i].Field]; problems[i].Line == 0 && problems[i].Field != "" && len(at) > 0 {
				problems[i].Line = at[0]
			}
		}
		w.given = append(w.given, own)
	}
	w.serve(tags)
	return w, problems
}

// serve makes the words ready to be said in the languages, English first.
func (w *words) serve(tags []language.Tag) {
	w.matcher = language.NewMatcher(tags)
	for _, tag := range tags {
		w.langs = append(w.langs, &lang{words: w, tag: tag, loc: i18n.NewLocalizer(w.bundle, tag.String())})
	}
}

// hostLocale is one of the host's own message files.
type hostLocale struct {
	where string
	tag   language.Tag
	list  []*i18n.Message
	bad   []Problem
}

// hostWords reads the host's own messages once, English first.
var hostWords = sync.OnceValue(func() []hostLocale {
	return hostFiles("builtin/locales")
})

// hostFiles reads the message files of an embedded folder, English first.
func hostFiles(dir string) []hostLocale {
	var all []hostLocale
	entries, _ := builtin.ReadDir(dir)
	for _, e := range entries {
		l := hostLocale{where: "the host's " + path.Base(dir) + "/" + e.Name()}
		data, _ := builtin.ReadFile(dir + "/" + e.Name())
		l.tag, l.list, l.bad = parseLocale(l.where, e.Name(), data)
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b hostLocale) int {
		return cmp.Compare(b2i(a.tag != language.English), b2i(b.tag != language.English))
	})
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// own adds the English that stands in manifest and schema.
func (w *words) own(m *Manifest, schema *Schema) {
	list := []*i18n.Message{
		{ID: "plugin.title", Other: m.Title}, {ID: "plugin.about", Other: m.Description}, {ID: "plugin.help", Other: m.Help},
	}
	for _, f := range schema.Fields() {
		list = append(list, &i18n.Message{ID: f.Path() + ".title", Other: f.Title}, &i18n.Message{ID: f.Path() + ".help", Other: f.Help},
			&i18n.Message{ID: f.Path() + ".hint", Other: f.Hint})
		for _, value := range slices.Sorted(maps.Keys(f.Titles)) {
			list = append(list, &i18n.Message{ID: f.choice(value), Other: f.Titles[value]})
		}
	}
	for _, msg := range list {
		w.english[msg.ID] = true
		if msg.Other != "" && msg.ID != "plugin.title" { // which is a name
			w.needed = append(w.needed, msg.ID)
		}
	}
	// English has a plural rule, the only thing that AddMessages can miss.
	_ = w.bundle.AddMessages(language.English, slices.DeleteFunc(list, func(m *i18n.Message) bool { return m.Other == "" })...)
}

// pluralForms are the keys that make a table one message with plural forms (CLDR), rather than a group of messages.
var pluralForms = []string{"zero", "one", "two", "few", "many", "other", "description"}

// parseLocale reads one go-i18n message file in TOML.
func parseLocale(where, name string, data []byte) (language.Tag, []*i18n.Message, []Problem) {
	base := strings.TrimSuffix(name, ".toml")
	tag, err := language.Parse(base)
	if err != nil || base == name || path.Base(name) != name || tag == language.Und {
		return tag, nil, []Problem{{Where: where, Message: "the name must be a language and .toml, such as it.toml or pt-BR.toml"}}
	}
	var tree map[string]any
	if err := strict.Decode(where, data, &tree); err != nil {
		return tag, nil, tomlProblems(where, err)
	}
	f := flattener{where: where, lines: strict.Lines(data), list: []*i18n.Message{}}
	f.table("", tree)
	slices.SortFunc(f.list, func(a, b *i18n.Message) int { return strings.Compare(a.ID, b.ID) })
	return tag, f.list, f.problems
}

type flattener struct {
	where    string
	lines    map[string][]int
	list     []*i18n.Message
	problems []Problem
}

func (f *flattener) bad(key, format string, args ...any) {
	p := Problem{Where: f.where, Field: strict.OneLine(key), Message: fmt.Sprintf(format, args...)}
	if at := f.lines[key]; len(at) > 0 {
		p.Line = at[0]
	}
	f.problems = append(f.problems, p)
}

func (f *flattener) table(prefix string, t map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		id := k
		if prefix != "" {
			id = prefix + "." + k
		}
		switch v := t[k].(type) {
		case string:
			f.check(id, v)
			f.list = append(f.list, &i18n.Message{ID: id, Other: v})
		case map[string]any:
			if isPlural(v) {
				f.plural(id, v)
			} else {
				f.table(id, v)
			}
		default:
			f.bad(id, "must be text in quotes")
		}
	}
}

func isPlural(t map[string]any) bool {
	if _, ok := t["other"]; !ok {
		return false
	}
	for k := range t {
		if !slices.Contains(pluralForms, k) {
			return false
		}
	}
	return true
}

func (f *flattener) plural(id string, t map[string]any) {
	msg := &i18n.Message{ID: id}
	for _, k := range slices.Sorted(maps.Keys(t)) {
		s, ok := t[k].(string)
		if !ok {
			f.bad(id+"."+k, "must be text in quotes")
			continue
		}
		f.check(id+"."+k, s)
		switch k {
		case "zero":
			msg.Zero = s
		case "one":
			msg.One = s
		case "two":
			msg.Two = s
		case "few":
			msg.Few = s
		case "many":
			msg.Many = s
		case "other":
			msg.Other = s
		}
	}
	f.list = append(f.list, msg)
}

// blank matches the only thing that a message may hold between braces: {{.Name}}. Messages are no programs, so they need
// no limits of their own.
var blank = regexp.MustCompile(`\{\{ ?\.([A-Za-z][A-Za-z0-9_]*) ?\}\}`)

func (f *flattener) check(key, text string) {
	if strings.Contains(blank.ReplaceAllString(text, ""), "{{") {
		f.bad(key, "only {{.Name}} may stand between braces in a text")
	}
	if text == "" {
		f.bad(key, "is empty; write the text or remove the key")
	}
}

// blanks is the template parser that go-i18n is given instead of text/template.
type blanks struct{}

// Cacheable reports true: what Parse returns depends on its input alone.
func (blanks) Cacheable() bool { return true }

// Parse takes any text; parseLocale has checked it.
func (blanks) Parse(src, _, _ string) (i18ntemplate.ParsedTemplate, error) { return filled(src), nil }

type filled string

// Execute puts the values of a map[string]string in the text's blanks.
func (t filled) Execute(data any) (string, error) {
	values, _ := data.(map[string]string)
	var missing error
	s := blank.ReplaceAllStringFunc(string(t), func(b string) string {
		name := strings.Trim(b, "{} .")
		v, ok := values[name]
		if !ok {
			missing = fmt.Errorf("the text %s has a blank {{.%s}} that nothing is given for", quote(string(t)), name)
		}
		return v
	})
	return s, missing
}

// in finds the language that serves a locale such as "it-CH" best.
func (w *words) in(locale string) *lang {
	tag, err := language.Parse(locale)
	if err != nil {
		return w.langs[0]
	}
	_, i, confidence := w.matcher.Match(tag)
	if confidence == language.No {
		return w.langs[0]
	}
	return w.langs[i]
}

// say returns the message id in the language, or in English. The arguments are names and values for its blanks; a value
// named Count also chooses the plural form.
func (l *lang) say(id string, args ...any) (string, error) {
	if len(args) == 0 {
		if s, ok := l.said.Load(id); ok {
			return s.(string), nil
		}
	}
	if !l.words.english[id] {
		return "", fmt.Errorf("there is no text %q in %s/en.toml", id, dirLocales)
	}
	if len(args)%2 != 0 {
		return "", fmt.Errorf("the text %q is given a name without a value; write T \"key\" \"Name\" value", id)
	}
	c := &i18n.LocalizeConfig{MessageID: id, TemplateParser: blanks{}}
	values := map[string]string{}
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return "", fmt.Errorf("the text %q is given %v where a name should be", id, args[i])
		}
		values[name] = plainText(args[i+1])
		if name == "Count" {
			c.PluralCount = args[i+1]
		}
	}
	c.TemplateData = values
	text, err := l.loc.Localize(c)
	var fallback *i18n.MessageNotFoundErr
	if err != nil && !errors.As(err, &fallback) {
		return "", err
	}
	if len(args) == 0 {
		l.said.Store(id, text)
	}
	return text, nil
}

// or returns the message id, or what is given if there is none.
func (l *lang) or(id, fallback string) string {
	if s, err := l.say(id); err == nil && s != "" {
		return s
	}
	return fallback
}

// choice is the key of the title of one of an enum's values.
func (f Field) choice(value string) string { return f.Path() + ".choice." + value }

// checkLocales warns of texts that a language lacks.
func (p *Package) checkLocales() []Problem {
	var problems []Problem
	for _, g := range p.words.given {
		if g.tag == language.English || slices.ContainsFunc(p.found, func(p Problem) bool { return p.Where == g.where }) {
			continue
		}
		var lacks []string
		for _, id := range p.words.needed {
			if !g.ids[id] && !slices.Contains(lacks, id) {
				lacks = append(lacks, id)
			}
		}
		if len(lacks) > 0 {
			text := "does not have these texts, which will be in English: " + strings.Join(lacks[:min(len(lacks), 10)], ", ")
			if len(lacks) > 10 {
				text += fmt.Sprintf(" and %d more", len(lacks)-10)
			}
			problems = append(problems, Problem{Warning: true, Where: g.where, Message: text})
		}
	}
	return problems
}

// Languages lists the languages the package has words in, English first.
func (p *Package) Languages() []string {
	var list []string
	for _, l := range p.words.langs {
		list = append(list, l.tag.String())
	}
	return list
}

// Describe returns the plug-in's description and its set-up guide (Markdown) in a locale, or in English.
func (p *Package) Describe(locale string) (about, help string) {
	l := p.words.in(locale)
	return l.or("plugin.about", p.Manifest.Description), l.or("plugin.help", p.Manifest.Help)
}

// Fields lists the parameters with titles, help and hints in a locale, or in English.
func (p *Package) Fields(locale string) []Field {
	l := p.words.in(locale)
	list := slices.Clone(p.Lint.Fields())
	for i := range list {
		f := &list[i]
		f.Title, f.Help, f.Hint = l.or(f.Path()+".title", f.Title), l.or(f.Path()+".help", f.Help), l.or(f.Path()+".hint", f.Hint)
		titles := maps.Clone(f.Titles)
		for value, title := range titles {
			titles[value] = l.or(f.choice(value), title)
		}
		f.Titles = titles
	}
	return list
}
