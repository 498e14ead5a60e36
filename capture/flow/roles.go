package flow

import (
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/decode"
)

// serverSpeaks tells from a flow's first packet that its sender is the server.
func serverSpeaks(p *decode.Packet) bool {
	switch p.L4 {
	case decode.TCP:
		if p.TCPFlags&SYN != 0 {
			return p.TCPFlags&ACK != 0
		}
		return plainlyServer(p.SrcPort, p.DstPort)
	case decode.UDP, decode.UDPL, decode.SCTP:
		return plainlyServer(p.SrcPort, p.DstPort)
	case decode.ICMP:
		return p.ICMPType == 0 || p.ICMPType == 14 // echo and timestamp reply
	case decode.ICMPv6:
		return p.ICMPType == 129
	}
	return false
}

// plainlyServer tells a server from its client by ports alone. Privileged clients, of NFS for one, take the ports from 512
// on, so of those only the usual ones of servers count.
func plainlyServer(from, to uint16) bool {
	if to < 1024 {
		return false
	}
	switch from {
	case 636, 853, 989, 990, 993, 995:
		return true
	}
	return from < 512
}

// tcp follows the connection's state by the flags of a segment from side.
func (t *Table) tcp(i uint32, h *hot, side, flags uint8) {
	h.tcpFlags[side] |= flags
	if flags&ACK != 0 && flags&RST == 0 {
		h.bits |= ackedA << side
	}
	if flags&SYN != 0 && h.cold == 0 {
		client := side
		if flags&ACK != 0 {
			client ^= 1
		} else {
			h.flags |= SawSYN
		}
		if client != h.client() && h.packets[0]+h.packets[1] < 8 { // the first packets came out of order
			t.swap(h)
		}
	}
	if h.flags&Established == 0 && h.bits&(ackedA|ackedB) == ackedA|ackedB {
		h.flags |= Established
		t.opened(i, h)
	}
	if flags&RST != 0 {
		h.flags |= Closed
		if server := h.client() ^ 1; side == server && h.tcpFlags[server]&SYN == 0 && h.tcpFlags[server^1]&SYN != 0 {
			h.flags |= ServerRefused
		}
	} else if h.tcpFlags[0]&h.tcpFlags[1]&FIN != 0 {
		h.flags |= Closed
	}
}

// swap exchanges client and server.
func (t *Table) swap(h *hot) {
	f := h.flags &^ (ClientLocal | ServerLocal)
	if h.flags&ClientLocal != 0 {
		f |= ServerLocal
	}
	if h.flags&ServerLocal != 0 {
		f |= ClientLocal
	}
	h.flags = f
	h.bits ^= clientB
	if t.hosts != nil {
		t.hosts.swap(h)
	}
}

// refusal marks the flow that an ICMP message says nobody listens to.
func (t *Table) refusal(p *decode.Packet) {
	if p.L4 == decode.ICMP && (p.ICMPType != 3 || p.ICMPCode != 3) || p.L4 == decode.ICMPv6 && (p.ICMPType != 1 || p.ICMPCode != 4) {
		return
	}
	var q decode.Packet
	if !decode.Embedded(&q, p.Payload) {
		return
	}
	k, side := makeKey(q.Src, q.Dst, q.SrcPort, q.DstPort, p.VLAN, q.L4, q.V6)
	if i := t.find(&k, t.seeds.hash(&k)); i != none {
		if h := t.hots.at(i); h.client() == side {
			h.flags |= ServerRefused
		}
	}
}

func (t *Table) locality(client, server netip.Addr) Flags {
	var f Flags
	for _, n := range t.o.Local {
		if n.Contains(client) {
			f |= ClientLocal
		}
		if n.Contains(server) {
			f |= ServerLocal
		}
	}
	return f
}

func isMulticast(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
