package flow

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"github.com/tocsin-net/tocsin/capture/decode"
)

// recorder is a sink that keeps everything.
type recorder struct {
	hooks   HookSet
	periods []Period
	flows   []string
	hosts   []HostBatch
	blocks  int
	fail    error
}

func (r *recorder) Hooks() HookSet    { return r.hooks }
func (r *recorder) Periods() []Period { return r.periods }

func (r *recorder) Flows(b *Block) error {
	r.blocks++
	for i := range b.N {
		var flags []string
		for bit, name := range []string{"cl", "sl", "syn", "est", "closed", "evicted", "cut", "open", "refused", "mc"} {
			if b.Flags[i]>>bit&1 != 0 {
				flags = append(flags, name)
			}
		}
		hook := [...]string{"begin", "detected", "periodic", "end"}[b.Hook]
		r.flows = append(r.flows, fmt.Sprintf("%s %d %v:%d>%v:%d %d/%d %s", hook, b.ID[i], b.Client[i], b.ClientPort[i],
			b.Server[i], b.ServerPort[i], b.Packets[0][i], b.Packets[1][i], strings.Join(flags, ",")))
	}
	return r.fail
}

func (r *recorder) Hosts(b *HostBatch) error {
	c := *b
	c.Hosts = append([]Host(nil), b.Hosts...)
	r.hosts = append(r.hosts, c)
	return r.fail
}

func addr(s string) decode.Addr {
	a := netip.MustParseAddr(s)
	b := a.As16()
	var x decode.Addr
	for i := range 8 {
		x.Hi = x.Hi<<8 | uint64(b[i])
		x.Lo = x.Lo<<8 | uint64(b[i+8])
	}
	return x
}

// event is a packet and its time in seconds.
type event struct {
	at float64
	p  decode.Packet
}

// pkt makes a packet of 100 bytes from a text such as "10.0.0.1:1000>10.0.0.2:80".
func pkt(l4 uint8, tuple string, flags uint8) decode.Packet {
	from, to, _ := strings.Cut(tuple, ">")
	a, b := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	return decode.Packet{
		Src: addr(a.Addr().String()), Dst: addr(b.Addr().String()), SrcPort: a.Port(), DstPort: b.Port(), L4: l4, V6: a.Addr().Is6(),
		TCPFlags: flags, Packets: 1, Bytes: 100,
	}
}

func tcpAt(at float64, tuple string, flags uint8) event {
	return event{at, pkt(decode.TCP, tuple, flags)}
}
func udpAt(at float64, tuple string) event { return event{at, pkt(decode.UDP, tuple, 0)} }

const epoch = 1700000000

func run(o Options, r *recorder, es ...event) *Table {
	t := New(o, r)
	for i := range es {
		t.Packet(&es[i].p, int64((epoch+es[i].at)*1e9))
	}
	t.Finish()
	return t
}

func TestFlows(t *testing.T) {
	const c, s = "10.0.0.1:40000>10.0.0.2:80", "10.0.0.2:80>10.0.0.1:40000"
	handshake := []event{tcpAt(0, c, SYN), tcpAt(0.1, s, SYN|ACK), tcpAt(0.2, c, ACK)}
	with := func(es ...event) []event { return append(handshake[:3:3], es...) }
	multicast := udpAt(0, "10.0.0.1:5000>224.0.0.251:5353")
	broadcast := udpAt(0, "10.0.0.1:5000>10.0.0.255:137")
	broadcast.p.HasMAC, broadcast.p.DstMAC = true, [6]byte{255, 255, 255, 255, 255, 255}
	refused := event{1, decode.Packet{
		Src: addr("10.0.0.2"), Dst: addr("10.0.0.1"), L4: decode.ICMP, ICMPType: 3, ICMPCode: 3, Packets: 1, Bytes: 70,
		Payload: []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0, 53, 0, 8, 0, 0},
	}}
	reply := event{0, decode.Packet{Src: addr("10.0.0.2"), Dst: addr("10.0.0.1"), L4: decode.ICMP, Packets: 1, Bytes: 70}}
	vlan := udpAt(2, "10.0.0.1:1000>10.0.0.2:1001")
	vlan.p.VLAN = 4
	for _, tc := range []struct {
		name   string
		events []event
		want   []string // End records, in order
	}{
		{"handshake", with(), []string{"1 10.0.0.1:40000>10.0.0.2:80 2/1 syn,est,open"}},
		{"closed by both", with(tcpAt(1, c, FIN|ACK), tcpAt(1, s, FIN|ACK), tcpAt(1, c, ACK)), []string{"1 10.0.0.1:40000>10.0.0.2:80 4/2 syn,est,closed,open"}},
		{"one FIN is not closed", with(tcpAt(1, c, FIN|ACK)), []string{"1 10.0.0.1:40000>10.0.0.2:80 3/1 syn,est,open"}},
		{"half open", handshake[:1], []string{"1 10.0.0.1:40000>10.0.0.2:80 1/0 syn,open"}},
		{"half-open scan", []event{handshake[0], handshake[1], tcpAt(1, c, RST)}, []string{"1 10.0.0.1:40000>10.0.0.2:80 2/1 syn,closed,open"}},
		{"refused", []event{handshake[0], tcpAt(1, s, RST|ACK)}, []string{"1 10.0.0.1:40000>10.0.0.2:80 1/1 syn,closed,open,refused"}},
		{"SYN-ACK first", handshake[1:], []string{"1 10.0.0.1:40000>10.0.0.2:80 1/1 est,open"}},
		{"SYN late", []event{tcpAt(0, "10.0.0.2:2000>10.0.0.1:2001", ACK), tcpAt(0.1, "10.0.0.1:2001>10.0.0.2:2000", SYN)}, []string{"1 10.0.0.1:2001>10.0.0.2:2000 1/1 syn,open"}},
		{"mid flow, server first", []event{tcpAt(0, s, ACK), tcpAt(0, c, ACK)}, []string{"1 10.0.0.1:40000>10.0.0.2:80 1/1 est,open"}},
		{"new SYN after RST", with(tcpAt(1, s, RST), tcpAt(2, c, SYN)), []string{"1 10.0.0.1:40000>10.0.0.2:80 2/2 syn,est,closed", "2 10.0.0.1:40000>10.0.0.2:80 1/0 syn,open"}},
		{"late packets of a closed flow", with(tcpAt(1, s, RST), tcpAt(2, c, ACK)), []string{"1 10.0.0.1:40000>10.0.0.2:80 3/2 syn,est,closed,open"}},
		{"idle TCP", with(tcpAt(590, c, ACK), tcpAt(1300, c, ACK)), []string{"1 10.0.0.1:40000>10.0.0.2:80 3/1 syn,est", "2 10.0.0.1:40000>10.0.0.2:80 1/0 open"}},
		{"idle half-open TCP", []event{handshake[0], tcpAt(100, c, SYN)}, []string{"1 10.0.0.1:40000>10.0.0.2:80 1/0 syn", "2 10.0.0.1:40000>10.0.0.2:80 1/0 syn,open"}},
		{"idle UDP", []event{udpAt(0, "10.0.0.1:1000>10.0.0.2:1001"), udpAt(29, "10.0.0.1:1000>10.0.0.2:1001"), udpAt(62, "10.0.0.1:1000>10.0.0.2:1001")}, []string{"1 10.0.0.1:1000>10.0.0.2:1001 2/0 ", "2 10.0.0.1:1000>10.0.0.2:1001 1/0 open"}},
		{"answered UDP", []event{udpAt(0, "10.0.0.1:1000>10.0.0.2:1001"), udpAt(1, "10.0.0.2:1001>10.0.0.1:1000"), udpAt(280, "10.0.0.1:1000>10.0.0.2:1001")}, []string{"1 10.0.0.1:1000>10.0.0.2:1001 2/1 est,open"}},
		{"DNS answer alone", []event{udpAt(0, "10.0.0.2:53>10.0.0.1:40000")}, []string{"1 10.0.0.1:40000>10.0.0.2:53 0/1 open"}},
		{"low ports both", []event{udpAt(0, "10.0.0.2:67>10.0.0.1:68")}, []string{"1 10.0.0.2:67>10.0.0.1:68 1/0 open"}},
		{"echo reply alone", []event{reply}, []string{"1 10.0.0.1:0>10.0.0.2:0 0/1 open"}},
		{"multicast", []event{multicast}, []string{"1 10.0.0.1:5000>224.0.0.251:5353 1/0 open,mc"}},
		{"broadcast", []event{broadcast}, []string{"1 10.0.0.1:5000>10.0.0.255:137 1/0 open,mc"}},
		{"port unreachable", []event{udpAt(0, "10.0.0.1:5000>10.0.0.2:53"), refused}, []string{"1 10.0.0.1:5000>10.0.0.2:53 1/0 open,refused", "2 10.0.0.2:0>10.0.0.1:0 1/0 open"}},
		{"VLANs differ", []event{udpAt(1, "10.0.0.1:1000>10.0.0.2:1001"), vlan}, []string{"1 10.0.0.1:1000>10.0.0.2:1001 1/0 open", "2 10.0.0.1:1000>10.0.0.2:1001 1/0 open"}},
		{"same address", []event{udpAt(1, "10.0.0.1:2>10.0.0.1:1"), udpAt(1, "10.0.0.1:1>10.0.0.1:2")}, []string{"1 10.0.0.1:2>10.0.0.1:1 1/1 est,open"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &recorder{hooks: Hooks(End)}
			tab := run(Options{}, r, tc.events...)
			for i := range tc.want {
				tc.want[i] = "end " + tc.want[i]
			}
			if got := strings.Join(r.flows, "\n"); got != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(tc.want, "\n"))
			}
			if s := tab.Stats(); s.OpenFlows != 0 || s.Flows != uint64(len(tc.want)) || tab.index.n != 0 {
				t.Errorf("left behind: %+v", s)
			}
		})
	}
}

func TestLocality(t *testing.T) {
	r := &recorder{hooks: Hooks(Begin)}
	local := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	run(Options{Local: local}, r, udpAt(0, "10.0.0.1:1>8.8.8.8:53"), udpAt(0, "[2001:db9::1]:9>[2001:db8::1]:53"))
	want := "begin 1 10.0.0.1:1>8.8.8.8:53 0/0 cl\nbegin 2 2001:db9::1:9>2001:db8::1:53 0/0 sl"
	if got := strings.Join(r.flows, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHooks(t *testing.T) {
	query := udpAt(0, "10.0.0.1:4000>10.0.0.2:53")
	query.p.Payload = []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01")
	query.p.PayloadLen, query.p.WholeLen = len(query.p.Payload), len(query.p.Payload)
	es := []event{query, udpAt(0.5, "10.0.0.2:53>10.0.0.1:4000")}
	for at := 20.0; at < 150; at += 10 {
		es = append(es, udpAt(at, "10.0.0.1:4000>10.0.0.2:53"))
	}
	r := &recorder{hooks: Hooks(Begin, Detected, Periodic, End)}
	tab := run(Options{}, r, es...)
	var got []string
	for _, f := range r.flows {
		got = append(got, strings.Fields(f)[0])
	}
	if s := strings.Join(got, " "); s != "begin detected periodic periodic end" {
		t.Errorf("records: %s", s)
	}
	if tab.Stats().Detections != 1 {
		t.Errorf("%+v", tab.Stats())
	}
}

func TestEvictHalfOpenFirst(t *testing.T) {
	r := &recorder{hooks: Hooks(End)}
	var es []event
	const c, s = "10.0.0.1:40000>10.0.0.2:80", "10.0.0.2:80>10.0.0.1:40000"
	es = append(es, tcpAt(0, c, SYN), tcpAt(0, s, SYN|ACK), tcpAt(0, c, ACK))
	for i := range 100 {
		es = append(es, tcpAt(1+float64(i)/1000, fmt.Sprintf("10.0.1.%d:1000>10.0.0.2:80", i), SYN))
	}
	tab := run(Options{MaxFlows: 10}, r, es...)
	if n := tab.Stats().Evicted; n != 91 {
		t.Errorf("%d evicted", n)
	}
	for _, f := range r.flows {
		if strings.Contains(f, "40000") && strings.Contains(f, "evicted") {
			t.Errorf("the established flow had to go: %s", f)
		}
	}
	// With nothing half-open, something else goes, and the cap still holds.
	r = &recorder{}
	tab = New(Options{MaxFlows: 10}, r)
	for i := range 1000 {
		for _, e := range []event{udpAt(0, fmt.Sprintf("10.0.0.1:%d>10.0.0.2:9999", 2000+i)), udpAt(0, fmt.Sprintf("10.0.0.2:9999>10.0.0.1:%d", 2000+i))} {
			tab.Packet(&e.p, epoch*1e9)
		}
		if tab.Stats().OpenFlows > 10 {
			t.Fatal("the cap does not hold")
		}
	}
}

func TestTimeJumps(t *testing.T) {
	r := &recorder{hooks: Hooks(End, Periodic), periods: []Period{Minute, Day}}
	tab := New(Options{}, r)
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		at := int64(epoch * 1e9)
		switch rnd.IntN(20) {
		case 0:
			at = rnd.Int64N(1 << 62)
		case 1:
			at = 0
		}
		p := pkt(decode.UDP, fmt.Sprintf("10.0.0.1:%d>10.0.0.2:99", rnd.IntN(500)+1), 0)
		tab.Packet(&p, at)
	}
	tab.Finish()
	if s := tab.Stats(); s.OpenFlows != 0 || tab.index.n != 0 || tab.halfHead != none {
		t.Errorf("%+v", s)
	}
	for _, h := range tab.wheel.heads {
		if h != none {
			t.Fatal("a flow hangs in the wheel after the end")
		}
	}
}

func TestOrderAtEnd(t *testing.T) {
	r := &recorder{hooks: Hooks(End)}
	var es []event
	for i := range 3000 {
		es = append(es, udpAt(float64(i)/1000, fmt.Sprintf("10.0.%d.%d:1>10.0.0.2:99", i/250, i%250+1)))
	}
	run(Options{}, r, es...)
	for i, f := range r.flows {
		if !strings.HasPrefix(f, fmt.Sprintf("end %d ", i+1)) {
			t.Fatalf("record %d is %s", i, f)
		}
	}
	if len(r.flows) != 3000 || r.blocks != 3 {
		t.Errorf("%d records in %d blocks", len(r.flows), r.blocks)
	}
}

func TestSinkError(t *testing.T) {
	fault := errors.New("full")
	r := &recorder{hooks: Hooks(End), periods: []Period{Minute}, fail: fault}
	tab := run(Options{}, r, udpAt(0, "10.0.0.1:1>10.0.0.2:2"))
	if !errors.Is(tab.Err(), fault) || r.blocks != 1 || len(r.hosts) != 0 {
		t.Errorf("error %v after %d blocks, %d host batches", tab.Err(), r.blocks, len(r.hosts))
	}
}

// TestIndex compares the index with a map over many insertions and removals.
func TestIndex(t *testing.T) {
	x := newIndex()
	rnd := rand.New(rand.NewPCG(1, 1))
	have := map[uint32]uint32{} // index -> hash
	for i := range uint32(20000) {
		if rnd.IntN(5) < 3 {
			h := rnd.Uint32() >> rnd.IntN(20) // many collide
			x.insert(h, i)
			have[i] = h
		} else {
			for k, h := range have {
				x.remove(h, k)
				delete(have, k)
				break
			}
		}
	}
	if x.n != len(have) {
		t.Fatalf("%d entries, want %d", x.n, len(have))
	}
	for i, h := range have {
		found := false
		for p := h & x.mask; x.slots[p] != 0; p = (p + 1) & x.mask {
			found = found || x.slots[p] == uint64(h)<<32|uint64(i+1)
		}
		if !found {
			t.Fatalf("entry %d is lost", i)
		}
	}
}

func TestHotRecordSize(t *testing.T) {
	if n := unsafe.Sizeof(*new(hot)); n != 128 {
		t.Errorf("a hot record has %d bytes", n)
	}
}

func BenchmarkTable(b *testing.B) {
	for _, tc := range []struct {
		name  string
		flows int
		o     Options
		hosts bool
	}{{"1k flows", 1000, Options{HeadersOnly: true}, false}, {"100k flows", 100000, Options{HeadersOnly: true}, false}, {"1k flows and hosts", 1000, Options{HeadersOnly: true}, true}} {
		b.Run(tc.name, func(b *testing.B) {
			r := &recorder{}
			if tc.hosts {
				r.periods = []Period{Minute}
			}
			t := New(tc.o, r)
			ps := make([]decode.Packet, tc.flows)
			for i := range ps {
				ps[i] = pkt(decode.UDP, fmt.Sprintf("10.%d.%d.%d:1000>10.0.0.2:99", i/62500, i/250%250, i%250+1), 0)
			}
			b.ReportAllocs()
			i, now := 0, int64(epoch*1e9)
			for b.Loop() {
				t.Packet(&ps[i], now)
				now += 1000
				if i++; i == len(ps) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkNewFlows(b *testing.B) {
	t := New(Options{}, &recorder{})
	p := pkt(decode.TCP, "10.0.0.1:1000>10.0.0.2:99", SYN)
	b.ReportAllocs()
	now := int64(epoch * 1e9)
	for b.Loop() {
		p.Src.Lo++
		now += 10000
		t.Packet(&p, now)
	}
}
