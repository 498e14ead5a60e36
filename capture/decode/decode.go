// Package decode walks a packet's headers from the link layer to the transport layer and reports addresses, ports and
// payload. It allocates nothing on the way, checks every field against the captured length, undoes tunnels and puts
// fragments together. It keeps no flows and looks at no payload except to find a tunnel's inner packet.
package decode

import (
	"encoding/binary"
	"net/netip"
)

// Tunnel names the encapsulation a packet came in; the innermost one where there are several.
type Tunnel uint8

// The tunnels. Teredo and L2TP are recognised as protocols of the outer flow and not undone.
const (
	NoTunnel Tunnel = iota
	GRE
	IPinIP
	VXLAN
	GTP
	CAPWAP
	Teredo
	L2TP
	PPPoE
	ERSPAN
	Geneve
)

var tunnelNames = [...]string{"", "GRE", "IPinIP", "VXLAN", "GTP", "CAPWAP", "Teredo", "L2TP", "PPPoE", "ERSPAN", "Geneve"}

// String is the tunnel's name, empty for NoTunnel.
func (t Tunnel) String() string {
	if int(t) < len(tunnelNames) {
		return tunnelNames[t]
	}
	return ""
}

// IP protocol numbers (IANA) that the header walk knows.
const (
	ICMP   = 1
	IGMP   = 2
	IPv4   = 4
	TCP    = 6
	UDP    = 17
	IPv6   = 41
	GREL4  = 47
	ESP    = 50
	AH     = 51
	ICMPv6 = 58
	SCTP   = 132
	UDPL   = 136
	MPLS   = 137
)

// Addr is an IP address without pointers: an IPv4 address stands in its mapped form, ::ffff:a.b.c.d.
type Addr struct{ Hi, Lo uint64 }

// Netip converts the address; v6 tells an IPv6 address of the mapped range from an IPv4 address.
func (a Addr) Netip(v6 bool) netip.Addr {
	if !v6 {
		return netip.AddrFrom4([4]byte{byte(a.Lo >> 24), byte(a.Lo >> 16), byte(a.Lo >> 8), byte(a.Lo)})
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b)
}

const mapped = 0xffff << 32 // the low half of ::ffff:0:0

// Packet is what Decode found out.
type Packet struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16 // 0 for protocols without ports
	L4               uint8  // IP protocol number
	V6               bool
	Tunnel           Tunnel
	TCPFlags         uint8
	ICMPType         uint8
	ICMPCode         uint8
	VLAN             uint16 // innermost 802.1Q id, 0 without
	Truncated        bool   // the snap length cut the packet
	HasMAC           bool
	SrcMAC, DstMAC   [6]byte // outermost; DstMAC is zero for cooked captures
	Seq              uint32  // TCP sequence number

	// Payload is what was captured above layer 4, valid until the next call of Decode; of a fragmented datagram the
	// whole, with its last fragment. PayloadLen is its length on the wire: of a fragment, that fragment's.
	Payload    []byte
	PayloadLen int
	// WholeLen is the length on the wire of what Payload is a part of; it differs from PayloadLen for fragments only.
	WholeLen int

	// Packets and Bytes count the captured packets this one stands for: 1 and its length at layer 2, more where earlier
	// fragments could not be assigned before.
	Packets uint32
	Bytes   uint64
}

// ARP is an ARP packet for IPv4 over Ethernet.
type ARP struct {
	Time                 int64 // Unix nanoseconds
	Op                   uint16
	VLAN                 uint16
	SenderMAC, TargetMAC [6]byte
	Sender, Target       netip.Addr
}

// Drop is a reason why a packet has no flow.
type Drop uint8

// The reasons.
const (
	NotIP        Drop = iota // ARP, spanning tree, LLDP and the like
	UnknownLink              // a link type this package does not know
	ShortLink                // cut within the link layer's headers
	BadIP                    // an IP header that is cut or contradicts itself
	ShortL4                  // cut within the transport header
	TooDeep                  // more tunnels or tags in each other than any network has
	LostFragment             // fragments whose first one never came, or whose tunnel was never whole
	NumDrops
)

var dropNames = [NumDrops]string{"not IP", "unknown link type", "short link header", "bad IP header", "short transport header", "too many layers", "lost fragment"}

func (d Drop) String() string {
	if d < NumDrops {
		return dropNames[d]
	}
	return "unknown"
}

// Decoder decodes packets. It is not safe for concurrent use.
type Decoder struct {
	// OnARP, if set, is given every ARP packet; they have no flow.
	OnARP func(*ARP)
	// Drops counts the packets that have no flow, by reason.
	Drops [NumDrops]uint64

	why   Drop
	now   int64
	frags fragments
}

// New makes a decoder.
func New() *Decoder { return &Decoder{frags: newFragments()} }

const (
	maxDepth = 8  // tunnels in each other
	maxTags  = 16 // VLAN tags, MPLS labels or IPv6 extension headers in a row
)

// Link types (https://www.tcpdump.org/linktypes.html).
const (
	linkNull      = 0
	linkEthernet  = 1
	linkPPP       = 9
	linkRaw12     = 12
	linkRaw14     = 14
	linkPPPSerial = 50
	linkPPPEther  = 51
	linkRaw       = 101
	linkCHDLC     = 104
	link80211     = 105
	linkLoop      = 108
	linkSLL       = 113
	linkRadiotap  = 127
	linkPPI       = 192
	linkIPv4      = 228
	linkIPv6      = 229
	linkSLL2      = 276
)

// Decode decodes a packet of the given link type, with wire bytes on the wire of which data was captured, at packet time
// now in Unix nanoseconds. It reports whether out describes a packet of a flow; otherwise Drops says why, or the packet
// is a fragment that is held until the rest is there.
func (d *Decoder) Decode(out *Packet, link uint16, data []byte, wire int, now int64) bool {
	wire = max(wire, len(data))
	*out = Packet{Packets: 1, Bytes: uint64(wire)}
	d.now = now
	d.frags.release()
	switch d.link(out, link, data, wire) {
	case found:
		return true
	case failed:
		d.Drops[d.why]++
	case held:
	}
	return false
}

// Close counts what is still held as lost.
func (d *Decoder) Close() {
	for d.frags.oldest != nil {
		d.lose(d.frags.oldest)
	}
}

// result is what became of a header.
type result uint8

const (
	found  result = iota // out is complete
	failed               // d.why says why not
	held                 // a fragment that waits for others
)

func (d *Decoder) fail(why Drop) result {
	d.why = why
	return failed
}

// link reads the headers of a link type; every other one is reached from here.
func (d *Decoder) link(out *Packet, link uint16, b []byte, wire int) result {
	switch link {
	case linkEthernet:
		return d.ethernet(out, b, wire, 0)
	case linkRaw, linkRaw12, linkRaw14, linkIPv4, linkIPv6:
		return d.ip(out, b, wire, 0)
	case linkNull, linkLoop:
		if len(b) < 4 {
			return d.fail(ShortLink)
		}
		// The family's number depends on the system and its byte order on the writer, so the IP version decides.
		if le, be := binary.LittleEndian.Uint32(b), binary.BigEndian.Uint32(b); le > 255 && be > 255 {
			return d.fail(NotIP)
		}
		return d.ip(out, b[4:], wire-4, 0)
	case linkPPP, linkPPPSerial:
		if len(b) >= 4 && (b[0] == 0x0f || b[0] == 0x8f) && b[1] == 0 {
			return d.ethertype(out, binary.BigEndian.Uint16(b[2:]), b[4:], wire-4, 0)
		}
		return d.ppp(out, b, wire, 0)
	case linkPPPEther:
		return d.pppoe(out, b, wire, 0)
	case linkCHDLC:
		if len(b) < 4 {
			return d.fail(ShortLink)
		}
		return d.ethertype(out, binary.BigEndian.Uint16(b[2:]), b[4:], wire-4, 0)
	case linkSLL:
		if len(b) < 16 {
			return d.fail(ShortLink)
		}
		if binary.BigEndian.Uint16(b[4:]) == 6 {
			out.SrcMAC, out.HasMAC = [6]byte(b[6:12]), true
		}
		return d.cooked(out, binary.BigEndian.Uint16(b[14:]), b[16:], wire-16)
	case linkSLL2:
		if len(b) < 20 {
			return d.fail(ShortLink)
		}
		if b[11] == 6 {
			out.SrcMAC, out.HasMAC = [6]byte(b[12:18]), true
		}
		return d.cooked(out, binary.BigEndian.Uint16(b), b[20:], wire-20)
	case link80211:
		return d.wifi(out, b, wire, 0, false)
	case linkRadiotap:
		if len(b) < 4 {
			return d.fail(ShortLink)
		}
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n < 8 || n > len(b) {
			return d.fail(ShortLink)
		}
		return d.wifi(out, b[n:], wire-n, 0, false)
	case linkPPI:
		if len(b) < 8 {
			return d.fail(ShortLink)
		}
		n := int(binary.LittleEndian.Uint16(b[2:]))
		inner := binary.LittleEndian.Uint32(b[4:])
		if n < 8 || n > len(b) {
			return d.fail(ShortLink)
		}
		if inner == linkPPI || inner > 0xffff {
			return d.fail(UnknownLink)
		}
		return d.link(out, uint16(inner), b[n:], wire-n)
	}
	return d.fail(UnknownLink)
}

func (d *Decoder) cooked(out *Packet, et uint16, b []byte, wire int) result {
	if et == 4 { // ETH_P_802_2
		return d.llc(out, b, wire, 0)
	}
	return d.ethertype(out, et, b, wire, 0)
}

func (d *Decoder) ethernet(out *Packet, b []byte, wire, depth int) result {
	if len(b) < 14 {
		return d.fail(ShortLink)
	}
	if depth > maxDepth {
		return d.fail(TooDeep)
	}
	if depth == 0 {
		out.DstMAC, out.SrcMAC, out.HasMAC = [6]byte(b[:6]), [6]byte(b[6:12]), true
	}
	et := uint16(b[12])<<8 | uint16(b[13])
	if et == 0x0800 {
		return d.ip(out, b[14:], wire-14, depth)
	}
	return d.lengthOrType(out, et, b[14:], wire-14, depth)
}

// lengthOrType takes the field that is an 802.3 length up to 1500 and a type from 1536 on.
func (d *Decoder) lengthOrType(out *Packet, et uint16, b []byte, wire, depth int) result {
	if et <= 1500 {
		return d.llc(out, b, wire, depth)
	}
	return d.ethertype(out, et, b, wire, depth)
}

// llc reads an IEEE 802.2 header and SNAP.
func (d *Decoder) llc(out *Packet, b []byte, wire, depth int) result {
	if len(b) < 3 {
		return d.fail(ShortLink)
	}
	switch {
	case b[0] == 0xaa && b[1] == 0xaa && len(b) >= 8:
		if et := binary.BigEndian.Uint16(b[6:]); et > 1500 {
			return d.ethertype(out, et, b[8:], wire-8, depth)
		}
	case b[0] == 0x06 && b[1] == 0x06:
		return d.ip(out, b[3:], wire-3, depth)
	}
	return d.fail(NotIP)
}

func (d *Decoder) ethertype(out *Packet, et uint16, b []byte, wire, depth int) result {
	for range maxTags {
		switch et {
		case 0x0800, 0x86dd:
			return d.ip(out, b, wire, depth)
		case 0x8100, 0x88a8, 0x9100, 0x9200, 0x9300:
			if len(b) < 4 {
				return d.fail(ShortLink)
			}
			out.VLAN = binary.BigEndian.Uint16(b) & 0x0fff
			et = binary.BigEndian.Uint16(b[2:])
			b, wire = b[4:], wire-4
			if et <= 1500 {
				return d.llc(out, b, wire, depth)
			}
		case 0x8847, 0x8848:
			return d.mpls(out, b, wire, depth)
		case 0x8864:
			return d.pppoe(out, b, wire, depth)
		case 0x880b:
			return d.ppp(out, b, wire, depth)
		case 0x6558:
			return d.ethernet(out, b, wire, depth+1)
		case 0x0806:
			d.arp(out, b)
			return d.fail(NotIP)
		default:
			return d.fail(NotIP)
		}
	}
	return d.fail(TooDeep)
}

// mpls reads a label stack (RFC 3032). What it carries is not said, so the first nibble must tell.
func (d *Decoder) mpls(out *Packet, b []byte, wire, depth int) result {
	for range maxTags {
		if len(b) < 4 {
			return d.fail(ShortLink)
		}
		bottom := b[2]&1 != 0
		b, wire = b[4:], wire-4
		if !bottom {
			continue
		}
		if len(b) == 0 {
			return d.fail(ShortLink)
		}
		switch {
		case b[0]>>4 == 4 || b[0]>>4 == 6:
			return d.ip(out, b, wire, depth)
		case b[0]>>4 == 0 && len(b) >= 4: // a pseudowire's control word (RFC 4385), most often before Ethernet
			return d.ethernet(out, b[4:], wire-4, depth+1)
		}
		return d.fail(NotIP)
	}
	return d.fail(TooDeep)
}

// pppoe reads a PPPoE session header (RFC 2516).
func (d *Decoder) pppoe(out *Packet, b []byte, wire, depth int) result {
	if len(b) < 8 {
		return d.fail(ShortLink)
	}
	if b[0] != 0x11 || b[1] != 0 {
		return d.fail(NotIP)
	}
	out.Tunnel = PPPoE
	return d.ppp(out, b[6:], wire-6, depth)
}

// ppp reads a PPP header (RFC 1661), with or without address and control bytes and with the protocol in one byte or two.
func (d *Decoder) ppp(out *Packet, b []byte, wire, depth int) result {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
		b, wire = b[2:], wire-2
	}
	if len(b) < 2 {
		return d.fail(ShortLink)
	}
	proto, n := int(b[0]), 1
	if proto&1 == 0 {
		proto, n = proto<<8|int(b[1]), 2
	}
	b, wire = b[n:], wire-n
	switch proto {
	case 0x0021, 0x0057:
		return d.ip(out, b, wire, depth)
	case 0x0281, 0x0283:
		return d.mpls(out, b, wire, depth)
	}
	return d.fail(NotIP)
}

// wifi reads an IEEE 802.11 data frame. swapped says that the two bytes of the frame control field have changed places,
// as some controllers send them in CAPWAP.
func (d *Decoder) wifi(out *Packet, b []byte, wire, depth int, swapped bool) result {
	if len(b) < 24 {
		return d.fail(ShortLink)
	}
	fc, flags := b[0], b[1]
	if swapped {
		fc, flags = flags, fc
	}
	if fc&0x0c != 0x08 || fc&0x40 != 0 || flags&0x40 != 0 { // no data frame, a null frame, or an encrypted one
		return d.fail(NotIP)
	}
	n := 24
	if flags&3 == 3 { // four addresses
		n += 6
	}
	if fc&0x80 != 0 { // QoS control, and with it the HT control field
		n += 2
		if flags&0x80 != 0 {
			n += 4
		}
	}
	if len(b) < n {
		return d.fail(ShortLink)
	}
	return d.llc(out, b[n:], wire-n, depth)
}

// arp reads an ARP packet (RFC 826) of the usual kind.
func (d *Decoder) arp(out *Packet, b []byte) {
	if d.OnARP == nil || len(b) < 28 || b[4] != 6 || b[5] != 4 || binary.BigEndian.Uint16(b[2:]) != 0x0800 {
		return
	}
	d.OnARP(&ARP{
		Time: d.now, Op: binary.BigEndian.Uint16(b[6:]), VLAN: out.VLAN,
		SenderMAC: [6]byte(b[8:14]), Sender: netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: [6]byte(b[18:24]), Target: netip.AddrFrom4([4]byte(b[24:28])),
	})
}
