// Package declared stands in, in tests, for the services whose endpoints are written as data: ntfy, Gotify, Pushover, Google Chat,
// Rocket.Chat, Opsgenie, Matrix and Splunk's HTTP Event Collector. Each checks a request against its service's documentation,
// reduced to the tables in services.go, and answers as the service does. Nothing but these stand-ins lives here.
package declared

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Message is what the service shows: one that was posted, and what became of it.
type Message struct {
	ID     string
	Text   string // all texts of it, one after the other
	Body   map[string]any
	Edited int
	Closed bool
}

// Server stands in for one service. It is safe for concurrent use.
type Server struct {
	service *service

	mu       sync.Mutex // mu guards what follows
	messages []*Message
	refused  []string
	requests int
	fail     []answer
	seen     map[string]answer // by transaction
}

type answer struct {
	status     int
	body       string
	retryAfter string
}

// New makes a stand-in for a service, by the name of its endpoint type. It panics for one that it does not know.
func New(name string) *Server {
	s := services[name]
	if s == nil {
		panic("no stand-in for " + name)
	}
	return &Server{service: s, seen: map[string]answer{}}
}

// Names are the services that there are stand-ins for.
func Names() []string { return slices.Sorted(maps.Keys(services)) }

// FailNext makes the next request that would have posted something fail.
func (s *Server) FailNext(status int, body, retryAfter string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, answer{status, body, retryAfter})
}

// Messages are those that the service shows now.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Message, len(s.messages))
	for i, m := range s.messages {
		list[i] = *m
	}
	return list
}

// Refused says what was wrong with requests that the specification does not allow.
func (s *Server) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Requests counts the requests that posted something, or tried to.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// service is what is known of a service.
type service struct {
	token  string // the right one
	routes []route
}

// route is one request that the service takes.
type route struct {
	method string
	path   *regexp.Regexp
	query  map[string]string
	header [2]string // name and value, with %s for the token
	form   bool
	fields map[string]field // of the body; nil: any
	probe  bool             // it posts nothing
	wrong  answer           // to a wrong token
	// do answers a request that is right; body has what fields names, parts the path's submatches.
	do func(s *Server, parts []string, body map[string]any, raw []byte) answer
	// empty answers a request with a body that has nothing in it; nil: it is wrong.
	empty *answer
}

// field is a key of a body.
type field struct {
	kind     string // string, number, list, object
	required bool
	runes    int // the most characters; 0: not bounded
	bytes    int
	min, max float64 // of a number, if max is set
}

// ServeHTTP checks a request and answers it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answer(r, raw)
	if a.retryAfter != "" {
		w.Header().Set("Retry-After", a.retryAfter)
	}
	if strings.HasPrefix(a.body, "{") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (s *Server) answer(r *http.Request, raw []byte) answer {
	for i := range s.service.routes {
		rt := &s.service.routes[i]
		parts := rt.path.FindStringSubmatch(r.URL.EscapedPath())
		if r.Method != rt.method || parts == nil {
			continue
		}
		return s.take(rt, r, parts, raw)
	}
	return s.refuse(404, "nothing is at %s %s", r.Method, r.URL.Path)
}

func (s *Server) refuse(status int, format string, args ...any) answer {
	text := fmt.Sprintf(format, args...)
	s.refused = append(s.refused, text)
	b, _ := json.Marshal(map[string]string{"error": text})
	return answer{status: status, body: string(b)}
}

func (s *Server) take(rt *route, r *http.Request, parts []string, raw []byte) answer {
	for i, p := range parts {
		parts[i], _ = url.PathUnescape(p)
	}
	body, err := decode(rt, r.Header.Get("Content-Type"), raw)
	if err != nil {
		return s.refuse(400, "%v", err)
	}
	if want := rt.header[1]; want != "" && r.Header.Get(rt.header[0]) != strings.ReplaceAll(want, "%s", s.service.token) {
		return rt.wrong
	}
	if rt.header[0] == "form" && body["token"] != s.service.token {
		return rt.wrong
	}
	for k, v := range rt.query {
		if got := r.URL.Query().Get(k); got != strings.ReplaceAll(v, "%s", s.service.token) {
			if k == "token" {
				return rt.wrong
			}
			return s.refuse(400, "%s is %q in the address, want %q", k, got, v)
		}
	}
	if !rt.probe {
		s.requests++
		if len(s.fail) > 0 {
			a := s.fail[0]
			s.fail = s.fail[1:]
			return a
		}
	}
	if len(body) == 0 && rt.empty != nil {
		return *rt.empty
	}
	if err := check(rt.fields, body); err != nil {
		return s.refuse(400, "%v", err)
	}
	return rt.do(s, parts, body, raw)
}

// decode reads the body: a form, one JSON value, or nothing.
func decode(rt *route, contentType string, raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("the body is no UTF-8")
	}
	body := map[string]any{}
	switch {
	case rt.form:
		if contentType != "application/x-www-form-urlencoded" {
			return nil, fmt.Errorf("the content type is %q", contentType)
		}
		v, err := url.ParseQuery(string(raw))
		for k := range v {
			body[k] = v.Get(k)
		}
		return body, err
	case len(raw) == 0:
		return body, nil
	case contentType != "application/json":
		return nil, fmt.Errorf("the content type is %q", contentType)
	case rt.fields == nil: // several values in a row
		return map[string]any{"": true}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&body); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one value in the body")
	}
	return body, nil
}

func check(fields map[string]field, body map[string]any) error {
	if fields == nil {
		return nil
	}
	for k := range body {
		if _, ok := fields[k]; !ok {
			return fmt.Errorf("the service knows no %q", k)
		}
	}
	for k, f := range fields {
		v, ok := body[k]
		if !ok {
			if f.required {
				return fmt.Errorf("%s is missing", k)
			}
			continue
		}
		switch v := v.(type) {
		case string:
			if f.kind == "number" { // of a form
				n, err := strconv.ParseFloat(v, 64)
				if err != nil || n < f.min || f.max > 0 && n > f.max {
					return fmt.Errorf("%s is %q", k, v)
				}
				continue
			}
			switch {
			case f.kind != "string":
				return fmt.Errorf("%s is a string", k)
			case f.required && strings.TrimSpace(v) == "":
				return fmt.Errorf("%s is empty", k)
			case f.runes > 0 && utf8.RuneCountInString(v) > f.runes:
				return fmt.Errorf("%s has %d characters, at most %d", k, utf8.RuneCountInString(v), f.runes)
			case f.bytes > 0 && len(v) > f.bytes:
				return fmt.Errorf("%s has %d bytes, at most %d", k, len(v), f.bytes)
			}
		case float64:
			if f.kind != "number" || v < f.min || f.max > 0 && v > f.max {
				return fmt.Errorf("%s is %v", k, v)
			}
		case []any:
			if f.kind != "list" {
				return fmt.Errorf("%s is a list", k)
			}
		case map[string]any:
			if f.kind != "object" {
				return fmt.Errorf("%s is an object", k)
			}
		default:
			return fmt.Errorf("%s is %v", k, v)
		}
	}
	return nil
}

// post adds a message.
func (s *Server) post(body map[string]any) *Message {
	m := &Message{ID: fmt.Sprintf("m%d", len(s.messages)+1)}
	m.set(body)
	s.messages = append(s.messages, m)
	return m
}

func (m *Message) set(body map[string]any) { m.Body, m.Text = body, texts(body) }

func (s *Server) find(id string) *Message {
	for _, m := range s.messages {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// texts are all texts of a value, in the order of their keys.
func texts(v any) string {
	var list []string
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			list = append(list, texts(v[k]))
		}
	case []any:
		for _, e := range v {
			list = append(list, texts(e))
		}
	}
	return strings.Join(list, "\n")
}
