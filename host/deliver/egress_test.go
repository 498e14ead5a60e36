package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestOverTheNetwork runs the real executor against a service that fails in turn, and looks for the secret everywhere.
func TestOverTheNetwork(t *testing.T) {
	const canary = "c4n4ry+s3cret/value"
	var mu sync.Mutex // guards seen
	seen := map[string]int{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen[string(b)]++
		n := seen[string(b)]
		mu.Unlock()
		if !strings.Contains(r.URL.Path, canary) {
			t.Errorf("the secret did not arrive: %s", r.URL.Path)
		}
		switch text := string(b); {
		case n > 1:
			_, _ = io.WriteString(w, "message-7")
		case strings.Contains(text, "500"):
			http.Error(w, "failed for "+r.RequestURI, 500)
		case strings.Contains(text, "429"):
			w.Header().Set("Retry-After", "1")
			http.Error(w, "slow down, "+canary, http.StatusTooManyRequests)
		case strings.Contains(text, "reset"):
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		default:
			_, _ = io.WriteString(w, "message-7")
		}
	}))
	defer s.Close()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	x, err := egress.New(egress.Options{Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	e := endpointNamed("a", native{}, plugin.Manifest{})
	secrets := egress.NewSecrets()
	e.Params["url"] = s.URL + "/bot" + secrets.Add("token", canary) + "/send"
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	e.Policy = egress.Policy{Secrets: secrets, Grants: []egress.Grant{{Scheme: "http", Host: u.Hostname(), Port: port, Typed: true}}}
	out := newMemory(t)
	rows := map[string]*row{}
	for _, text := range []string{"ok", "500", "reset", "429"} {
		rows[text] = out.add("a/ops", text)
	}
	var results []string
	var rmu sync.Mutex // guards results
	p, err := New(Deps{Outbox: out, Executor: x, Endpoints: []Endpoint{e}, Log: logger, OnResult: func(r Result) {
		rmu.Lock()
		defer rmu.Unlock()
		results = append(results, fmt.Sprintf("%+v", r))
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); ; {
		left, next, err := p.WaitIdle(ctx)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%d left, %v", left, err)
		}
		if left == 0 {
			break
		}
		<-time.After(time.Until(next))
	}
	cancel()
	if err := errors.Join(<-done); err != nil {
		t.Fatal(err)
	}
	for text, r := range rows {
		want := 2
		if text == "ok" {
			want = 1
		}
		if r.state != alert.Delivered || r.Attempt != want || r.history[want-1].ProviderID != "message-7" {
			t.Errorf("%s: %+v", text, r)
		}
		if r.ambiguous != (text == "reset") {
			t.Errorf("%s: ambiguous is %v", text, r.ambiguous)
		}
	}
	all := log.String() + fmt.Sprint(results, out.rows)
	for _, r := range out.rows {
		all += fmt.Sprintf("%+v", r.history)
	}
	for _, leak := range []string{"c4n4ry", "s3cret", "tocsin-secret-"} {
		if strings.Contains(all, leak) {
			t.Errorf("%q got out: %s", leak, all)
		}
	}
	for _, has := range []string{"recipient=ops", "attempt=2", "outcome=retry", "status=429", "took=", "‹secret:token›"} {
		if !strings.Contains(log.String(), has) {
			t.Errorf("the log lacks %q: %s", has, log.String())
		}
	}
}

// BenchmarkPipeline measures deliveries through the pipeline alone: no disk, no network, no WebAssembly.
func BenchmarkPipeline(b *testing.B) {
	for _, batch := range []int{1, 20} {
		b.Run("batch="+strconv.Itoa(batch), func(b *testing.B) {
			g := native{render: whole}
			m := plugin.Manifest{Batch: plugin.Batch{Max: batch}, Limits: plugin.Limits{Parallel: 2}}
			out := newMemory(b)
			x := quick{}
			p, err := New(Deps{Outbox: out, Executor: x, Endpoints: []Endpoint{endpointNamed("a", g, m)}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			const n = 1000
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					out.add("a/ops", "hello")
				}
				if _, _, err := p.WaitIdle(ctx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

type quick struct{}

func (quick) Do(context.Context, *pdk.Request, egress.Policy) (*pdk.Response, *pdk.TransportError) {
	return &pdk.Response{Status: 200}, nil
}
