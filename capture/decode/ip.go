package decode

import "encoding/binary"

// ip reads an IP header of either version; the version's number in it decides, not what carried it.
func (d *Decoder) ip(out *Packet, b []byte, wire, depth int) result {
	if depth > maxDepth {
		return d.fail(TooDeep)
	}
	if len(b) < 20 {
		return d.fail(BadIP)
	}
	switch b[0] >> 4 {
	case 4:
		return d.ipv4(out, b, wire, depth)
	case 6:
		return d.ipv6(out, b, wire, depth)
	}
	return d.fail(BadIP)
}

// ipv4 reads an IPv4 header (RFC 791).
func (d *Decoder) ipv4(out *Packet, b []byte, wire, depth int) result {
	_ = b[19]
	ihl := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if ihl < 20 || ihl > len(b) || total < ihl && total != 0 {
		return d.fail(BadIP)
	}
	// A total length of 0 comes from segmentation offload: the packet is as long as it is. One beyond the packet's end is
	// left to be cut by what is there.
	if total != 0 && total < wire {
		wire = total
		b = b[:min(len(b), total)]
	}
	out.V6 = false
	out.Src = Addr{0, mapped | uint64(binary.BigEndian.Uint32(b[12:]))}
	out.Dst = Addr{0, mapped | uint64(binary.BigEndian.Uint32(b[16:]))}
	proto := b[9]
	if frag := binary.BigEndian.Uint16(b[6:]); frag&0x3fff != 0 {
		return d.fragment(out, fragment{
			id: uint32(binary.BigEndian.Uint16(b[4:])), proto: proto, offset: int(frag&0x1fff) * 8, more: frag&0x2000 != 0,
			data: b[ihl:], wire: wire - ihl,
		}, depth)
	}
	return d.transport(out, proto, b[ihl:], wire-ihl, depth)
}

// ipv6 reads an IPv6 header and its extension headers (RFC 8200).
func (d *Decoder) ipv6(out *Packet, b []byte, wire, depth int) result {
	if len(b) < 40 {
		return d.fail(BadIP)
	}
	if n := int(binary.BigEndian.Uint16(b[4:])); n != 0 && n+40 < wire { // 0: a jumbogram, or segmentation offload
		wire = n + 40
		b = b[:min(len(b), wire)]
	}
	out.V6 = true
	out.Src = Addr{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
	out.Dst = Addr{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
	next := b[6]
	b, wire = b[40:], wire-40
	for range maxTags {
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination options, mobility, HIP, shim6
			if len(b) < 8 {
				return d.fail(BadIP)
			}
			n := int(b[1])*8 + 8
			if n > len(b) {
				return d.fail(BadIP)
			}
			if next == 135 && b[0] == 59 { // mobility messages end the chain: they are the payload
				return d.transport(out, next, b, wire, depth)
			}
			next = b[0]
			b, wire = b[n:], wire-n
		case 44:
			if len(b) < 8 {
				return d.fail(BadIP)
			}
			inner, off := b[0], binary.BigEndian.Uint16(b[2:])
			id := binary.BigEndian.Uint32(b[4:])
			b, wire = b[8:], wire-8
			if off&0xfff9 == 0 { // an atomic fragment (RFC 6946)
				next = inner
				continue
			}
			return d.fragment(out, fragment{
				id: id, proto: inner, offset: int(off &^ 7), more: off&1 != 0, data: b, wire: wire,
			}, depth)
		default:
			return d.transport(out, next, b, wire, depth)
		}
	}
	return d.fail(TooDeep)
}

// transport reads the header above IP, and goes on into tunnels.
func (d *Decoder) transport(out *Packet, proto uint8, b []byte, wire, depth int) result {
	switch proto {
	case IPv4, IPv6, GREL4, MPLS:
		if r, ok := d.tunnel(out, proto, b, wire, depth); ok {
			return r
		}
	case UDP:
		if len(b) >= 16 && tunnelPort(binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b)) {
			if r, ok := d.tunnel(out, proto, b, wire, depth); ok {
				return r
			}
		}
	}
	if !d.header(out, proto, b, wire) {
		return d.fail(ShortL4)
	}
	return found
}

// header reads a transport header alone.
func (d *Decoder) header(out *Packet, proto uint8, b []byte, wire int) bool {
	out.L4 = proto
	if wire > len(b) {
		out.Truncated = true
	}
	n := 0
	switch proto {
	case TCP: // RFC 9293
		if len(b) < 14 {
			return false
		}
		out.SrcPort, out.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		out.Seq = binary.BigEndian.Uint32(b[4:])
		out.TCPFlags = b[13]
		n = max(int(b[12]>>4)*4, 20)
	case UDP, UDPL: // RFC 768, RFC 3828
		if len(b) < 8 {
			return false
		}
		out.SrcPort, out.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		if l := int(binary.BigEndian.Uint16(b[4:])); proto == UDP && l >= 8 && l < wire {
			wire = l
			b = b[:min(len(b), l)]
		}
		n = 8
	case SCTP: // RFC 9260
		if len(b) < 12 {
			return false
		}
		out.SrcPort, out.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		n = 12
	case ICMP, ICMPv6:
		if len(b) < 4 {
			return false
		}
		out.ICMPType, out.ICMPCode = b[0], b[1]
		n = 8
	}
	out.Payload = b[min(n, len(b)):]
	out.PayloadLen = max(wire-n, 0)
	out.WholeLen = out.PayloadLen
	return true
}

// Embedded reads the packet that an ICMP or ICMPv6 error quotes, which is payload; it reports the quoted addresses and
// ports as sent by the packet's own sender. out must be zero.
func Embedded(out *Packet, payload []byte) bool {
	var d Decoder
	if len(payload) < 20 {
		return false
	}
	var proto uint8
	switch payload[0] >> 4 {
	case 4:
		ihl := int(payload[0]&15) * 4
		if ihl < 20 || len(payload) < ihl || binary.BigEndian.Uint16(payload[6:])&0x1fff != 0 {
			return false
		}
		out.Src = Addr{0, mapped | uint64(binary.BigEndian.Uint32(payload[12:]))}
		out.Dst = Addr{0, mapped | uint64(binary.BigEndian.Uint32(payload[16:]))}
		proto, payload = payload[9], payload[ihl:]
	case 6:
		if len(payload) < 40 {
			return false
		}
		out.V6 = true
		out.Src = Addr{binary.BigEndian.Uint64(payload[8:]), binary.BigEndian.Uint64(payload[16:])}
		out.Dst = Addr{binary.BigEndian.Uint64(payload[24:]), binary.BigEndian.Uint64(payload[32:])}
		proto, payload = payload[6], payload[40:]
	default:
		return false
	}
	if proto == TCP || proto == SCTP { // eight bytes are all that must be quoted
		if len(payload) < 4 {
			return false
		}
		out.L4 = proto
		out.SrcPort, out.DstPort = binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
		return true
	}
	return d.header(out, proto, payload, len(payload))
}
