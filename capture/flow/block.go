package flow

import (
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/dissect"
)

// block fills a Block: its columns keep their capacity, and N counts while it fills.
type block struct {
	Block
	full Block // the columns at full length
}

func newBlock(h Hook) *block {
	b := &block{}
	f := &b.full
	f.Hook = h
	f.ID = make([]uint64, BlockSize)
	f.L4 = make([]uint8, BlockSize)
	f.Client, f.Server = make([]netip.Addr, BlockSize), make([]netip.Addr, BlockSize)
	f.ClientPort, f.ServerPort = make([]uint16, BlockSize), make([]uint16, BlockSize)
	f.VLAN = make([]uint16, BlockSize)
	f.Tunnel = make([]Tunnel, BlockSize)
	f.Flags = make([]Flags, BlockSize)
	f.First, f.Last = make([]int64, BlockSize), make([]int64, BlockSize)
	for d := range 2 {
		f.Packets[d], f.Bytes[d], f.Payload[d] = make([]uint64, BlockSize), make([]uint64, BlockSize), make([]uint64, BlockSize)
		f.TCPFlags[d] = make([]uint8, BlockSize)
	}
	f.ICMPType, f.ICMPCode = make([]uint8, BlockSize), make([]uint8, BlockSize)
	f.Protocol, f.App = make([]dissect.Protocol, BlockSize), make([]dissect.Protocol, BlockSize)
	f.Category = make([]dissect.Category, BlockSize)
	f.Confidence = make([]dissect.Confidence, BlockSize)
	f.Risks = make([]dissect.Risks, BlockSize)
	f.Meta = make([]*dissect.Meta, BlockSize)
	return b
}

// add writes one record behind the last one.
func (b *block) add(h *hot, l *life, s *dissect.State) {
	f, i := &b.full, b.N
	c, v6 := h.client(), h.key.v6()
	f.ID[i] = l.id
	f.L4[i] = h.key.l4()
	f.Client[i], f.Server[i] = h.key.addr(c).Netip(v6), h.key.addr(c^1).Netip(v6)
	f.ClientPort[i], f.ServerPort[i] = h.key.port(c), h.key.port(c^1)
	f.VLAN[i], f.Tunnel[i], f.Flags[i] = h.key.vlan(), h.tunnel, h.flags
	f.First[i], f.Last[i] = h.first, h.last
	for d := range uint8(2) {
		f.Packets[d][i], f.Bytes[d][i], f.Payload[d][i] = h.packets[c^d], h.bytes[c^d], h.payload[c^d]
		f.TCPFlags[d][i] = h.tcpFlags[c^d]
	}
	f.ICMPType[i], f.ICMPCode[i] = h.icmpType, h.icmpCode
	f.Protocol[i], f.App[i], f.Category[i] = s.Protocol, s.App, s.Category
	f.Confidence[i], f.Risks[i], f.Meta[i] = s.Confidence, s.Risks, s.Meta
	b.N++
}

// cut sets the columns to the records' number.
func (b *block) cut() {
	n, f := b.N, &b.full
	b.Block = Block{
		Hook: f.Hook, N: n, ID: f.ID[:n], L4: f.L4[:n], Client: f.Client[:n], Server: f.Server[:n],
		ClientPort: f.ClientPort[:n], ServerPort: f.ServerPort[:n], VLAN: f.VLAN[:n], Tunnel: f.Tunnel[:n], Flags: f.Flags[:n],
		First: f.First[:n], Last: f.Last[:n],
		Packets:  [2][]uint64{f.Packets[0][:n], f.Packets[1][:n]},
		Bytes:    [2][]uint64{f.Bytes[0][:n], f.Bytes[1][:n]},
		Payload:  [2][]uint64{f.Payload[0][:n], f.Payload[1][:n]},
		TCPFlags: [2][]uint8{f.TCPFlags[0][:n], f.TCPFlags[1][:n]},
		ICMPType: f.ICMPType[:n], ICMPCode: f.ICMPCode[:n],
		Protocol: f.Protocol[:n], App: f.App[:n], Category: f.Category[:n], Confidence: f.Confidence[:n], Risks: f.Risks[:n],
		Meta: f.Meta[:n],
	}
}

// reset forgets the records, so that their metadata can be collected.
func (b *block) reset() {
	clear(b.full.Meta[:b.N])
	b.N = 0
}
