package egress

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/tocsin-net/tocsin/pdk"
)

// http2Window is how much of an answer over HTTP/2 may be on its way, in bytes.
const http2Window = 256 << 10

func (x *Executor) transport(open bool) *http.Transport {
	g := guard{allow: x.opt.AllowPrivate}
	d := x.dialer()
	if x.opt.Proxy == nil {
		d.ControlContext = g.control(open)
	}
	t := &http.Transport{
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: x.opt.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        20 * time.Second, // below what servers use, so that few requests meet a closing connection
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              new(http.Protocols),
		// A server may send this much of an answer before anybody has read it; by default it is 4 MB.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: http2Window, MaxReceiveBufferPerConnection: 4 * http2Window},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(true)
	if x.opt.Proxy != nil {
		t.Proxy = http.ProxyURL(x.opt.Proxy)
	}
	return t
}

// prepared is a request with its secrets in place.
type prepared struct {
	method, body string
	header       http.Header
	// secretHeaders are the names of fields that hold credentials: they stay behind when a redirect leaves the origin.
	secretHeaders []string
	secretBody    bool
}

func (x *Executor) doHTTP(ctx context.Context, r *pdk.HTTPRequest, p *Policy) (*pdk.Response, *pdk.TransportError) {
	u, terr := targetURL(r.URL, p.Secrets)
	if terr != nil {
		return nil, terr
	}
	grant, terr := x.admit(u, p)
	if terr != nil {
		return nil, terr
	}
	q, terr := x.prepare(r, u, p.Secrets)
	if terr != nil {
		return nil, terr
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	start := time.Now()
	for hop := 0; ; hop++ {
		resp, terr := x.roundTrip(ctx, q, u, grant, p)
		if terr != nil {
			x.opt.Log.DebugContext(ctx, "request failed", "to", origin(u), "stage", terr.Stage, "took", time.Since(start))
			return nil, terr
		}
		next, ok := redirectTarget(q.method, u, resp)
		if !ok {
			x.opt.Log.DebugContext(ctx, "request done", "to", origin(u), "status", resp.Status, "took", time.Since(start))
			return resp, nil
		}
		if hop == maxRedirects {
			return nil, denied("%s was still redirecting after %d hops, the last to %s: enter the final address", origin(u), maxRedirects, origin(next))
		}
		if grant, terr = x.admit(next, p); terr != nil {
			terr.Message = "redirect from " + origin(u) + ": " + terr.Message
			return nil, terr
		}
		if origin(next) != origin(u) {
			if q.secretBody {
				return nil, denied("%s redirects to %s, and the request's body carries a secret meant for the first: enter the final address", origin(u), origin(next))
			}
			for _, name := range q.secretHeaders {
				q.header.Del(name)
			}
		}
		u = next
	}
}

// targetURL puts secrets into a URL and parses it. A placeholder at the start stands for a whole URL; further on a secret
// is one escaped part of the path or the query.
func targetURL(raw string, s *Secrets) (*url.URL, *pdk.TransportError) {
	var head string
	if strings.HasPrefix(raw, placeholderPrefix) && len(raw) >= placeholderLen {
		head, _ = s.replace(raw[:placeholderLen], strings.TrimSpace)
		raw = raw[placeholderLen:]
	}
	path, query, hasQuery := strings.Cut(raw, "?")
	path, _ = s.replace(path, url.PathEscape)
	raw = head + path
	if hasQuery {
		query, _ = s.replace(query, url.QueryEscape)
		raw += "?" + query
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return nil, invalid("the request's URL is not one: it must look like https://host.example/path")
	}
	u.Scheme, u.Fragment = strings.ToLower(u.Scheme), ""
	cutFinalDot(u)
	return u, nil
}

// cutFinalDot makes "host." and "host" one: certificates and connections are kept for the latter.
func cutFinalDot(u *url.URL) {
	if host := u.Hostname(); strings.HasSuffix(host, ".") {
		u.Host = strings.Replace(u.Host, host, foldHost(host), 1)
	}
}

// admit checks a target against the grants.
func (x *Executor) admit(u *url.URL, p *Policy) (Grant, *pdk.TransportError) {
	host := foldHost(u.Hostname())
	port, err := portOf(u)
	if err != nil {
		return Grant{}, invalid("%s has no valid port", origin(u))
	}
	if err := checkHost(host); err != nil {
		return Grant{}, denied("%v", err)
	}
	g, ok := p.match(u.Scheme, host, port)
	if !ok {
		return Grant{}, denied("%s is not among the hosts this endpoint may reach (%s)", origin(u), grantList(p.Grants))
	}
	if x.opt.Proxy != nil { // the dialer sees the proxy's address only
		a, err := netip.ParseAddr(host)
		if host == "localhost" || strings.HasSuffix(host, ".localhost") {
			a, err = netip.IPv6Loopback(), nil
		}
		if err == nil {
			if err := (guard{x.opt.AllowPrivate}).check(a, g.openPrivate()); err != nil {
				return Grant{}, denied("%s: %v", origin(u), err)
			}
		}
	}
	return g, nil
}

// grantList names the granted places for an error.
func grantList(gs []Grant) string {
	if len(gs) == 0 {
		return "none is granted"
	}
	var names []string
	for i, g := range gs {
		if i == 3 {
			names = append(names, "...")
			break
		}
		names = append(names, g.String())
	}
	return strings.Join(names, ", ")
}

// prepare builds everything of a request but its target.
func (x *Executor) prepare(r *pdk.HTTPRequest, u *url.URL, s *Secrets) (*prepared, *pdk.TransportError) {
	q := &prepared{method: r.Method, header: http.Header{}}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return nil, invalid("method %q is not one of GET, HEAD, POST, PUT, PATCH, DELETE", r.Method)
	}
	for _, h := range r.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) {
			return nil, invalid("%q is no header name", h.Name)
		}
		if ownHeader(h.Name) {
			return nil, invalid("the header %s is the host's own and cannot be set", h.Name)
		}
		v, secret := s.replace(h.Value, func(v string) string { return v })
		if !httpguts.ValidHeaderFieldValue(v) {
			return nil, invalid("the value of the header %s has a line break or another control character", h.Name)
		}
		q.header.Add(h.Name, v)
		if secret || credentialHeader(h.Name) {
			q.secretHeaders = append(q.secretHeaders, h.Name)
		}
	}
	if q.header.Get("User-Agent") == "" {
		q.header.Set("User-Agent", x.opt.UserAgent)
	}
	q.body, q.secretBody = s.replace(r.Body, bodyEscape(q.header.Get("Content-Type"), r.Body))
	if int64(len(q.body)) > x.opt.MaxBody {
		return nil, invalid("the request's body has %d bytes; at most %d are sent", len(q.body), x.opt.MaxBody)
	}
	user, password := "", ""
	if b := r.Basic; b != nil {
		user, password = s.Replace(b.User), s.Replace(b.Password)
		if strings.Contains(user, ":") {
			return nil, invalid("the user name for Basic authentication must not have a colon")
		}
	} else if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	u.User = nil
	if (user != "" || password != "") && q.header.Get("Authorization") == "" {
		q.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
		q.secretHeaders = append(q.secretHeaders, "Authorization")
	}
	if r.Sign != nil {
		keys := make([]string, len(r.Sign.Keys))
		for i, k := range r.Sign.Keys {
			keys[i] = s.Replace(k)
		}
		if err := sign(q.header, r.Sign, keys, q.body, time.Now()); err != nil {
			// Wrong keys are the configuration's fault, not the alert's.
			return nil, denied("cannot sign: %v", err)
		}
		q.secretHeaders = append(q.secretHeaders, "Webhook-Signature")
	}
	return q, nil
}

// bodyEscape chooses how a secret is written into a body, so that one with a quote cannot break or extend it.
func bodyEscape(contentType, body string) func(string) string {
	ct := strings.ToLower(contentType)
	switch {
	case strings.Contains(ct, "json"), ct == "" && looksJSON(body):
		return func(v string) string { return jsonEscape(v, false) }
	case strings.Contains(ct, "x-www-form-urlencoded"):
		return url.QueryEscape
	}
	return func(v string) string { return v }
}

func looksJSON(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n")
	return s != "" && (s[0] == '{' || s[0] == '[')
}

// ownHeader names fields that belong to the connection or are derived from the rest of the request.
func ownHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "Content-Length", "Accept-Encoding", "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings":
		return true
	}
	return false
}

func credentialHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie", "Cookie2", "Www-Authenticate":
		return true
	}
	return false
}

func (x *Executor) roundTrip(ctx context.Context, q *prepared, u *url.URL, g Grant, p *Policy) (*pdk.Response, *pdk.TransportError) {
	tr := &tracer{steps: p.Trace}
	var body io.Reader // nil for an empty body, so that the transport sends no Content-Length with a GET
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, tr.trace()), q.method, u.String(), body)
	if err != nil {
		return nil, invalid("the request cannot be built for %s", origin(u))
	}
	req.Header = q.header.Clone() // the transport may still read it when a redirect changes ours
	t := x.guarded
	if g.openPrivate() {
		t = x.open
	}
	start := time.Now()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, explain(err, tr, place(u), p.Timeout)
	}
	defer resp.Body.Close() // drops the connection when something is left unread
	tr.answered()
	if resp.StatusCode == http.StatusSwitchingProtocols { // its body would be the bare connection, without an end
		return nil, &pdk.TransportError{Stage: StageRead, Ambiguous: true, Message: origin(u) + " switched to another protocol without being asked"}
	}
	out := &pdk.Response{Status: resp.StatusCode, Headers: map[string]string{}}
	for k, v := range resp.Header {
		if len(v) > 0 && k != "Set-Cookie" {
			out.Headers[strings.ToLower(k)] = strings.ToValidUTF8(v[0], "\uFFFD")
		}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, p.MaxResponse+1))
	if int64(len(b)) > p.MaxResponse {
		b, err, out.Truncated = b[:p.MaxResponse], nil, true
	}
	p.Trace.Step(StepAnswer, "status "+strconv.Itoa(resp.StatusCode), time.Since(start), err)
	if err != nil {
		return nil, explainRead(err, resp.StatusCode, len(b), place(u), p.Timeout)
	}
	out.Body = string(b)
	return out, nil
}

// redirectTarget gives the address a response redirects to, if it may be followed: always for GET and HEAD, and for other
// methods where the status says that method and body stay (RFC 9110 15.4). All else is an answer like any other.
func redirectTarget(method string, u *url.URL, r *pdk.Response) (*url.URL, bool) {
	switch r.Status {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther:
		if method != http.MethodGet && method != http.MethodHead {
			return nil, false
		}
	default:
		return nil, false
	}
	loc := r.Headers["location"]
	if loc == "" {
		return nil, false
	}
	next, err := u.Parse(loc)
	if err != nil || next.Host == "" {
		return nil, false
	}
	next.Fragment, next.User, next.Scheme = "", nil, strings.ToLower(next.Scheme)
	cutFinalDot(next)
	return next, true
}

func portOf(u *url.URL) (int, error) {
	switch p := u.Port(); {
	case p != "":
		n, err := strconv.Atoi(p)
		if err == nil && (n < 1 || n > 65535) {
			err = errors.New("port out of range")
		}
		return n, err
	case u.Scheme == "http":
		return 80, nil
	case u.Scheme == "https":
		return 443, nil
	}
	return 0, errors.New("no port")
}

// place is host:port.
func place(u *url.URL) string {
	_, at, _ := strings.Cut(origin(u), "://")
	return at
}

// origin is what may be said of a URL: scheme, host and port. The rest may be the secret.
func origin(u *url.URL) string {
	port, err := portOf(u)
	if err != nil {
		return u.Scheme + "://" + foldHost(u.Hostname())
	}
	return u.Scheme + "://" + net.JoinHostPort(foldHost(u.Hostname()), strconv.Itoa(port))
}
