package recipe

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Recipe is a [request] table, ready to be used. It is not changed after Parse, so it may be used concurrently.
type Recipe struct {
	send       *call
	release    *call // nil: a release is sent as every alert
	batch      string
	providerID []pointer
	said       []pointer
	expect     pointer
	words      map[string]map[string]any
	answers    []answer
	probe      []step
	uses       []Use
}

// Use is a place of the table where a value is put in.
type Use struct {
	Field   string // of the table, such as "request.url"
	Name    string // of the value, such as "endpoint.token" or "alert.severity"
	Filters []string
}

// step is one step of the probe.
type step struct {
	title  string
	call   *call
	expect pointer
}

// Batches are the ways to put several deliveries into one request: bodies line by line, or as one JSON array.
var Batches = []string{"lines", "array"}

// Parse reads the table, as a TOML or JSON decoder gives it. It finds all that is wrong and goes on after a mistake; the recipe
// must not be used if there is one. Fields begin with "request".
func Parse(table map[string]any) (*Recipe, []pdk.Problem) {
	r := &Recipe{words: map[string]map[string]any{}}
	p := &parser{recipe: r}
	t := p.table("request", table)
	tables := t.tables("words")
	for _, name := range keys(tables) {
		words, ok := tables[name].(map[string]any)
		if !ok || len(words) == 0 {
			t.bad("words."+name, "must be a table of words and what stands for them, such as error = 4")
			continue
		}
		for _, w := range keys(words) {
			if !isScalar(words[w]) {
				t.bad("words."+name+"."+w, "must be a text, a number, true or false")
			}
		}
		r.words[name] = words
	}
	r.batch = t.oneOf("batch", "", Batches...)
	r.providerID = t.pointers("provider_id")
	r.said = t.pointers("said")
	r.expect = t.pointer("expect")
	r.send = t.call()
	if sub := t.sub("release"); sub != nil {
		r.release = sub.call()
		if v := sub.get("always"); v != nil {
			var ok bool
			if r.release.always, ok = v.(bool); !ok {
				sub.bad("always", "must be true or false")
			}
		}
		sub.done()
	}
	for _, sub := range t.list("answers") {
		r.answers = append(r.answers, sub.answer())
		sub.done()
	}
	for _, sub := range t.list("probe") {
		s := step{title: sub.str("title"), expect: sub.pointer("expect"), call: sub.call()}
		if s.title == "" {
			sub.bad("title", "is missing; write what the step finds out, such as \"Is the token right?\"")
		}
		r.probe = append(r.probe, s)
		sub.done()
	}
	t.done()
	p.check()
	return r, p.problems
}

// Uses lists the values that the table puts in, so that a host can check that there are such parameters.
func (r *Recipe) Uses() []Use { return r.uses }

// Batch tells whether several deliveries go into one request.
func (r *Recipe) Batch() bool { return r.batch != "" }

// Releases tells whether a release is sent in a way of its own.
func (r *Recipe) Releases() bool { return r.release != nil }

// Probes tells whether there are steps that test a configuration.
func (r *Recipe) Probes() bool { return len(r.probe) > 0 }

// Statuses are the statuses that answers are about, by the answer's place in the table; empty for one about all.
func (r *Recipe) Statuses() []string {
	list := make([]string, len(r.answers))
	for i, a := range r.answers {
		list[i] = a.status
	}
	return list
}

// Endpoint makes an endpoint of the recipe.
func (r *Recipe) Endpoint() pdk.Endpoint {
	e := pdk.Endpoint{Render: r.render, Classify: r.classify}
	if r.Probes() {
		e.Probe = r.test
	}
	return e
}

const (
	noteRelease = "release"
	noteProbe   = "probe " // and the step's number
)

func (r *Recipe) render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	groups := map[string]int{} // requests by everything but their body
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		c, note := r.send, ""
		if r.release != nil && d.Alert.Action == "release" && r.release.possible(d) {
			c, note = r.release, noteRelease
		}
		s := &scope{recipe: r, now: in.Now, endpoint: in.Endpoint, recipient: in.Recipient, delivery: d}
		h, key := c.request(s)
		if r.batch == "" || c != r.send {
			out.Requests = append(out.Requests, pdk.Request{Deliveries: []string{d.ID}, HTTP: h, Note: note})
			continue
		}
		at, ok := groups[key]
		if !ok {
			groups[key] = len(out.Requests)
			if r.batch == "array" {
				h.Body = "[" + h.Body
			}
			out.Requests = append(out.Requests, pdk.Request{Deliveries: []string{d.ID}, HTTP: h, Note: note})
			continue
		}
		q := &out.Requests[at]
		q.Deliveries = append(q.Deliveries, d.ID)
		sep := "\n"
		if r.batch == "array" {
			sep = ","
		}
		q.HTTP.Body += sep + h.Body
	}
	if r.batch == "array" {
		for _, at := range groups {
			out.Requests[at].HTTP.Body += "]"
		}
	}
	return out, nil
}

// test is the probe.
func (r *Recipe) test(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	s := &scope{recipe: r, now: in.Now, endpoint: in.Endpoint, recipient: in.Recipient, delivery: &pdk.Delivery{}}
	for i, p := range r.probe {
		if len(in.Recipient) == 0 && p.call.asks("recipient.") {
			continue // only the endpoint is at hand
		}
		h, _ := p.call.request(s)
		out.Steps = append(out.Steps, pdk.ProbeStep{Title: p.title, Request: pdk.Request{HTTP: h, Note: noteProbe + strconv.Itoa(i)}})
	}
	return out, nil
}

// call is one kind of request.
type call struct {
	method  string
	url     *text
	headers []pair
	basic   [2]*text // user and password
	kind    string   // of the body: json, form, body, or none
	json    node
	form    []pair
	body    *text
	names   []string // of the values it asks for
	always  bool     // a release goes this way even if what it changes is not known
}

type pair struct {
	name  string
	value *text
}

func (c *call) asks(prefix string) bool {
	return slices.ContainsFunc(c.names, func(n string) bool { return strings.HasPrefix(n, prefix) })
}

// possible tells whether a release can be sent this way: what it changes must be known, and if that was not to be found once, the
// release goes out as a message of its own.
func (c *call) possible(d *pdk.Delivery) bool {
	return c.always || !c.asks("provider_id") || d.ProviderID != "" && (d.Attempt <= 1 || d.Plain)
}

// request makes the request, and a key that two requests share which differ in their bodies alone.
func (c *call) request(s *scope) (*pdk.HTTPRequest, string) {
	h := &pdk.HTTPRequest{Method: c.method, URL: c.url.write(s)}
	typed := false
	for _, f := range c.headers {
		v := oneLine(f.value.write(s))
		if f.value.needs != nil && empty(f.value.needs.value(s)) {
			continue // such as the token of a server that wants none
		}
		typed = typed || strings.EqualFold(f.name, "Content-Type")
		h.Headers = append(h.Headers, pdk.Header{Name: f.name, Value: v})
	}
	if c.basic[0] != nil {
		if user := c.basic[0].write(s); user != "" {
			h.Basic = &pdk.Basic{User: user, Password: c.basic[1].write(s)}
		}
	}
	content := ""
	switch c.kind {
	case "json":
		content = "application/json"
		b, _ := c.json.append(nil, s)
		h.Body = string(b)
	case "form":
		content = "application/x-www-form-urlencoded"
		var b strings.Builder
		for _, f := range c.form {
			v := f.value.write(s)
			if v == "" {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(pdk.EscapePath(f.name) + "=" + pdk.EscapePath(v))
		}
		h.Body = b.String()
	case "body":
		content = "text/plain; charset=utf-8"
		h.Body = c.body.write(s)
	}
	if content != "" && !typed {
		h.Headers = append([]pdk.Header{{Name: "Content-Type", Value: content}}, h.Headers...)
	}
	var key strings.Builder
	key.WriteString(h.Method + " " + h.URL)
	if h.Basic != nil {
		key.WriteString("\n" + h.Basic.User + "\n" + h.Basic.Password)
	}
	for _, f := range h.Headers {
		key.WriteString("\n" + f.Name + ":" + f.Value)
	}
	return h, key.String()
}

// oneLine keeps a value from becoming a header of its own.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}
