package native

import (
	"fmt"
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// unexpectedDHCP differs from its family in that the answering server need not be the flow's server: clients speak to
// the broadcast address, and the answer may make a flow of its own (RFC 2131).
func unexpectedDHCP() FlowDef {
	d := unexpectedServer("flow/unexpected_dhcp", 32, "Unexpected DHCP server", "DHCP server", false, dissect.ProtoDHCP, dissect.ProtoDHCP)
	d.New = func(_ Env, a Args) (FlowCheck, error) {
		want, err := newExpectation(a.List("items"))
		if err != nil {
			return FlowCheck{}, err
		}
		return FlowCheck{
			Scan: func(b *flow.Block, mask []uint64, bit uint64) {
				for i, p := range b.Protocol[:b.N] {
					if p != dissect.ProtoDHCP {
						continue
					}
					if s := dhcpServer(b, i); s.IsValid() && !want.addr(s) {
						mask[i] |= bit
					}
				}
			},
			Say: func(r Rec) Words {
				s, who := dhcpServer(r.B, r.I), "a client"
				if d := r.Meta().DHCP; d != nil && d.Hostname != "" {
					who = short(d.Hostname)
				}
				return Words{
					Message:  fmt.Sprintf("%s answered %s as a DHCP server, which is not an expected one", s, who),
					Attacker: sideOf(r, s),
				}
			},
		}, nil
	}
	return d
}

func sideOf(r Rec, a netip.Addr) alert.Role {
	switch a {
	case r.B.Server[r.I]:
		return alert.Server
	case r.B.Client[r.I]:
		return alert.Client
	}
	return alert.NoRole
}

// dhcpServer is the address of the server that answered in a DHCP flow; invalid if none did.
func dhcpServer(b *flow.Block, i int) netip.Addr {
	if m := b.Meta[i]; m != nil && m.DHCP != nil && m.DHCP.Server != "" {
		if a, err := netip.ParseAddr(m.DHCP.Server); err == nil {
			return a
		}
	}
	const port = 67
	switch {
	case b.ServerPort[i] == port && b.Packets[1][i] > 0 && !isGroup(b.Server[i]):
		return b.Server[i]
	case b.ClientPort[i] == port && b.ServerPort[i] != port && !b.Client[i].IsUnspecified():
		return b.Client[i]
	}
	return netip.Addr{}
}
