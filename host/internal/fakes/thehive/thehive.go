// Package thehive is a stand-in for TheHive's API on loopback, for tests: it makes and changes alerts as strictly as the
// service's OpenAPI document (version 5.7.3) says, refuses repeats as the service does, and keeps what it was sent.
package thehive

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// Alert is an alert that was made.
type Alert struct {
	ID, Organisation string
	Fields           map[string]any   // as sent, with later changes
	Observables      []map[string]any // as sent
	Changed          int              // how often
}

// Server answers for one user. Use it as an http.Handler. Set its fields before that. Safe for concurrent use.
type Server struct {
	standin.Desk[Alert]

	Token string // the user's API key
	// Organisations are those of the user; the first is the one without a header. Empty: "soc".
	Organisations []string
	// Permissions are the user's; nil: those of an analyst.
	Permissions []string

	// Under With:
	there map[string]bool // what is unique of each alert
}

// Fail writes an error as the service does.
func Fail(w http.ResponseWriter, status int, kind, message string) {
	standin.Answer(w, status, map[string]any{"type": kind, "message": message})
}

// ServeHTTP answers POST /api/v1/alert, PATCH /api/v1/alert/{id} and GET /api/v1/user/current.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Open(w, r) {
		s.With(func(alerts *[]Alert) { s.serve(w, r, alerts) })
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, alerts *[]Alert) {
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		Fail(w, http.StatusUnauthorized, "AuthenticationError", "Authentication failure")
		return
	}
	organisations, permissions := s.Organisations, s.Permissions
	if organisations == nil {
		organisations = []string{"soc"}
	}
	if permissions == nil {
		permissions = []string{"manageAlert/create", "manageAlert/update"}
	}
	org := organisations[0]
	if h := r.Header.Get("X-Organisation"); h != "" {
		org = h
	}
	if !slices.Contains(organisations, org) {
		Fail(w, http.StatusForbidden, "AuthorizationError", "You are not member of the organisation "+org)
		return
	}
	id, one := strings.CutPrefix(r.URL.Path, "/api/v1/alert/")
	may := func(p string) bool {
		if !slices.Contains(permissions, p) {
			Fail(w, http.StatusForbidden, "AuthorizationError", "Your are not authorized to do this action, permission "+p+" is needed")
			return false
		}
		return true
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/api/v1/user/current":
		standin.Answer(w, http.StatusOK, map[string]any{
			"_id": "~4", "_createdBy": "admin", "_createdAt": 1640000000000, "login": "tocsin@example.org", "name": "tocsin", "hasKey": true,
			"hasPassword": false, "hasMFA": false, "locked": false, "profile": "analyst", "permissions": permissions, "organisation": org,
			"type": "Service", "extraData": map[string]any{},
		})
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/alert":
		if may("manageAlert/create") {
			s.create(w, r, alerts, org)
		}
	case r.Method == http.MethodPatch && one:
		if may("manageAlert/update") {
			s.update(w, r, *alerts, id)
		}
	default:
		Fail(w, http.StatusNotFound, "NotFoundError", "Not found")
	}
}

//go:embed schema.json
var facts []byte

var schema = standin.Schemas(facts)

// read takes a body that the schema of a name allows, or answers why not.
func read(w http.ResponseWriter, r *http.Request, name string) map[string]any {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil {
		Fail(w, http.StatusRequestEntityTooLarge, "BadRequest", "the body is too large")
		return nil
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		Fail(w, http.StatusBadRequest, "BadRequest", "Content-Type is "+ct)
		return nil
	}
	var v map[string]any
	if err := standin.Decode(schema(name), body, &v); err != nil {
		Fail(w, http.StatusBadRequest, "AttributeCheckingError", err.Error())
		return nil
	}
	return v
}

// dataTypes are the types of observables that a new installation has, but for "file".
var dataTypes = []string{
	"autonomous-system", "domain", "filename", "fqdn", "hash", "hostname", "ip", "mail", "mail-subject", "other", "regexp", "registry",
	"uri_path", "url", "user-agent",
}

// statuses are those of alerts that a new installation has.
var statuses = []string{"New", "InProgress", "Pending", "Imported", "Ignored", "Duplicated"}

func (s *Server) create(w http.ResponseWriter, r *http.Request, alerts *[]Alert, org string) {
	v := read(w, r, "InputCreateAlert")
	if v == nil {
		return
	}
	a := Alert{ID: fmt.Sprintf("~%d", 4096+8*len(*alerts)), Organisation: org, Fields: v}
	seen := map[string]bool{}
	list, _ := v["observables"].([]any)
	for _, e := range list {
		o := e.(map[string]any)
		kind, data := o["dataType"].(string), fmt.Sprint(o["data"])
		switch {
		case !slices.Contains(dataTypes, kind):
			Fail(w, http.StatusBadRequest, "BadRequest", "Observable type "+kind+" not found")
			return
		case seen[data]: // as version 4 does it
			Fail(w, http.StatusBadRequest, "CreateError", "Observable already exists")
			return
		}
		seen[data] = true
		a.Observables = append(a.Observables, o)
	}
	key := fmt.Sprintf("%q", []any{org, v["type"], v["source"], v["sourceRef"]})
	if s.there[key] {
		Fail(w, http.StatusBadRequest, "CreateError", fmt.Sprintf("Alert %v:%v:%v already exist in organisation", v["type"], v["source"], v["sourceRef"]))
		return
	}
	if status, ok := v["status"].(string); ok && !slices.Contains(statuses, status) {
		Fail(w, http.StatusBadRequest, "BadRequest", "Alert status "+status+" not found")
		return
	}
	if s.there == nil {
		s.there = map[string]bool{}
	}
	s.there[key] = true
	*alerts = append(*alerts, a)
	answer := map[string]any{"_id": a.ID, "_type": "Alert", "status": "New", "stage": "New", "observableCount": len(a.Observables)}
	for _, k := range []string{"type", "source", "sourceRef", "title", "severity"} {
		answer[k] = v[k]
	}
	standin.Answer(w, http.StatusCreated, answer)
}

func (s *Server) update(w http.ResponseWriter, r *http.Request, alerts []Alert, id string) {
	v := read(w, r, "InputUpdateAlert")
	if v == nil {
		return
	}
	if status, ok := v["status"].(string); ok && !slices.Contains(statuses, status) {
		Fail(w, http.StatusBadRequest, "BadRequest", "Alert status "+status+" not found")
		return
	}
	for i := range alerts {
		if a := &alerts[i]; a.ID == id {
			a.Fields = maps.Clone(a.Fields) // others may hold the old one
			maps.Copy(a.Fields, v)
			a.Changed++
			standin.Answer(w, http.StatusNoContent, nil)
			return
		}
	}
	Fail(w, http.StatusNotFound, "NotFoundError", "Alert not found")
}
