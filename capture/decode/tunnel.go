package decode

import "encoding/binary"

// UDP ports of the tunnels that are undone (IANA).
const (
	portGTPU   = 2152
	portVXLAN  = 4789
	portCAPWAP = 5247
	portGeneve = 6081
)

// tunnelPort reports whether a datagram to or from these ports may hold a tunnelled packet.
func tunnelPort(dst, src uint16) bool {
	switch dst {
	case portGTPU, portVXLAN, portCAPWAP, portGeneve:
		return true
	}
	return src == portGTPU || src == portCAPWAP
}

// tunnel decodes the packet inside another one. If there is none, out is as it was and ok is false, so that the outer
// packet counts.
func (d *Decoder) tunnel(out *Packet, proto uint8, b []byte, wire, depth int) (r result, ok bool) {
	if depth >= maxDepth {
		return d.fail(TooDeep), true
	}
	outer := *out
	switch proto {
	case IPv4, IPv6:
		out.Tunnel = IPinIP
		r = d.ip(out, b, wire, depth+1)
	case MPLS:
		r = d.mpls(out, b, wire, depth+1)
	case GREL4:
		r = d.gre(out, b, wire, depth+1)
	default:
		r = d.udpTunnel(out, b, wire, depth+1)
	}
	if r == failed && d.why != TooDeep {
		*out = outer
		return r, false
	}
	return r, true
}

// gre reads a GRE header: version 0 (RFC 2784, 2890), version 1 (PPTP, RFC 2637), and ERSPAN's headers in version 0
// (draft-foschiano-erspan).
func (d *Decoder) gre(out *Packet, b []byte, wire, depth int) result {
	if len(b) < 4 {
		return d.fail(ShortL4)
	}
	flags, et := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	n := 4
	for _, bit := range [...]uint16{0x8000, 0x2000, 0x1000} { // checksum, key, sequence number
		if flags&bit != 0 {
			n += 4
		}
	}
	switch {
	case flags&0x4000 != 0: // source routes: obsolete
		return d.fail(NotIP)
	case flags&7 == 1 && flags&0x0080 != 0: // acknowledgement number
		n += 4
	case flags&7 > 1:
		return d.fail(NotIP)
	}
	if n > len(b) {
		return d.fail(ShortL4)
	}
	b, wire = b[n:], wire-n
	out.Tunnel = GRE
	switch et {
	case 0x88be: // ERSPAN type I has no header of its own and no sequence number
		out.Tunnel = ERSPAN
		if n = 0; flags&0x1000 != 0 {
			n = 8
		}
	case 0x22eb: // type III
		out.Tunnel = ERSPAN
		if n = 12; len(b) >= 12 && b[11]&1 != 0 {
			n = 20
		}
	default:
		return d.ethertype(out, et, b, wire, depth)
	}
	if n > len(b) {
		return d.fail(ShortL4)
	}
	return d.ethernet(out, b[n:], wire-n, depth)
}

// udpTunnel reads the header of a tunnel over UDP; b begins with the UDP header.
func (d *Decoder) udpTunnel(out *Packet, b []byte, wire, depth int) result {
	src, dst := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	b, wire = b[8:], wire-8
	switch {
	case dst == portGTPU || src == portGTPU:
		return d.gtp(out, b, wire, depth)
	case dst == portVXLAN: // RFC 7348
		if b[0]&0x08 == 0 {
			return d.fail(NotIP)
		}
		out.Tunnel = VXLAN
		return d.ethernet(out, b[8:], wire-8, depth)
	case dst == portGeneve: // RFC 8926
		n := 8 + int(b[0]&0x3f)*4
		if b[0]>>6 != 0 || n > len(b) {
			return d.fail(NotIP)
		}
		out.Tunnel = Geneve
		return d.ethertype(out, binary.BigEndian.Uint16(b[2:]), b[n:], wire-n, depth)
	}
	return d.capwap(out, b, wire, depth)
}

// gtp reads a GTPv1-U header (3GPP TS 29.281) of a message that carries a user's packet.
func (d *Decoder) gtp(out *Packet, b []byte, wire, depth int) result {
	if b[0]>>5 != 1 || b[0]&0x10 == 0 || b[1] != 0xff {
		return d.fail(NotIP)
	}
	n := 8
	if b[0]&7 != 0 { // extension header, sequence number or N-PDU number: all three fields are there then
		if len(b) < 12 {
			return d.fail(ShortL4)
		}
		n = 12
		for next := b[11]; b[0]&4 != 0 && next != 0; {
			if n >= len(b) || b[n] == 0 {
				return d.fail(ShortL4)
			}
			if n += int(b[n]) * 4; n > len(b) {
				return d.fail(ShortL4)
			}
			next = b[n-1]
		}
	}
	out.Tunnel = GTP
	return d.ip(out, b[n:], wire-n, depth)
}

// capwap reads a CAPWAP data header (RFC 5415) of a packet that is neither encrypted nor a fragment.
func (d *Decoder) capwap(out *Packet, b []byte, wire, depth int) result {
	n := int(b[1]>>3) * 4
	if b[0] != 0 || n < 8 || n > len(b) || b[3]&0x80 != 0 {
		return d.fail(NotIP)
	}
	native, wireless := b[2]&1 != 0, b[2]>>1&0x1f
	b, wire = b[n:], wire-n
	out.Tunnel = CAPWAP
	if !native {
		return d.ethernet(out, b, wire, depth)
	}
	if wireless != 1 || len(b) < 24 { // IEEE 802.11
		return d.fail(NotIP)
	}
	return d.wifi(out, b, wire, depth, b[0]&0x0c != 0x08 && b[1]&0x0c == 0x08)
}
