package check

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// row is one flow record for tests; what is left out is an ordinary TCP flow from a local client to a remote server.
type row struct {
	id             uint64
	l4             uint8
	client, server string
	cport, sport   uint16
	vlan           uint16
	flags          flow.Flags
	last           time.Duration // of the flow, from its first packet
	packets, bytes [2]uint64
	payload        [2]uint64
	empty          bool // no payload
	tcp            [2]uint8
	proto, app     dissect.Protocol
	cat            dissect.Category
	conf           dissect.Confidence
	risks          []dissect.Risk
	meta           *dissect.Meta
}

var start = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// block builds a block of the rows.
func block(h flow.Hook, rows ...row) *flow.Block {
	b := &flow.Block{Hook: h, N: len(rows)}
	for i, r := range rows {
		b.ID = append(b.ID, or(r.id, uint64(i+1)))
		b.L4 = append(b.L4, or(r.l4, 6))
		b.Client = append(b.Client, netip.MustParseAddr(or(r.client, "192.168.1.7")))
		b.Server = append(b.Server, netip.MustParseAddr(or(r.server, "198.51.100.2")))
		b.ClientPort = append(b.ClientPort, or(r.cport, 50000))
		b.ServerPort = append(b.ServerPort, or(r.sport, 443))
		b.VLAN = append(b.VLAN, r.vlan)
		b.Tunnel = append(b.Tunnel, flow.NoTunnel)
		b.Flags = append(b.Flags, or(r.flags, flow.ClientLocal|flow.SawSYN|flow.Established))
		b.First = append(b.First, start.UnixNano())
		b.Last = append(b.Last, start.Add(or(r.last, time.Second)).UnixNano())
		for d := range 2 {
			b.Packets[d] = append(b.Packets[d], or(r.packets, [2]uint64{10, 10})[d])
			b.Bytes[d] = append(b.Bytes[d], or(r.bytes, [2]uint64{9000, 9000})[d])
			b.Payload[d] = append(b.Payload[d], or(r.payload, [2]uint64{8400, 8400})[d])
			if r.empty {
				b.Payload[d][i] = 0
			}
			b.TCPFlags[d] = append(b.TCPFlags[d], or(r.tcp, [2]uint8{flow.SYN | flow.ACK, flow.SYN | flow.ACK})[d])
		}
		b.ICMPType = append(b.ICMPType, 0)
		b.ICMPCode = append(b.ICMPCode, 0)
		b.Protocol = append(b.Protocol, or(r.proto, dissect.ProtoHTTP))
		b.App = append(b.App, r.app)
		b.Category = append(b.Category, or(r.cat, dissect.CategoryWeb))
		b.Confidence = append(b.Confidence, or(r.conf, dissect.ConfidenceDPI))
		var rs dissect.Risks
		for _, k := range r.risks {
			rs |= 1 << k
		}
		b.Risks = append(b.Risks, rs)
		b.Meta = append(b.Meta, r.meta)
	}
	return b
}

// minute builds the host batch of the nth minute.
func minute(n int, hosts ...flow.Host) *flow.HostBatch {
	from := start.Add(time.Duration(n) * time.Minute)
	return &flow.HostBatch{Period: flow.Minute, From: from.UnixNano(), To: from.Add(time.Minute).UnixNano(), Hosts: hosts}
}

var local = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}

// engine makes an engine and the list that its alerts go to.
func engine(t testing.TB, selection string, params map[string]Params) (*Engine, *[]*alert.Alert) {
	t.Helper()
	cfg, err := ParseSelection(selection)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Params, cfg.Local, cfg.Interface = params, local, "test.pcap"
	var got []*alert.Alert
	e, err := New(cfg, func(a *alert.Alert) { got = append(got, a) })
	if err != nil {
		t.Fatal(err)
	}
	return e, &got
}
