package route

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Pool is a set of hosts: addresses, networks and MAC addresses. It is never changed, so it may be shared. A lookup is a
// binary search in sorted ranges that do not overlap.
type Pool struct {
	v4   []span[uint32]
	v6   []span[addr6]
	macs map[uint64]struct{}
}

// span is a range of addresses, both ends included.
type span[T any] struct{ first, last T }

// addr6 is an IPv6 address as two numbers, high half first.
type addr6 struct{ hi, lo uint64 }

func compare6(a, b addr6) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

// NewPool makes a pool of addresses, networks in CIDR notation and MAC addresses. The error names every member that is
// none of these.
func NewPool(members []string) (*Pool, error) {
	p := &Pool{macs: map[uint64]struct{}{}}
	var errs []error
	for _, m := range members {
		s := strings.TrimSpace(m)
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			p.add(netip.PrefixFrom(a, a.BitLen()))
		} else if n, err := netip.ParsePrefix(s); err == nil {
			p.add(n)
		} else if mac, ok := parseMAC(s); ok {
			p.macs[mac] = struct{}{}
		} else {
			errs = append(errs, fmt.Errorf("%q is no host: write an address (192.0.2.7, 2001:db8::7), a network (192.0.2.0/24) or a MAC address (00:00:5e:00:53:01)", m))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p.sort()
	return p, nil
}

// add adds a network; an IPv4 one that is written as IPv6 is what it stands for.
func (p *Pool) add(n netip.Prefix) {
	a, bits := n.Masked().Addr(), n.Bits()
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	if a.Is4() {
		first := number4(a)
		p.v4 = append(p.v4, span[uint32]{first, first | uint32(1<<(32-bits)-1)})
		return
	}
	first := number6(a)
	last := first
	if bits < 64 {
		last.hi |= 1<<(64-bits) - 1
		last.lo = ^uint64(0)
	} else {
		last.lo |= 1<<(128-bits) - 1 // by 64 for /64: a shift of that much gives 0 in Go
	}
	p.v6 = append(p.v6, span[addr6]{first, last})
}

func (p *Pool) sort() {
	p.v4 = join(p.v4, cmp.Compare[uint32])
	p.v6 = join(p.v6, compare6)
}

// join sorts spans and makes one of those that overlap.
func join[T any](in []span[T], compare func(T, T) int) []span[T] {
	slices.SortFunc(in, func(a, b span[T]) int { return compare(a.first, b.first) })
	out := in[:0]
	for _, s := range in {
		if n := len(out); n > 0 && compare(s.first, out[n-1].last) <= 0 {
			if compare(s.last, out[n-1].last) > 0 {
				out[n-1].last = s.last
			}
			continue
		}
		out = append(out, s)
	}
	return slices.Clip(out)
}

// union makes one pool of several; nil of none.
func union(pools []*Pool) *Pool {
	switch len(pools) {
	case 0:
		return nil
	case 1:
		return pools[0]
	}
	u := &Pool{macs: map[uint64]struct{}{}}
	for _, p := range pools {
		u.v4 = append(u.v4, p.v4...)
		u.v6 = append(u.v6, p.v6...)
		for m := range p.macs {
			u.macs[m] = struct{}{}
		}
	}
	u.sort()
	return u
}

// has tells whether a host is in the pool by its address or its MAC address.
func (p *Pool) has(h *host) bool {
	return h.addr.IsValid() && p.hasAddr(h.addr) || h.hasMAC && p.hasMAC(h.mac)
}

func (p *Pool) hasMAC(mac uint64) bool {
	_, ok := p.macs[mac]
	return ok
}

func (p *Pool) hasAddr(a netip.Addr) bool {
	if a = a.Unmap(); a.Is4() {
		return within(p.v4, number4(a), cmp.Compare[uint32])
	}
	return within(p.v6, number6(a), compare6)
}

func within[T any](spans []span[T], v T, compare func(T, T) int) bool {
	lo, hi := 0, len(spans)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if compare(spans[mid].last, v) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(spans) && compare(spans[lo].first, v) <= 0
}

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(a netip.Addr) addr6 {
	b := a.As16()
	return addr6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// parseMAC reads six bytes in hexadecimal with colons or dashes between them, without allocating.
func parseMAC(s string) (mac uint64, ok bool) {
	if len(s) != 17 {
		return 0, false
	}
	for i := range 17 {
		c := s[i]
		switch {
		case i%3 == 2:
			if c != s[2] || c != ':' && c != '-' {
				return 0, false
			}
			continue
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		mac = mac<<4 | uint64(c)
	}
	return mac, true
}
