package flow

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/decode"
)

// CommunityID returns a flow's identifier by the Community ID specification, version 1
// (https://github.com/corelight/community-id-spec). For ICMP and ICMPv6, sport and dport are the type and code of the
// message that src sent; for protocols without ports they are ignored. Either direction of a flow gives the same.
func CommunityID(l4 uint8, src, dst netip.Addr, sport, dport uint16, seed uint16) string {
	var b [28]byte
	return string(appendCommunityID(b[:0], l4, src, dst, sport, dport, seed))
}

func appendCommunityID(to []byte, l4 uint8, src, dst netip.Addr, sport, dport uint16, seed uint16) []byte {
	ordered := false // as given, whichever end is lower: one-way ICMP messages have no other direction
	withPorts := true
	switch l4 {
	case decode.TCP, decode.UDP, decode.SCTP:
	case decode.ICMP:
		dport, ordered = counterpart(icmpPairs, sport, dport)
	case decode.ICMPv6:
		dport, ordered = counterpart(icmp6Pairs, sport, dport)
	default:
		withPorts = false
	}
	if c := src.Compare(dst); !ordered && (c > 0 || c == 0 && withPorts && sport > dport) {
		src, dst, sport, dport = dst, src, dport, sport
	}
	var buf [2 + 16 + 16 + 2 + 4]byte
	p := binary.BigEndian.AppendUint16(buf[:0], seed)
	p = appendAddr(p, src)
	p = appendAddr(p, dst)
	p = append(p, l4, 0)
	if withPorts {
		p = binary.BigEndian.AppendUint16(p, sport)
		p = binary.BigEndian.AppendUint16(p, dport)
	}
	sum := sha1.Sum(p)
	return base64.StdEncoding.AppendEncode(append(to, '1', ':'), sum[:])
}

func appendAddr(to []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(to, b[:]...)
	}
	b := a.As16()
	return append(to, b[:]...)
}

// counterpart maps an ICMP type to the one that answers it, which serves as the other port; a type without one keeps its
// code and its direction.
func counterpart(pairs map[uint16]uint16, kind, code uint16) (other uint16, oneWay bool) {
	if other, ok := pairs[kind]; ok {
		return other, false
	}
	return code, true
}

var (
	icmpPairs = map[uint16]uint16{ // echo, router, timestamp, information, mask
		8: 0, 0: 8, 10: 9, 9: 10, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17,
	}
	icmp6Pairs = map[uint16]uint16{ // echo, listener, router, neighbour, node information, home agent
		128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144,
	}
)
