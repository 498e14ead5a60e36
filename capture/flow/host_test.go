package flow

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"github.com/tocsin-net/tocsin/capture/decode"
)

// host finds one host of a batch.
func (r *recorder) host(t *testing.T, batch int, a string) Host {
	t.Helper()
	if batch >= len(r.hosts) {
		t.Fatalf("%d batches, wanted number %d", len(r.hosts), batch)
	}
	for _, h := range r.hosts[batch].Hosts {
		if h.Addr == netip.MustParseAddr(a) {
			return h
		}
	}
	t.Fatalf("no host %s in batch %d", a, batch)
	return Host{}
}

func TestHostCounters(t *testing.T) {
	const c, s = "10.0.0.1:40000>10.0.0.2:80", "10.0.0.2:80>10.0.0.1:40000"
	icmp := event{3, decode.Packet{Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), L4: decode.ICMP, ICMPType: 8, Packets: 1, Bytes: 70}}
	mac := tcpAt(0, c, SYN)
	mac.p.HasMAC, mac.p.SrcMAC = true, [6]byte{2, 0, 0, 0, 0, 1}
	multicast := udpAt(3, "10.0.0.1:5000>224.0.0.251:5353")
	r := &recorder{periods: []Period{Minute}}
	run(Options{Local: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}, r,
		mac, tcpAt(0, s, SYN|ACK), tcpAt(0, c, ACK), tcpAt(1, c, FIN|ACK), tcpAt(1, s, FIN|ACK), // a whole connection
		tcpAt(2, "10.0.0.1:40001>10.0.0.2:81", SYN),                                                  // never answered
		tcpAt(2, "10.0.0.1:40002>10.0.0.2:82", SYN), tcpAt(2, "10.0.0.2:82>10.0.0.1:40002", RST|ACK), // refused
		tcpAt(2, "10.0.0.1:40003>10.0.0.2:83", FIN), // a FIN scan
		udpAt(3, "10.0.0.1:5000>10.0.0.2:9999"),     // never answered
		multicast, icmp, udpAt(20, "10.0.0.3:1>10.0.0.4:2"),
	)
	got := r.host(t, 0, "10.0.0.1")
	got.First, got.Last = 0, 0
	want := Host{
		Addr: netip.MustParseAddr("10.0.0.1"), MAC: [6]byte{2, 0, 0, 0, 0, 1}, Local: true,
		Packets: [2]uint64{9, 3}, Bytes: [2]uint64{870, 300}, SYNs: [2]uint32{3, 0}, SYNACKs: [2]uint32{0, 1},
		FINs: [2]uint32{1, 0}, RSTs: [2]uint32{0, 1}, ICMP: [2]uint32{1, 0}, Flows: [2]uint32{7, 0}, HalfOpen: [2]uint32{1, 0},
		Unanswered: [2]uint32{1, 0}, Peers: 2, Ports: 6,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if s := r.host(t, 0, "10.0.0.2"); s.HalfOpen[1] != 1 || s.Unanswered[1] != 1 || s.Flows[1] != 6 || s.Local || s.Peers != 0 || s.FINs[1] != 1 {
		t.Errorf("server: %+v", s)
	}
	if b := r.hosts[0]; !b.Last || b.From != epoch*1e9 || b.To != (epoch+20)*1e9+1 {
		t.Errorf("batch from %d to %d, last %v", b.From, b.To, b.Last)
	}
}

func TestHostPeriods(t *testing.T) {
	r := &recorder{periods: []Period{FiveMinutes, Minute}}
	var es []event
	for i := range 40 { // every 10 s a new peer, two packets each
		es = append(es, udpAt(float64(i*10), fmt.Sprintf("10.0.0.1:5000>10.0.1.%d:9999", i)), udpAt(float64(i*10), fmt.Sprintf("10.0.1.%d:9999>10.0.0.1:5000", i)))
	}
	run(Options{}, r, es...)
	total := map[Period]uint64{}
	peers := map[Period][]uint32{}
	for i, b := range r.hosts {
		if last := i >= len(r.hosts)-2; b.Last != last {
			t.Errorf("batch %d: last is %v", i, b.Last)
		}
		h := r.host(t, i, "10.0.0.1")
		total[b.Period] += h.Packets[0]
		peers[b.Period] = append(peers[b.Period], h.Peers)
	}
	if fmt.Sprint(peers[Minute]) != "[6 6 6 6 6 6 4]" || fmt.Sprint(peers[FiveMinutes]) != "[30 10]" {
		t.Errorf("peers by minute %v, by five minutes %v", peers[Minute], peers[FiveMinutes])
	}
	if total[Minute] != 40 || total[FiveMinutes] != 40 {
		t.Errorf("packets %v", total)
	}
	if len(r.hosts[0].Hosts) != 7 {
		t.Errorf("%d hosts in the first minute", len(r.hosts[0].Hosts))
	}
}

func TestHostsKeepRecordsWhenIdle(t *testing.T) {
	r := &recorder{periods: []Period{Minute, Hour}}
	tab := New(Options{}, r)
	p := pkt(decode.UDP, "10.0.0.1:1>10.0.0.2:2", 0)
	tab.Packet(&p, epoch*1e9)
	p = pkt(decode.UDP, "10.0.0.3:1>10.0.0.4:2", 0)
	tab.Packet(&p, (epoch+1800)*1e9) // the hour's counters must outlive the hosts' flows
	tab.Finish()
	last := len(r.hosts) - 1
	if r.hosts[last].Period != Hour || len(r.hosts[last].Hosts) != 4 || r.host(t, last, "10.0.0.1").Packets[0] != 1 {
		t.Errorf("last batch: %+v", r.hosts[last])
	}
}

func TestHostCap(t *testing.T) {
	r := &recorder{periods: []Period{Minute, Day}}
	tab := New(Options{MaxHosts: 100}, r)
	for i := range 5000 {
		p := pkt(decode.UDP, fmt.Sprintf("10.0.%d.%d:1>10.9.9.9:2", i/200, i%200), 0)
		tab.Packet(&p, (epoch+int64(i))*1e9)
		if tab.Stats().OpenHosts > 100 {
			t.Fatal("the cap does not hold")
		}
	}
	tab.Finish()
	if s := tab.Stats(); s.LostHosts == 0 || s.LostHosts > 5000 {
		t.Errorf("%+v", s)
	}
	late := 0
	for _, b := range r.hosts[len(r.hosts)/2:] {
		late += len(b.Hosts)
	}
	if late < 100 {
		t.Errorf("the first hosts keep all others out: %d records late in the capture", late)
	}
}

func TestDistinct(t *testing.T) {
	for _, n := range []int{0, 1, 5, 64, maxExact + 1, 1000, 20000, 1000000} {
		var d, twice, a, b distinct
		for i := range n {
			v := mix(uint64(i) + 1<<40)
			d.add(v)
			twice.add(v)
			twice.add(v)
			if i%2 == 0 {
				a.add(v)
			} else {
				b.add(v)
			}
		}
		a.merge(&b)
		off := math.Abs(float64(d.count())-float64(n)) / float64(max(n, 1))
		if n <= maxExact+1 && off != 0 || off > 0.1 {
			t.Errorf("%d values counted as %d", n, d.count())
		}
		if twice.count() != d.count() {
			t.Errorf("%d values, each added twice: %d and %d", n, twice.count(), d.count())
		}
		if n <= maxExact+1 && a.count() != d.count() || n > 2*maxExact && a.count() != d.count() {
			t.Errorf("%d values, merged from halves: %d and %d", n, a.count(), d.count())
		}
	}
}

func BenchmarkDistinct(b *testing.B) {
	var d distinct
	b.ReportAllocs()
	v := uint64(0)
	for b.Loop() {
		v++
		d.add(mix(v))
	}
}
