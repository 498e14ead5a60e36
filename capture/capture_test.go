package capture_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/capture/source"
)

// lines is a sink that keeps every ended flow as a JSON line.
type lines struct {
	hooks   flow.HookSet
	periods []flow.Period
	flows   []string
	hosts   int
	packets uint64
	fail    error
}

func (s *lines) Hooks() flow.HookSet    { return s.hooks | flow.Hooks(flow.End) }
func (s *lines) Periods() []flow.Period { return s.periods }

func (s *lines) Flows(b *flow.Block) error {
	if b.Hook == flow.End {
		for i := range b.N {
			s.flows = append(s.flows, string(flow.AppendJSON(nil, b, i)))
			s.packets += b.Packets[0][i] + b.Packets[1][i]
		}
	}
	return s.fail
}

func (s *lines) Hosts(b *flow.HostBatch) error {
	s.hosts += len(b.Hosts)
	return nil
}

// discard wants what a full run wants and looks at nothing.
type discard struct {
	hooks   flow.HookSet
	periods []flow.Period
}

func (d discard) Hooks() flow.HookSet         { return d.hooks }
func (d discard) Periods() []flow.Period      { return d.periods }
func (d discard) Flows(*flow.Block) error     { return nil }
func (d discard) Hosts(*flow.HostBatch) error { return nil }

// record writes a pcap record of an Ethernet frame.
func record(to []byte, ns int64, frame []byte) []byte {
	le := binary.LittleEndian
	to = le.AppendUint32(to, uint32(ns/1e9))
	to = le.AppendUint32(to, uint32(ns%1e9))
	to = le.AppendUint32(to, uint32(len(frame)))
	return append(le.AppendUint32(to, uint32(len(frame))), frame...)
}

func header() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b23c4d)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	return le.AppendUint32(b, 1)
}

// frame is an Ethernet frame with an IPv4 packet; flags 0 means UDP.
func frame(src, dst string, flags uint8, payload string) []byte {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	be := binary.BigEndian
	var l4 []byte
	proto := byte(17)
	l4 = be.AppendUint16(be.AppendUint16(l4, a.Port()), b.Port())
	if flags == 0 {
		l4 = append(be.AppendUint16(l4, uint16(8+len(payload))), 0, 0)
	} else {
		proto = 6
		l4 = append(l4, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0)
	}
	l4 = append(l4, payload...)
	f := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0}
	f = be.AppendUint16(f, uint16(20+len(l4)))
	f = append(f, 0, 1, 0, 0, 64, proto, 0, 0)
	x, y := a.Addr().As4(), b.Addr().As4()
	return append(append(append(f, x[:]...), y[:]...), l4...)
}

const query = "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"

// small is a capture of two flows and one packet without a flow.
func small() []byte {
	b := record(header(), 1e18, frame("10.0.0.1:40000", "10.0.0.2:80", 2, ""))
	b = record(b, 1e18+1e6, frame("10.0.0.2:80", "10.0.0.1:40000", 0x12, ""))
	b = record(b, 1e18+2e6, []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x01\x0a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x02"))
	return record(b, 1e18+3e6, frame("10.0.0.1:4000", "10.0.0.3:53", 0, query))
}

func run(t testing.TB, file []byte, sink capture.Sink, o capture.Options) (capture.Stats, error) {
	r, err := source.NewReader(bytes.NewReader(file), "test.pcap")
	if err != nil {
		t.Fatal(err)
	}
	return capture.Run(t.Context(), r, sink, o)
}

func TestRun(t *testing.T) {
	for name, file := range map[string][]byte{"plain": small(), "gzip": zip(small())} {
		s := &lines{}
		arps, calls := 0, 0
		st, err := run(t, file, s, capture.Options{OnARP: func(*decode.ARP) { arps++ }, Progress: func(capture.Stats) { calls++ }})
		if err != nil {
			t.Fatal(name, err)
		}
		if st.Packets != 4 || st.Flow.Flows != 2 || st.Drops[decode.NotIP] != 1 || st.First != 1e18 || st.Last != 1e18+3e6 || st.BytesRead != int64(len(file)) || arps != 1 || calls == 0 {
			t.Errorf("%s: %+v, %d ARP packets, %d calls", name, st, arps, calls)
		}
		if len(s.flows) != 2 || !strings.Contains(s.flows[0], `"server":"10.0.0.2","server_port":80`) || !strings.Contains(s.flows[1], `"protocol":"DNS"`) {
			t.Errorf("%s: %s", name, s.flows)
		}
	}
}

func zip(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func TestRunHeadersOnly(t *testing.T) {
	s := &lines{}
	if _, err := run(t, small(), s, capture.Options{HeadersOnly: true}); err != nil || !strings.Contains(s.flows[1], `"protocol":"Unknown"`) {
		t.Errorf("%v %s", err, s.flows)
	}
}

func TestRunDamaged(t *testing.T) {
	file := small()
	s := &lines{}
	st, err := run(t, file[:len(file)-5], s, capture.Options{})
	var d *source.DamageError
	if !errors.As(err, &d) || st.Packets != 3 || len(s.flows) != 1 {
		t.Errorf("%v, %+v, %s", err, st, s.flows)
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	b := header()
	for i := range 10000 {
		b = record(b, 1e18+int64(i), frame("10.0.0.1:40000", "10.0.0.2:80", 0x10, ""))
	}
	r, err := source.NewReader(bytes.NewReader(b), "test.pcap")
	if err != nil {
		t.Fatal(err)
	}
	s := &lines{}
	st, err := capture.Run(ctx, r, s, capture.Options{Progress: func(capture.Stats) { cancel(why) }})
	if !errors.Is(err, why) || st.Packets == 0 || st.Packets >= 10000 || len(s.flows) != 1 {
		t.Errorf("%v after %d packets, %d flows", err, st.Packets, len(s.flows))
	}
}

func TestRunSinkError(t *testing.T) {
	full := errors.New("full")
	if _, err := run(t, small(), &lines{fail: full}, capture.Options{}); !errors.Is(err, full) || err.Error() != "full" {
		t.Error(err)
	}
}

// quiet is a live source on a network that falls silent: packets, then none, then the end.
type quiet struct {
	steps int
	seen  func() int // flows the sink has
	early int
}

func (q *quiet) BytesRead() int64 { return 0 }
func (q *quiet) Size() int64      { return 0 }

func (q *quiet) Next(ps []source.Packet) (int, error) {
	q.steps++
	switch q.steps {
	case 1:
		f := frame("10.0.0.1:40000", "10.0.0.2:80", 2, "")
		ps[0] = source.Packet{Data: f, Wire: len(f), Time: 1e18, Link: 1}
		return 1, nil
	case 2:
		return 0, nil
	}
	q.early = q.seen()
	return 0, io.EOF
}

// begun counts flow beginnings.
type begun struct{ n int }

func (s *begun) Hooks() flow.HookSet         { return flow.Hooks(flow.Begin) }
func (s *begun) Periods() []flow.Period      { return nil }
func (s *begun) Flows(b *flow.Block) error   { s.n += b.N; return nil }
func (s *begun) Hosts(*flow.HostBatch) error { return nil }

func TestRunFlushesWhenQuiet(t *testing.T) {
	s := &begun{}
	q := &quiet{seen: func() int { return s.n }}
	if _, err := capture.Run(t.Context(), q, s, capture.Options{}); err != nil || q.early != 1 {
		t.Errorf("%v, %d flows handed on", err, q.early)
	}
}

// shared finds data outside the repository; the test is skipped without it.
func shared(t testing.TB, name string) string {
	dir := os.Getenv("TOCSIN_TESTDATA")
	for up, n := "..", 0; dir == "" && n < 6; up, n = filepath.Join("..", up), n+1 {
		if _, err := os.Stat(filepath.Join(up, "shared", "data")); err == nil {
			dir = filepath.Join(up, "shared", "data")
		}
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no %s: put it into ../shared/data or set TOCSIN_TESTDATA", name)
	}
	return path
}

// TestFound counts how many flows of the labelled corpus are found, by addresses and ports in either direction.
func TestFound(t *testing.T) {
	dir := shared(t, "ndpi")
	f, err := os.Open(filepath.Join(dir, "flows.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	key := func(l4, a string, ap uint16, b string, bp uint16) string {
		if x, err := netip.ParseAddr(a); err == nil {
			a = x.String()
		}
		if x, err := netip.ParseAddr(b); err == nil {
			b = x.String()
		}
		x, y := fmt.Sprint(a, " ", ap), fmt.Sprint(b, " ", bp)
		return l4 + " " + min(x, y) + " " + max(x, y)
	}
	want := map[string]map[string]int{}
	for dec := json.NewDecoder(z); ; {
		var d struct {
			File, L4, Src, Dst string
			Sport, Dport       uint16
		}
		if err := dec.Decode(&d); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if want[d.File] == nil {
			want[d.File] = map[string]int{}
		}
		want[d.File][key(d.L4, d.Src, d.Sport, d.Dst, d.Dport)]++
	}
	total, found := 0, 0
	for file, flows := range want {
		path := filepath.Join(dir, "pcap", file)
		r, err := source.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		s := &lines{}
		st, err := capture.Run(t.Context(), r, s, capture.Options{HeadersOnly: true})
		r.Close()
		if err != nil && !errors.As(err, new(*source.DamageError)) {
			t.Fatal(err)
		}
		lost := uint64(0)
		for _, n := range st.Drops {
			lost += n
		}
		if s.packets+lost != st.Packets {
			t.Errorf("%s: %d packets, but %d in flows and %d dropped", file, st.Packets, s.packets, lost)
		}
		got := map[string]int{}
		for _, l := range s.flows {
			var d struct {
				L4, Client, Server string
				ClientPort         uint16 `json:"client_port"`
				ServerPort         uint16 `json:"server_port"`
			}
			if err := json.Unmarshal([]byte(l), &d); err != nil {
				t.Fatalf("%v: %s", err, l)
			}
			got[key(d.L4, d.Client, d.ClientPort, d.Server, d.ServerPort)]++
		}
		for k, n := range flows {
			total += n
			found += min(n, got[k])
		}
	}
	share := 100 * float64(found) / float64(max(total, 1))
	t.Logf("%d of %d flows found: %.2f %%", found, total, share)
	if share < 98 {
		t.Errorf("%.2f %% of the flows found, want 98", share)
	}
}

// FuzzRun feeds hostile captures: nothing may panic or be lost from the books, and a second run gives the same.
func FuzzRun(f *testing.F) {
	f.Add(small())
	f.Add(zip(small()))
	f.Add(record(header(), 1, frame("10.0.0.1:2152", "10.0.0.2:2152", 0, "\x30\xff\x00\x2c\x00\x00\x00\x01"+string(frame("1.1.1.1:1", "2.2.2.2:443", 0x18, "\x16\x03\x01\x00\x05")[14:]))))
	f.Fuzz(func(t *testing.T, file []byte) {
		first := ""
		for range 2 {
			r, err := source.NewReader(bytes.NewReader(file), "fuzz")
			if err != nil {
				return
			}
			s := &lines{hooks: flow.Hooks(flow.Begin, flow.Detected, flow.Periodic), periods: []flow.Period{flow.Minute, flow.Day}}
			st, err := capture.Run(t.Context(), r, s, capture.Options{MaxFlows: 50, MaxHosts: 20, Local: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
			dropped := uint64(0)
			for _, n := range st.Drops {
				dropped += n
			}
			if s.packets+dropped != st.Packets {
				t.Fatalf("%d packets, but %d in flows and %d dropped", st.Packets, s.packets, dropped)
			}
			for _, l := range s.flows {
				if !json.Valid([]byte(l)) {
					t.Fatalf("no JSON: %s", l)
				}
			}
			result := fmt.Sprint(s.flows, s.hosts, err)
			if first != "" && first != result {
				t.Fatalf("two runs differ:\n%s\n%s", first, result)
			}
			first = result
		}
	})
}

// BenchmarkRun reads a capture in memory: many short flows and a few long ones.
func BenchmarkRun(b *testing.B) {
	file := header()
	packets := 0
	body := strings.Repeat("x", 700)
	for i := range 2000 {
		c := fmt.Sprintf("10.0.%d.%d:%d", i/200, i%200+1, 30000+i)
		at := 1e18 + int64(i)*1e7
		file = record(file, at, frame(c, "10.9.9.9:80", 2, ""))
		file = record(file, at+1e5, frame("10.9.9.9:80", c, 0x12, ""))
		file = record(file, at+2e5, frame(c, "10.9.9.9:80", 0x18, "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"))
		for k := range 10 {
			file = record(file, at+3e5+int64(k), frame("10.9.9.9:80", c, 0x18, body))
		}
		file = record(file, at+5e5, frame(c, "10.9.9.8:53", 0, query))
		packets += 14
	}
	for _, bc := range []struct {
		name string
		o    capture.Options
		s    discard
	}{
		{"headers", capture.Options{HeadersOnly: true}, discard{flow.Hooks(flow.End), nil}},
		{"flows", capture.Options{}, discard{flow.Hooks(flow.End), nil}},
		{"flows and hosts", capture.Options{}, discard{flow.Hooks(flow.Begin, flow.Detected, flow.Periodic, flow.End), []flow.Period{flow.Minute, flow.FiveMinutes}}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if _, err := run(b, file, bc.s, bc.o); err != nil {
					b.Fatal(err)
				}
				n += packets
			}
			b.ReportMetric(float64(n)/1e6/b.Elapsed().Seconds(), "Mpkt/s")
		})
	}
}
