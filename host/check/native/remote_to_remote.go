package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func remoteToRemote() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/remote_to_remote", Entity: alert.EntityFlow, AlertID: 16, Category: alert.Network, Score: 10, Hooks: afterDetection,
			Title:  "Flow between remote hosts",
			Text:   "Neither side lies in a local network, so the flow should not be seen here. It needs local networks to be configured.",
			Advice: "Complete the list of local networks; if it is complete, somebody routes foreign traffic through here or forges addresses.",
		},
		New: func(e Env, _ Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					if !e.LocalKnown {
						return
					}
					const not = flow.ClientLocal | flow.ServerLocal | flow.MulticastDest
					for i, f := range b.Flags[:b.N] {
						if f&not == 0 && !nowhere(b, i) {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s (%s): neither side is in a local network", r.Ends(), r.Label()), Info: r.Fact()}
				},
			}, nil
		},
	}
}

// nowhere reports whether one side has an address that says nothing of where it is: unspecified, loopback, link-local.
func nowhere(b *flow.Block, i int) bool {
	c, s := b.Client[i], b.Server[i]
	return c.IsUnspecified() || s.IsUnspecified() || c.IsLoopback() || s.IsLoopback() || c.IsLinkLocalUnicast() || s.IsLinkLocalUnicast()
}
