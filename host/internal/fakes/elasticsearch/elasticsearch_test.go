package elasticsearch

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

func ask(t *testing.T, s *Server, method, path, contentType, body string) (int, string) {
	t.Helper()
	return standin.Ask(t, s, method, path, body, "Content-Type", contentType)
}

// TestVectors has the node take every document of the plug-in's vectors: they are what the schema allows.
func TestVectors(t *testing.T) {
	for _, v := range standin.Vectors(t, "elasticsearch") {
		q := v.Requests[0].HTTP
		path := q.URL[strings.Index(q.URL, "/_bulk"):]
		s := &Server{Any: strings.Contains(v.File, "ntopng"), Streams: []string{"logs-ntopng.alerts-default", "logs-alerts-pisa"}}
		status, answer := ask(t, s, q.Method, path, "application/x-ndjson", q.Body)
		if status != http.StatusOK || strings.Contains(answer, "error\"") || len(s.Taken()) != strings.Count(q.Body, "\n")/2 {
			t.Errorf("%s: status %d, %s", v.File, status, answer)
		}
		// The same once more changes nothing.
		if _, again := ask(t, s, q.Method, path, "application/x-ndjson", q.Body); strings.Count(again, `"status":409`) != len(s.Taken()) {
			t.Errorf("%s again: %s", v.File, again)
		}
	}
}

func TestStrict(t *testing.T) {
	const head, doc = `{"create":{"_index":"a","_id":"1"}}`, `{"@timestamp":"2026-03-14T09:26:53Z"}`
	nd := "application/x-ndjson"
	for _, c := range []struct {
		name, path, contentType, body string
		status                        int
		want                          string
	}{
		{"taken", "/_bulk", nd, head + "\n" + doc + "\n", 200, `"result":"created"`},
		{"filtered", "/_bulk?filter_path=errors,items.*.status", nd, head + "\n" + doc + "\n", 200, `{"errors":false,"items":[{"create":{"status":201}}]}`},
		{"no line end", "/_bulk", nd, head + "\n" + doc, 400, "terminated by a newline"},
		{"no document", "/_bulk", nd, head + "\n", 400, "Malformed"},
		{"another operation", "/_bulk", nd, `{"index":{"_index":"a"}}` + "\n" + doc + "\n", 400, "Malformed"},
		{"unknown metadata", "/_bulk", nd, `{"create":{"_index":"a","_id":"1","_type":"x"}}` + "\n" + doc + "\n", 400, "Malformed"},
		{"content type", "/_bulk", "text/plain", head + "\n" + doc + "\n", 406, "media_type"},
		{"index name", "/_bulk", nd, `{"create":{"_index":"A","_id":"1"}}` + "\n" + doc + "\n", 200, "invalid_index_name"},
		{"no time in a stream", "/_bulk", nd, `{"create":{"_index":"logs-a-b","_id":"1"}}` + "\n{}\n", 200, "@timestamp] is missing"},
		{"unknown field", "/_bulk", nd, head + "\n" + `{"event":{"severity_name":"x"}}` + "\n", 200, "dynamic introduction of [event.severity_name]"},
		{"wrong type", "/_bulk", nd, head + "\n" + `{"source":{"ip":"x"}}` + "\n", 200, "[source.ip] of type [ip]"},
		{"no list", "/_bulk", nd, head + "\n" + `{"event":{"category":"network"}}` + "\n", 200, "is a list"},
		{"no such category", "/_bulk", nd, head + "\n" + `{"event":{"category":["security"]}}` + "\n", 200, "may not be [security]"},
		{"no JSON", "/_bulk", nd, head + "\n{\n", 200, "failed to parse"},
		{"another path", "/_search", nd, "", 400, "no handler found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := ask(t, &Server{Streams: []string{"logs-a-b"}}, "POST", c.path, c.contentType, c.body)
			if status != c.status || !strings.Contains(got, c.want) {
				t.Errorf("status %d: %s", status, got)
			}
		})
	}
}

func TestFailureStoreAndLogIn(t *testing.T) {
	s := &Server{Streams: []string{"logs-a-b"}, FailureStore: true, User: "u", Password: "p"}
	if status, _ := ask(t, s, "GET", "/", "", ""); status != http.StatusUnauthorized {
		t.Errorf("without a log-in: %d", status)
	}
	s.User = ""
	body := `{"create":{"_index":"logs-a-b","_id":"1"}}` + "\n" + `{"@timestamp":"2026-03-14T09:26:53Z","source":{"ip":"x"}}` + "\n"
	if _, got := ask(t, s, "POST", "/_bulk", "application/x-ndjson", body); !strings.Contains(got, `"failure_store":"used"`) || !s.Taken()[0].Failure {
		t.Error(got)
	}
	s.ReadOnly = true
	if status, _ := ask(t, s, "POST", "/_bulk", "application/x-ndjson", body); status != http.StatusForbidden {
		t.Errorf("read only: %d", status)
	}
}
