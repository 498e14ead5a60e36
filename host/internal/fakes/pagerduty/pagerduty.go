// Package pagerduty is a stand-in for PagerDuty's Events API v2 on loopback, for tests: it checks each event against a schema
// reduced from the service's own OpenAPI description, answers as the service documents, and keeps the alerts that events open
// and resolve. It is no part of the program.
package pagerduty

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// What an event may have: the length of a routing key in characters, and of the whole in bytes.
const (
	keyLength = 32
	maxEvent  = 512 << 10
)

//go:embed event.schema.json
var eventText []byte

//go:embed change.schema.json
var changeText []byte

// The schemas of the two kinds of events, compiled when the first arrives.
var (
	eventSchema  = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(eventText) })
	changeSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(changeText) })
)

func compile(text []byte) (*jsonschema.Schema, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	const name = "mem:///schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, value); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// Event is an event as it was sent.
type Event struct {
	RoutingKey string `json:"routing_key"`
	Action     string `json:"event_action"` // empty for a change event
	DedupKey   string `json:"dedup_key"`
	Client     string `json:"client"`
	ClientURL  string `json:"client_url"`
	Payload    struct {
		Summary   string         `json:"summary"`
		Severity  string         `json:"severity"`
		Source    string         `json:"source"`
		Timestamp string         `json:"timestamp"`
		Component string         `json:"component"`
		Group     string         `json:"group"`
		Class     string         `json:"class"`
		Details   map[string]any `json:"custom_details"`
	} `json:"payload"`
}

// Alert is what the events of one dedup key made.
type Alert struct {
	Event    // the first
	Events   int
	Resolved bool
}

// Server answers the Events API for one integration. Use it as an http.Handler. Safe for concurrent use.
type Server struct {
	Key string // the integration's key, 32 characters
	// Intercept, if set, may answer the n-th request itself (to play an outage or a rate limit) and then returns true.
	Intercept func(w http.ResponseWriter, n int) bool

	mu      sync.Mutex // mu guards what follows
	n       int
	alerts  []*Alert
	dropped int // resolves without an open alert
	changes []Event
}

// Alerts gives a copy of the alerts there ever were, in order.
func (s *Server) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Alert, len(s.alerts))
	for i, a := range s.alerts {
		out[i] = *a
	}
	return out
}

// Changes gives a copy of the change events.
func (s *Server) Changes() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.changes...)
}

// Dropped counts the resolves for which no alert was open.
func (s *Server) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// ServeHTTP answers /v2/enqueue and /v2/change/enqueue.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.n++
	n := s.n
	s.mu.Unlock()
	if s.Intercept != nil && s.Intercept(w, n) {
		return
	}
	schema, change := eventSchema, false
	switch {
	case r.URL.Path == "/v2/enqueue":
	case r.URL.Path == "/v2/change/enqueue":
		schema, change = changeSchema, true
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		invalid(w, "this stand-in takes a POST of application/json only")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		answer(w, http.StatusRequestEntityTooLarge, map[string]any{"status": "invalid event", "message": "Event is too large"})
		return
	}
	e, problems := check(schema, body)
	switch {
	case len(problems) > 0:
		invalid(w, problems...)
		return
	case len(e.RoutingKey) != keyLength:
		invalid(w, fmt.Sprintf("Length of 'routing_key' is incorrect (should be %d characters)", keyLength))
		return
	case e.RoutingKey != s.Key:
		invalid(w, "Invalid routing key")
		return
	}
	if change {
		s.mu.Lock()
		s.changes = append(s.changes, e)
		s.mu.Unlock()
		answer(w, http.StatusAccepted, map[string]any{"status": "success", "message": "Change event processed"})
		return
	}
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("%032x", n)
	}
	s.take(e)
	answer(w, http.StatusAccepted, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey})
}

// take opens, adds to, or resolves the alert of an event.
func (s *Server) take(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.alerts {
		if a.DedupKey == e.DedupKey && !a.Resolved {
			a.Events++
			a.Resolved = e.Action == "resolve"
			return
		}
	}
	if e.Action != "trigger" {
		s.dropped++
		return
	}
	s.alerts = append(s.alerts, &Alert{Event: e, Events: 1})
}

// check reads an event, or says what is wrong with it.
func check(schema func() (*jsonschema.Schema, error), body []byte) (e Event, problems []string) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return e, []string{"JSON parse error"}
	}
	compiled, err := schema()
	if err != nil {
		return e, []string{err.Error()}
	}
	if err := compiled.Validate(value); err != nil {
		var bad *jsonschema.ValidationError
		if !errors.As(err, &bad) {
			return e, []string{err.Error()}
		}
		for _, u := range bad.BasicOutput().Errors {
			if u.Error != nil {
				problems = append(problems, "'"+strings.ReplaceAll(strings.Trim(u.InstanceLocation, "/"), "/", ".")+"' is invalid: "+u.Error.String())
			}
		}
		return e, problems
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, []string{err.Error()}
	}
	return e, nil
}

func invalid(w http.ResponseWriter, problems ...string) {
	answer(w, http.StatusBadRequest, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": problems})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
}
