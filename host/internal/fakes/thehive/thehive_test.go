package thehive

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

const token = "tocsin-secret-11"

func ask(t *testing.T, s *Server, method, path, org, body string) (int, string) {
	t.Helper()
	headers := []string{"Authorization", "Bearer " + token}
	if org != "" {
		headers = append(headers, "X-Organisation", org)
	}
	return standin.Ask(t, s, method, path, body, headers...)
}

// TestVectors has the server take every request of the plug-in's vectors.
func TestVectors(t *testing.T) {
	for _, v := range standin.Vectors(t, "thehive") {
		s := &Server{Token: token, Organisations: []string{"soc", "SOC Pisa"}}
		if status, answer := ask(t, s, "POST", "/api/v1/alert", "", `{"type":"a","source":"b","sourceRef":"c","title":"d","description":"e"}`); status != http.StatusCreated {
			t.Fatal(answer)
		}
		for _, q := range v.Requests {
			org := ""
			for _, h := range q.HTTP.Headers {
				if h.Name == "X-Organisation" {
					org = h.Value
				}
			}
			want := http.StatusCreated
			switch {
			case strings.Contains(q.HTTP.URL, "%2F"):
				want = http.StatusNotFound
			case q.HTTP.Method == "PATCH":
				want = http.StatusNoContent
			}
			path := q.HTTP.URL[strings.Index(q.HTTP.URL, "/api/"):]
			if status, answer := ask(t, s, q.HTTP.Method, path, org, q.HTTP.Body); status != want {
				t.Errorf("%s: status %d, %s", v.File, status, answer)
			}
			if want != http.StatusCreated {
				continue
			}
			if status, answer := ask(t, s, q.HTTP.Method, path, org, q.HTTP.Body); status != http.StatusBadRequest || !strings.Contains(answer, "already exist") {
				t.Errorf("%s again: status %d, %s", v.File, status, answer)
			}
		}
	}
}

func TestStrict(t *testing.T) {
	alert := func(more string) string {
		return `{"type":"a","source":"b","sourceRef":"c","title":"d","description":"e"` + more + `}`
	}
	for _, c := range []struct {
		name, body, want string
		status           int
	}{
		{"made", alert(""), `"_id":"~4096"`, 201},
		{"no title", `{"type":"a","source":"b","sourceRef":"c","description":"e"}`, "title", 400},
		{"unknown field", alert(`,"artifacts":[]`), "artifacts", 400},
		{"severity", alert(`,"severity":5`), "severity", 400},
		{"long tag", alert(`,"tags":["` + strings.Repeat("x", 129) + `"]`), "maxLength", 400},
		{"tags alike", alert(`,"tags":["x","x"]`), "tags", 400},
		{"observable type", alert(`,"observables":[{"dataType":"mac","data":"x"}]`), "mac not found", 400},
		{"observable without data", alert(`,"observables":[{"dataType":"ip"}]`), "data", 400},
		{"observable twice", alert(`,"observables":[{"dataType":"ip","data":"x"},{"dataType":"other","data":"x"}]`), "Observable already exists", 400},
		{"no JSON", "{", "AttributeCheckingError", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := ask(t, &Server{Token: token}, "POST", "/api/v1/alert", "", c.body)
			if status != c.status || !strings.Contains(got, c.want) {
				t.Errorf("status %d: %s", status, got)
			}
		})
	}
	s := &Server{Token: token}
	for _, c := range []struct {
		method, path, org, body string
		status                  int
	}{
		{"GET", "/api/v1/user/current", "", "", 200},
		{"GET", "/api/v1/user/current", "other", "", 403},
		{"PATCH", "/api/v1/alert/~1", "", `{"status":"Ignored"}`, 404},
		{"PATCH", "/api/v1/alert/~1", "", `{"status":"Ended"}`, 400},
		{"PATCH", "/api/v1/alert/~1", "", `{"sourceRef":"x"}`, 400},
		{"POST", "/api/alert", "", "{}", 404},
	} {
		if status, got := ask(t, s, c.method, c.path, c.org, c.body); status != c.status {
			t.Errorf("%s %s: status %d, %s", c.method, c.path, status, got)
		}
	}
	s.Token = "another"
	if status, _ := ask(t, s, "GET", "/api/v1/user/current", "", ""); status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d", status)
	}
}
