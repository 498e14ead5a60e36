package egress

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// never is what must not be banned.
type never struct {
	own, gateways []netip.Addr
	broadcast     []netip.Addr
	configured    []netip.Prefix // of tocsin.toml
	asked         []netip.Prefix // of the request
}

// neverBan gathers the list anew for each request: addresses and routes change.
func (x *Executor) neverBan(r *pdk.BanRequest) (*never, error) {
	n := &never{configured: x.opt.NeverBan}
	for i, text := range r.NeverBan {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil || p.Addr().Zone() != "" {
			return nil, fmt.Errorf("never_ban[%d]: %q is neither an address nor a network such as 192.0.2.0/24; nothing was banned", i, pdk.TruncateBytes(text, 80))
		}
		n.asked = append(n.asked, p)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("the addresses of this machine cannot be read, so nothing is banned: %w", err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue // an address that is no IP address
		}
		n.own = append(n.own, p.Addr().Unmap())
		if p.Addr().Is4() && p.Bits() < 31 {
			b := p.Addr().As4()
			v := binary.BigEndian.Uint32(b[:]) | ^uint32(0)>>p.Bits()
			binary.BigEndian.PutUint32(b[:], v)
			n.broadcast = append(n.broadcast, netip.AddrFrom4(b))
		}
	}
	for path, parse := range map[string]func([]byte) []netip.Addr{"/proc/net/route": gateways4, "/proc/net/ipv6_route": gateways6} {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // IPv6 is switched off, or this is not Linux: gateways must then be configured
		}
		if err != nil {
			return nil, fmt.Errorf("the gateways of this machine cannot be read, so nothing is banned: %w", err)
		}
		n.gateways = append(n.gateways, parse(b)...)
	}
	return n, nil
}

// banAddress reads one address strictly. An IPv4 address that is written as an IPv6 one becomes what it is.
func banAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return a, fmt.Errorf("%q is no IP address", pdk.TruncateBytes(text, 60))
	case a.Zone() != "":
		return a, fmt.Errorf("%q has a zone, so it is an address of this link and not of a host", pdk.TruncateBytes(text, 60))
	}
	return a.Unmap(), nil
}

// check says why an address must not be banned. What an IPv6 address stands for is looked at, too.
func (n *never) check(a netip.Addr) error {
	list := []netip.Addr{a}
	if inner, hidden := embedded(a); hidden {
		list = append(list, inner)
	}
	for _, a := range list {
		if why := n.why(a); why != "" {
			return errors.New(a.String() + " is " + why + ", which is never banned")
		}
	}
	return nil
}

func (n *never) why(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "a loopback address"
	case a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return "an unspecified address"
	case a.IsMulticast():
		return "a multicast address"
	case a.IsLinkLocalUnicast():
		return "a link-local address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "the broadcast address"
	}
	switch {
	case slices.Contains(n.own, a):
		return "an address of this machine"
	case slices.Contains(n.gateways, a):
		return "a gateway of this machine"
	case slices.Contains(n.broadcast, a):
		return "the broadcast address of a network of this machine"
	}
	for _, p := range n.configured {
		if covers(p, a) {
			return "in " + p.String() + " (never_ban of tocsin.toml)"
		}
	}
	for _, p := range n.asked {
		if covers(p, a) {
			return "in " + p.String() + " (never_ban of the recipient)"
		}
	}
	return ""
}

// covers is Contains for networks that may be written as IPv4-mapped ones.
func covers(p netip.Prefix, a netip.Addr) bool {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Contains(a)
}

// rtfGateway marks a route that goes through a gateway (linux/route.h).
const rtfGateway = 2

// gateways4 reads /proc/net/route: a heading, then name, destination, gateway, flags and more, the addresses as the machine
// keeps them in memory.
func gateways4(b []byte) (out []netip.Addr) {
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 4 {
			continue
		}
		v, err := strconv.ParseUint(f[2], 16, 32)
		flags, ferr := strconv.ParseUint(f[3], 16, 32)
		if err != nil || ferr != nil || flags&rtfGateway == 0 || v == 0 {
			continue
		}
		var a [4]byte
		binary.NativeEndian.PutUint32(a[:], uint32(v))
		out = append(out, netip.AddrFrom4(a))
	}
	return out
}

// gateways6 reads /proc/net/ipv6_route: destination, its length, source, its length, next hop, metric, two counters, flags,
// name.
func gateways6(b []byte) (out []netip.Addr) {
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 9 {
			continue
		}
		hop, err := hex.DecodeString(f[4])
		flags, ferr := strconv.ParseUint(f[8], 16, 32)
		if err != nil || ferr != nil || len(hop) != 16 || flags&rtfGateway == 0 {
			continue
		}
		if a := netip.AddrFrom16([16]byte(hop)).Unmap(); !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}
