package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func broadcastNonUDP() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/broadcast_non_udp_traffic", Entity: alert.EntityFlow, AlertID: 67, Category: alert.Security, Score: 100,
			DefaultOn: true, Hooks: afterDetection,
			Title:  "Broadcast that is not UDP",
			Text:   "Traffic to the broadcast address that is not UDP, as of somebody who looks for devices in the network.",
			Advice: "Find out which program on the client sends it.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, l4 := range b.L4[:b.N] {
						if l4 != udp && b.Flags[i]&flow.MulticastDest != 0 && !b.Server[i].IsMulticast() {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{
						Message: fmt.Sprintf("%s sent %s of %s to the broadcast address %s", r.Client(),
							count(float64(r.B.Packets[0][r.I]), "packet"), flow.L4Name(r.B.L4[r.I]), r.Server()),
						Attacker: alert.Client,
					}
				},
			}, nil
		},
	}
}
