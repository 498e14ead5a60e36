package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func elephantFlows() FlowDef {
	const gigabyte = int64(1) << 30
	return FlowDef{
		Info: Info{
			Key: "flow/elephant_flows", Entity: alert.EntityFlow, AlertID: 8, Category: alert.Security, Score: 50, DefaultOn: true,
			Hooks:  flow.Hooks(flow.Periodic, flow.End),
			Title:  "Elephant flow",
			Text:   "One flow carried an unusual amount of data.",
			Advice: "Find out what was transferred; exclude the application if such flows are normal for it.",
			Params: []Param{
				{Name: "l2r_bytes_value", Unit: "bytes", Text: "limit from local to remote, or from client to server", Default: gigabyte, Min: 1, Max: 1 << 50},
				{Name: "r2l_bytes_value", Unit: "bytes", Text: "limit from remote to local, or from server to client", Default: gigabyte, Min: 1, Max: 1 << 50},
				{Name: "items", Kind: List, Text: "applications that are excluded, such as BitTorrent", Default: []string(nil)},
			},
		},
		New: func(_ Env, a Args) (FlowCheck, error) {
			out, in := uint64(a.Int("l2r_bytes_value")), uint64(a.Int("r2l_bytes_value"))
			but, err := newApplications(a.List("items"))
			if err != nil {
				return FlowCheck{}, err
			}
			least := min(out, in)
			// limits gives those of both directions of a record: where the server alone is local, what the client
			// sends goes from remote to local.
			limits := func(f flow.Flags) [2]uint64 {
				if f&(flow.ClientLocal|flow.ServerLocal) == flow.ServerLocal {
					return [2]uint64{in, out}
				}
				return [2]uint64{out, in}
			}
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					down := b.Bytes[1][:b.N]
					for i, up := range b.Bytes[0][:b.N] {
						if up <= least && down[i] <= least {
							continue
						}
						if l := limits(b.Flags[i]); (up > l[0] || down[i] > l[1]) && !but.have(b, i) {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					l, n, way := limits(r.B.Flags[r.I]), r.B.Bytes[0][r.I], 0
					if down := r.B.Bytes[1][r.I]; n <= l[0] || down > n && down > l[1] {
						n, way = down, 1
					}
					return Words{
						Message: fmt.Sprintf("%s: the %s sent %s with %s in %s (limit %s)", r.Ends(), [2]string{"client", "server"}[way], size(n),
							r.Label(), span(r.Duration()), size(l[way])),
						Info: r.Fact(),
					}
				},
			}, nil
		},
	}
}
