package egress

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// serveAt is a server at an address of one's choice; with port 0 at any.
func serveAt(t *testing.T, addr string, port int, h http.HandlerFunc) (*httptest.Server, int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s, l.Addr().(*net.TCPAddr).Port
}

// TestNamesThatLeadInside has a real DNS server, which an attacker runs, answer with addresses that plug-ins may not reach. A
// request that arrives at this machine fails the test.
func TestNamesThatLeadInside(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s arrived", r.Host) })
	port := s.Listener.Addr().(*net.TCPAddr).Port
	names := map[string][]string{
		"loopback":     {"127.0.0.1"},
		"loopback-far": {"127.255.255.254"},
		"loopback-6":   {"::1"},
		"mapped":       {"::ffff:127.0.0.1"},
		"compatible":   {"::127.0.0.1"},
		"siit":         {"::ffff:0:127.0.0.1"},
		"nat64":        {"64:ff9b::127.0.0.1"},
		"nat64-local":  {"64:ff9b:1::127.0.0.1"},
		"6to4":         {"2002:7f00:1::"},
		"teredo":       {"2001:0:1::80ff:fffe"},
		"isatap":       {"2606:2800:21f::5efe:7f00:1"},
		"ten":          {"10.0.0.1"},
		"docker":       {"172.17.0.1"},
		"home":         {"192.168.1.1"},
		"unique-local": {"fd12:3456::1"},
		"link-local":   {"169.254.1.1"},
		"link-local-6": {"fe80::1"},
		"metadata":     {"169.254.169.254"},
		"metadata-6":   {"fd00:ec2::254"},
		"ecs":          {"169.254.170.2"},
		"alibaba":      {"100.100.100.200"},
		"azure":        {"168.63.129.16"},
		"cgnat":        {"100.64.0.1"},
		"this-network": {"0.0.0.0"},
		"this-host":    {"0.1.2.3"},
		"unspecified":  {"::"},
		"broadcast":    {"255.255.255.255"},
		"multicast":    {"224.0.0.251"},
		"multicast-6":  {"ff02::fb"},
		"benchmark":    {"198.18.0.1"},
		"documents":    {"192.0.2.1"},
		"alias":        {"=inner.lan.", "127.0.0.1"},
		"all-inside":   {"127.0.0.1", "10.0.0.1", "::1"},
	}
	resolver := dnsServer(t, func(name string) ([]string, bool) {
		list, ok := names[strings.TrimSuffix(name, ".example.")]
		return list, ok
	})
	x := newExecutor(t, Options{Resolver: resolver})
	for name := range names {
		host := name + ".example"
		p := Policy{Grants: []Grant{
			{Scheme: "http", Host: host, Port: port, Typed: true},
			{Scheme: "https", Host: host, Port: port, Typed: true},
			{Scheme: "syslog", Host: host, Typed: true},
		}}
		at := "://" + host + ":" + strconv.Itoa(port) + "/"
		for kind, r := range map[string]*pdk.Request{
			"http": post("http" + at), "https": get("https" + at),
			"tcp": {Syslog: &pdk.SyslogRequest{Network: "tcp", Host: host, Port: port}},
			"udp": {Syslog: &pdk.SyslogRequest{Network: "udp", Host: host, Port: port}},
			"tls": {Syslog: &pdk.SyslogRequest{Network: "tls", Host: host + ".", Port: port}},
		} {
			if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Stage != StageDenied || terr.Ambiguous {
				t.Errorf("%s by %s: got %+v", name, kind, terr)
			}
		}
	}
}

// TestMixedAndChangingAnswers stands 127.0.0.2, which is allowed, for a public address, and 127.0.0.1 for a private one.
func TestMixedAndChangingAnswers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("127.0.0.2 is an address of this machine on Linux only")
	}
	public, port := serveAt(t, "127.0.0.2", 0, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "public") })
	serveAt(t, "127.0.0.1", port, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s arrived inside", r.Host) })
	var queries atomic.Int64
	var answers atomic.Pointer[[][]string] // one for each A query, the last for all further ones
	resolver := dnsServer(t, func(string) ([]string, bool) {
		n := int(queries.Add(1)+1)/2 - 1 // A and AAAA come together
		list := *answers.Load()
		return list[min(n, len(list)-1)], true
	})
	allow := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	p := Policy{Grants: []Grant{{Scheme: "http", Host: "name.example", Port: port, Typed: true}}}
	r := post("http://name.example:" + strconv.Itoa(port) + "/")
	reset := func(list ...[]string) *Executor {
		queries.Store(0)
		answers.Store(&list)
		return newExecutor(t, Options{Resolver: resolver, AllowPrivate: allow})
	}
	for _, mixed := range [][]string{{"127.0.0.1", "127.0.0.2"}, {"127.0.0.2", "127.0.0.1"}, {"::1", "127.0.0.1", "127.0.0.2", "10.0.0.1"}} {
		x := reset(mixed)
		if resp, terr := x.Do(t.Context(), r, p); terr != nil || resp.Body != "public" {
			t.Errorf("%v: got %+v, %+v", mixed, resp, terr)
		}
	}
	// The name changes after it was looked at: the address that was looked at is the one that is dialled.
	x := reset([]string{"127.0.0.2"}, []string{"127.0.0.1"})
	if resp, terr := x.Do(t.Context(), r, p); terr != nil || resp.Body != "public" || queries.Load() != 2 {
		t.Errorf("got %+v, %+v after %d queries", resp, terr, queries.Load())
	}
	x.Close() // drops the connection that was kept
	if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Stage != StageDenied || queries.Load() != 4 {
		t.Errorf("rebound: got %+v after %d queries", terr, queries.Load())
	}
	// With the public server gone the private one is still not tried.
	public.Close()
	x = reset([]string{"127.0.0.2", "127.0.0.1"})
	if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Ambiguous {
		t.Errorf("got %+v", terr)
	}
}

// TestURLsThatLieAboutTheirHost are refused, or go to the granted host.
func TestURLsThatLieAboutTheirHost(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s arrived", r.URL) })
	at := strings.TrimPrefix(s.URL, "http://")
	port := s.Listener.Addr().(*net.TCPAddr).Port
	x := newExecutor(t, Options{Resolver: fakeDNS(t, map[string]string{"granted.example.": "192.0.2.7"})})
	p := Policy{Grants: []Grant{{Scheme: "http", Host: "granted.example", Port: 80}, {Scheme: "http", Host: "granted.example", Port: port}}}
	for _, u := range []string{
		"http://granted.example@" + at + "/", "http://granted.example:80@" + at + "/", "http://granted.example%40" + at + "/",
		"http://" + at + "#@granted.example/", "http://" + at + "?@granted.example/", "http://" + at + "\\@granted.example/",
		"http://granted.example\\@" + at + "/", "http://granted.example%00@" + at + "/", "http://granted.example%2f@" + at + "/",
		"http:\\\\" + at + "/", "http:///" + at + "/", "http:/" + at + "/", "//" + at + "/", "http://[::ffff:127.0.0.1]:" + strconv.Itoa(port) + "/",
		"http://granted.example\t@" + at, "http://granted.example\r\nHost: " + at, "http://granted.example /@" + at,
		"http://[::1%25lo]:" + strconv.Itoa(port) + "/", "http://0x7f000001:" + strconv.Itoa(port), "http://017700000001:" + strconv.Itoa(port),
		"http://127.1:" + strconv.Itoa(port), "http://2130706433:" + strconv.Itoa(port), "http://localhost.:" + strconv.Itoa(port), "http://127.0.0.1.:" + strconv.Itoa(port),
		"http://granted.example:" + strconv.Itoa(port) + "/x", // its address is for documents only
	} {
		if _, terr := x.Do(t.Context(), post(u), p); terr == nil || terr.Stage != StageDenied && terr.Stage != StageInvalid {
			t.Errorf("%q: got %+v", u, terr)
		}
	}
}

// TestRedirectsThatLeadInside start at a host that is meant, an administrator typed it, and go on to ones that are not.
func TestRedirectsThatLeadInside(t *testing.T) {
	inside := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s arrived", r.Host) })
	port := strconv.Itoa(inside.Listener.Addr().(*net.TCPAddr).Port)
	var target atomic.Pointer[string]
	first := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Location"] = []string{*target.Load()}
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	x := newExecutor(t, Options{Resolver: fakeDNS(t, map[string]string{"loop.example.": "127.0.0.1", "meta.example.": "169.254.169.254", "localhost.": "127.0.0.1"})})
	for _, to := range []string{
		"http://loop.example:" + port, "http://meta.example:" + port, "http://127.0.0.1:" + port, "http://localhost:" + port, "http://localhost.:" + port,
		"http://[::1]:" + port, "http://[::ffff:7f00:1]:" + port, "//127.0.0.1:" + port + "/", "http://2130706433:" + port, "http://0x7f.1:" + port,
		"http://a:b@127.0.0.1:" + port, "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "file:///etc/passwd", "gopher://127.0.0.1:" + port + "/_x",
		"http://[fe80::1%25lo]:" + port,
	} {
		target.Store(&to)
		granted := []Grant{grantTo(t, first.URL)}
		// Once the target is not granted at all, and once it is, as a host that a plug-in names.
		for _, g := range [][]Grant{granted, append(slices.Clone(granted), namedGrant(to)...)} {
			resp, terr := x.Do(t.Context(), post(first.URL), Policy{Grants: g})
			if terr == nil && resp.Status != http.StatusTemporaryRedirect || terr != nil && terr.Stage != StageDenied && terr.Stage != StageInvalid {
				t.Errorf("%s with %v: got %+v, %+v", to, g, resp, terr)
			}
		}
	}
}

func namedGrant(raw string) []Grant {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil
	}
	port, _ := strconv.Atoi(u.Port())
	if port == 0 {
		port = 80
	}
	return []Grant{{Scheme: "http", Host: foldHost(u.Hostname()), Port: port}}
}

// TestProxiesLeadNowhereInside: hosts that are written as addresses are looked at before the proxy is asked, on every hop.
func TestProxiesLeadNowhereInside(t *testing.T) {
	var asked atomic.Int64
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Host != "hooks.example" {
			t.Errorf("the proxy was asked for %s", r.Host)
		}
		http.Redirect(w, r, "http://10.0.0.1/", http.StatusTemporaryRedirect)
	})
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	x := newExecutor(t, Options{Proxy: u})
	for _, host := range []string{"127.0.0.1", "10.0.0.1", "localhost", "a.localhost", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "2130706433", "127.1", "0"} {
		p := Policy{Grants: []Grant{{Scheme: "http", Host: strings.Trim(host, "[]"), Port: 80}}}
		if _, terr := x.Do(t.Context(), post("http://"+host+"/"), p); terr == nil || terr.Stage != StageDenied {
			t.Errorf("%s: got %+v", host, terr)
		}
	}
	p := Policy{Grants: []Grant{{Scheme: "http", Host: "hooks.example", Port: 80}, {Scheme: "http", Host: "10.0.0.1", Port: 80}}}
	_, terr := x.Do(t.Context(), post("http://hooks.example/"), p)
	if terr == nil || terr.Stage != StageDenied || !strings.Contains(terr.Message, "private") || asked.Load() != 1 {
		t.Errorf("redirect: got %+v", terr)
	}
}
