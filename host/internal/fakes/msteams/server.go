// Package msteams is a stand-in for a webhook of the Workflows app of Microsoft Teams on loopback, for tests: it checks each
// request as strictly as schema.json says and answers as Power Automate does: 202, before anything was posted. It keeps what it
// was sent. Nothing but this stand-in lives here, and Validate, which has the cards judged by npm's adaptivecards; no program
// uses it.
package msteams

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schema.json
var schemaJSON []byte

// MaxBody is what a client measured that the service takes, in bytes; 28 KB are documented.
const MaxBody = 21_000

// Card is a card that was taken.
type Card struct {
	JSON  string   // the Adaptive Card alone
	Size  int      // of the whole request, bytes
	Style []string // of its containers that have one: the alerts
	Lines []string // its text, a line for each block
}

// Server is one workflow. Use it as an http.Handler. Safe for concurrent use; set the exported fields before.
type Server struct {
	Sig string // the key in its URL
	// Intercept, if set, may answer a request itself, to play an outage, and then returns true; n counts requests from 1.
	Intercept func(w http.ResponseWriter, n int) bool

	mu      sync.Mutex // mu guards what follows
	calls   int
	state   string // of the workflow: empty, "off" or "gone"
	cards   []Card
	refused []string
}

// path is that of a workflow's trigger.
const path = "/powerautomate/automations/direct/workflows/8a1b2c3d4e5f/triggers/manual/paths/invoke"

// URL is the workflow's address on a server at base.
func (s *Server) URL(base string) string {
	return base + path + "?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=" + s.Sig
}

// Turn sets the workflow's state, as a person can: "" on, "off", or "gone".
func (s *Server) Turn(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// Cards gives a copy of what was taken so far, in order.
func (s *Server) Cards() []Card {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.cards)
}

// Refused tells why requests were refused, in order.
func (s *Server) Refused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Calls counts the requests.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// ServeHTTP answers the workflow's URL.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.Intercept != nil && s.Intercept(w, s.calls) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	q := r.URL.Query()
	fail := func(status int, code, message string) {
		s.refused = append(s.refused, code+": "+message)
		Fail(w, status, code, message)
	}
	switch {
	case err != nil || len(body) > MaxBody:
		fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("%d bytes", len(body)))
	case r.URL.Path != path || s.state == "gone":
		fail(http.StatusNotFound, "WorkflowNotFound", "The workflow '8a1b2c3d4e5f' could not be found.")
	case q.Get("api-version") == "" || q.Get("sp") == "" || q.Get("sv") == "" || q.Get("sig") != s.Sig:
		fail(http.StatusUnauthorized, "DirectApiAuthorizationRequired", "The request must be authenticated only by Shared Access scheme.")
	case r.Method != http.MethodPost:
		fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method is not allowed.")
	case s.state == "off":
		fail(http.StatusBadRequest, "WorkflowTriggerIsNotEnabled",
			"Could not execute workflow '8a1b2c3d4e5f' trigger 'manual' with state 'Disabled': trigger is not enabled.")
	case r.Header.Get("Content-Type") != "application/json":
		fail(http.StatusBadRequest, "InvalidRequestContent", "The request content is not JSON.")
	default:
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			fail(http.StatusBadRequest, "InvalidRequestContent", err.Error())
			return
		}
		if err := check(doc); err != nil {
			fail(http.StatusBadRequest, "TriggerInputSchemaMismatch", err.Error())
			return
		}
		s.take(body)
		w.WriteHeader(http.StatusAccepted)
	}
}

// Fail writes an error as Power Automate does.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}}) // the client is gone: nobody to tell
}

// check names the deepest place where a request breaks the schema.
func check(doc any) error {
	bad, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(doc))
	if !ok {
		return nil
	}
	for len(bad.Causes) > 0 {
		deepest := bad.Causes[0]
		for _, c := range bad.Causes {
			if len(c.InstanceLocation) > len(deepest.InstanceLocation) {
				deepest = c
			}
		}
		bad = deepest
	}
	return bad
}

// element is what is read of a card's elements.
type element struct {
	Style   string
	Items   []element
	Inlines []struct{ Text string }
}

// take keeps a request that was found to be right.
func (s *Server) take(body []byte) {
	var m struct {
		Attachments []struct{ Content json.RawMessage }
	}
	_ = json.Unmarshal(body, &m) // the schema has seen it
	for _, a := range m.Attachments {
		var top struct{ Body []element }
		_ = json.Unmarshal(a.Content, &top)
		c := Card{JSON: string(a.Content), Size: len(body)}
		var walk func([]element)
		walk = func(list []element) {
			for _, e := range list {
				if e.Style != "" {
					c.Style = append(c.Style, e.Style)
				}
				var line strings.Builder
				for _, r := range e.Inlines {
					line.WriteString(r.Text)
				}
				if line.Len() > 0 {
					c.Lines = append(c.Lines, line.String())
				}
				walk(e.Items)
			}
		}
		walk(top.Body)
		s.cards = append(s.cards, c)
	}
}

var schema = func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic("schema.json: " + err.Error()) // a mistake in this package: its test shows it
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("msteams.json", doc); err != nil {
		panic(err)
	}
	return c.MustCompile("msteams.json")
}()
