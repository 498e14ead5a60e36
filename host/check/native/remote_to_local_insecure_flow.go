package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func remoteToLocalInsecure() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/remote_to_local_insecure_flow", Entity: alert.EntityFlow, AlertID: 38, Category: alert.Security, Score: 100,
			DefaultOn: true, Hooks: afterDetection,
			Title:  "Insecure protocol from outside",
			Text:   "A remote host uses an insecure protocol with a local server, and the content says so, not just the port.",
			Advice: "Close the service to the outside, or replace it by an encrypted one.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, f := range b.Flags[:b.N] {
						if f&(flow.ClientLocal|flow.ServerLocal|flow.MulticastDest) != flow.ServerLocal || b.Confidence[i] != dissect.ConfidenceDPI ||
							b.L4[i] == tcp && f&flow.Established == 0 {
							continue
						}
						if b.Protocol[i].Unsafe() || b.App[i].Unsafe() || b.Category[i] == dissect.CategoryMalware {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{
						Message:  fmt.Sprintf("%s: a remote host uses the insecure protocol %s with a local server", r.Ends(), r.Label()),
						Attacker: alert.Client, Victim: alert.Server, Info: r.Fact(),
					}
				},
			}, nil
		},
	}
}
