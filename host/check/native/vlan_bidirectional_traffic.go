package native

import (
	"fmt"
	"strconv"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func vlanBidirectional() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/vlan_bidirectional_traffic", Entity: alert.EntityFlow, AlertID: 91, Category: alert.Security, Score: 100, Hooks: afterDetection,
			Title:  "Answers in a one-way VLAN",
			Text:   "A remote server answered in a VLAN that is listed as one-way, such as one that only receives a copy of other traffic.",
			Advice: "Check the switch: a port of another VLAN may be connected to it.",
			Params: []Param{{Name: "items", Kind: List, Text: "VLAN ids, 0 to 4095, in which only one direction is expected", Default: []string(nil)}},
		},
		New: func(_ Env, a Args) (FlowCheck, error) {
			var watched [4096]bool
			for _, it := range a.List("items") {
				n, err := strconv.ParseUint(it, 10, 16)
				if err != nil || n >= uint64(len(watched)) {
					return FlowCheck{}, &ParamError{"items", fmt.Sprintf("%q is no VLAN id: write a number from 0 to 4095", it)}
				}
				watched[n] = true
			}
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, v := range b.VLAN[:b.N] {
						if watched[v&4095] && b.Packets[0][i] > 0 && b.Packets[1][i] > 0 && b.Flags[i]&(flow.ServerLocal|flow.MulticastDest) == 0 {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s: the server answered in VLAN %d, where only one direction is expected", r.Ends(), r.B.VLAN[r.I]), Info: r.Fact()}
				},
			}, nil
		},
	}
}
