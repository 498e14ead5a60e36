// Package elasticsearch is a stand-in for a node of Elasticsearch on loopback, for tests: it takes _bulk requests as strictly
// as the service specifies (https://github.com/elastic/elasticsearch-specification), checks documents against the Elastic
// Common Schema, and answers as the service does, item by item. It keeps documents, and searches nothing.
package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"

	"github.com/tocsin-net/tocsin/host/internal/fakes/ecs"
)

// Document is a document that was taken.
type Document struct {
	Index, ID string
	Source    map[string]any
	Failure   bool // it is in the failure store
}

// Server answers for one node. Use it as an http.Handler. Set its fields before that. Safe for concurrent use.
type Server struct {
	standin.Desk[Document]

	// APIKey, or User and Password, are asked for; without either everybody may write.
	APIKey, User, Password string
	// Streams are the data streams that there are; FailureStore says that they keep what they cannot map.
	Streams      []string
	FailureStore bool
	// ReadOnly answers 403 to whoever wants to write, as a log-in without privileges gets it.
	ReadOnly bool
	// Any takes documents with fields that the Elastic Common Schema does not know, outside of "tocsin" too.
	Any bool
	// Mappings give fields another type than the schema does, so that documents conflict with them.
	Mappings map[string]string
	// Item, if set, may answer for one document of the n-th request to _bulk: a status other than 0 is its fate.
	Item func(id string, n int) (status int, kind, reason string)

	// Under With:
	bulks int
	sizes []int              // documents in each bulk request
	there map[[2]string]bool // index and id of what is in an index
}

// Bulks gives the number of documents in each request to _bulk so far.
func (s *Server) Bulks() (out []int) {
	s.With(func(*[]Document) { out = slices.Clone(s.sizes) })
	return out
}

// Fail writes an error as the service does.
func Fail(w http.ResponseWriter, status int, kind, reason string) {
	cause := map[string]any{"type": kind, "reason": reason}
	write(w, status, map[string]any{
		"error":  map[string]any{"root_cause": []any{cause}, "type": kind, "reason": reason},
		"status": status,
	})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	standin.Answer(w, status, v)
}

// ServeHTTP answers GET /, /_security/_authenticate, /_security/user/_has_privileges and /_bulk.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Open(w, r) {
		return
	}
	if !s.knows(r) {
		w.Header().Set("WWW-Authenticate", `ApiKey, Basic realm="security", charset="UTF-8"`)
		Fail(w, http.StatusUnauthorized, "security_exception", "unable to authenticate with provided credentials and anonymous access is not allowed for this request")
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /":
		write(w, http.StatusOK, map[string]any{
			"name": "node-1", "cluster_name": "stand-in", "tagline": "You Know, for Search",
			"version": map[string]any{"number": "9.1.0", "build_flavor": "default"},
		})
	case "GET /_security/_authenticate":
		write(w, http.StatusOK, map[string]any{"username": "tocsin", "roles": []string{}, "enabled": true})
	case "POST /_security/user/_has_privileges":
		s.hasPrivileges(w, r)
	case "POST /_bulk", "PUT /_bulk":
		s.With(func(docs *[]Document) { s.bulk(w, r, docs) })
	default:
		Fail(w, http.StatusBadRequest, "illegal_argument_exception", fmt.Sprintf("no handler found for uri [%s] and method [%s]", r.URL.Path, r.Method))
	}
}

func (s *Server) knows(r *http.Request) bool {
	switch {
	case s.APIKey != "":
		return r.Header.Get("Authorization") == "ApiKey "+s.APIKey
	case s.User != "":
		user, password, ok := r.BasicAuth()
		return ok && user == s.User && password == s.Password
	}
	return true
}

func (s *Server) hasPrivileges(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Index []struct {
			Names      []string `json:"names"`
			Privileges []string `json:"privileges"`
		} `json:"index"`
	}
	if err := strictly(r.Body, &q); err != nil || len(q.Index) == 0 {
		Fail(w, http.StatusBadRequest, "parsing_exception", fmt.Sprint(err))
		return
	}
	index := map[string]any{}
	for _, i := range q.Index {
		for _, name := range i.Names {
			has := map[string]bool{}
			for _, p := range i.Privileges {
				has[p] = !s.ReadOnly
			}
			index[name] = has
		}
	}
	write(w, http.StatusOK, map[string]any{"username": "tocsin", "has_all_requested": !s.ReadOnly, "cluster": map[string]any{}, "index": index})
}

func strictly(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// action is the metadata of a create; its other members are left out here because nothing should send them.
type action struct {
	Create *struct {
		Index string `json:"_index"`
		ID    string `json:"_id"`
	} `json:"create"`
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request, docs *[]Document) {
	s.bulks++
	refuse := func(format string, args ...any) {
		Fail(w, http.StatusBadRequest, "illegal_argument_exception", fmt.Sprintf(format, args...))
	}
	if ct := r.Header.Get("Content-Type"); ct != "application/x-ndjson" && ct != "application/json" {
		Fail(w, http.StatusNotAcceptable, "media_type_header_exception", "Content-Type header ["+ct+"] is not supported")
		return
	}
	if s.ReadOnly {
		Fail(w, http.StatusForbidden, "security_exception", "action [indices:data/write/bulk] is unauthorized for user [tocsin]")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 100<<20))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if len(body) == 0 || body[len(body)-1] != '\n' {
		refuse("The bulk request must be terminated by a newline [\\n]")
		return
	}
	lines := bytes.Split(body[:len(body)-1], []byte("\n"))
	if len(lines)%2 != 0 {
		refuse("Malformed action/metadata line [%d], there is no document for it", len(lines))
		return
	}
	var items []any
	failed := false
	for i := 0; i < len(lines); i += 2 {
		var a action
		if err := strictly(bytes.NewReader(lines[i]), &a); err != nil || a.Create == nil {
			refuse("Malformed action/metadata line [%d], expected a create: %v", i+1, err)
			return
		}
		item := s.create(docs, a.Create.Index, a.Create.ID, lines[i+1])
		failed = failed || item["error"] != nil
		items = append(items, map[string]any{"create": item})
	}
	s.sizes = append(s.sizes, len(items))
	answer := map[string]any{"took": 7, "errors": failed, "items": items}
	if paths := r.URL.Query().Get("filter_path"); paths != "" {
		answer = filter(answer, strings.Split(paths, ",")).(map[string]any)
	}
	write(w, http.StatusOK, answer)
}

// filter keeps what one of the paths names; "*" stands for any key, and lists are walked through.
func filter(v any, paths []string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			var deeper []string
			whole := false
			for _, p := range paths {
				head, rest, more := strings.Cut(p, ".")
				if head != "*" && head != k {
					continue
				}
				if whole = whole || !more; more {
					deeper = append(deeper, rest)
				}
			}
			if whole {
				out[k] = e
			} else if deeper != nil {
				if e = filter(e, deeper); e != nil {
					out[k] = e
				}
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			if e = filter(e, paths); e != nil {
				out = append(out, e)
			}
		}
		return out
	}
	return nil
}

// indexName follows the rules for names of indexes; those of Elasticsearch allow a little more.
var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,254}$`)

// create stores one document, or says why not.
func (s *Server) create(docs *[]Document, index, id string, line []byte) map[string]any {
	item := map[string]any{"_index": index, "_id": id}
	no := func(status int, kind, format string, args ...any) map[string]any {
		item["status"] = status
		item["error"] = map[string]any{"type": kind, "reason": fmt.Sprintf(format, args...), "index": index}
		return item
	}
	stream := slices.Contains(s.Streams, index)
	var source map[string]any
	err := json.Unmarshal(line, &source)
	if s.Item != nil {
		if status, kind, reason := s.Item(id, s.bulks); status != 0 {
			return no(status, kind, "%s", reason)
		}
	}
	switch {
	case !indexName.MatchString(index):
		return no(http.StatusBadRequest, "invalid_index_name_exception", "Invalid index name [%s]", index)
	case id == "" || len(id) > 512:
		return no(http.StatusBadRequest, "illegal_argument_exception", "id [%s] is empty or too long, must be no longer than 512 bytes", id)
	case err != nil:
		return no(http.StatusBadRequest, "document_parsing_exception", "[1:1] failed to parse: %v", err)
	case stream && source["@timestamp"] == nil:
		return no(http.StatusBadRequest, "document_parsing_exception", "data stream timestamp field [@timestamp] is missing")
	}
	if s.there[[2]string{index, id}] {
		return no(http.StatusConflict, "version_conflict_engine_exception", "[%s]: version conflict, document already exists (current version [1])", id)
	}
	doc := Document{Index: index, ID: id, Source: source}
	if problem := (ecs.Schema{Any: s.Any, Mappings: s.Mappings}).Check(source); problem != nil {
		if !stream || !s.FailureStore {
			if stream {
				item["failure_store"] = "not_enabled"
			}
			return no(http.StatusBadRequest, "document_parsing_exception", "[1:2] %v in document with id '%s'", problem, id)
		}
		doc.Failure = true
		item["failure_store"] = "used"
	}
	*docs = append(*docs, doc)
	if s.there == nil {
		s.there = map[[2]string]bool{}
	}
	s.there[[2]string{index, id}] = !doc.Failure
	item["status"], item["result"], item["_version"] = http.StatusCreated, "created", 1
	return item
}
