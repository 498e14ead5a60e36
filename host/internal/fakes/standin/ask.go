package standin

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// Ask has a stand-in answer a request with a body of JSON, or of the type that headers says; headers are names and values in turn.
func Ask(t testing.TB, h http.Handler, method, path, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Vector is what a plug-in sends in one of its vectors.
type Vector struct {
	File     string
	Requests []pdk.Request
}

// Vectors gives what a first-party plug-in sends in its vectors, to the test of a folder beside this one.
func Vectors(t testing.TB, plugin string) (out []Vector) {
	t.Helper()
	all, err := spec.ReadVectors(os.DirFS("../../../../plugins/" + plugin + "/testdata/vectors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if v.Function != "render" {
			continue
		}
		var o pdk.RenderOutput
		if err := o.DecodeJSON(v.Output); err != nil {
			t.Fatal(err)
		}
		out = append(out, Vector{v.File, o.Requests})
	}
	if len(out) == 0 {
		t.Fatalf("%s has no vectors", plugin)
	}
	return out
}
