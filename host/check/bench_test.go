package check

import (
	"net/netip"
	"testing"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
)

// fullBlock is a block of ordinary flows in which no check of the selection finds anything.
func fullBlock(h flow.Hook) *flow.Block {
	rows := make([]row, flow.BlockSize)
	for i := range rows {
		rows[i] = row{id: uint64(i + 1), risks: []dissect.Risk{dissect.RiskURLXSS}}
		if i%4 == 0 {
			rows[i].l4, rows[i].proto, rows[i].sport = 17, dissect.ProtoDNS, 53
		}
	}
	return block(h, rows...)
}

// BenchmarkRisks runs all risk checks but one; each flow has the risk of that one.
func BenchmarkRisks(b *testing.B) {
	benchFlows(b, "all"+noFlows()+",-flow/ndpi_url_possible_xss", flow.Detected)
}

// BenchmarkFlowChecks runs all checks that look at more than risks, over a block at its end.
func BenchmarkFlowChecks(b *testing.B) {
	benchFlows(b, "all,-flow/ndpi_url_possible_xss", flow.End)
}

func noFlows() (s string) {
	for _, i := range All() {
		if len(i.Params) > 0 || i.Entity != 4 {
			s += ",-" + i.Key
		}
	}
	for _, k := range []string{"broadcast_non_udp_traffic", "low_goodput", "remote_access", "remote_to_local_insecure_flow", "remote_to_remote", "tcp_connection_failed", "tcp_connection_refused", "tcp_flow_reset", "tcp_no_data_exchanged"} {
		s += ",-flow/" + k
	}
	return s
}

func benchFlows(b *testing.B, sel string, h flow.Hook) {
	e, got := engine(b, sel, map[string]Params{"flow/unexpected_dns": {"items": []any{"198.51.100.2"}}})
	blk := fullBlock(h)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Flows(blk); err != nil {
			b.Fatal(err)
		}
	}
	if len(*got) != 0 {
		b.Fatalf("%d alerts: this benchmark wants none (%s)", len(*got), (*got)[0].Message)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flow.BlockSize, "ns/flow")
	b.ReportMetric(float64(len(e.flows)), "checks")
}

// BenchmarkHits raises one alert for each flow.
func BenchmarkHits(b *testing.B) {
	e, got := engine(b, "flow/ndpi_url_possible_xss", nil)
	blk := fullBlock(flow.End)
	b.ReportAllocs()
	for b.Loop() {
		*got = (*got)[:0]
		if err := e.Flows(blk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flow.BlockSize, "ns/alert")
}

// BenchmarkHosts runs all host checks over 10,000 hosts of which one scans.
func BenchmarkHosts(b *testing.B) {
	e, _ := engine(b, "all", nil)
	batch := minute(0, make([]flow.Host, 10000)...)
	for i := range batch.Hosts {
		batch.Hosts[i] = flow.Host{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), SYNs: [2]uint32{10, 10}, SYNACKs: [2]uint32{10, 10}}
	}
	batch.Hosts[7].SYNs[0] = 1000
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Hosts(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(batch.Hosts)), "ns/host")
}
