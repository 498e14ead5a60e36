package egress

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// Policy is what the requests of one endpoint may do. The zero value allows nothing.
type Policy struct {
	// Grants lists the hosts that may be reached.
	Grants []Grant
	// Secrets replaces placeholders in requests to granted hosts; nil if the endpoint has none.
	Secrets *Secrets
	// Timeout bounds a request from its first byte to the answer's last, redirects included; default 15 s.
	Timeout time.Duration
	// MaxResponse bounds what is read of an answer's body after decompression, and of each of a script's outputs, in
	// bytes; default 64 KiB.
	MaxResponse int64
	// Exec allows scripts of the scripts folder.
	Exec bool
	// Ban allows to ban and unban addresses with fail2ban.
	Ban bool
	// LocalSyslog allows to write to the machine's own syslog socket.
	LocalSyslog bool
	// Trace records the steps of the requests; nil: nothing.
	Trace *Trace
}

// Grant is one place that an endpoint may reach.
type Grant struct {
	Scheme string // http, https, smtp or syslog
	Host   string // lower case, no final dot; an IPv6 address without brackets
	Port   int    // 0, for smtp and syslog only: any
	// Typed is true when an administrator typed this host in a parameter, rather than a plug-in naming it. A typed
	// "localhost" or literal address may be private.
	Typed bool
}

// String writes the grant as a URL without a path.
func (g Grant) String() string {
	if g.Port == 0 {
		return g.Scheme + "://" + bracketed(g.Host)
	}
	return g.Scheme + "://" + net.JoinHostPort(g.Host, strconv.Itoa(g.Port))
}

// bracketed writes a host as it stands before a port or alone in a URL.
func bracketed(host string) string { return strings.TrimSuffix(net.JoinHostPort(host, ""), ":") }

// GrantsFor lists the grants that a manifest's wishes amount to with an endpoint's parameters, which hold the secrets
// themselves. A wish for {endpoint.PARAMETER} whose parameter is missing or empty grants nothing. Errors name the
// parameter and never its value.
func GrantsFor(m *plugin.Manifest, params map[string]any) ([]Grant, error) {
	var out []Grant
	for i, w := range m.Net {
		g, ok, err := grantFor(w, params)
		if err != nil {
			return nil, fmt.Errorf("plug-in %s, net wish %d: %w", m.Name, i+1, err)
		}
		if ok {
			out = append(out, g)
		}
	}
	return out, nil
}

func grantFor(w plugin.NetWish, params map[string]any) (Grant, bool, error) {
	inner, isParam := strings.CutPrefix(w.Host, "{endpoint.")
	if !isParam {
		scheme := w.Scheme
		if scheme == "" {
			scheme = "https"
		}
		g, err := newGrant(scheme, w.Host, w.Port)
		return g, true, err
	}
	param, ok := strings.CutSuffix(inner, "}")
	if !ok || param == "" {
		return Grant{}, false, fmt.Errorf("host %q: write {endpoint.PARAMETER}", w.Host)
	}
	value, isText := params[param].(string)
	switch {
	case params[param] == nil || isText && strings.TrimSpace(value) == "":
		return Grant{}, false, nil
	case !isText:
		return Grant{}, false, fmt.Errorf("parameter endpoint.%s must be a text, not a %T", param, params[param])
	}
	read := grantOf
	if bareHost(w.Scheme) {
		read = grantOfHost
	}
	g, err := read(strings.TrimSpace(value), w)
	if err != nil {
		return Grant{}, false, fmt.Errorf("parameter endpoint.%s %w", param, err)
	}
	g.Typed = true
	return g, true, nil
}

// grantOf reads the host of a parameter's URL. Its errors continue "parameter endpoint.x" and hold nothing of the value.
func grantOf(value string, w plugin.NetWish) (Grant, error) {
	if !strings.Contains(value, "://") && w.Scheme != "" {
		value = w.Scheme + "://" + value // a bare "host" or "host:port"
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return Grant{}, fmt.Errorf("is not a URL: write it whole, such as https://host.example/path")
	}
	scheme := strings.ToLower(u.Scheme)
	if w.Scheme != "" && scheme != w.Scheme {
		return Grant{}, fmt.Errorf("must begin with %s://", w.Scheme)
	}
	if scheme != "http" && scheme != "https" {
		return Grant{}, fmt.Errorf("must begin with https:// or http://")
	}
	port := w.Port
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return Grant{}, fmt.Errorf("has a port that is no number from 1 to 65535")
		}
		if port != 0 && port != n {
			return Grant{}, fmt.Errorf("must have the port %d, the only one the plug-in asks for", port)
		}
		port = n
	}
	g, err := newGrant(scheme, u.Hostname(), port)
	if err != nil {
		return Grant{}, fmt.Errorf("has a host that cannot be one: a name such as hooks.example.org or an address such as 192.0.2.7 is wanted")
	}
	return g, nil
}

// bareHost tells the schemes whose parameter is a host alone, not a URL.
func bareHost(scheme string) bool { return scheme == "smtp" || scheme == "syslog" }

// grantOfHost reads a parameter that is a host alone. Its errors continue "parameter endpoint.x" and hold nothing of the value.
func grantOfHost(value string, w plugin.NetWish) (Grant, error) {
	if inner, ok := strings.CutPrefix(value, "["); ok {
		value = strings.TrimSuffix(inner, "]")
	}
	g, err := newGrant(w.Scheme, value, w.Port)
	if err != nil {
		return Grant{}, fmt.Errorf("is not a host: write a name such as mail.example.org or an address such as 192.0.2.7 alone, without scheme or port")
	}
	return g, nil
}

func newGrant(scheme, host string, port int) (Grant, error) {
	scheme = strings.ToLower(scheme)
	switch {
	case scheme != "http" && scheme != "https" && !bareHost(scheme):
		return Grant{}, fmt.Errorf("unknown scheme %q: it is http, https, smtp or syslog", scheme)
	case port < 0 || port > 65535:
		return Grant{}, fmt.Errorf("port %d: want 1 to 65535, or 0 for the scheme's own", port)
	case port == 0 && scheme == "http":
		port = 80
	case port == 0 && scheme == "https":
		port = 443
	}
	host = foldHost(host)
	if err := checkHost(host); err != nil {
		return Grant{}, err
	}
	return Grant{Scheme: scheme, Host: host, Port: port}, nil
}

// match finds the grant that covers a request's target.
func (p *Policy) match(scheme, host string, port int) (Grant, bool) {
	found := false
	var best Grant
	for _, g := range p.Grants {
		if (g.Port == port || g.Port == 0 && bareHost(scheme)) && g.Scheme == scheme && foldHost(g.Host) == host && (!found || g.Typed) {
			best, found = g, true
		}
	}
	return best, found
}

// openPrivate reports whether the grant itself allows a private address: the administrator wrote it out.
func (g Grant) openPrivate() bool {
	if !g.Typed {
		return false
	}
	host := foldHost(g.Host)
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func foldHost(h string) string {
	h = strings.ToLower(h)
	if len(h) > 1 {
		h = strings.TrimSuffix(h, ".")
	}
	return h
}

// checkHost refuses what is neither a host name nor an address in its usual form. Among that are numbers such as
// 2130706433, 0x7f.1 or 0177.0.0.1, which some resolvers take for 127.0.0.1 (see the WHATWG URL Standard, "ends in a
// number checker").
func checkHost(h string) error {
	if _, err := netip.ParseAddr(h); err == nil {
		return nil
	}
	if h == "" || len(h) > 253 {
		return fmt.Errorf("%q is no host name", h)
	}
	for i := range len(h) {
		c := h[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return fmt.Errorf("%q is no host name: it has the character %q (write international names in their xn-- form)", h, c)
		}
	}
	labels := strings.Split(h, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 {
			return fmt.Errorf("%q is no host name", h)
		}
	}
	last := labels[len(labels)-1]
	_, hexErr := strconv.ParseUint(strings.TrimPrefix(last, "0x"), 16, 64)
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && (hexErr == nil || last == "0x") {
		return fmt.Errorf("%q is neither a host name nor an address in the form 192.0.2.7", h)
	}
	return nil
}
