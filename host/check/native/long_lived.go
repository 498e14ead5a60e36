package native

import (
	"fmt"
	"time"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func longLived() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/long_lived", Entity: alert.EntityFlow, AlertID: 11, Category: alert.Security, Score: 10, DefaultOn: true,
			Hooks:  flow.Hooks(flow.Periodic, flow.End),
			Title:  "Long-lived flow",
			Text:   "A flow lasts unusually long, as tunnels and remote controls do.",
			Advice: "Exclude the application if such flows are normal for it.",
			Params: []Param{
				{Name: "min_duration", Unit: "s", Text: "longer flows are reported", Default: int64(43200), Min: 1, Max: 31536000},
				{Name: "items", Kind: List, Text: "applications that are excluded, such as SSH", Default: []string(nil)},
			},
		},
		New: func(_ Env, a Args) (FlowCheck, error) {
			limit := a.Int("min_duration") * int64(time.Second)
			but, err := newApplications(a.List("items"))
			if err != nil {
				return FlowCheck{}, err
			}
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					first := b.First[:b.N]
					for i, last := range b.Last[:b.N] {
						if last-first[i] > limit && !but.have(b, i) && b.Flags[i]&flow.MulticastDest == 0 {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{
						Message: fmt.Sprintf("%s: this %s flow has lasted %s (limit %s)", r.Ends(), r.Label(), span(r.Duration()), span(time.Duration(limit))),
						Info:    r.Fact(),
					}
				},
			}, nil
		},
	}
}
