package native

import (
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
)

// oneFlow is a block of one flow of which nothing is known but its addresses and m.
func oneFlow(m *dissect.Meta) *flow.Block {
	n := func() [2][]uint64 { return [2][]uint64{{0}, {0}} }
	return &flow.Block{
		N: 1, ID: []uint64{1}, L4: []uint8{6}, Client: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		Server: []netip.Addr{netip.MustParseAddr("198.51.100.2")}, ClientPort: []uint16{50000}, ServerPort: []uint16{443}, VLAN: []uint16{0},
		Tunnel: []flow.Tunnel{0}, Flags: []flow.Flags{0}, First: []int64{0}, Last: []int64{0}, Packets: n(), Bytes: n(), Payload: n(),
		TCPFlags: [2][]uint8{{0}, {0}}, ICMPType: []uint8{0}, ICMPCode: []uint8{0}, Protocol: []dissect.Protocol{0},
		App: []dissect.Protocol{0}, Category: []dissect.Category{0}, Confidence: []dissect.Confidence{0}, Risks: []dissect.Risks{0},
		Meta: []*dissect.Meta{m},
	}
}
