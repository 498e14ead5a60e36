package check

import (
	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// flowOf copies what an alert says of its flow out of a record.
func flowOf(b *flow.Block, i int) *alert.Flow {
	f := &alert.Flow{
		L4: flow.L4Name(b.L4[i]), Client: b.Client[i], Server: b.Server[i], ClientPort: b.ClientPort[i], ServerPort: b.ServerPort[i],
		VLAN: b.VLAN[i], Protocol: dissect.Label(b.Protocol[i], b.App[i]), First: unix(b.First[i]), Last: unix(b.Last[i]),
		Packets:   [2]uint64{b.Packets[0][i], b.Packets[1][i]},
		Bytes:     [2]uint64{b.Bytes[0][i], b.Bytes[1][i]},
		ClientLoc: b.Flags[i]&flow.ClientLocal != 0, ServLoc: b.Flags[i]&flow.ServerLocal != 0,
	}
	f.CommunityID = b.CommunityID(i, 0)
	if m := b.Meta[i]; m != nil {
		f.Hostname = m.Hostname
	}
	return f
}
