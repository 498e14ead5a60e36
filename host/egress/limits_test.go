package egress

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// TestBoundedMemory measures all that is allocated while answers of 100 MB come in. The server's part counts too, and how much it writes
// before it learns that nobody reads is up to the scheduler: 1 to 3 MB on a busy machine.
func TestBoundedMemory(t *testing.T) {
	const most = 16 << 20
	bomb := bytes.Repeat(gzipped(t, 1<<20), 100) // a gzip file may have several members
	chunk := make([]byte, 1<<16)
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bomb" {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
			return
		}
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", strconv.Itoa(100<<20))
		}
		for range (100 << 20) / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	h1 := serve(t, h)
	h2 := httptest.NewUnstartedServer(http.HandlerFunc(h))
	h2.EnableHTTP2 = true
	h2.StartTLS()
	t.Cleanup(h2.Close)
	pool := x509.NewCertPool()
	pool.AddCert(h2.Certificate())
	x := newExecutor(t, Options{RootCAs: pool})
	for _, s := range []*httptest.Server{h1, h2} {
		p := Policy{Grants: []Grant{grantTo(t, s.URL)}}
		for _, path := range []string{"/bomb", "/length", "/chunked"} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, terr := x.Do(t.Context(), post(s.URL+path), p)
			runtime.ReadMemStats(&after)
			if terr != nil || !resp.Truncated || len(resp.Body) != defaultMaxResponse {
				t.Errorf("%s%s: got %+v", s.URL, path, terr)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				t.Errorf("%s%s: %d bytes were allocated for an answer of 100 MB", s.URL, path, n)
			}
		}
	}
}

// TestRedirectDropsSignatures keeps what proves who sent a request from another origin, and the body with it.
func TestRedirectDropsSignatures(t *testing.T) {
	var got http.Header
	var body string
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Header, string(b)
	})
	first := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Webhook-Signature") == "" || r.Header.Get("Authorization") == "" || r.Header.Get("X-Key") != canary {
			t.Errorf("the first request lacks its credentials: %v", r.Header)
		}
		http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
	})
	sec := NewSecrets()
	r := post(first.URL)
	r.HTTP.Sign = &pdk.Sign{Scheme: standardWebhooks, ID: "id", Keys: []string{sec.Add("key", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=")}}
	r.HTTP.Basic = &pdk.Basic{User: "u", Password: sec.Add("password", "passw0rd")}
	r.HTTP.Headers = append(r.HTTP.Headers, pdk.Header{Name: "X-Key", Value: sec.Add("token", canary)}, pdk.Header{Name: "Cookie", Value: "a=b"}, pdk.Header{Name: "X-Plain", Value: "kept"})
	p := Policy{Grants: []Grant{grantTo(t, first.URL), grantTo(t, other.URL)}, Secrets: sec}
	if _, terr := newExecutor(t, Options{}).Do(t.Context(), r, p); terr != nil {
		t.Fatal(terr)
	}
	for _, name := range []string{"Webhook-Signature", "Authorization", "X-Key", "Cookie", "Referer"} {
		if v := got.Get(name); v != "" {
			t.Errorf("%s went along: %s", name, v)
		}
	}
	if got.Get("X-Plain") != "kept" || body != `{"a":1}` {
		t.Errorf("got %v, %s", got, body)
	}
}

func TestTraceOfHTTP(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	x := newExecutor(t, Options{
		RootCAs: pool, AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolver: fakeDNS(t, map[string]string{"example.com.": "127.0.0.1", "inside.example.": "10.0.0.1"}),
	})
	g := grantTo(t, s.URL)
	g.Host = "example.com" // the name in httptest's certificate
	port := ":" + strconv.Itoa(g.Port)
	trace := func(u string, g Grant) string {
		p := Policy{Grants: []Grant{g}, Trace: new(Trace)}
		_, _ = x.Do(t.Context(), get(u), p)
		var b strings.Builder
		for _, s := range p.Trace.Steps() {
			b.WriteString(s.Name + "(" + s.Detail)
			if s.Err != "" {
				b.WriteString(" failed: " + s.Err)
			}
			b.WriteString(") ")
			if s.Took < 0 || s.Name == StepAnswer && s.Took == 0 {
				t.Errorf("%s took %s", s.Name, s.Took)
			}
		}
		return b.String()
	}
	u := "https://example.com" + port + "/s3cret-path"
	if got := trace(u, g); !strings.HasPrefix(got, "dns(127.0.0.1) connect(127.0.0.1"+port+") tls(TLS 1.3, ") || !strings.HasSuffix(got, "send() answer(status 200) ") {
		t.Errorf("got %s", got)
	}
	if got := trace(u, g); got != "connect(a kept connection to 127.0.0.1"+port+") send() answer(status 200) " {
		t.Errorf("kept: got %s", got)
	}
	inside := Grant{Scheme: "https", Host: "inside.example", Port: g.Port, Typed: true}
	if got := trace("https://inside.example"+port, inside); !strings.HasPrefix(got, "dns(10.0.0.1) connect(10.0.0.1"+port+" failed: 10.0.0.1 is a private address") {
		t.Errorf("inside: got %s", got)
	}
	none := Grant{Scheme: "https", Host: "none.example", Port: g.Port, Typed: true}
	if got := trace("https://none.example"+port, none); !strings.HasPrefix(got, "dns( failed: ") || !strings.Contains(got, "no such host") {
		t.Errorf("none: got %s", got)
	}
	s.Close()
	x.Close()
	if got := trace(u, g); !strings.Contains(got, "connect(127.0.0.1"+port+" failed: ") || !strings.Contains(got, "refused") {
		t.Errorf("closed: got %s", got)
	}
}
