// Package pagerduty is a stand-in for PagerDuty's Events API v2 on loopback, for tests: it checks each event against a schema
// reduced from the service's own OpenAPI description, answers as the service documents, and keeps the alerts that events open
// and resolve. It is no part of the program.
package pagerduty

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
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

// The schemas of the two kinds of events.
var (
	eventSchema  = standin.Schemas(eventText)
	changeSchema = standin.Schemas(changeText)
)

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
	standin.Desk[Alert]

	Key string // the integration's key, 32 characters

	n       atomic.Int64 // events without a key of their own
	dropped int          // under With: resolves without an open alert
	changes []Event      // under With
}

// Changes gives a copy of the change events.
func (s *Server) Changes() (out []Event) {
	s.With(func(*[]Alert) { out = slices.Clone(s.changes) })
	return out
}

// Dropped counts the resolves for which no alert was open.
func (s *Server) Dropped() (n int) {
	s.With(func(*[]Alert) { n = s.dropped })
	return n
}

// ServeHTTP answers /v2/enqueue and /v2/change/enqueue.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Open(w, r) {
		return
	}
	schema, change := eventSchema(""), false
	switch {
	case r.URL.Path == "/v2/enqueue":
	case r.URL.Path == "/v2/change/enqueue":
		schema, change = changeSchema(""), true
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
		standin.Answer(w, http.StatusRequestEntityTooLarge, map[string]any{"status": "invalid event", "message": "Event is too large"})
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
		s.With(func(*[]Alert) { s.changes = append(s.changes, e) })
		standin.Answer(w, http.StatusAccepted, map[string]any{"status": "success", "message": "Change event processed"})
		return
	}
	if e.DedupKey == "" {
		e.DedupKey = fmt.Sprintf("%032x", s.n.Add(1))
	}
	s.take(e)
	standin.Answer(w, http.StatusAccepted, map[string]any{"status": "success", "message": "Event processed", "dedup_key": e.DedupKey})
}

// take opens, adds to, or resolves the alert of an event.
func (s *Server) take(e Event) {
	s.With(func(alerts *[]Alert) {
		for i := range *alerts {
			if a := &(*alerts)[i]; a.DedupKey == e.DedupKey && !a.Resolved {
				a.Events++
				a.Resolved = e.Action == "resolve"
				return
			}
		}
		if e.Action != "trigger" {
			s.dropped++
			return
		}
		*alerts = append(*alerts, Alert{Event: e, Events: 1})
	})
}

// check reads an event, or says what is wrong with it.
func check(schema *jsonschema.Schema, body []byte) (e Event, problems []string) {
	err := standin.Decode(schema, body, &e)
	bad, ok := errors.AsType[*jsonschema.ValidationError](err)
	switch {
	case ok:
		for _, u := range bad.BasicOutput().Errors {
			if u.Error != nil {
				problems = append(problems, "'"+strings.ReplaceAll(strings.Trim(u.InstanceLocation, "/"), "/", ".")+"' is invalid: "+u.Error.String())
			}
		}
	case err != nil:
		problems = []string{"JSON parse error"}
	}
	return e, problems
}

func invalid(w http.ResponseWriter, problems ...string) {
	standin.Answer(w, http.StatusBadRequest, map[string]any{"status": "invalid event", "message": "Event object is invalid", "errors": problems})
}
