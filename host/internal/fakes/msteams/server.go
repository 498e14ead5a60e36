// Package msteams is a stand-in for a webhook of the Workflows app of Microsoft Teams on loopback, for tests: it checks each
// request as strictly as schema.json says and answers as Power Automate does: 202, before anything was posted. It keeps what it
// was sent. Nothing but this stand-in lives here, and Validate, which has the cards judged by npm's adaptivecards; no program
// uses it.
package msteams

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schema.json
var schemaJSON []byte

var schema = standin.Schemas(schemaJSON)

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
	standin.Desk[Card]

	Sig string // the key in its URL

	state atomic.Pointer[string] // of the workflow; see Turn
}

// path is that of a workflow's trigger.
const path = "/powerautomate/automations/direct/workflows/8a1b2c3d4e5f/triggers/manual/paths/invoke"

// URL is the workflow's address on a server at base.
func (s *Server) URL(base string) string {
	return base + path + "?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=" + s.Sig
}

// Turn sets the workflow's state, as a person can: "" on, "off", or "gone".
func (s *Server) Turn(state string) { s.state.Store(&state) }

// ServeHTTP answers the workflow's URL.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Open(w, r) {
		return
	}
	state := ""
	if p := s.state.Load(); p != nil {
		state = *p
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	q := r.URL.Query()
	fail := func(status int, code, message string) {
		s.Refuse("%s: %s", code, message)
		Fail(w, status, code, message)
	}
	switch {
	case err != nil || len(body) > MaxBody:
		fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("%d bytes", len(body)))
	case r.URL.Path != path || state == "gone":
		fail(http.StatusNotFound, "WorkflowNotFound", "The workflow '8a1b2c3d4e5f' could not be found.")
	case q.Get("api-version") == "" || q.Get("sp") == "" || q.Get("sv") == "" || q.Get("sig") != s.Sig:
		fail(http.StatusUnauthorized, "DirectApiAuthorizationRequired", "The request must be authenticated only by Shared Access scheme.")
	case r.Method != http.MethodPost:
		fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method is not allowed.")
	case state == "off":
		fail(http.StatusBadRequest, "WorkflowTriggerIsNotEnabled",
			"Could not execute workflow '8a1b2c3d4e5f' trigger 'manual' with state 'Disabled': trigger is not enabled.")
	case r.Header.Get("Content-Type") != "application/json":
		fail(http.StatusBadRequest, "InvalidRequestContent", "The request content is not JSON.")
	default:
		var m message
		err := standin.Decode(schema(""), body, &m)
		if bad, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
			fail(http.StatusBadRequest, "TriggerInputSchemaMismatch", standin.Deepest(bad).Error())
			return
		}
		if err != nil {
			fail(http.StatusBadRequest, "InvalidRequestContent", err.Error())
			return
		}
		s.With(func(cards *[]Card) { *cards = append(*cards, m.cards(len(body))...) })
		w.WriteHeader(http.StatusAccepted)
	}
}

// Fail writes an error as Power Automate does.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	standin.Answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

// element is what is read of a card's elements.
type element struct {
	Style   string
	Items   []element
	Inlines []struct{ Text string }
}

// message is what is read of a request.
type message struct {
	Attachments []struct{ Content json.RawMessage }
}

// cards are those of a message in a request of so many bytes.
func (m *message) cards(size int) (out []Card) {
	for _, a := range m.Attachments {
		var top struct{ Body []element }
		_ = json.Unmarshal(a.Content, &top) // the schema has seen it
		c := Card{JSON: string(a.Content), Size: size}
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
		out = append(out, c)
	}
	return out
}
