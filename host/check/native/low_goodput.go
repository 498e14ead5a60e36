package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// goodputLimit is the share of payload, in percent of all bytes, at or below which goodput is low.
const goodputLimit = 60

// chatty are protocols that send little at a time by nature.
var chatty = map[dissect.Protocol]bool{
	dissect.ProtoMDNS: true, dissect.ProtoNtop: true, dissect.ProtoSignal: true, dissect.ProtoQQ: true, dissect.ProtoIRC: true,
	dissect.ProtoTelnet: true, dissect.ProtoSSH: true, dissect.ProtoWhatsApp: true, dissect.ProtoWhatsAppCall: true,
	dissect.ProtoWhatsAppFiles: true, dissect.ProtoTelegram: true, dissect.ProtoKakaoTalk: true, dissect.ProtoKakaoTalkVoice: true,
	dissect.ProtoWeChat: true,
}

func lowGoodput() FlowDef {
	return FlowDef{
		Info: Info{
			Key: "flow/low_goodput", Entity: alert.EntityFlow, AlertID: 12, Category: alert.Network, Score: 10, DefaultOn: true,
			Hooks:  flow.Hooks(flow.End),
			Title:  "Low goodput",
			Text:   "Of all bytes of an established TCP flow at most 60 % were payload; the rest are headers of small or empty packets.",
			Advice: "Nothing to do for single flows; many of one application waste the network, or keep a server busy on purpose.",
		},
		New: func(Env, Args) (FlowCheck, error) {
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, l4 := range b.L4[:b.N] {
						if l4 != tcp || b.Flags[i]&flow.Established == 0 || b.Packets[0][i]+b.Packets[1][i] <= 3 {
							continue
						}
						good, all := b.Payload[0][i]+b.Payload[1][i], b.Bytes[0][i]+b.Bytes[1][i]
						if good*100 <= all*goodputLimit && !chatty[b.Protocol[i]] && !chatty[b.App[i]] {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					good := r.B.Payload[0][r.I] + r.B.Payload[1][r.I]
					all := max(r.B.Bytes[0][r.I]+r.B.Bytes[1][r.I], 1)
					return Words{
						Message: fmt.Sprintf("%s (%s): only %d %% of %s were payload", r.Ends(), r.Label(), good*100/all, size(all)),
						Info:    r.Fact(),
					}
				},
			}, nil
		},
	}
}
