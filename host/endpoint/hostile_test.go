package endpoint_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
)

const hostileManifest = `name = "odd"
title = "Odd"
version = "1.0.0"
world = "endpoint"
description = "Means harm."
licence = "Apache-2.0"
help = "Nothing to set up."
[[net]]
host = "{endpoint.url}"
reason = "to send alerts"
`

const hostileSchema = `{"type": "object", "properties": {"endpoint": {"type": "object", "properties": {
  "url": {"title": "URL", "description": "Where to.", "type": "string", "x-order": 1}}}, "recipient": {"type": "object", "properties": {}}}}`

// loadOdd packs a guest of the sandbox's hostile ones, whose README.md lists them, and loads it.
func loadOdd(t *testing.T, name string, log *slog.Logger) *endpoint.Type {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join("..", "sandbox", "testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := plugin.Pack(wasm, plugin.Parts{Manifest: []byte(hostileManifest), Lint: []byte(hostileSchema)})
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := plugin.Parse("odd.wasm", packed)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := sandbox.New(sandbox.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(t.Context()) })
	ty, err := endpoint.Load(t.Context(), rt, pkg)
	if err != nil {
		t.Fatal(err)
	}
	return ty
}

const strayHolder = "tocsin-secret-0123456789abcdef0123456789abcdef"

func oddInput(deliveries ...string) *pdk.RenderInput {
	in := &pdk.RenderInput{Now: 1718000100000, Locale: "en", Recipient: pdk.Params{}, Endpoint: pdk.Params{"url": strayHolder}}
	for _, d := range deliveries {
		in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: d})
	}
	return in
}

// TestHostileAnswers: answers that break the contract are refused with the plug-in's name, the function and the place, and nothing of them gets
// further. The type answers the next call in the same way.
func TestHostileAnswers(t *testing.T) {
	for _, c := range []struct{ name, render, classify string }{
		{"answer_utf8", "requests[0].deliveries[0]: ", ""},
		{"answer_json", "", ""},
		{"answer_types", "requests", "outcome"},
		{"answer_foreign", `requests[0].deliveries[1]: "e[2J" is none of the deliveries that it was given`, `"e[2J" is none of the deliveries`},
		{"placeholder_header", "requests[0].http.headers[0].name: a secret's placeholder cannot be the name of a header", ""},
		{"placeholder_method", "requests[0].http.method: ", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ty := loadOdd(t, c.name, nil)
			check := func(function, want string, got any, err error) {
				t.Helper()
				var a *endpoint.AnswerError
				if !errors.As(err, &a) || a.Plugin != "odd" || a.Function != function || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\x1b\n") {
					t.Errorf("%s: got %v, %v (%T), want %q", function, got, err, err, want)
				}
			}
			for range 2 {
				out, err := ty.Render(t.Context(), oddInput("d"))
				check("render", c.render, out, err)
				if strings.HasPrefix(c.name, "answer_") {
					out, err := ty.Classify(t.Context(), &pdk.ClassifyInput{
						Request: pdk.RequestInfo{Kind: "http", Deliveries: []string{"d"}}, Response: &pdk.Response{Status: 299},
					})
					if c.name == "answer_utf8" { // A reason is for people: it is cleaned.
						if err != nil || !utf8.ValidString(out.Verdicts[0].Reason) {
							t.Errorf("classify: got %+v, %v", out, err)
						}
						continue
					}
					check("classify", c.classify, out, err)
				}
			}
			if s := ty.Stats(); s.Live != 1 || s.Traps+s.OutOfFuel+s.BadOutput+s.GuestErrors != 0 {
				t.Errorf("got %+v", s) // The module did nothing wrong; its answers are wrong.
			}
		})
	}
}

// TestHostileFiles: files that no tool writes are refused by what reads packages and, where it is their code that is at fault, by the
// sandbox; with a few allocations, whatever sizes they claim, and in one line without control characters.
func TestHostileFiles(t *testing.T) {
	rt, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())
	for _, c := range []struct{ name, parse, compile string }{
		{"component", "this is a WebAssembly component, but tocsin takes core modules; build for wasip1", "this is a WebAssembly component; build a core module"},
		{"twice", "section tocsin.manifest: at byte 37: stands twice; the first is at byte 8", "it is not a valid module"},
		{"long", "claims 1073741824 bytes but only 16 are left; the file is cut short or corrupt", "is longer than the file, which may have been cut off"},
		{"aftersig", "stands after tocsin.sig, which began at byte 37 and must be the last; the file was changed after it was signed", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wasm, err := os.ReadFile(filepath.Join("..", "sandbox", "testdata", "hostile", c.name+".wasm"))
			if err != nil {
				t.Fatal(err)
			}
			var invalid *plugin.Invalid
			cost := testing.AllocsPerRun(1, func() { _, err = plugin.Parse("odd.wasm", wasm) })
			if !errors.As(err, &invalid) || !strings.HasPrefix(err.Error(), "odd.wasm: ") || !strings.Contains(err.Error(), c.parse) || strings.ContainsAny(err.Error(), "\x1b\n") || cost > 200 {
				t.Errorf("parse: got %v, with %v allocations; want %q", err, cost, c.parse)
			}
			if c.compile == "" {
				return
			}
			var bad *sandbox.CompileError
			if _, err := rt.Compile(t.Context(), "odd", wasm, sandbox.Limits{}); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.compile) {
				t.Errorf("compile: got %v, want %q", err, c.compile)
			}
		})
	}
}

// TestHostileRequests runs guests' requests through the real executor, against a service on the loopback interface.
func TestHostileRequests(t *testing.T) {
	const canary = "c4n4ry-s3cret"
	var arrived atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		if r.URL.Path != "/hook/"+canary {
			t.Errorf("got a request for %s", r.URL)
		}
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	grants := []egress.Grant{{Scheme: "http", Host: u.Hostname(), Port: port, Typed: true}}
	own, foreign := egress.NewSecrets(), egress.NewSecrets()
	for _, c := range []struct {
		name, guest string
		holder      string
		deliveries  []string
		want        []string // the errors, by request; empty for none
		arrived     int64
	}{
		{"not granted", "answer_ungranted", strayHolder, []string{"d"}, []string{"http://127.0.0.1:9 is not among the hosts this endpoint may reach"}, 0},
		{"own", "placeholder", own.Add("url", s.URL+"/hook/"+canary), []string{"d0", "d1", "d2"}, []string{"http://127.0.0.1:9 is not among the hosts", "the request's URL is not one", ""}, 1},
		{"foreign", "placeholder", foreign.Add("url", s.URL+"/hook/"+canary), []string{"d0", "d1", "d2"}, []string{"http://127.0.0.1:9 is not among the hosts", "is not among the hosts", "the request's URL is not one"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			x, err := egress.New(egress.Options{Log: logger})
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			ty := loadOdd(t, c.guest, logger)
			in := oddInput(c.deliveries...)
			in.Endpoint["url"] = c.holder
			if c.guest != "placeholder" {
				in = oddInput("d")
			}
			out, err := ty.Render(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			before := arrived.Load()
			all := ""
			for i, want := range c.want {
				_, terr := x.Do(t.Context(), &out.Requests[i], egress.Policy{Secrets: own, Grants: grants})
				switch {
				case terr == nil && want != "", terr != nil && (want == "" || !strings.Contains(terr.Message, want)):
					t.Errorf("request %d: got %+v, want %q", i, terr, want)
				case terr != nil:
					all += terr.Message
				}
			}
			if got := arrived.Load() - before; got != c.arrived {
				t.Errorf("%d requests arrived, want %d", got, c.arrived)
			}
			all += log.String()
			leaks := []string{canary, "c4n4ry"}
			if c.name == "own" {
				leaks = append(leaks, c.holder)
			}
			for _, leak := range leaks {
				if strings.Contains(all, leak) {
					t.Errorf("%q got out: %s", leak, all)
				}
			}
			if c.guest == "placeholder" && !strings.Contains(log.String(), "‹secret›") {
				t.Errorf("the guest's line is not in the log: %s", log.String())
			}
		})
	}
}
