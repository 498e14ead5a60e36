package check

import (
	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/host/check/native"
)

// maxNeighbours bounds the table of addresses, which whoever sends ARP packets could fill. When it is full new addresses
// are not watched.
const maxNeighbours = 1 << 16

// ARP looks at an ARP packet (RFC 826) for network/ip_reassignment: a reply whose sender is not the device that held the
// address before is reported. Requests are believed, and only keep the table current. It serves as capture.Options.OnARP.
func (e *Engine) ARP(p *decode.ARP) {
	const reply = 2
	if e.neighbours == nil || !p.Sender.IsValid() || p.Sender.IsUnspecified() || p.SenderMAC == [6]byte{} {
		return
	}
	k := hostKey{p.Sender, p.VLAN}
	before, known := e.neighbours[k]
	switch {
	case !known && len(e.neighbours) >= maxNeighbours:
		return
	case !known || before != p.SenderMAC:
		e.neighbours[k] = p.SenderMAC
	}
	if !known || before == p.SenderMAC || p.Op != reply {
		return
	}
	a := e.alert(&e.reassignment, p.Time)
	a.MAC = mac(p.SenderMAC)
	a.Message = native.SayReassigned(p.Sender.String(), mac(before), a.MAC)
	e.emit(a)
}

// WantsARP says whether ARP has anything to do.
func (e *Engine) WantsARP() bool { return e.neighbours != nil }
