package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

func webMining() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/web_mining", Entity: alert.EntityFlow, AlertID: 27, Category: alert.Security, Score: 50, DefaultOn: true,
			Hooks:  afterDetection,
			Title:  "Cryptocurrency mining",
			Text:   "A client takes part in the mining of a cryptocurrency.",
			Advice: "Find the miner on the client; if nobody installed it the client is compromised.",
			Params: []Param{{Name: "items", Kind: List, Text: "mining servers that are allowed: addresses, networks or names", Default: []string(nil)}},
		},
		New: func(_ Env, a Args) (FlowCheck, error) {
			allowed, err := newExpectation(a.List("items"))
			if err != nil {
				return FlowCheck{}, err
			}
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, c := range b.Category[:b.N] {
						if (c == dissect.CategoryMining || b.Protocol[i] == dissect.ProtoMining || b.App[i] == dissect.ProtoMining) &&
							!allowed.addr(b.Server[i]) && !allowed.name(b.Meta[i]) {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					return Words{Message: fmt.Sprintf("%s: mining of a cryptocurrency (%s)", r.Ends(), r.Label()), Attacker: alert.Client, Info: r.Fact()}
				},
			}, nil
		},
	}
}
