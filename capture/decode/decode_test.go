package decode

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
)

var be = binary.BigEndian

// Builders of headers; each returns the header before what it carries.

func ip4(proto uint8, inner []byte) []byte { return ip4frag(proto, 7, 0, false, inner) }

func ip4frag(proto uint8, id uint16, offset int, more bool, inner []byte) []byte {
	b := []byte{0x45, 0}
	b = be.AppendUint16(b, uint16(20+len(inner)))
	b = be.AppendUint16(b, id)
	f := uint16(offset / 8)
	if more {
		f |= 0x2000
	}
	b = be.AppendUint16(b, f)
	b = append(b, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
	return append(b, inner...)
}

func ip6(next uint8, inner []byte) []byte {
	b := be.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(inner)))
	b = append(b, next, 64)
	src, dst := netip.MustParseAddr("2001:db8::1").As16(), netip.MustParseAddr("2001:db8::2").As16()
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, inner...)
}

func udp(sport, dport uint16, payload []byte) []byte {
	b := be.AppendUint16(nil, sport)
	b = be.AppendUint16(b, dport)
	b = be.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

func tcp(flags uint8, payload string) []byte {
	b := []byte{0x9c, 0x40, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x60, flags, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}
	return append(b, payload...)
}

func eth(et uint16, inner []byte) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	return append(be.AppendUint16(b, et), inner...)
}

func tag(id, et uint16, inner []byte) []byte {
	return append(be.AppendUint16(be.AppendUint16(nil, 0xe000|id), et), inner...)
}

func cat(bs ...[]byte) (all []byte) {
	for _, b := range bs {
		all = append(all, b...)
	}
	return all
}

// text is a packet in one line, as the tests compare it.
func text(p *Packet) string {
	s := fmt.Sprintf("%v:%d > %v:%d l4 %d", p.Src.Netip(p.V6), p.SrcPort, p.Dst.Netip(p.V6), p.DstPort, p.L4)
	if p.VLAN != 0 {
		s += fmt.Sprintf(" vlan %d", p.VLAN)
	}
	if p.Tunnel != NoTunnel {
		s += " " + p.Tunnel.String()
	}
	return fmt.Sprintf("%s %q/%d", s, p.Payload, p.PayloadLen)
}

var (
	web   = ip4(TCP, tcp(0x18, "GET"))
	dns   = ip4(UDP, udp(5353, 53, []byte("query")))
	dns6  = ip6(UDP, udp(5353, 53, []byte("query")))
	isWeb = `10.0.0.1:40000 > 10.0.0.2:80 l4 6 "GET"/3`
)

func via(tunnel string) string { return `10.0.0.1:40000 > 10.0.0.2:80 l4 6 ` + tunnel + ` "GET"/3` }

func TestLayers(t *testing.T) {
	snap := []byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}
	wifi := cat([]byte{0x88, 1, 0, 0}, make([]byte, 20), []byte{0, 0}, snap, web)
	options := ip4(TCP, tcp(0x18, "GET"))
	options = cat([]byte{0x46}, options[1:20], []byte{1, 1, 1, 1}, options[20:])
	be.PutUint16(options[2:], uint16(len(options)))
	for _, tc := range []struct {
		name string
		link uint16
		data []byte
		want string // "" for a drop
		drop Drop
	}{
		{"ethernet", 1, eth(0x0800, web), isWeb, 0},
		{"ethernet padding", 1, cat(eth(0x0800, web), make([]byte, 20)), isWeb, 0},
		{"vlan", 1, eth(0x8100, tag(5, 0x0800, web)), `10.0.0.1:40000 > 10.0.0.2:80 l4 6 vlan 5 "GET"/3`, 0},
		{"qinq", 1, eth(0x88a8, tag(5, 0x8100, tag(9, 0x86dd, dns6))), `2001:db8::1:5353 > 2001:db8::2:53 l4 17 vlan 9 "query"/5`, 0},
		{"802.3 and snap", 1, eth(uint16(8+len(web)), cat(snap, web)), isWeb, 0},
		{"cooked", 113, cat([]byte{0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}, web), isWeb, 0},
		{"cooked v2", 276, cat([]byte{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0}, web), isWeb, 0},
		{"raw", 101, web, isWeb, 0},
		{"raw 6", 229, dns6, `2001:db8::1:5353 > 2001:db8::2:53 l4 17 "query"/5`, 0},
		{"null le", 0, cat([]byte{2, 0, 0, 0}, web), isWeb, 0},
		{"loop be", 108, cat([]byte{0, 0, 0, 2}, web), isWeb, 0},
		{"ppp", 9, cat([]byte{0xff, 3, 0, 0x21}, web), isWeb, 0},
		{"ppp short form", 50, cat([]byte{0x21}, web), isWeb, 0},
		{"hdlc", 104, cat([]byte{0x0f, 0, 8, 0}, web), isWeb, 0},
		{"hdlc in ppp", 9, cat([]byte{0x0f, 0, 8, 0}, web), isWeb, 0},
		{"802.11", 105, wifi, isWeb, 0},
		{"radiotap", 127, cat([]byte{0, 0, 8, 0, 0, 0, 0, 0}, wifi), isWeb, 0},
		{"ppi", 192, cat([]byte{0, 0, 8, 0, 1, 0, 0, 0}, eth(0x0800, web)), isWeb, 0},
		{"mpls", 1, eth(0x8847, cat([]byte{0, 1, 0, 9, 0, 1, 1, 9}, web)), isWeb, 0},
		{"mpls pseudowire", 1, eth(0x8847, cat([]byte{0, 1, 1, 9, 0, 0, 0, 0}, eth(0x0800, web))), isWeb, 0},
		{"pppoe", 1, eth(0x8864, cat([]byte{0x11, 0, 0, 1, 0, 60, 0, 0x21}, web)), via("PPPoE"), 0},
		{"ip options", 101, options, isWeb, 0},
		{"segmentation offload", 101, cat(web[:2], []byte{0, 0}, web[4:]), isWeb, 0},
		{"extension headers", 101, ip6(0, cat([]byte{43, 0, 1, 4, 0, 0, 0, 0}, []byte{60, 0, 0, 0, 0, 0, 0, 0}, []byte{17, 1}, make([]byte, 14), udp(1, 2, nil))), `2001:db8::1:1 > 2001:db8::2:2 l4 17 ""/0`, 0},
		{"atomic fragment", 101, ip6(44, cat([]byte{17, 0, 0, 0, 1, 2, 3, 4}, udp(1, 2, nil))), `2001:db8::1:1 > 2001:db8::2:2 l4 17 ""/0`, 0},
		{"4in4", 101, ip4(IPv4, web), via("IPinIP"), 0},
		{"4in6", 101, ip6(IPv4, web), via("IPinIP"), 0},
		{"6in4", 101, ip4(IPv6, dns6), `2001:db8::1:5353 > 2001:db8::2:53 l4 17 IPinIP "query"/5`, 0},
		{"no packet in ipip", 101, ip4(IPv4, []byte("rubbish")), `10.0.0.1:0 > 10.0.0.2:0 l4 4 "rubbish"/7`, 0},
		{"gre", 101, ip4(GREL4, cat([]byte{0xb0, 0, 8, 0}, make([]byte, 12), web)), via("GRE"), 0},
		{"pptp", 101, ip4(GREL4, cat([]byte{0x30, 0x81, 0x88, 0x0b}, make([]byte, 12), []byte{0xff, 3, 0x21}, web)), via("GRE"), 0},
		{"erspan 2", 101, ip4(GREL4, cat([]byte{0x10, 0, 0x88, 0xbe}, make([]byte, 12), eth(0x0800, web))), via("ERSPAN"), 0},
		{"gre of something else", 101, ip4(GREL4, []byte{0, 0, 0x12, 0x34, 1}), `10.0.0.1:0 > 10.0.0.2:0 l4 47 "\x00\x00\x124\x01"/5`, 0},
		{"vxlan", 101, ip4(UDP, udp(9999, 4789, cat([]byte{8, 0, 0, 0, 0, 0, 5, 0}, eth(0x0800, web)))), via("VXLAN"), 0},
		{"geneve", 101, ip4(UDP, udp(9999, 6081, cat([]byte{1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 4}, eth(0x0800, web)))), via("Geneve"), 0},
		{"gtp", 101, ip4(UDP, udp(2152, 2152, cat([]byte{0x30, 0xff, 0, 44, 0, 0, 0, 1}, web))), via("GTP"), 0},
		{"gtp extension", 101, ip4(UDP, udp(2152, 2152, cat([]byte{0x34, 0xff, 0, 44, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0}, web))), via("GTP"), 0},
		{"gtp echo", 101, ip4(UDP, udp(2152, 2152, []byte{0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0})), "10.0.0.1:2152 > 10.0.0.2:2152 l4 17 \"2\\x01\\x00\\x04\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"/12", 0},
		{"capwap 802.3", 101, ip4(UDP, udp(9999, 5247, cat([]byte{0, 0x10, 2, 0, 0, 0, 0, 0}, eth(0x0800, web)))), via("CAPWAP"), 0},
		{"capwap 802.11 swapped", 101, ip4(UDP, udp(9999, 5247, cat([]byte{0, 0x10, 3, 0, 0, 0, 0, 0, 0, 8}, make([]byte, 22), snap, web))), via("CAPWAP"), 0},
		{"icmp", 101, ip4(ICMP, []byte{8, 0, 0, 0, 0, 0, 0, 0, 'x'}), `10.0.0.1:0 > 10.0.0.2:0 l4 1 "x"/1`, 0},
		{"sctp", 101, ip4(SCTP, cat([]byte{0, 7, 0, 8}, make([]byte, 8), []byte("c"))), `10.0.0.1:7 > 10.0.0.2:8 l4 132 "c"/1`, 0},
		{"other protocol", 101, ip4(118, []byte("x")), `10.0.0.1:0 > 10.0.0.2:0 l4 118 "x"/1`, 0},

		{"arp", 1, eth(0x0806, make([]byte, 28)), "", NotIP},
		{"lldp", 1, eth(0x88cc, make([]byte, 28)), "", NotIP},
		{"spanning tree", 1, eth(38, []byte{0x42, 0x42, 3, 0}), "", NotIP},
		{"null of something", 0, cat([]byte{1, 2, 3, 4}, web), "", NotIP},
		{"encrypted wifi", 105, cat([]byte{8, 0x41}, make([]byte, 50)), "", NotIP},
		{"usb", 189, web, "", UnknownLink},
		{"short ethernet", 1, []byte{1, 2, 3}, "", ShortLink},
		{"short tag", 1, eth(0x8100, []byte{1}), "", ShortLink},
		{"short ip", 101, web[:19], "", BadIP},
		{"header length too small", 101, cat([]byte{0x44}, web[1:]), "", BadIP},
		{"header length too large", 101, cat([]byte{0x4f}, web[1:40]), "", BadIP},
		{"ip version 5", 101, cat([]byte{0x55}, web[1:]), "", BadIP},
		{"total length too small", 101, cat(web[:2], []byte{0, 3}, web[4:]), "", BadIP},
		{"short ipv6", 101, dns6[:39], "", BadIP},
		{"short extension", 101, ip6(0, []byte{17, 9, 0, 0, 0, 0, 0, 0}), "", BadIP},
		{"short udp", 101, ip4(UDP, []byte{1, 2, 3}), "", ShortL4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := New()
			var p Packet
			got := ""
			if d.Decode(&p, tc.link, tc.data, len(tc.data), 0) {
				got = text(&p)
			} else if d.Drops[tc.drop] != 1 {
				t.Errorf("drops %v, want one %v", d.Drops, tc.drop)
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			// Cut at every byte, as snap lengths do, nothing may go wrong, and what is reported must be true.
			for n := range tc.data {
				if !d.Decode(&p, tc.link, tc.data[:n:n], len(tc.data), 0) {
					continue
				}
				if p.PayloadLen < len(p.Payload) || p.WholeLen < p.PayloadLen || p.Bytes != uint64(len(tc.data)) {
					t.Fatalf("cut at %d: %+v", n, p)
				}
			}
		})
	}
}

func TestTooDeep(t *testing.T) {
	b := web
	for range 30 {
		b = ip4(IPv4, b)
	}
	d := New()
	var p Packet
	if d.Decode(&p, 101, b, len(b), 0) || d.Drops[TooDeep] != 1 {
		t.Errorf("%s, drops %v", text(&p), d.Drops)
	}
	b = nil
	for range 30 {
		b = append(b, 0, 5, 0x81, 0)
	}
	if b = eth(0x8100, b); d.Decode(&p, 1, b, len(b), 0) || d.Drops[TooDeep] != 2 {
		t.Errorf("%s, drops %v", text(&p), d.Drops)
	}
}

func TestARP(t *testing.T) {
	d := New()
	var got *ARP
	d.OnARP = func(a *ARP) { got = a }
	b := eth(0x8100, tag(3, 0x0806, []byte{0, 1, 8, 0, 6, 4, 0, 2, 1, 2, 3, 4, 5, 6, 10, 0, 0, 1, 6, 5, 4, 3, 2, 1, 10, 0, 0, 2}))
	var p Packet
	d.Decode(&p, 1, b, len(b), 77)
	want := ARP{77, 2, 3, [6]byte{1, 2, 3, 4, 5, 6}, [6]byte{6, 5, 4, 3, 2, 1}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	if got == nil || *got != want {
		t.Errorf("got %+v", got)
	}
}

func TestEmbedded(t *testing.T) {
	for name, tc := range map[string]struct {
		quoted []byte
		want   string
	}{
		"udp":       {dns[:28], `10.0.0.1:5353 > 10.0.0.2:53 l4 17`},
		"tcp":       {web[:28], `10.0.0.1:40000 > 10.0.0.2:80 l4 6`},
		"udp6":      {dns6[:48], `2001:db8::1:5353 > 2001:db8::2:53 l4 17`},
		"cut":       {web[:22], ""},
		"no packet": {[]byte("not an ip packet at all"), ""},
		"short":     {nil, ""},
	} {
		var p Packet
		got := ""
		if Embedded(&p, tc.quoted) {
			got = text(&p)
			got = got[:min(len(got), len(tc.want))]
		}
		if got != tc.want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(1), eth(0x8100, tag(5, 0x0800, web)), 3)
	f.Add(uint16(101), ip4(GREL4, cat([]byte{0xb0, 0, 8, 0}, make([]byte, 12), web)), 0)
	f.Add(uint16(101), ip6(0, cat([]byte{44, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 0, 1, 1, 2, 3, 4}, udp(1, 2, nil))), 0)
	f.Add(uint16(101), ip4(UDP, udp(9999, 5247, cat([]byte{0, 0x10, 1, 1, 0, 0, 0, 0, 0, 8}, make([]byte, 22), web))), 0)
	f.Add(uint16(101), ip4(UDP, udp(2152, 2152, cat([]byte{0x34, 0xff, 0, 44, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0}, web))), 9)
	f.Add(uint16(9), cat([]byte{0xff, 3, 0x02, 0x81, 0, 1, 1, 9, 0, 0, 0, 0}, eth(0x8864, web)), 0)
	f.Add(uint16(127), cat([]byte{0, 0, 8, 0, 0, 0, 0, 0, 0x88, 1}, make([]byte, 24), web), 0)
	f.Add(uint16(101), ip4frag(UDP, 1, 0, true, udp(9, 9, make([]byte, 8))), 0)
	f.Fuzz(func(t *testing.T, link uint16, data []byte, missing int) {
		d := New()
		var p Packet
		wire := len(data) + max(0, min(missing, 1<<20))
		for range 2 {
			if !d.Decode(&p, link, data, wire, 0) {
				continue
			}
			if len(p.Payload) > p.WholeLen || p.PayloadLen < 0 || p.Packets == 0 {
				t.Fatalf("%s of %d bytes: %+v", text(&p), len(data), p)
			}
		}
		d.Close()
		if d.frags.held != 0 || len(d.frags.byKey) != 0 {
			t.Fatalf("%d bytes, %d datagrams left behind", d.frags.held, len(d.frags.byKey))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, data := range map[string][]byte{
		"tcp": eth(0x0800, web), "udp6": eth(0x86dd, dns6), "vlan": eth(0x8100, tag(1, 0x0800, web)),
		"gtp": eth(0x0800, ip4(UDP, udp(2152, 2152, cat([]byte{0x30, 0xff, 0, 44, 0, 0, 0, 1}, web)))),
	} {
		b.Run(name, func(b *testing.B) {
			d := New()
			var p Packet
			b.ReportAllocs()
			for b.Loop() {
				if !d.Decode(&p, 1, data, len(data), 0) {
					b.Fatal("dropped")
				}
			}
		})
	}
}
