package plugin

import (
	"fmt"
	"slices"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// phrases are the host's own texts about parameters and forms. A plug-in's locales cannot replace them, as they can the words
// of messages: what the host says of a value must be the host's.
var phrases = sync.OnceValue(func() *words {
	w := &words{bundle: i18n.NewBundle(language.English), english: map[string]bool{}}
	var tags []language.Tag
	for _, l := range hostFiles("builtin/phrases") {
		// The files are part of the program, and a test reads them.
		_ = w.bundle.AddMessages(l.tag, l.list...)
		tags = append(tags, l.tag)
		for _, msg := range l.list {
			if l.tag == language.English {
				w.english[msg.ID] = true
			}
		}
	}
	w.serve(tags)
	return w
})

// phrase says one of the host's own texts. The arguments are names and values for its blanks.
func (l *lang) phrase(id string, args ...any) string {
	s, err := l.say(id, args...)
	if err != nil {
		return id // only if a text is missing from phrases, which a test excludes
	}
	return s
}

// has tells whether the language, or English in its place, has a text.
func (l *lang) has(id string) bool { return l.words.english[id] }

// A code names what is wrong with a parameter, in Problem.Code, and the text that says so.
const (
	codeSchema           = "schema"
	codeMissing          = "missing"
	codeMissingWith      = "missing_with"
	codeUnknown          = "unknown"
	codeUnknownNear      = "unknown_near"
	codeUnknownPart      = "unknown_part"
	codeUnknownList      = "unknown_list"
	codeType             = "type"
	codeTypeQuotes       = "type_quotes"
	codeTypeNoQuotes     = "type_no_quotes"
	codeTypeList         = "type_list"
	codeEnum             = "enum"
	codeEnumNear         = "enum_near"
	codeEnumList         = "enum_list"
	codePattern          = "pattern"
	codeFormat           = "format"
	codeEmpty            = "empty"
	codeMinLength        = "min_length"
	codeMaxLength        = "max_length"
	codeMinItems         = "min_items"
	codeMaxItems         = "max_items"
	codeUnique           = "unique"
	codeMinimum          = "minimum"
	codeMaximum          = "maximum"
	codeExclusiveMinimum = "exclusive_minimum"
	codeExclusiveMaximum = "exclusive_maximum"
	codeMultiple         = "multiple"
	codeConst            = "const"
	codeContains         = "contains"
	codeWrong            = "wrong"
	codeNotWhole         = "not_whole"
	codeNotNumber        = "not_number"
	codeNotPair          = "not_pair"
	codePairTwice        = "pair_twice"
	codeTwoValues        = "two_values"
)

// codes are all of them; a test holds that each can be said in every language of the host.
var codes = []string{
	codeSchema, codeMissing, codeMissingWith, codeUnknown, codeUnknownNear, codeUnknownPart, codeUnknownList, codeType,
	codeTypeQuotes, codeTypeNoQuotes, codeTypeList, codeEnum, codeEnumNear, codeEnumList, codePattern, codeFormat, codeEmpty,
	codeMinLength, codeMaxLength, codeMinItems, codeMaxItems, codeUnique, codeMinimum, codeMaximum, codeExclusiveMinimum,
	codeExclusiveMaximum, codeMultiple, codeConst, codeContains, codeWrong, codeNotWhole, codeNotNumber, codeNotPair,
	codePairTwice, codeTwoValues,
}

// unhinted are the codes whose text says all: the field's hint would repeat it or be about something else.
var unhinted = []string{codeEnum, codeEnumNear, codeEnumList, codeUnique, codeConst, codeTwoValues, codePairTwice}

// Codes lists the values that Problem.Code can have.
func Codes() []string { return slices.Clone(codes) }

// problem makes a problem of a field in a language: the code's text, and after it the field's hint or else the code's own
// advice. The arguments are names and values for blanks.
func (l *lang) problem(path string, f Field, code string, args ...any) Problem {
	id := "problem." + code
	text := l.phrase(id+".text", args...)
	switch {
	case f.Hint != "" && !slices.Contains(unhinted, code):
		text += "; " + f.Hint
	case f.Help != "" && l.has(id+".why"):
		text += "; " + l.phrase(id+".why", "Help", f.Help)
	case l.has(id + ".advice"):
		text += "; " + l.phrase(id+".advice", args...)
	}
	return Problem{Field: path, Title: f.Title, Code: code, Message: text}
}

// typeName says what a JSON type is in plain words.
func (l *lang) typeName(name string) string { return l.or("type."+name, name) }

// shown is a wrong value in quotes, unless it is a secret or a URL, which may hold one.
func (l *lang) shown(f Field, v any) string {
	s, ok := v.(string)
	if !ok || f.guarded(s) {
		return l.phrase("word.value")
	}
	return quote(s)
}

// is begins a text with the number that is there, unless it is a secret.
func (l *lang) is(f Field, got fmt.Stringer) string {
	if f.Secret {
		return ""
	}
	return l.phrase("word.is", "Got", got.String())
}
