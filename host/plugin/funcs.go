package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// What one rendering may use. A template is a stranger's program, so it gets no more than a message needs.
const (
	maxSteps  = 5_000
	maxOutput = 1 << 20
	maxTime   = time.Second
	maxValue  = 64 << 10 // bytes of a text that a function makes
)

var (
	errSteps  = fmt.Errorf("the template takes more than %d steps; does a loop or a template that calls itself never end?", maxSteps)
	errTime   = fmt.Errorf("the template takes more than %v", maxTime)
	errOutput = fmt.Errorf("the message is larger than %d bytes", maxOutput)
	errValue  = fmt.Errorf("a text in the template is larger than %d bytes", maxValue)
)

// state is what the functions of one rendering share.
type state struct {
	format   *format
	lang     *lang
	zone     *time.Location
	steps    int
	deadline time.Time
}

// step counts one step of the template. It stands in every loop and at the head of every template.
func (s *state) step() (string, error) {
	if s.steps++; s.steps > maxSteps {
		return "", errSteps
	}
	if s.steps%64 == 0 && time.Now().After(s.deadline) {
		return "", errTime
	}
	return "", nil
}

// escape ends every pipeline whose value is written.
func (s *state) escape(v any) string {
	if m, ok := v.(markup); ok {
		return string(m)
	}
	return s.format.escape(clean(plainText(v)))
}

// goFuncs are the functions of text/template that may be used. The others format text to any size, call methods, or escape
// for a place that is not here.
var goFuncs = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice"}

// The functions that the host puts into templates itself; no template can name them.
const (
	funcEscape = "_escape"
	funcStep   = "_step"
)

// funcs are the functions of message templates, bound to s.
func (s *state) funcs() template.FuncMap {
	mark := func(how func(*format) func(string) markup) func(any) markup {
		return func(v any) markup { return how(s.format)(clean(plainText(v))) }
	}
	word := func(group string) func(string) string {
		return func(name string) string { return s.lang.or(group+"."+name, name) }
	}
	return template.FuncMap{
		funcEscape: s.escape,
		funcStep:   s.step,

		"T":        func(key string, args ...any) (string, error) { return s.lang.say(key, args...) },
		"severity": word("severity"), "action": word("action"), "category": word("category"), "entity": word("entity"),
		"emoji": emoji,

		"bold":   mark(func(f *format) func(string) markup { return f.bold }),
		"italic": mark(func(f *format) func(string) markup { return f.italic }),
		"code":   mark(func(f *format) func(string) markup { return f.code }),
		"link":   s.link,
		"json":   toJSON,

		"datetime": func(v any) (string, error) {
			t, err := integer(v)
			return time.Unix(t, 0).In(s.zone).Format("2006-01-02 15:04:05 MST"), err
		},
		"clock": func(v any) (string, error) {
			t, err := integer(v)
			return time.Unix(t, 0).In(s.zone).Format("15:04:05"), err
		},
		"duration": humanDuration,
		"bytes": func(v any) (string, error) {
			n, err := float(v)
			return s.scaled(n, []string{" B", " kB", " MB", " GB", " TB", " PB", " EB"}), err
		},
		"count": func(v any) (string, error) {
			n, err := float(v)
			return s.scaled(n, []string{"", "k", "M", "G", "T", "P", "E"}), err
		},
		"number": func(v any) (string, error) { n, err := float(v); return s.decimal(n, 2), err },
		"addr":   address,

		"print": func(args ...any) (string, error) {
			var b strings.Builder
			for _, a := range args {
				b.WriteString(plainText(a))
			}
			return capped(b.String())
		},
		"short":   func(n int, v any) string { return shorten(plainText(v), max(n, 1), "") },
		"lower":   func(v any) string { return strings.ToLower(plainText(v)) },
		"upper":   func(v any) string { return strings.ToUpper(plainText(v)) },
		"default": func(def, v any) any { return either(v, def) },
		"pair":    func(a, b any) map[string]any { return map[string]any{"a": a, "b": b} },
		"add":     func(a, b any) (int64, error) { return arithmetic(a, b, 1) },
		"sub":     func(a, b any) (int64, error) { return arithmetic(a, b, -1) },
	}
}

func capped(s string) (string, error) {
	if len(s) > maxValue {
		return "", errValue
	}
	return s, nil
}

func either(v, def any) any {
	if truth, _ := template.IsTrue(v); truth {
		return v
	}
	return def
}

// emoji is a sign for a severity that shows at a glance; an alert that ended gets a green one.
func emoji(severity string, action ...string) string {
	if len(action) > 0 && action[0] == "release" {
		return "✅"
	}
	switch severity {
	case "emergency", "alert", "critical":
		return "🔴"
	case "error":
		return "🟠"
	case "warning":
		return "🟡"
	case "notice", "info":
		return "🔵"
	}
	return "⚪"
}

// link makes a link of an http or https URL, and plain text of anything else.
func (s *state) link(text, target any) markup {
	t, raw := clean(plainText(text)), clean(plainText(target))
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(raw, "<>\"'| ") {
		return markup(s.format.escape(t))
	}
	return s.format.link(t, u.String())
}

func toJSON(v any) (markup, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", errors.New("the value cannot be written as JSON")
	}
	return markup(b), nil
}

// address joins an address and a port; port 0 is left out.
func address(ip, port any) (string, error) {
	host := plainText(ip)
	n, err := integer(port)
	if err != nil || n == 0 || host == "" {
		return host, err
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.FormatInt(n, 10), nil
}

func integer(v any) (int64, error) {
	n, err := float(v)
	if err != nil || math.Abs(n) > 1<<53 {
		return 0, errors.Join(err, errIf(err == nil, "the number is too large"))
	}
	return int64(n), nil
}

func errIf(cond bool, text string) error {
	if cond {
		return errors.New(text)
	}
	return nil
}

func float(v any) (float64, error) {
	switch v := v.(type) {
	case int:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case uint16:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0, errors.New("this is no number")
		}
		return v, nil
	}
	return 0, fmt.Errorf("want a number, got %s", quote(plainText(v)))
}

func arithmetic(a, b any, sign int64) (int64, error) {
	x, err := integer(a)
	y, err2 := integer(b)
	return x + sign*y, errors.Join(err, err2)
}

// scaled writes a number with three digits and one of the units of a thousand each.
func (s *state) scaled(n float64, units []string) string {
	i := 0
	for math.Abs(n) >= 999.5 && i < len(units)-1 {
		n /= 1000
		i++
	}
	places := 0
	if i > 0 && math.Abs(n) < 99.95 {
		places = 1
	}
	return s.decimal(n, places) + units[i]
}

// decimal writes a number with at most so many places, without zeros at their end.
func (s *state) decimal(n float64, places int) string {
	t := strconv.FormatFloat(n, 'f', places, 64)
	if strings.Contains(t, ".") {
		t = strings.TrimRight(strings.TrimRight(t, "0"), ".")
	}
	return strings.Replace(t, ".", s.lang.or("number.decimal", "."), 1)
}

// humanDuration writes seconds in its two largest units: 90061 is "1 d 1 h".
func humanDuration(v any) (string, error) {
	n, err := integer(v)
	if err != nil {
		return "", err
	}
	if n <= 0 {
		return "0 s", nil
	}
	var parts []string
	for _, u := range []struct {
		size int64
		name string
	}{{86400, " d"}, {3600, " h"}, {60, " min"}, {1, " s"}} {
		if n >= u.size && len(parts) < 2 {
			parts = append(parts, strconv.FormatInt(n/u.size, 10)+u.name)
		} else if len(parts) > 0 {
			break
		}
		n %= u.size
	}
	return strings.Join(parts, " "), nil
}
