package egress

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

const canary = `c4n4ry/"s3cret" +value`

// grantTo grants the place of a server as an administrator's typed address.
func grantTo(t testing.TB, addr string) Grant {
	t.Helper()
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return Grant{Scheme: u.Scheme, Host: u.Hostname(), Port: port, Typed: true}
}

func newExecutor(t testing.TB, o Options) *Executor {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	x, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func post(u string) *pdk.Request {
	return &pdk.Request{HTTP: &pdk.HTTPRequest{
		Method: "POST", URL: u, Body: `{"a":1}`,
		Headers: []pdk.Header{{Name: "Content-Type", Value: "application/json"}},
	}}
}

func get(u string) *pdk.Request {
	return &pdk.Request{HTTP: &pdk.HTTPRequest{Method: "GET", URL: u}}
}

func TestAnswers(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/429":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		case "/500":
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "oops")
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, "packed")
			_ = z.Close()
		case "/bad-utf8":
			_, _ = w.Write([]byte{'o', 'k', 0xff})
		case "/302":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		default:
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Set-Cookie", "a=b")
			fmt.Fprintf(w, "%s %s %s", r.Method, r.UserAgent(), b)
		}
	})
	x := newExecutor(t, Options{UserAgent: "tocsin/1"})
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}}
	for _, c := range []struct {
		path, body string
		status     int
		header     string
	}{
		{"/ok", `POST tocsin/1 {"a":1}`, 200, ""},
		{"/429", "", 429, "7"},
		{"/500", "oops", 500, ""},
		{"/gzip", "packed", 200, ""},
		{"/bad-utf8", "ok\uFFFD", 200, ""},
		{"/302", "", 302, ""}, // a POST does not follow it
	} {
		resp, terr := x.Do(t.Context(), post(s.URL+c.path), p)
		if terr != nil {
			t.Fatalf("%s: %+v", c.path, terr)
		}
		if resp.Status != c.status || resp.Body != c.body || resp.Headers["retry-after"] != c.header || resp.Truncated {
			t.Errorf("%s: got %+v", c.path, resp)
		}
		if resp.Headers["set-cookie"] != "" {
			t.Errorf("%s: a cookie reached the plug-in", c.path)
		}
	}
}

// TestHostileAnswers has servers that hang, break off, flood and lie.
func TestHostileAnswers(t *testing.T) {
	bomb := gzipped(t, 8<<20)
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hijack := func(answer string, reset bool) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, answer)
			if reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
		}
		switch r.URL.Path {
		case "/hang":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/drip":
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/reset":
			hijack("", true)
		case "/close":
			hijack("", false)
		case "/half-header":
			hijack("HTTP/1.1 200 OK\r\nContent-Le", false)
		case "/half-body":
			hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false)
		case "/garbage":
			hijack("220 mail.example ESMTP\r\n", false)
		case "/101":
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
			<-release
			_ = c.Close()
		case "/big-header":
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		case "/huge":
			chunk := bytes.Repeat([]byte("x"), 1<<16)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}
	})
	t.Cleanup(func() { close(release) })
	x := newExecutor(t, Options{})
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}, Timeout: time.Minute, MaxResponse: 1000}
	for _, c := range []struct {
		path, stage, says string
		timeout           time.Duration
	}{
		{"/hang", StageTimeout, "did not answer within", 200 * time.Millisecond},
		{"/drip", StageTimeout, "did not finish", 5 * time.Second},
		{"/reset", StageRead, "may have taken", 0},
		{"/close", StageRead, "may have taken", 0},
		{"/half-header", StageRead, "may have taken", 0},
		{"/half-body", StageRead, "broke off after 4 bytes", 0},
		{"/garbage", StageRead, "may have taken", 0},
		{"/101", StageRead, "another protocol", 0},
		{"/big-header", StageRead, "", 0},
	} {
		p := p
		if c.timeout > 0 {
			p.Timeout = c.timeout
		}
		resp, terr := x.Do(t.Context(), post(s.URL+c.path), p)
		if terr == nil {
			t.Errorf("%s: got %+v", c.path, resp)
			continue
		}
		if terr.Stage != c.stage || !terr.Ambiguous || !strings.Contains(terr.Message, c.says) {
			t.Errorf("%s: got %+v", c.path, terr)
		}
		if strings.Contains(terr.Message, c.path) {
			t.Errorf("%s: the message shows the path: %s", c.path, terr.Message)
		}
	}
	for _, path := range []string{"/huge", "/bomb"} {
		resp, terr := x.Do(t.Context(), post(s.URL+path), p)
		if terr != nil || !resp.Truncated || len(resp.Body) != 1000 {
			t.Errorf("%s: got %+v, %+v", path, resp, terr)
		}
	}
}

func gzipped(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	chunk := make([]byte, 1<<20)
	for range n >> 20 {
		if _, err := z.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGrantsAreEnforced(t *testing.T) {
	asked := 0
	s := serve(t, func(http.ResponseWriter, *http.Request) { asked++ })
	g := grantTo(t, s.URL)
	other := g
	other.Port++
	x := newExecutor(t, Options{})
	sec := NewSecrets()
	holder := sec.Add("token", canary)
	for _, c := range []struct {
		name, url string
		grants    []Grant
		stage     string
	}{
		{"no grant", s.URL, nil, StageDenied},
		{"other port", s.URL, []Grant{other}, StageDenied},
		{"other scheme", strings.Replace(s.URL, "http:", "https:", 1), []Grant{g}, StageDenied},
		{"other name for the same address", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), []Grant{g}, StageDenied},
		{"no scheme", "127.0.0.1/x", []Grant{g}, StageInvalid},
		{"file", "file:///etc/passwd", []Grant{g}, StageInvalid},
		{"gopher", "gopher://" + strings.TrimPrefix(s.URL, "http://"), []Grant{g}, StageDenied},
		{"secret as host name", "http://" + holder + ".example/", []Grant{g}, StageInvalid},
		{"user trick", strings.Replace(s.URL, "http://", "http://127.0.0.1@example.org:", 1), []Grant{g}, StageInvalid},
	} {
		_, terr := x.Do(t.Context(), post(c.url), Policy{Grants: c.grants, Secrets: sec})
		if terr == nil || terr.Stage != c.stage || terr.Ambiguous {
			t.Errorf("%s: got %+v", c.name, terr)
		} else if strings.Contains(terr.Message, "c4n4ry") {
			t.Errorf("%s: the message shows a secret: %s", c.name, terr.Message)
		}
	}
	if asked != 0 {
		t.Errorf("%d refused requests arrived", asked)
	}
}

func TestBadRequests(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	x := newExecutor(t, Options{MaxBody: 100})
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}}
	with := func(f func(*pdk.HTTPRequest)) *pdk.Request { r := post(s.URL); f(r.HTTP); return r }
	header := func(n, v string) *pdk.Request {
		return with(func(r *pdk.HTTPRequest) { r.Headers = []pdk.Header{{Name: n, Value: v}} })
	}
	for name, r := range map[string]*pdk.Request{
		"nothing":         {},
		"both kinds":      {HTTP: post(s.URL).HTTP, Exec: &pdk.ExecRequest{}},
		"method":          with(func(r *pdk.HTTPRequest) { r.Method = "CONNECT" }),
		"method with CR":  with(func(r *pdk.HTTPRequest) { r.Method = "GET / HTTP/1.1\r\nX: y" }),
		"header CR LF":    header("X-A", "a\r\nX-B: b"),
		"header name":     header("X-A: b\r\nX-C", "d"),
		"host":            header("Host", "example.org"),
		"hop by hop":      header("transfer-encoding", "chunked"),
		"content length":  header("content-length", "1"),
		"accept encoding": header("Accept-Encoding", "br"),
		"large body":      with(func(r *pdk.HTTPRequest) { r.Body = strings.Repeat("x", 101) }),
		"basic colon":     with(func(r *pdk.HTTPRequest) { r.Basic = &pdk.Basic{User: "a:b"} }),
		"line break":      with(func(r *pdk.HTTPRequest) { r.URL += "/\r\nHost: x" }),
	} {
		if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Stage != StageInvalid || terr.Ambiguous {
			t.Errorf("%s: got %+v", name, terr)
		}
	}
}

func TestSecretsReachGrantedHostsOnly(t *testing.T) {
	var got *http.Request
	var body string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		// A service that repeats what it was sent, in all the ways a body or header may.
		w.Header().Set("X-Echo", url.QueryEscape(canary))
		_ = json.NewEncoder(w).Encode(map[string]string{"uri": r.RequestURI, "auth": r.Header.Get("Authorization"), "body": body, "raw": canary})
	})
	var log bytes.Buffer
	x := newExecutor(t, Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	sec := NewSecrets()
	h := sec.Add("token", canary)
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}, Secrets: sec}
	r := &pdk.Request{HTTP: &pdk.HTTPRequest{
		Method: "POST", URL: s.URL + "/bot" + h + "/send?key=" + h,
		Headers: []pdk.Header{{Name: "X-Key", Value: h}, {Name: "Content-Type", Value: "application/json"}},
		Body:    `{"secret":"` + h + `"}`, Basic: &pdk.Basic{User: "me", Password: h},
	}}
	resp, terr := x.Do(t.Context(), r, p)
	if terr != nil {
		t.Fatal(terr)
	}
	if got.URL.Path != "/bot"+canary+"/send" || got.URL.Query().Get("key") != canary || got.Header.Get("X-Key") != canary {
		t.Errorf("URL or header: %q %q", got.URL, got.Header)
	}
	if u, pw, ok := got.BasicAuth(); !ok || u != "me" || pw != canary {
		t.Errorf("basic: %q %q %v", u, pw, ok)
	}
	var doc struct{ Secret string }
	if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Secret != canary {
		t.Errorf("body %q: %v", body, err)
	}
	all := fmt.Sprintf("%+v %+v %s", resp, p, log.String())
	for _, leak := range forms(canary) {
		if strings.Contains(all, leak) {
			t.Errorf("%q got out: %s", leak, all)
		}
	}
	if !strings.Contains(resp.Body, "‹secret:token›") {
		t.Errorf("body: %s", resp.Body)
	}
	// The same request to a host that is not granted does not even resolve the name.
	r.HTTP.URL = "http://evil.example/" + h
	if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Stage != StageDenied || strings.Contains(terr.Message, "c4n4ry") {
		t.Errorf("got %+v", terr)
	}
	// A form gets form escaping, and a foreign placeholder stays as it is.
	foreign := NewSecrets().Add("other", "foreign-value")
	r = post(s.URL)
	r.HTTP.Headers[0].Value = "application/x-www-form-urlencoded"
	r.HTTP.Body = "a=" + h + "&b=" + foreign
	if _, terr := x.Do(t.Context(), r, p); terr != nil {
		t.Fatal(terr)
	}
	if q, err := url.ParseQuery(body); err != nil || q.Get("a") != canary || q.Get("b") != foreign {
		t.Errorf("form %q: %v", body, err)
	}
}

func TestWholeURLAsSecret(t *testing.T) {
	var uri string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { uri = r.RequestURI })
	sec := NewSecrets()
	h := sec.Add("discord_url", s.URL+"/api/webhooks/1/t0ken-t0ken")
	x := newExecutor(t, Options{})
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}, Secrets: sec}
	if _, terr := x.Do(t.Context(), post(h+"?wait=true"), p); terr != nil || uri != "/api/webhooks/1/t0ken-t0ken?wait=true" {
		t.Errorf("got %q, %+v", uri, terr)
	}
	s.Close()
	x = newExecutor(t, Options{}) // without the connection that was kept
	_, terr := x.Do(t.Context(), post(h), p)
	if terr == nil || terr.Stage != StageConnect || terr.Ambiguous || strings.Contains(terr.Message, "t0ken") || !strings.Contains(terr.Message, "refused the connection") {
		t.Errorf("got %+v", terr)
	}
}

func TestRedirects(t *testing.T) {
	type seen struct{ path, auth, key, body string }
	var log []seen
	record := func(r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		log = append(log, seen{r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Key"), string(b)})
	}
	second := serve(t, func(_ http.ResponseWriter, r *http.Request) { record(r) })
	var first *httptest.Server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(r)
		if to := r.URL.Query().Get("to"); to != "" {
			code := 307
			if c := r.URL.Query().Get("code"); c != "" {
				code, _ = strconv.Atoi(c)
			}
			w.Header().Set("Location", to)
			w.WriteHeader(code)
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/count/")); err == nil && n > 0 {
			http.Redirect(w, r, "/count/"+strconv.Itoa(n-1), http.StatusPermanentRedirect)
		}
		if r.URL.Path == "/loop" {
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		}
	})
	x := newExecutor(t, Options{})
	sec := NewSecrets()
	h := sec.Add("token", canary)
	g1, g2 := grantTo(t, first.URL), grantTo(t, second.URL)
	both := Policy{Grants: []Grant{g1, g2}, Secrets: sec}
	to := func(target string, code int) string {
		return first.URL + "/?to=" + url.QueryEscape(target) + "&code=" + strconv.Itoa(code)
	}
	request := func(method, u string) *pdk.Request {
		return &pdk.Request{HTTP: &pdk.HTTPRequest{
			Method: method, URL: u, Body: "b",
			Headers: []pdk.Header{{Name: "X-Key", Value: h}, {Name: "Authorization", Value: "Bearer x"}},
		}}
	}
	t.Run("same origin keeps method, body and credentials", func(t *testing.T) {
		log = nil
		if resp, terr := x.Do(t.Context(), request("POST", first.URL+"/count/3"), both); terr != nil || resp.Status != 200 || len(log) != 4 {
			t.Fatalf("%+v %+v %+v", resp, terr, log)
		}
		if last := log[3]; last != (seen{"/count/0", "Bearer x", canary, "b"}) {
			t.Errorf("got %+v", last)
		}
	})
	t.Run("another origin gets no credentials", func(t *testing.T) {
		log = nil
		if _, terr := x.Do(t.Context(), request("POST", to(second.URL+"/x", 308)), both); terr != nil || len(log) != 2 {
			t.Fatalf("%+v %+v", terr, log)
		}
		if log[1] != (seen{"/x", "", "", "b"}) {
			t.Errorf("got %+v", log[1])
		}
	})
	for _, c := range []struct {
		name  string
		r     *pdk.Request
		p     Policy
		says  string
		after int
	}{
		{"not granted", request("GET", to(second.URL, 302)), Policy{Grants: []Grant{g1}, Secrets: sec}, "not among the hosts", 1},
		{"to metadata", request("GET", to("http://169.254.169.254/latest/", 302)), both, "not among the hosts", 1},
		{
			"to granted metadata", request("GET", to("http://169.254.169.254/latest/", 302)),
			Policy{Grants: []Grant{g1, {Scheme: "http", Host: "169.254.169.254", Port: 80, Typed: true}}},
			"cloud metadata", 1,
		},
		{"to a file", request("GET", to("file://127.0.0.1/etc/passwd", 302)), both, "", 1},
		{"loop", request("POST", first.URL+"/loop"), both, "still redirecting", 4},
		{"too many", request("POST", first.URL+"/count/4"), both, "still redirecting", 4},
		{"secret in the body", &pdk.Request{HTTP: &pdk.HTTPRequest{Method: "POST", URL: to(second.URL, 307), Body: h}}, both, "carries a secret", 1},
	} {
		log = nil
		_, terr := x.Do(t.Context(), c.r, c.p)
		if terr == nil || terr.Ambiguous || !strings.Contains(terr.Message, c.says) || len(log) != c.after {
			t.Errorf("%s: got %+v after %d requests", c.name, terr, len(log))
		} else if strings.Contains(terr.Message, "c4n4ry") {
			t.Errorf("%s: the message shows a secret", c.name)
		}
	}
}

func TestProxy(t *testing.T) {
	var through []string
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		through = append(through, r.URL.String())
		_, _ = io.WriteString(w, "proxied")
	})
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	x := newExecutor(t, Options{Proxy: u})
	resp, terr := x.Do(t.Context(), post("http://hooks.example/x"), Policy{Grants: []Grant{{Scheme: "http", Host: "hooks.example", Port: 80}}})
	if terr != nil || resp.Body != "proxied" || len(through) != 1 || through[0] != "http://hooks.example/x" {
		t.Errorf("got %+v %+v %v", resp, terr, through)
	}
	_, terr = x.Do(t.Context(), post("http://10.0.0.1/x"), Policy{Grants: []Grant{{Scheme: "http", Host: "10.0.0.1", Port: 80}}})
	if terr == nil || terr.Stage != StageDenied {
		t.Errorf("got %+v", terr)
	}
	if _, err := New(Options{Proxy: &url.URL{Scheme: "ftp", Host: "x"}}); err == nil {
		t.Error("an ftp proxy was taken")
	}
}

// TestNoProxyFromEnvironment would fail if the environment led requests elsewhere.
func TestNoProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("ALL_PROXY", "http://127.0.0.1:1")
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	x := newExecutor(t, Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if _, terr := x.Do(t.Context(), post(s.URL), Policy{Grants: []Grant{grantTo(t, s.URL)}}); terr != nil {
		t.Error(terr)
	}
	if x.guarded.Proxy != nil || x.open.Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
}

func BenchmarkDo(b *testing.B) {
	s := serve(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	})
	sec := NewSecrets()
	h := sec.Add("token", canary)
	x := newExecutor(b, Options{})
	p := Policy{Grants: []Grant{grantTo(b, s.URL)}, Secrets: sec}
	r := post(s.URL + "/bot" + h)
	b.ReportAllocs()
	for b.Loop() {
		if _, terr := x.Do(b.Context(), r, p); terr != nil {
			b.Fatal(terr)
		}
	}
}

// TestParallelUse shares one executor, as all endpoints do.
func TestParallelUse(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	x := newExecutor(t, Options{})
	sec := NewSecrets()
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}, Secrets: sec}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			h := sec.Add("n", "value-"+strconv.Itoa(i))
			for range 20 {
				r := post(s.URL)
				r.HTTP.Body = "x" + h
				if resp, terr := x.Do(t.Context(), r, p); terr != nil || resp.Body != "x‹secret:n›" {
					t.Errorf("got %+v %+v", resp, terr)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzAdmit wants that whatever a plug-in calls a URL, what is admitted goes to the granted place and no other.
func FuzzAdmit(f *testing.F) {
	for _, s := range []string{
		"https://hooks.example/x", "https://hooks.example:443/x?y#z", "HTTPS://HOOKS.example./", "https://hooks.example@evil.example/",
		"https://evil.example#@hooks.example/", "https://hooks.example\\@evil.example/", "https://hooks.example:443@127.0.0.1/",
		"https://hooks.example%00.evil.example/", "https://[::1]/", "//hooks.example/", "https:hooks.example", "https://hooks.example:0443/",
		"http://hooks.example:443/", "https://hooks。example/", "https://a:b@hooks.example/\r\nHost: evil",
	} {
		f.Add(s)
	}
	x := newExecutor(f, Options{})
	p := &Policy{Grants: []Grant{{Scheme: "https", Host: "hooks.example", Port: 443}}}
	f.Fuzz(func(t *testing.T, raw string) {
		u, terr := targetURL(raw, nil)
		if terr != nil {
			return
		}
		if _, terr := x.admit(u, p); terr != nil {
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
		if err != nil {
			return
		}
		port, err := portOf(req.URL)
		if err != nil || req.URL.Scheme != "https" || !strings.EqualFold(req.URL.Hostname(), "hooks.example") || port != 443 || !strings.HasPrefix(strings.ToLower(req.Host), "hooks.example") {
			t.Errorf("%q leads to %q (%q)", raw, req.URL, req.Host)
		}
	})
}
