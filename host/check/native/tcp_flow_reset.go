package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func tcpFlowReset() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/tcp_flow_reset", Entity: alert.EntityFlow, AlertID: 100, Category: alert.Network, Score: 10,
			Hooks:  flow.Hooks(flow.End),
			Title:  "TCP connection reset",
			Text:   "One side broke the connection off with RST instead of ending it.",
			Advice: "Look at the side that sent the reset: programs that crash and firewalls do this.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					server := b.TCPFlags[1][:b.N]
					for i, client := range b.TCPFlags[0][:b.N] {
						if (client|server[i])&flow.RST != 0 && b.L4[i] == tcp {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					who := "both sides"
					switch c, s := r.B.TCPFlags[0][r.I]&flow.RST != 0, r.B.TCPFlags[1][r.I]&flow.RST != 0; {
					case c && !s:
						who = "the client"
					case s && !c:
						who = "the server"
					}
					return Words{Message: fmt.Sprintf("%s (%s): reset by %s after %s", r.Ends(), r.Label(), who, span(r.Duration())), Info: r.Fact()}
				},
			}, nil
		},
	}
}
