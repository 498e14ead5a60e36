// Package discord is a stand-in for Discord's webhooks on loopback, for tests: it checks each request against what the
// service's OpenAPI document says (schema.json) and against what only its documentation says, and answers and limits as the
// service does. It keeps what it was sent. Nothing but this stand-in lives here, and no program uses it.
package discord

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schema.json
var schemaJSON []byte

// schema gives that of a new message, "post", and of an edit, "patch".
var schema = standin.Schemas(schemaJSON)

// maxTotal is how many characters all embeds of a message may have together ("Embed Limits" of the documentation).
const maxTotal = 6000

// Embed is what the stand-in reads of an embed.
type Embed struct {
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Color       int    `json:"color,omitempty"`
	Timestamp   string `json:"timestamp,omitempty"`
	Footer      Text   `json:"footer,omitzero"`
	Author      Text   `json:"author,omitzero"`
	Fields      []Text `json:"fields,omitempty"`
}

// Text is a footer, an author or a field of an embed: each has some of these.
type Text struct {
	Text  string `json:"text,omitempty"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}

// Message is a message the server took.
type Message struct {
	ID, Thread, Username, Content string
	Embeds                        []Embed
	Edited                        int      // how often it was edited
	Pings                         []string // whom it mentioned: must be nobody
}

// Server answers one webhook. Use it as an http.Handler. Safe for concurrent use; set the exported fields before.
type Server struct {
	standin.Desk[Message]

	ID, Token string
	Threads   []string // threads of the webhook's channel
	Forum     bool     // the channel is a forum: every message needs a thread
	// Count requests are taken in each Window; Count 0 means any number.
	Count  int
	Window time.Duration

	// Under With:
	invalid  int // answers 401, 403 and 429: 10,000 of them in ten minutes ban an address
	after404 int
	deleted  bool
	begun    time.Time // of the rate limit's window
	left     int
	next     uint64
}

// Path is the path of the webhook's URL.
func (s *Server) Path() string { return "/api/webhooks/" + s.ID + "/" + s.Token }

// Delete removes the webhook, as a person can: from now on it answers 404.
func (s *Server) Delete() { s.With(func(*[]Message) { s.deleted = true }) }

// Remove deletes a message, as a person can.
func (s *Server) Remove(id string) {
	s.With(func(list *[]Message) {
		*list = slices.DeleteFunc(*list, func(m Message) bool { return m.ID == id })
	})
}

// Counts tells the requests that count towards a ban, and those made after the first 404 for a deleted webhook.
func (s *Server) Counts() (invalid, after404 int) {
	s.With(func(*[]Message) { invalid, after404 = s.invalid, s.after404 })
	return invalid, after404
}

// Fail writes an error as the service does. Detail is the tree of refused fields, or nil.
func Fail(w http.ResponseWriter, status, code int, message string, detail any) {
	body := map[string]any{"code": code, "message": message}
	if detail != nil {
		body["errors"] = detail
	}
	standin.Answer(w, status, body)
}

var route = regexp.MustCompile(`^/api/(?:v[0-9]+/)?webhooks/([0-9]+)/([A-Za-z0-9_-]+)(?:/messages/([0-9]+))?$`)

// ServeHTTP answers the webhook's URL and those of its messages.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Open(w, r) {
		s.With(func(list *[]Message) { s.serve(w, r, list) })
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, list *[]Message) {
	part := route.FindStringSubmatch(r.URL.Path)
	switch {
	case part == nil:
		Fail(w, http.StatusNotFound, 0, "404: Not Found", nil)
		return
	case part[1] != s.ID || s.deleted:
		if s.deleted {
			s.after404++
		}
		Fail(w, http.StatusNotFound, 10015, "Unknown Webhook", nil)
		return
	case part[2] != s.Token:
		s.invalid++
		Fail(w, http.StatusUnauthorized, 50027, "Invalid Webhook Token", nil)
		return
	case !s.admit(w):
		return
	}
	switch {
	case r.Method == http.MethodGet && part[3] == "":
		standin.Answer(w, http.StatusOK, map[string]any{
			"application_id": nil, "avatar": nil, "channel_id": "1200000000000000001", "guild_id": "1000000000000000001",
			"id": s.ID, "name": "alerts", "type": 1, "token": s.Token,
		})
	case r.Method == http.MethodPost && part[3] == "":
		s.post(w, r, list)
	case r.Method == http.MethodPatch && part[3] != "":
		s.patch(w, r, *list, part[3])
	default:
		Fail(w, http.StatusMethodNotAllowed, 0, "405: Method Not Allowed", nil)
	}
}

// admit keeps the rate limit. Every answer carries its state.
func (s *Server) admit(w http.ResponseWriter) bool {
	if s.Count == 0 {
		return true
	}
	now := time.Now()
	if now.Sub(s.begun) >= s.Window {
		s.begun, s.left = now, s.Count
	}
	reset := s.begun.Add(s.Window).Sub(now).Seconds()
	h := w.Header()
	h.Set("X-RateLimit-Limit", strconv.Itoa(s.Count))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(s.left-1, 0)))
	h.Set("X-RateLimit-Reset-After", fmt.Sprintf("%.3f", reset))
	h.Set("X-RateLimit-Bucket", "a5b8d1")
	if s.left--; s.left >= 0 {
		return true
	}
	s.invalid++
	h.Set("Retry-After", strconv.Itoa(int(reset)+1))
	h.Set("X-RateLimit-Scope", "shared")
	standin.Answer(w, http.StatusTooManyRequests, map[string]any{"message": "You are being rate limited.", "retry_after": reset, "global": false})
	return false
}

// payload is what is read of a message.
type payload struct {
	Content  *string
	Username string
	Embeds   []Embed
	Mentions *struct{ Parse, Users, Roles []string } `json:"allowed_mentions"`
}

// read checks a message; it has answered if ok is false.
func (s *Server) read(w http.ResponseWriter, r *http.Request, def string) (p payload, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	switch {
	case err != nil:
		Fail(w, http.StatusRequestEntityTooLarge, 40005, "Request entity too large", nil)
		return p, false
	case r.Header.Get("Content-Type") != "application/json":
		Fail(w, http.StatusBadRequest, 50035, "this stand-in reads application/json only", nil)
		return p, false
	}
	err = standin.Decode(schema(def), body, &p)
	if bad, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		bad = standin.Deepest(bad)
		invalidForm(w, bad.InstanceLocation, "SCHEMA", bad.Error())
		return p, false
	}
	if err != nil {
		Fail(w, http.StatusBadRequest, 50109, "The request body contains invalid JSON.", nil)
		return p, false
	}
	total := 0
	for _, e := range p.Embeds {
		if e.Title+e.Description+e.Footer.Text+e.Author.Name == "" && len(e.Fields) == 0 {
			invalidForm(w, []string{"embeds"}, "EMBED_EMPTY", "an embed needs something to show")
			return p, false
		}
		for _, text := range []string{e.Title, e.Description, e.Footer.Text, e.Author.Name} {
			total += utf8.RuneCountInString(text)
		}
		for _, f := range e.Fields {
			total += utf8.RuneCountInString(f.Name) + utf8.RuneCountInString(f.Value)
		}
	}
	name := strings.ToLower(p.Username)
	switch t := r.URL.Query().Get("thread_id"); {
	case total > maxTotal:
		invalidForm(w, []string{"embeds"}, "MAX_EMBED_SIZE_EXCEEDED", fmt.Sprintf("Embed size exceeds maximum size of %d", maxTotal))
	case strings.Contains(name, "clyde") || strings.Contains(name, "discord"):
		invalidForm(w, []string{"username"}, "USERNAME_INVALID_CONTAINS", `Username cannot contain "discord" or "clyde"`)
	case strings.TrimSpace(deref(p.Content)) == "" && len(p.Embeds) == 0:
		Fail(w, http.StatusBadRequest, 50006, "Cannot send an empty message", nil)
	case t != "" && !slices.Contains(s.Threads, t):
		Fail(w, http.StatusNotFound, 10003, "Unknown Channel", nil)
	case t == "" && s.Forum:
		Fail(w, http.StatusBadRequest, 220001, "Webhooks posted to forum channels must have a thread_name or thread_id", nil)
	default:
		return p, true
	}
	return p, false
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func invalidForm(w http.ResponseWriter, at []string, code, message string) {
	var tree any = map[string]any{"_errors": []any{map[string]any{"code": code, "message": message}}}
	for _, name := range slices.Backward(at) {
		tree = map[string]any{name: tree}
	}
	Fail(w, http.StatusBadRequest, 50035, "Invalid Form Body", tree)
}

func (s *Server) post(w http.ResponseWriter, r *http.Request, list *[]Message) {
	p, ok := s.read(w, r, "post")
	if !ok {
		return
	}
	s.next++
	m := Message{
		ID: strconv.FormatUint(1300000000000000000+s.next, 10), Thread: r.URL.Query().Get("thread_id"), Username: p.Username,
		Content: deref(p.Content), Embeds: p.Embeds, Pings: p.pings(),
	}
	*list = append(*list, m)
	if r.URL.Query().Get("wait") != "true" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	s.show(w, &m)
}

func (s *Server) patch(w http.ResponseWriter, r *http.Request, list []Message, id string) {
	p, ok := s.read(w, r, "patch")
	if !ok {
		return
	}
	for i := range list {
		m := &list[i]
		if m.ID != id || m.Thread != r.URL.Query().Get("thread_id") {
			continue
		}
		if p.Content != nil {
			m.Content = *p.Content
		}
		if p.Embeds != nil {
			m.Embeds = p.Embeds
		}
		m.Pings = append(m.Pings, p.pings()...)
		m.Edited++
		s.show(w, m)
		return
	}
	Fail(w, http.StatusNotFound, 10008, "Unknown Message", nil)
}

func (s *Server) show(w http.ResponseWriter, m *Message) {
	standin.Answer(w, http.StatusOK, map[string]any{
		"id": m.ID, "type": 0, "content": m.Content, "channel_id": "1200000000000000001", "webhook_id": s.ID, "tts": false,
		"embeds": m.Embeds, "flags": 0, "pinned": false, "mention_everyone": len(m.Pings) > 0,
	})
}

var mention = regexp.MustCompile(`@everyone|@here|<@[!&]?[0-9]+>`)

// pings lists whom a message mentions: only its content can, and only as far as allowed_mentions lets it.
func (p *payload) pings() []string {
	if p.Mentions != nil && len(p.Mentions.Parse)+len(p.Mentions.Users)+len(p.Mentions.Roles) == 0 {
		return nil
	}
	return mention.FindAllString(deref(p.Content), -1)
}
