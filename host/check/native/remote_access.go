package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// IsRemoteAccess reports whether the category is one of those by which somebody reaches into another machine or network.
func IsRemoteAccess(c dissect.Category) bool {
	return c == dissect.CategoryRemoteAccess || c == dissect.CategoryVPN || c == dissect.CategoryFileSharing
}

func remoteAccess() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/remote_access", Entity: alert.EntityFlow, AlertID: 57, Category: alert.Network, Score: 10, DefaultOn: true,
			Hooks:  afterDetection,
			Title:  "Remote access",
			Text:   "A flow by which somebody reaches into another machine or network: remote desktop, shell, VPN, file sharing.",
			Advice: "Make sure that the session is wanted.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, c := range b.Category[:b.N] {
						// A port of such a protocol that was only knocked at is no session.
						if IsRemoteAccess(c) && (b.L4[i] != tcp || b.Payload[0][i]|b.Payload[1][i] != 0) {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s: remote access with %s", r.Ends(), r.Label())}
				},
			}, nil
		},
	}
}
