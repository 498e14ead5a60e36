package egress

import (
	"context"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"syscall"
	"time"
)

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
)

// deniedError is a target that the host does not let a plug-in reach.
type deniedError struct{ msg string }

func (e *deniedError) Error() string { return e.msg }

// reserved lists address blocks that no service on the Internet lives in, beyond those that package netip names
// (IANA IPv4 and IPv6 Special-Purpose Address Registries).
var reserved = prefixes(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4",
	"2001::/32", "2001:2::/48", "2001:10::/28", "2001:db8::/32", "3fff::/20",
)

// metadata lists addresses where clouds give credentials to whoever asks. They stay closed to a host that was typed, too.
var metadata = prefixes(
	"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::254/128", "fd00:ec2::23/128", // AWS, Azure, Google, ...
	"100.100.100.200/32", // Alibaba
	"168.63.129.16/32",   // Azure's wire server, a public address
	"192.0.0.192/32",     // Oracle
)

var (
	global  = netip.MustParsePrefix("2000::/3")        // all that IANA gives out as global unicast, RFC 3587
	nat64   = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	sixto4  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo  = netip.MustParsePrefix("2001::/32")       // RFC 4380
	v4compt = netip.MustParsePrefix("::/96")           // RFC 4291 2.5.5.1
	siit    = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// embedded gives the IPv4 address that an IPv6 address stands for, so that no notation leads around the rules.
func embedded(a netip.Addr) (netip.Addr, bool) {
	b := a.As16()
	switch {
	case a.Is4():
		return a, false
	case nat64.Contains(a), siit.Contains(a), v4compt.Contains(a) && a != netip.IPv6Unspecified() && a != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixto4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a): // the client's address, with all bits turned
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case b[8]&^3 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return a, false
}

// guard decides which addresses may be dialled.
type guard struct{ allow []netip.Prefix }

// check refuses an address that is not public. open says that an administrator wrote this very address out.
func (g guard) check(a netip.Addr, open bool) error {
	a = a.Unmap().WithZone("")
	inner, hidden := embedded(a)
	kind := kindOf(inner)
	if hidden && kind == "" {
		kind = kindOf(a)
		inner = a
	}
	switch {
	case kind == "":
		return nil
	case kind == "a multicast" || kind == "an unspecified":
	case within(inner, g.allow) || within(a, g.allow):
		return nil
	case open && kind != "a cloud metadata":
		return nil
	}
	shown := a.String()
	if hidden {
		shown += " (that is " + inner.String() + ")"
	}
	hint := ""
	if kind != "a multicast" && kind != "an unspecified" {
		hint = "; if it is meant, add " + netip.PrefixFrom(inner, inner.BitLen()).String() + " or its network to allow_private in the section egress of tocsin.toml"
	}
	return &deniedError{fmt.Sprintf("%s is %s address, which plug-ins may not reach%s", shown, kind, hint)}
}

// kindOf names what makes an address not public, with its article; empty if it is public.
func kindOf(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "an unspecified"
	case within(a, metadata):
		return "a cloud metadata"
	case a.IsLoopback():
		return "a loopback"
	case a.IsPrivate():
		return "a private"
	case a.IsLinkLocalUnicast():
		return "a link-local"
	case a.IsMulticast():
		return "a multicast"
	case within(a, reserved), a.Is6() && !global.Contains(a) && !nat64.Contains(a):
		return "a reserved"
	}
	return ""
}

// control is a net.Dialer's ControlContext: it sees the address that the name was resolved to, just before the
// connection is made, so that no second resolution can bring another.
func (g guard) control(open bool) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &deniedError{fmt.Sprintf("%q is no address", address)}
		}
		return g.check(ap.Addr(), open)
	}
}

func (x *Executor) dialer() *net.Dialer {
	return &net.Dialer{
		Timeout: dialTimeout, Resolver: x.opt.Resolver,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 3},
	}
}

// dial connects to host:port under the same rules as HTTP requests, never through the proxy. open says that an
// administrator wrote this very address out.
func (x *Executor) dial(ctx context.Context, network, address string, open bool, tr *tracer) (net.Conn, error) {
	d := x.dialer()
	d.ControlContext = guard{x.opt.AllowPrivate}.control(open)
	tr.set(func() { tr.stage = StageConnect })
	return d.DialContext(httptrace.WithClientTrace(ctx, tr.trace()), network, address)
}
