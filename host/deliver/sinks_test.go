package deliver

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
)

// certificate is signed by parent, or by itself without one.
func certificate(t *testing.T, parent *tls.Certificate, until time.Time, ip string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.ParseIP(ip)},
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	signer, signed := any(key), c
	if parent != nil {
		signer, signed = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, c, signed, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestHostileSinks sends one alert to each of many bad services: the real webhook plug-in, the real pipeline and the real
// executor on loopback, and what must come of the first attempt.
func TestHostileSinks(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	ca := certificate(t, nil, tomorrow, "127.0.0.9")
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	release := make(chan struct{})
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 20 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	z.Close()

	answer := func(status int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "said the service")
		}
	}
	raw := func(text string, reset bool) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
	}
	drip := func(begin string) http.HandlerFunc { // a byte now and then, without an end
		return func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, begin)
			for {
				select {
				case <-release:
					return
				case <-time.After(20 * time.Millisecond):
				}
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
			}
		}
	}
	hang := func(http.ResponseWriter, *http.Request) { <-release }
	flood := func(w http.ResponseWriter, _ *http.Request) {
		for chunk := make([]byte, 1<<16); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	later := func(wait, skew time.Duration) http.HandlerFunc { // by a clock that is wrong by skew
		return func(w http.ResponseWriter, _ *http.Request) {
			now := time.Now().Add(skew).UTC()
			w.Header().Set("Date", now.Format(http.TimeFormat))
			w.Header().Set("Retry-After", now.Add(wait).Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}
	loop := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusPermanentRedirect)
	}
	secure := func(c *tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{*c}} }
	old := secure(certificate(t, ca, tomorrow, "127.0.0.1"))
	old.MaxVersion = tls.VersionTLS11

	type sink struct {
		h       http.HandlerFunc
		tls     *tls.Config
		outcome pdk.Outcome
		status  int
		doubt   bool          // it may have been taken
		wait    time.Duration // at least, by Retry-After
		says    string
	}
	const delivered, retry, broken, bad = pdk.Delivered, pdk.Retry, pdk.EndpointBroken, pdk.BadPayload
	sinks := map[string]sink{
		"ok":         {h: answer(200), outcome: delivered, status: 200},
		"no-content": {h: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, outcome: delivered, status: 204},
		"https":      {h: answer(200), tls: secure(certificate(t, ca, tomorrow, "127.0.0.1")), outcome: delivered, status: 200},
		"flood":      {h: flood, outcome: delivered, status: 200}, // it took the alert, whatever it says after that
		"bomb": {h: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, outcome: delivered, status: 200},
		"429-seconds":     {h: answer(429, "Retry-After", "7"), outcome: retry, status: 429, wait: 7 * time.Second},
		"429-date":        {h: later(90*time.Second, 0), outcome: retry, status: 429, wait: 80 * time.Second},
		"429-fast-clock":  {h: later(30*time.Second, time.Hour), outcome: retry, status: 429, wait: 30 * time.Second},
		"429-slow-clock":  {h: later(30*time.Second, -time.Hour), outcome: retry, status: 429, wait: 30 * time.Second},
		"500":             {h: answer(500), outcome: retry, status: 500, says: "said the service"},
		"503-seconds":     {h: answer(503, "Retry-After", "9"), outcome: retry, status: 503, wait: 9 * time.Second},
		"400":             {h: answer(400), outcome: bad, status: 400},
		"401":             {h: answer(401), outcome: broken, status: 401},
		"410":             {h: answer(410), outcome: broken, status: 410},
		"302":             {h: answer(302, "Location", "/other"), outcome: broken, status: 302},
		"redirect-loop":   {h: loop, outcome: broken, says: "still redirecting"},
		"redirect-inside": {h: answer(307, "Location", "http://169.254.169.254/"), outcome: broken, says: "not among the hosts"},
		"hangs":           {h: hang, outcome: retry, doubt: true, says: "did not answer within"},
		"slow-header":     {h: drip("HTTP/1.1 200 OK\r\nX: "), outcome: retry, doubt: true, says: "did not answer within"},
		"slow-body":       {h: drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), outcome: retry, doubt: true, says: "did not finish"},
		"reset":           {h: raw("", true), outcome: retry, doubt: true, says: "may have taken"},
		"closes":          {h: raw("", false), outcome: retry, doubt: true, says: "may have taken"},
		"half-header":     {h: raw("HTTP/1.1 200 OK\r\nContent-Le", false), outcome: retry, doubt: true},
		"half-body":       {h: raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false), outcome: retry, doubt: true, says: "broke off after 4 bytes"},
		"half-gzip":       {h: raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff", false), outcome: retry, doubt: true},
		"no-gzip":         {h: raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip\r\n\r\n0123456789", false), outcome: retry, doubt: true},
		"garbage":         {h: raw("220 mail.example ESMTP\r\n", false), outcome: retry, doubt: true},
		"endless-header":  {h: raw("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20), false), outcome: retry, doubt: true},
		"chunk-lies":      {h: raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", false), outcome: retry, doubt: true},
		"expired":         {h: answer(200), tls: secure(certificate(t, ca, time.Now().Add(-time.Hour), "127.0.0.1")), outcome: retry, says: "expired on"},
		"self-signed":     {h: answer(200), tls: secure(certificate(t, nil, tomorrow, "127.0.0.1")), outcome: retry, says: "self-signed"},
		"wrong-host":      {h: answer(200), tls: secure(certificate(t, ca, tomorrow, "127.0.0.7")), outcome: retry, says: "another name"},
		"old-tls":         {h: answer(200), tls: old, outcome: retry, says: "TLS"},
		"tls-on-plain":    {h: answer(200), outcome: retry, says: "does not speak TLS"},
		"nothing-listens": {h: answer(200), outcome: retry, says: "refused the connection"},
	}
	cache, err := os.UserCacheDir() // compiled once for all tests
	if err != nil {
		t.Fatal(err)
	}
	rt, err := sandbox.New(sandbox.Options{CacheDir: filepath.Join(cache, "tocsin", "test-compiled")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.WithoutCancel(t.Context())) })
	ty, err := endpoint.Load(t.Context(), rt, build.ForTest(t, "webhook"))
	if err != nil {
		t.Fatal(err)
	}
	x, err := egress.New(egress.Options{RootCAs: pool, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	out := newMemory(t)
	rows := map[string]*row{}
	var es []Endpoint
	for name, s := range sinks {
		srv := httptest.NewUnstartedServer(s.h)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		if s.tls == nil {
			srv.Start()
		} else {
			srv.TLS, srv.EnableHTTP2 = s.tls, true
			srv.StartTLS()
		}
		t.Cleanup(srv.Close)
		to := srv.URL
		switch name {
		case "nothing-listens":
			srv.Close()
			to = "http://127.0.0.1:9" // a port that no other test gets from the system meanwhile
		case "tls-on-plain":
			to = strings.Replace(to, "http:", "https:", 1)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		port, _ := strconv.Atoi(u.Port())
		e := endpointNamed(name, ty, *ty.Manifest())
		e.Params = pdk.Params{"webhook_url": to + "/hook"}
		e.Policy = egress.Policy{Timeout: 30 * time.Second, Grants: []egress.Grant{{Scheme: u.Scheme, Host: u.Hostname(), Port: port, Typed: true}}}
		if strings.Contains(s.says, "did not") {
			e.Policy.Timeout = time.Second
			if strings.Contains(s.says, "finish") {
				e.Policy.Timeout = 5 * time.Second // in which the header has to come, among thirty other requests
			}
		}
		es = append(es, e)
		rows[name] = out.add(name+"/ops", "alert")
	}
	t.Cleanup(func() { close(release) }) // before the servers are closed
	type arrived struct {
		Result
		at time.Time
	}
	results := make(chan arrived, 10*len(sinks))
	p, err := New(Deps{Outbox: out, Executor: x, Endpoints: es, Log: slog.New(slog.DiscardHandler), OnResult: func(r Result) { results <- arrived{r, time.Now()} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	first := map[string]arrived{}
	for len(first) < len(sinks) {
		select {
		case r := <-results:
			if _, ok := first[r.Endpoint]; !ok && r.Recipient != "" {
				first[r.Endpoint] = r
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d of %d sinks were tried", len(first), len(sinks))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for name, s := range sinks {
		r := first[name]
		if r.Outcome != s.outcome || r.Status != s.status || !strings.Contains(r.Reason, s.says) {
			t.Errorf("%s: got %s, status %d, %q", name, r.Outcome, r.Status, r.Reason)
		}
		if got := out.get(rows[name]); len(got.history) > 0 && got.history[0].Ambiguous != s.doubt {
			t.Errorf("%s: ambiguous is %v", name, got.history[0].Ambiguous)
		}
		if wait := r.NotBefore.Sub(r.at); s.wait > 0 && (wait < s.wait-5*time.Second || wait > s.wait+11*time.Second) {
			t.Errorf("%s: tried again in %s, want about %s", name, wait, s.wait)
		}
	}
}
