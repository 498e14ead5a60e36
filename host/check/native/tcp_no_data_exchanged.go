package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func tcpNoData() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/tcp_no_data_exchanged", Entity: alert.EntityFlow, AlertID: 56, Category: alert.Network, Score: 10, DefaultOn: true,
			Hooks:  flow.Hooks(flow.End),
			Title:  "TCP flow without data",
			Text:   "A TCP flow ended without a single byte of payload.",
			Advice: "Nothing to do for health checks; many of one client are a scan.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					back := b.Payload[1][:b.N]
					for i, p := range b.Payload[0][:b.N] {
						if p|back[i] == 0 && b.L4[i] == tcp && b.Flags[i]&flow.MulticastDest == 0 {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s: %s in %s, none with data", r.Ends(),
						count(float64(r.B.Packets[0][r.I]+r.B.Packets[1][r.I]), "packet"), span(r.Duration()))}
				},
			}, nil
		},
	}
}
