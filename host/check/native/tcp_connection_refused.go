package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func tcpConnectionRefused() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/tcp_connection_refused", Entity: alert.EntityFlow, AlertID: 20, Category: alert.Network, Score: 10, DefaultOn: true,
			Hooks:  flow.Hooks(flow.End),
			Title:  "TCP connection refused",
			Text:   "The server refused the connection: nothing listens on that port, or a firewall says no.",
			Advice: "Start the service or correct the client's settings; many of one client are a scan.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, l4 := range b.L4[:b.N] {
						if l4 == tcp && b.Flags[i]&flow.ServerRefused != 0 {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s refused a connection of %s to port %d", r.Server(), r.Client(), r.B.ServerPort[r.I])}
				},
			}, nil
		},
	}
}
