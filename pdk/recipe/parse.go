package recipe

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// parser collects what is wrong with a table.
type parser struct {
	recipe   *Recipe
	problems []pdk.Problem
	words    []Use // uses of the filter "words", by their argument
}

// table is a table on its way into a recipe.
type table struct {
	*parser
	path string
	m    map[string]any
	seen map[string]any
}

func (p *parser) table(path string, m map[string]any) *table {
	return &table{parser: p, path: path, m: m, seen: map[string]any{}}
}

func (p *parser) problem(field, message string) {
	p.problems = append(p.problems, pdk.Problem{Field: field, Message: message})
}

// keys are the keys of a table in order.
func keys(m map[string]any) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func (t *table) bad(key, message string) { t.problem(t.path+"."+key, message) }

func (t *table) get(key string) any {
	t.seen[key] = true
	return t.m[key]
}

// done reports keys that nothing asked for.
func (t *table) done() {
	for _, k := range keys(t.m) {
		if t.seen[k] == nil {
			t.bad(k, "is no key of this table; there are "+strings.Join(keys(t.seen), ", "))
		}
	}
}

func (t *table) str(key string) string {
	v := t.get(key)
	s, ok := v.(string)
	if v != nil && !ok {
		t.bad(key, "must be text in quotes")
	}
	return s
}

func (t *table) oneOf(key, def string, list ...string) string {
	s := t.str(key)
	if s == "" {
		return def
	}
	if !slices.Contains(list, s) {
		t.bad(key, "is "+strconv.Quote(s)+"; it must be one of "+strings.Join(list, ", "))
		return def
	}
	return s
}

// tables gives the tables below a key.
func (t *table) tables(key string) map[string]any {
	v := t.get(key)
	m, ok := v.(map[string]any)
	if v != nil && !ok {
		t.bad(key, "must be a table")
	}
	return m
}

func (t *table) sub(key string) *table {
	m := t.tables(key)
	if m == nil {
		return nil
	}
	return t.table(t.path+"."+key, m)
}

// list gives the tables of a list.
func (t *table) list(key string) []*table {
	var list []*table
	add := func(i int, m map[string]any) {
		list = append(list, t.table(t.path+"."+key+"["+strconv.Itoa(i)+"]", m))
	}
	switch v := t.get(key).(type) {
	case nil:
	case []map[string]any: // of TOML
		for i, m := range v {
			add(i, m)
		}
	case []any: // of JSON
		for i, e := range v {
			if m, ok := e.(map[string]any); ok {
				add(i, m)
			} else {
				t.bad(key, "must be a list of tables")
			}
		}
	default:
		t.bad(key, "must be a list of tables; write [["+t.path+"."+key+"]]")
	}
	return list
}

func (t *table) pointer(key string) pointer {
	s := t.str(key)
	if s == "" {
		return nil
	}
	return t.asPointer(key, s)
}

func (t *table) asPointer(key, s string) pointer {
	p, ok := parsePointer(s)
	if !ok {
		t.bad(key, strconv.Quote(s)+" is no JSON pointer; write the keys on the way, each after a /, such as \"/error/code\"")
	}
	return p
}

func (t *table) pointers(key string) []pointer {
	switch v := t.get(key).(type) {
	case nil:
		return nil
	case string:
		return []pointer{t.asPointer(key, v)}
	case []any:
		var list []pointer
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				t.bad(key, "must be a JSON pointer or a list of them")
				return nil
			}
			list = append(list, t.asPointer(key, s))
		}
		return list
	}
	t.bad(key, "must be a JSON pointer or a list of them")
	return nil
}

func isScalar(v any) bool {
	switch v.(type) {
	case string, bool, int64, float64:
		return true
	}
	return false
}

// methods are those that a request can have.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// call reads the keys that a request is made of.
func (t *table) call() *call {
	c := &call{method: t.oneOf("method", "POST", methods...)}
	if s := t.str("url"); s != "" {
		c.url = t.text("url", s, c, true)
	} else {
		t.bad("url", "is missing; write where requests go, such as \"{endpoint.server_url}/message\"")
		c.url = &text{}
	}
	c.headers = t.pairs("headers", c)
	for _, h := range c.headers {
		if !isToken(h.name) {
			t.bad("headers."+h.name, "is no name of a header")
		}
		h.value.alone()
	}
	if b := t.sub("basic"); b != nil {
		for i, key := range []string{"user", "password"} {
			c.basic[i] = b.text(key, b.str(key), c, false)
		}
		b.done()
	}
	body := t.get("json")
	if body != nil {
		c.kind, c.json = "json", t.node("json", body, c)
	}
	for _, kind := range []string{"form", "body"} {
		if t.m[kind] == nil {
			t.seen[kind] = true
			continue
		}
		if c.kind != "" {
			t.bad(kind, "stands beside "+c.kind+"; a request has one body")
		}
		c.kind = kind
		if kind == "form" {
			c.form = t.pairs(kind, c)
		} else {
			c.body = t.text(kind, t.str(kind), c, false)
		}
	}
	if c.kind != "" && c.method == "GET" {
		t.bad(c.kind, "is the body of a GET, which has none")
	}
	return c
}

// alone notes the one value of a text that has exactly one.
func (t *text) alone() {
	for _, p := range t.parts {
		if p.value == nil {
			continue
		}
		if t.needs != nil {
			t.needs = nil
			return
		}
		t.needs = p.value
	}
}

// pairs reads a table of texts, in the order of their names.
func (t *table) pairs(key string, c *call) []pair {
	var list []pair
	m := t.tables(key)
	for _, name := range keys(m) {
		s, ok := m[name].(string)
		if !ok {
			t.bad(key+"."+name, "must be text in quotes")
			continue
		}
		list = append(list, pair{name, t.text(key+"."+name, s, c, false)})
	}
	return list
}

// node reads a part of a JSON body.
func (t *table) node(path string, v any, c *call) node {
	switch v := v.(type) {
	case string:
		return textNode{t.text(path, v, c, false)}
	case map[string]any:
		var n objectNode
		for _, k := range keys(v) {
			n.keys = append(n.keys, k)
			n.nodes = append(n.nodes, t.node(path+"."+k, v[k], c))
		}
		return n
	case []any:
		var n listNode
		for i, e := range v {
			n = append(n, t.node(path+"["+strconv.Itoa(i)+"]", e, c))
		}
		return n
	case []map[string]any:
		var n listNode
		for i, e := range v {
			n = append(n, t.node(path+"["+strconv.Itoa(i)+"]", e, c))
		}
		return n
	}
	if !isScalar(v) {
		t.bad(path, "is nothing that JSON has; write it in quotes")
	}
	return literal{v}
}

// text reads a text with placeholders. A brace that shall be sent is written twice.
func (t *table) text(key, s string, c *call, url bool) *text {
	out := &text{url: url}
	lit := ""
	flush := func() {
		if lit != "" {
			out.parts = append(out.parts, part{literal: lit})
			lit = ""
		}
	}
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			lit += s
			break
		}
		lit, s = lit+s[:i], s[i:]
		if strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "}}") {
			lit, s = lit+s[:1], s[2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if s[0] == '}' || end < 0 {
			t.bad(key, "has a brace alone; write {{ or }} for one that is to be sent")
			break
		}
		flush()
		v := t.value(key, s[1:end], url)
		c.names = append(c.names, v.name)
		for _, f := range v.filters {
			if f.name == "or" {
				c.names = append(c.names, f.arg)
			}
		}
		out.parts = append(out.parts, part{value: v})
		s = s[end+1:]
	}
	flush()
	return out
}

// value reads what stands between braces: a name, and filters, each after a bar.
func (t *table) value(key, s string, url bool) *value {
	parts := strings.Split(s, "|")
	v := &value{name: strings.TrimSpace(parts[0])}
	use := Use{Field: t.path + "." + key, Name: v.name}
	if !known(v.name) {
		t.bad(key, strconv.Quote(v.name)+" is no value; there are "+strings.Join(values, ", ")+", alert.FIELD, endpoint.PARAMETER and recipient.PARAMETER")
	}
	for _, p := range parts[1:] {
		name, arg, _ := strings.Cut(strings.TrimSpace(p), " ")
		f := filter{name, strings.TrimSpace(arg)}
		want, ok := wants(name), slices.Contains(filterNames, name)
		switch {
		case !ok:
			t.bad(key, strconv.Quote(name)+" is no filter; there are "+strings.Join(filterNames, ", "))
		case want == "" && f.arg != "":
			t.bad(key, "the filter "+name+" takes nothing after it")
		case want != "" && f.arg == "":
			t.bad(key, "after the filter "+name+" stands "+want)
		case want == "a number":
			if n, err := strconv.Atoi(f.arg); err != nil || n < 1 {
				t.bad(key, "after the filter "+name+" stands a number above 0")
			}
		case name == "or":
			if !known(f.arg) {
				t.bad(key, strconv.Quote(f.arg)+" after the filter or is no value")
			}
			t.recipe.uses = append(t.recipe.uses, Use{Field: use.Field, Name: f.arg, Filters: []string{"or"}})
		case name == "words":
			t.words = append(t.words, Use{Field: use.Field, Name: f.arg})
		}
		use.Filters = append(use.Filters, name)
		v.filters = append(v.filters, f)
	}
	own := strings.HasPrefix(v.name, "endpoint.")
	for _, f := range v.filters {
		own = own && (f.name != "or" || strings.HasPrefix(f.arg, "endpoint."))
	}
	if n := len(v.filters); url && !own && (n == 0 || v.filters[n-1].name != "path") {
		t.bad(key, v.name+" stands in a URL; write {"+s+" | path}, so that it cannot lead elsewhere")
	}
	t.recipe.uses = append(t.recipe.uses, use)
	return v
}

// values are the names without a dot.
var values = []string{"text", "subject", "id", "plain", "attempt", "now", "provider_id", "alert"}

func known(name string) bool {
	head, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return slices.Contains(values, name)
	}
	if head == "provider_id" {
		_, err := strconv.ParseUint(rest, 10, 8)
		return err == nil
	}
	return rest != "" && (head == "alert" || head == "endpoint" || head == "recipient")
}

// outcomes are those that a rule can give.
var outcomes = []string{
	string(pdk.Delivered), string(pdk.Accepted), string(pdk.Duplicate), string(pdk.Retry), string(pdk.BadPayload),
	string(pdk.Rejected), string(pdk.EndpointBroken),
}

// answer reads a rule.
func (t *table) answer() answer {
	a := answer{
		on: t.oneOf("on", "", "send", "release", "probe"), status: t.str("status"), at: t.pointer("pointer"),
		contains: t.str("contains"), outcome: pdk.Outcome(t.oneOf("outcome", "", outcomes...)),
		after: t.pointer("retry_after"), ms: t.oneOf("retry_unit", "s", "s", "ms") == "ms", hint: t.str("hint"),
	}
	if v := t.get("equals"); v != nil {
		if !isScalar(v) {
			t.bad("equals", "must be a text, a number, true or false")
		}
		a.equals, a.set = plain(v), true
	}
	if v := t.get("wait"); v != nil {
		switch v := v.(type) {
		case int64:
			a.wait = v
		case float64:
			a.wait = int64(v)
		}
		if a.wait < 1 || a.wait > 86400 {
			t.bad("wait", "must be a number of seconds, from 1 to 86400")
		}
	}
	if a.status != "" && !isStatus(a.status) {
		t.bad("status", strconv.Quote(a.status)+" is no status; write one such as \"429\", or a class such as \"2xx\"")
	}
	if a.outcome == "" && t.m["outcome"] == nil {
		t.bad("outcome", "is missing; it is one of "+strings.Join(outcomes, ", "))
	}
	if a.at == nil && (a.set || a.contains != "") && t.m["pointer"] == nil {
		t.bad("pointer", "is missing; it says where in the answer the value stands")
	}
	if a.set && a.contains != "" {
		t.bad("contains", "stands beside equals; write one of the two")
	}
	if a.at == nil && a.status == "" && a.on == "" {
		t.bad("status", "is missing, so that the rule would hold for every answer; write a status or a pointer")
	}
	return a
}

func isStatus(s string) bool {
	if len(s) != 3 || s[0] < '1' || s[0] > '5' {
		return false
	}
	_, err := strconv.Atoi(s)
	return err == nil || s[1:] == "xx"
}

// check finds what only the whole table tells.
func (p *parser) check() {
	for _, u := range p.words {
		if p.recipe.words[u.Name] == nil {
			p.problem(u.Field, "there is no table of words "+strconv.Quote(u.Name)+"; add [request.words."+u.Name+"]")
		}
	}
	r := p.recipe
	if r.release != nil && r.release.asks("provider_id") && r.providerID == nil {
		p.problem("request.provider_id", "is missing, but [request.release] asks for it; write where in the answer the service names the message")
	}
	if r.send.asks("provider_id") {
		p.problem("request.url", "provider_id is known on a release only; use it in [request.release]")
	}
	if r.batch == "array" && r.send.kind != "json" {
		p.problem("request.batch", "an array is made of bodies in json; write json, or batch = \"lines\"")
	}
	for i, s := range r.probe {
		for _, n := range s.call.names {
			if !strings.HasPrefix(n, "endpoint.") && !strings.HasPrefix(n, "recipient.") {
				p.problem("request.probe["+strconv.Itoa(i)+"]", n+" is not known in a probe; there are the parameters only")
			}
		}
	}
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
