package dissect

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// httpProbes recognise HTTP/1.x (RFC 9112) and the preface of HTTP/2 in clear (RFC 9113).
var httpProbes = []probe{
	{proto: ProtoHTTP, l4: l4TCP, first: "GPHDOCTLMSUBARVNK", hint: []uint16{80, 8080, 8000, 3128, 8888}, partial: true, match: matchHTTP, read: readHTTP},
	{proto: ProtoHTTP2, l4: l4TCP, first: "P", match: matchHTTP2},
}

// httpMethods are the registered methods in use, with the space that follows.
var httpMethods = []string{
	"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PATCH ", "TRACE ", "PROPFIND ", "PROPPATCH ",
	"MKCOL ", "COPY ", "MOVE ", "LOCK ", "UNLOCK ", "REPORT ", "SEARCH ", "SUBSCRIBE ", "UNSUBSCRIBE ", "NOTIFY ", "BPROPFIND ",
	"MKCALENDAR ", "CHECKOUT ", "MERGE ", "RPC_IN_DATA ", "RPC_OUT_DATA ", "VERSION-CONTROL ", "M-SEARCH ", "KILL ",
}

// httpMethod returns the method b begins with, or "".
func httpMethod(b []byte) string {
	for _, m := range httpMethods {
		if prefix(b, m) {
			return m[:len(m)-1]
		}
	}
	return ""
}

const maxHTTPHead = 12 << 10 // bytes of a message's head that are waited for

func matchHTTP(c *ctx) verdict {
	b := c.b
	if prefix(b, "HTTP/1.") {
		if len(b) >= 12 && b[8] == ' ' && b[9] >= '1' && b[9] <= '5' {
			return yes
		}
		if len(b) < 12 {
			return more
		}
		return no
	}
	m := httpMethod(b)
	if m == "" {
		if len(b) < 8 && c.dir == 0 {
			for _, m := range httpMethods {
				if strings.HasPrefix(m, string(b)) {
					return more
				}
			}
		}
		return no
	}
	l, _, ok := line(b)
	if i := bytes.LastIndex(l, []byte(" HTTP/1.")); i >= len(m) && len(l)-i == 9 {
		return yes
	}
	if ok || len(b) > maxHTTPHead || !printable(b[:min(len(b), 64)]) {
		return no
	}
	if len(l) > len(m)+1 && (l[len(m)+1] == '/' || l[len(m)+1] == '*' || prefix(l[len(m)+1:], "http") || m == "CONNECT") {
		return more
	}
	return no
}

func matchHTTP2(c *ctx) verdict {
	if prefix(c.b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
		return yes
	}
	return no
}

// httpState is what the reader of HTTP remembers of a flow.
type httpState struct {
	request, response bool
	encoded           bool // the response's body is compressed or in chunks
	bodyWanted        bool
	connect           bool // a CONNECT was sent
	upgrade           bool // to a WebSocket was asked for
}

func (c *ctx) httpMeta() *HTTP {
	m := c.meta()
	if m.HTTP == nil {
		m.HTTP = &HTTP{}
	}
	return m.HTTP
}

// readHTTP reads the heads of the first request and of its response, and looks at the first bytes of their bodies.
func readHTTP(c *ctx) int {
	x := &c.scratch().http
	b := c.b
	if x.bodyWanted && !prefix(b, "HTTP/1.") && httpMethod(b) == "" {
		if x.response {
			x.bodyWanted = false
			c.httpBody(b, x)
			c.done()
		}
		return len(b)
	}
	isResponse := prefix(b, "HTTP/1.")
	if !isResponse && httpMethod(b) == "" {
		if c.p.Dir == 0 && x.request || x.request && x.response {
			return len(b) // the body
		}
		return len(b)
	}
	head, rest, ok := cutHead(b)
	if !ok && len(b) < maxHTTPHead && !c.last {
		return 0
	}
	if isResponse {
		if x.response {
			return len(b)
		}
		code := c.httpResponse(head, x)
		if code/100 == 1 && code != 101 {
			return len(b) - len(rest)
		}
		x.response = true
		if x.upgrade && code == 101 && c.s.App == Unknown {
			c.app(ProtoWebSocket)
		}
		switch {
		case x.connect && code == 200:
			c.s.wait = [2]uint16{}
			c.done()
		case len(rest) > 0:
			c.httpBody(rest, x)
			c.done()
		case code == 204 || code == 304 || code == 101:
			c.done()
		default:
			x.bodyWanted = true
		}
		return len(b)
	}
	if x.request {
		return len(b)
	}
	x.request = true
	c.httpRequest(head, x)
	if len(rest) > 0 {
		c.requestBody(rest)
	}
	return len(b)
}

// cutHead splits a message at the empty line.
func cutHead(b []byte) (head, rest []byte, ok bool) {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return b[:i+2], b[i+4:], true
	}
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		return b[:i+1], b[i+2:], true
	}
	return b, nil, false
}

// field splits a header line; name is as sent.
func field(l []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(l, ':')
	if i <= 0 {
		return nil, nil, false
	}
	return l[:i], bytes.TrimSpace(l[i+1:]), true
}

// is compares a header's name with one in lower case.
func is(name []byte, want string) bool { return len(name) == len(want) && prefixFold(name, want) }

// httpRequest reads a request's head.
func (c *ctx) httpRequest(head []byte, x *httpState) {
	h := c.httpMeta()
	l, n, _ := line(head)
	head = head[n:]
	method, rest, _ := bytes.Cut(l, []byte(" "))
	h.Method = c.text(method)
	target := rest
	if i := bytes.LastIndex(rest, []byte(" HTTP/")); i >= 0 {
		target = rest[:i]
		h.Version = c.text(rest[i+6:])
	}
	h.URL = c.text(target)
	x.connect = h.Method == "CONNECT"

	var agent, host []byte
	hasAgent, sees := false, 0
	for len(head) > 0 {
		l, n, _ = line(head)
		head = head[n:]
		name, value, ok := field(l)
		if !ok {
			continue
		}
		sees++
		switch name[0] | 0x20 {
		case 'h':
			if is(name, "host") && host == nil {
				host = value
			}
		case 'u':
			switch {
			case is(name, "user-agent"):
				agent, hasAgent = value, true
				h.UserAgent = c.text(value)
			case is(name, "upgrade") && prefixFold(value, "websocket"):
				x.upgrade = true
			}
		case 'r':
			if is(name, "referer") {
				h.Referer = c.text(value)
			}
		case 'a', 'p':
			if is(name, "authorization") || is(name, "proxy-authorization") {
				c.httpAuth(h, value)
			}
		case 'c':
			if is(name, "content-type") {
				c.contentApp(value)
			}
		case 's':
			if is(name, "soapaction") {
				c.app(ProtoSOAP)
			}
		}
		c.headerRisk(name, value)
	}
	h.Host = c.hostText(host)
	switch {
	case x.connect:
		c.protocol(ProtoHTTPConnect)
		if h.Host == "" {
			h.Host = c.hostText(target)
		}
	case prefixFold(target, "http://") && (c.p.ServerPort == 8080 || c.p.ServerPort == 3128):
		c.protocol(ProtoHTTPProxy)
	}
	name := trimPort(h.Host)
	c.requestApp(h)
	c.hostname(name)
	c.requestRisks(h, name, agent, hasAgent, sees)
}

// trimPort takes the port off a host.
func trimPort(h string) string {
	if i := strings.LastIndexByte(h, ':'); i > 0 && (strings.IndexByte(h, ':') == i || strings.HasPrefix(h, "[")) && !strings.HasSuffix(h, "]") {
		h = h[:i]
	}
	return strings.Trim(h, "[]")
}

// httpAuth notes the user of Basic authentication (RFC 7617).
func (c *ctx) httpAuth(h *HTTP, v []byte) {
	if !prefixFold(v, "basic ") {
		return
	}
	raw := bytes.TrimSpace(v[6:])
	if len(raw) > maxString {
		raw = raw[:maxString&^3]
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Decode(out, raw)
	if err != nil && n == 0 {
		return
	}
	user, _, ok := bytes.Cut(out[:n], []byte(":"))
	if !ok {
		return
	}
	h.BasicUser = c.text(user)
	clear(out)
	c.credentials(ProtoHTTP, h.BasicUser, true)
}

// credentials notes that a user name or password went by in clear.
func (c *ctx) credentials(p Protocol, user string, password bool) {
	m := c.meta()
	if m.Credentials == nil {
		m.Credentials = &Credentials{Protocol: p}
	}
	if m.Credentials.User == "" {
		m.Credentials.User = user
	}
	m.Credentials.Password = m.Credentials.Password || password
	why := "password in clear"
	if u := m.Credentials.User; u != "" {
		why = "user " + u
	}
	c.risk(RiskClearTextCredentials, why)
}

// httpResponse reads a response's head and returns its status.
func (c *ctx) httpResponse(head []byte, x *httpState) int {
	h := c.httpMeta()
	l, n, _ := line(head)
	head = head[n:]
	code := 0
	if len(l) >= 12 {
		code, _ = digits(l[9:12])
	}
	if code/100 == 1 && code != 101 {
		return code
	}
	h.Status = uint16(code)
	if h.Version == "" && len(l) >= 8 {
		h.Version = c.text(l[5:8])
	}
	var disposition []byte
	for len(head) > 0 {
		l, n, _ = line(head)
		head = head[n:]
		name, value, ok := field(l)
		if !ok {
			continue
		}
		switch {
		case is(name, "server"):
			h.Server = c.text(value)
			c.serverRisk(h.Server)
		case is(name, "content-type"):
			h.ContentType = c.text(value)
			if i := strings.IndexByte(h.ContentType, ';'); i >= 0 {
				h.ContentType = strings.TrimSpace(h.ContentType[:i])
			}
			c.contentApp(value)
		case is(name, "content-encoding"):
			x.encoded = true
		case is(name, "transfer-encoding"):
			x.encoded = x.encoded || prefixFold(value, "chunked")
		case is(name, "content-disposition"):
			disposition = value
		case is(name, "icy-name"), is(name, "icy-metaint"):
			c.app(ProtoIceCast)
		}
	}
	if code >= 400 {
		c.risk(RiskErrorCode, "HTTP status "+numberText(h.Status))
	}
	c.responseRisks(h, disposition)
	return code
}

// requestApp names the application by the request where the host does not.
func (c *ctx) requestApp(h *HTTP) {
	ua, url := h.UserAgent, h.URL
	switch {
	case strings.Contains(url, "?info_hash=") || strings.Contains(url, "&info_hash=") || strings.HasPrefix(ua, "uTorrent") ||
		strings.HasPrefix(ua, "Transmission/") || strings.HasPrefix(ua, "qBittorrent"):
		c.app(ProtoBitTorrent)
	case strings.HasPrefix(url, "/uri-res/N2R?") || strings.HasPrefix(ua, "gtk-gnutella") || strings.HasPrefix(ua, "LimeWire") || strings.HasPrefix(ua, "Shareaza"):
		c.app(ProtoGnutella)
	case strings.HasPrefix(ua, "Valve/Steam"):
		c.app(ProtoSteam)
	case strings.HasPrefix(ua, "Windows-Update-Agent") || strings.HasPrefix(ua, "Microsoft-Delivery-Optimization") || strings.HasPrefix(ua, "Microsoft BITS"):
		c.app(ProtoWindowsUpdate)
	case strings.HasPrefix(ua, "Zabbix"):
		c.app(ProtoZabbix)
	}
}

// contentApp names the application by a media type.
func (c *ctx) contentApp(v []byte) {
	switch {
	case prefixFold(v, "application/ocsp-"):
		c.app(ProtoOCSP)
	case prefixFold(v, "application/soap+xml"):
		c.app(ProtoSOAP)
	case prefixFold(v, "application/dash+xml"):
		c.app(ProtoMpegDash)
	case prefixFold(v, "application/ipp"):
		c.app(ProtoIPP)
	case prefixFold(v, "application/json-rpc"):
		c.app(ProtoJSONRPC)
	case prefixFold(v, "application/vnd.ms-sync"), prefixFold(v, "application/mapi-http"):
		c.app(ProtoOutlook)
	}
}
