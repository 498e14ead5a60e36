package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func tcpConnectionFailed() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/tcp_connection_failed", Entity: alert.EntityFlow, AlertID: 75, Category: alert.Network, Score: 50, DefaultOn: true,
			Hooks:  flow.Hooks(flow.End),
			Title:  "TCP connection failed",
			Text:   "The client asked for a connection and nobody answered.",
			Advice: "Check that the server runs and that no firewall drops the packets; many of one client are a scan.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, l4 := range b.L4[:b.N] {
						if l4 == tcp && b.Packets[1][i] == 0 && b.TCPFlags[0][i]&(flow.SYN|flow.ACK|flow.RST) == flow.SYN &&
							b.Flags[i]&flow.ServerRefused == 0 {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s asked %s for a connection to port %d %s in %s, and nobody answered", r.Client(), r.Server(),
						r.B.ServerPort[r.I], times(r.B.Packets[0][r.I]), span(r.Duration()))}
				},
			}, nil
		},
	}
}

func times(n uint64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
