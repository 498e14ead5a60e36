package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func dnsDataExfiltration() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/dns_data_exfiltration", Entity: alert.EntityFlow, AlertID: 6, Category: alert.Security, Score: 50, DefaultOn: true,
			Hooks:  afterDetection,
			Title:  "Data in DNS names",
			Text:   "A client asks for names that are so long that they may carry data out of the network (a DNS tunnel).",
			Advice: "Find out which program asks for such names; if none that you know does, isolate the client.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, m := range b.Meta[:b.N] {
						if m != nil && m.DNS != nil && m.DNS.LongName != "" {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					name := ""
					if d := r.Meta().DNS; d != nil {
						name = d.LongName
					}
					return Words{
						Message:  fmt.Sprintf("%s: asked for a name of %d characters, %s", r.Ends(), len(name), name),
						Attacker: alert.Client, Info: name,
					}
				},
			}, nil
		},
	}
}
