package egress

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tocsin-net/tocsin/host/plugin"
)

func TestAddressRules(t *testing.T) {
	office := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, c := range []struct {
		addr  string
		open  bool
		allow []netip.Prefix
		kind  string // empty: allowed
	}{
		{"93.184.215.14", false, nil, ""},
		{"2606:2800:21f::1", false, nil, ""},
		{"127.0.0.1", false, nil, "loopback"},
		{"127.255.0.9", false, nil, "loopback"},
		{"::1", false, nil, "loopback"},
		{"10.1.2.3", false, nil, "private"},
		{"172.16.0.1", false, nil, "private"},
		{"192.168.1.1", false, nil, "private"},
		{"fd00::1", false, nil, "private"},
		{"169.254.1.1", false, nil, "link-local"},
		{"fe80::1", false, nil, "link-local"},
		{"fe80::1%eth0", false, nil, "link-local"},
		{"169.254.169.254", false, nil, "metadata"},
		{"fd00:ec2::254", false, nil, "metadata"},
		{"100.100.100.200", false, nil, "metadata"},
		{"168.63.129.16", false, nil, "metadata"},
		{"100.64.0.1", false, nil, "reserved"},
		{"198.18.0.1", false, nil, "reserved"},
		{"240.0.0.1", false, nil, "reserved"},
		{"255.255.255.255", false, nil, "reserved"},
		{"0.0.0.0", false, nil, "unspecified"},
		{"::", false, nil, "unspecified"},
		{"224.0.0.1", false, nil, "multicast"},
		{"ff02::1", false, nil, "multicast"},
		// Notations of an IPv4 address within IPv6.
		{"::ffff:127.0.0.1", false, nil, "loopback"},
		{"::ffff:169.254.169.254", false, nil, "metadata"},
		{"::127.0.0.1", false, nil, "loopback"},
		{"::5db8:d70e", false, nil, "reserved"}, // IPv4-compatible, although of a public address
		{"64:ff9b::7f00:1", false, nil, "loopback"},
		{"64:ff9b::a9fe:a9fe", false, nil, "metadata"},
		{"64:ff9b::5db8:d70e", false, nil, ""}, // NAT64 to a public address
		{"64:ff9b:1::1", false, nil, "reserved"},
		{"2002:7f00:1::1", false, nil, "loopback"},
		{"2002:a9fe:a9fe::1", false, nil, "metadata"},
		{"2001:0:1::1", false, nil, "reserved"}, // Teredo, of a multicast client
		{"2001:0:1::a247:28f1", false, nil, "reserved"},
		{"2001:0:1::80ff:fffe", false, nil, "loopback"},
		{"2001:0:1::5601:5601", false, nil, "metadata"},
		{"::ffff:0:127.0.0.1", false, nil, "loopback"}, // SIIT
		{"::ffff:0:93.184.215.14", false, nil, "reserved"},
		{"2606:2800:21f::5efe:7f00:1", false, nil, "loopback"}, // ISATAP
		{"2606:2800:21f::200:5efe:a9fe:a9fe", false, nil, "metadata"},
		{"2002:5db8:d70e::1", false, nil, ""}, // 6to4 of a public address
		{"fec0::1", false, nil, "reserved"},
		{"4000::1", false, nil, "reserved"}, // not given out
		{"0.1.2.3", false, nil, "reserved"},
		// What an administrator wrote out, or allowed.
		{"127.0.0.1", true, nil, ""},
		{"192.168.1.1", true, nil, ""},
		{"::ffff:10.1.1.1", true, nil, ""},
		{"169.254.169.254", true, nil, "metadata"},
		{"64:ff9b::a9fe:a9fe", true, nil, "metadata"},
		{"2001:0:1::5601:5601", true, nil, "metadata"},
		{"0.0.0.0", true, nil, "unspecified"},
		{"10.1.2.3", false, office, ""},
		{"::ffff:10.1.2.3", false, office, ""},
		{"64:ff9b::a01:203", false, office, ""},
		{"fd12::7", false, office, ""},
		{"10.2.2.3", false, office, "private"},
		{"169.254.169.254", false, everything, ""},
		{"224.0.0.1", false, everything, "multicast"},
		{"::", false, everything, "unspecified"},
	} {
		err := guard{c.allow}.check(netip.MustParseAddr(c.addr), c.open)
		if (c.kind == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.kind) {
			t.Errorf("%s open=%v allow=%v: got %v, want %q", c.addr, c.open, c.allow, err, c.kind)
		}
	}
}

// TestServerSideRequestForgery sends requests for names and notations of this machine; a request that arrives fails it.
func TestServerSideRequestForgery(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("a request for %s arrived", r.Host) })
	_, portText, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	// A DNS server that says what an attacker's would.
	names := map[string]string{
		"loop.example.": "127.0.0.1", "meta.example.": "169.254.169.254", "lan.example.": "192.168.0.1",
		"localhost.": "127.0.0.1", "zero.example.": "0.0.0.0",
	}
	x := newExecutor(t, Options{Resolver: fakeDNS(t, names)})
	for _, c := range []struct {
		host  string
		typed bool
	}{
		{"127.0.0.1", false},
		{"localhost", false},
		{"[::1]", false},
		{"[::ffff:127.0.0.1]", false},
		{"2130706433", true},
		{"0x7f000001", true},
		{"0x7f.0.0.1", true},
		{"0177.0.0.1", true},
		{"127.1", true},
		{"127.0.0.1.", false},
		{"LOCALHOST.", false},
		{"0.0.0.0", true},
		{"0", true},
		{"[::]", true},
		{"loop.example", true},
		{"meta.example", true},
		{"lan.example", true},
		{"zero.example", true},
		{"169.254.169.254", true},
		{"loop.example.", false},
		{"127。0。0。1", true},
		{"①②⑦.0.0.1", true},
	} {
		u := "http://" + c.host + ":" + portText + "/"
		host := strings.Trim(c.host, "[]")
		p := Policy{Grants: []Grant{{Scheme: "http", Host: host, Port: port, Typed: c.typed}}, Timeout: time.Minute}
		_, terr := x.Do(t.Context(), get(u), p)
		if terr == nil || terr.Stage != StageDenied || terr.Ambiguous {
			t.Errorf("%s: got %+v", c.host, terr)
		}
	}
}

// TestPrivateHostsThatAreMeant are reached when an administrator wrote them out or allowed their network.
func TestPrivateHostsThatAreMeant(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	g := grantTo(t, s.URL)
	resolver := fakeDNS(t, map[string]string{"nas.example.": "127.0.0.1"})
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	port := strconv.Itoa(g.Port)
	for _, c := range []struct {
		host  string
		typed bool
		allow []netip.Prefix
		ok    bool
	}{
		{"127.0.0.1", true, nil, true},
		{"127.0.0.1", false, loopback, true},
		{"nas.example", true, loopback, true},
		{"nas.example", true, nil, false},
	} {
		x := newExecutor(t, Options{Resolver: resolver, AllowPrivate: c.allow})
		_, terr := x.Do(t.Context(), get("http://"+c.host+":"+port), Policy{Grants: []Grant{{"http", c.host, g.Port, c.typed}}})
		if (terr == nil) != c.ok {
			t.Errorf("%+v: got %+v", c, terr)
		}
		if terr != nil && !strings.Contains(terr.Message, "allow_private") {
			t.Errorf("%+v: the message does not say what to do: %s", c, terr.Message)
		}
	}
	// A connection kept for the typed host must not serve one that may not go there.
	x := newExecutor(t, Options{})
	typed, named := g, g
	named.Typed = false
	if _, terr := x.Do(t.Context(), get(s.URL), Policy{Grants: []Grant{typed}}); terr != nil {
		t.Fatal(terr)
	}
	if _, terr := x.Do(t.Context(), get(s.URL), Policy{Grants: []Grant{named}}); terr == nil || terr.Stage != StageDenied {
		t.Errorf("a kept connection led around the rule: %+v", terr)
	}
}

func TestUnknownName(t *testing.T) {
	x := newExecutor(t, Options{Resolver: fakeDNS(t, nil)})
	_, terr := x.Do(t.Context(), get("https://nowhere.example/secret-path"), Policy{Grants: []Grant{{Scheme: "https", Host: "nowhere.example", Port: 443}}})
	if terr == nil || terr.Stage != StageDNS || terr.Ambiguous || !strings.Contains(terr.Message, "nowhere.example:443: no such host") {
		t.Errorf("got %+v", terr)
	}
}

// fakeDNS is a resolver that asks a DNS server on loopback, which knows the given names and their IPv4 addresses.
func fakeDNS(t testing.TB, names map[string]string) *net.Resolver {
	t.Helper()
	return dnsServer(t, func(name string) ([]string, bool) {
		addr, ok := names[name]
		return []string{addr}, ok
	})
}

// dnsServer is a resolver that asks a DNS server on loopback. answer gives the addresses of a name, which is in lower case and
// ends in a dot; "=name." stands for an alias of that name. It is asked once for every query.
func dnsServer(t testing.TB, answer func(name string) ([]string, bool)) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buf[:n]) != nil || len(q.Questions) != 1 {
				continue
			}
			a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
			name := q.Questions[0].Name
			list, known := answer(strings.ToLower(name.String()))
			if !known {
				a.RCode = dnsmessage.RCodeNameError
			}
			for _, text := range list {
				h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}
				var body dnsmessage.ResourceBody
				addr, err := netip.ParseAddr(text)
				switch {
				case strings.HasPrefix(text, "="):
					name = dnsmessage.MustNewName(text[1:])
					body = &dnsmessage.CNAMEResource{CNAME: name}
				case err != nil:
					continue
				case addr.Is4() && q.Questions[0].Type == dnsmessage.TypeA:
					body = &dnsmessage.AResource{A: addr.As4()}
				case addr.Is6() && q.Questions[0].Type == dnsmessage.TypeAAAA:
					body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
				default:
					continue
				}
				a.Answers = append(a.Answers, dnsmessage.Resource{Header: h, Body: body})
			}
			if b, err := a.Pack(); err == nil {
				_, _ = pc.WriteTo(b, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestGrantsFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		wish   plugin.NetWish
		params map[string]any
		want   string // grants, or part of the error
		bad    bool
	}{
		{"fixed", plugin.NetWish{Host: "API.telegram.org"}, nil, "[https://api.telegram.org:443]", false},
		{"fixed http port", plugin.NetWish{Scheme: "http", Host: "a.example", Port: 8080}, nil, "[http://a.example:8080]", false},
		{"parameter", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": " http://Nas.lan:8080/x?y "}, "[http://nas.lan:8080]", false},
		{"IPv6", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": "https://[fd00::1]/"}, "[https://[fd00::1]:443]", false},
		{"optional and empty", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": ""}, "[]", false},
		{"optional and missing", plugin.NetWish{Host: "{endpoint.url}"}, nil, "[]", false},
		{"bare host", plugin.NetWish{Scheme: "https", Host: "{endpoint.server}"}, map[string]any{"server": "a.example:9200"}, "[https://a.example:9200]", false},
		{"no URL", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": "s3cret-thing"}, "endpoint.url is not a URL", true},
		{"other scheme", plugin.NetWish{Scheme: "https", Host: "{endpoint.url}"}, map[string]any{"url": "http://s3cret.example"}, "must begin with https://", true},
		{"ftp", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": "ftp://s3cret.example"}, "must begin with", true},
		{"number", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": 7}, "must be a text", true},
		{"other port", plugin.NetWish{Port: 443, Host: "{endpoint.url}"}, map[string]any{"url": "https://s3cret.example:1"}, "must have the port 443", true},
		{"decimal address", plugin.NetWish{Host: "{endpoint.url}"}, map[string]any{"url": "http://2130706433/s3cret"}, "has a host that cannot be one", true},
		{"mail server", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}"}, map[string]any{"server": " Mail.example.org. "}, "[smtp://mail.example.org]", false},
		{"mail server, port", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}", Port: 465}, map[string]any{"server": "192.0.2.7"}, "[smtp://192.0.2.7:465]", false},
		{"syslog IPv6", plugin.NetWish{Scheme: "syslog", Host: "{endpoint.server}"}, map[string]any{"server": "[fd00::1]"}, "[syslog://[fd00::1]]", false},
		{"fixed mail server", plugin.NetWish{Scheme: "smtp", Host: "smtp.example.org"}, nil, "[smtp://smtp.example.org]", false},
		{"mail server empty", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}"}, map[string]any{"server": ""}, "[]", false},
		{"mail server as URL", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}"}, map[string]any{"server": "smtp://s3cret.example"}, "endpoint.server is not a host: write a name", true},
		{"mail server with port", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}"}, map[string]any{"server": "s3cret.example:25"}, "without scheme or port", true},
		{"mail server decimal", plugin.NetWish{Scheme: "smtp", Host: "{endpoint.server}"}, map[string]any{"server": "2130706433"}, "is not a host", true},
		{"broken wish", plugin.NetWish{Host: "{endpoint.url"}, nil, "write {endpoint.PARAMETER}", true},
	} {
		gs, err := GrantsFor(&plugin.Manifest{Name: "x", Net: []plugin.NetWish{c.wish}}, c.params)
		got := "["
		for _, g := range gs {
			got += g.String()
			if g.Typed != strings.HasPrefix(c.wish.Host, "{") {
				t.Errorf("%s: typed is %v", c.name, g.Typed)
			}
		}
		got += "]"
		switch {
		case c.bad && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret")):
			t.Errorf("%s: got %v", c.name, err)
		case !c.bad && (err != nil || got != c.want):
			t.Errorf("%s: got %s, %v", c.name, got, err)
		}
	}
}
