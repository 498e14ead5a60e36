package decode

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// split cuts a datagram into fragments of n bytes.
func split(proto uint8, id uint16, datagram []byte, n int) (fs [][]byte) {
	for o := 0; o < len(datagram); o += n {
		end := min(o+n, len(datagram))
		fs = append(fs, ip4frag(proto, id, o, end < len(datagram), datagram[o:end]))
	}
	return fs
}

type tally struct {
	packets, payloads int
	bytes             uint64
	payloadLen        int
	payload           []byte
	last              string
}

func feed(d *Decoder, fs [][]byte) (s tally) {
	var p Packet
	for _, f := range fs {
		if d.Decode(&p, 101, f, len(f), 0) {
			s.packets += int(p.Packets)
			s.bytes += p.Bytes
			s.payloadLen += p.PayloadLen
			if len(p.Payload) > 0 {
				s.payloads++
				s.payload = bytes.Clone(p.Payload)
				s.last = text(&p)
			}
		}
	}
	return s
}

func TestReassembly(t *testing.T) {
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 { // whatever the order, each fragment counts once and the payload comes whole, once
		d := New()
		fs := split(UDP, 9, udp(53, 4000, body), 8+8*rnd.IntN(100))
		rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		size := uint64(0)
		for _, f := range fs {
			size += uint64(len(f))
		}
		s := feed(d, fs)
		if s.packets != len(fs) || s.bytes != size || s.payloads != 1 || !bytes.Equal(s.payload, body) || s.payloadLen != len(body) {
			t.Fatalf("%d fragments: counted %d of %d packets, %d of %d bytes, %d payload bytes, %d payloads of %d bytes", len(fs), s.packets, len(fs), s.bytes, size, s.payloadLen, s.payloads, len(s.payload))
		}
		if len(d.frags.byKey) != 0 || d.frags.held != 0 {
			t.Fatal("a whole datagram was kept")
		}
	}
}

func TestReassemblyIPv6(t *testing.T) {
	d := New()
	whole := udp(53, 4000, bytes.Repeat([]byte("x"), 100))
	s := feed(d, [][]byte{
		ip6(44, cat([]byte{17, 0, 0, 0x41, 1, 2, 3, 4}, whole[64:104])), // more follows: out of order, no ports yet
		ip6(44, cat([]byte{17, 0, 0, 0x68, 1, 2, 3, 4}, whole[104:])),
		ip6(44, cat([]byte{17, 0, 0, 0x01, 1, 2, 3, 4}, whole[:64])),
	})
	if s.packets != 3 || len(s.payload) != 100 {
		t.Errorf("%+v", s)
	}
}

func TestReassembledTunnel(t *testing.T) {
	d := New()
	fs := split(GREL4, 9, cat([]byte{0, 0, 8, 0}, ip4(UDP, udp(1, 2, bytes.Repeat([]byte("y"), 200)))), 80)
	s := feed(d, fs)
	if s.packets != len(fs) || s.payloads != 1 || len(s.payload) != 200 || s.last[:40] != "10.0.0.1:1 > 10.0.0.2:2 l4 17 GRE \"yyyyy" {
		t.Errorf("%+v", s)
	}
}

// Nested reassembly must not reuse the outer datagram's buffer while the inner packet lies in it.
func TestNestedFragments(t *testing.T) {
	d := New()
	var last tally
	body := bytes.Repeat([]byte("0123456789abcdef"), 40)
	for _, inner := range split(UDP, 5, udp(1, 2, body), 320) {
		last = feed(d, split(IPv4, uint16(len(inner)), inner, 96))
		if last.payloads == 1 {
			break
		}
	}
	if !bytes.Equal(last.payload, body) {
		t.Errorf("%d payloads, %d bytes", last.payloads, len(last.payload))
	}
}

func TestHostileFragments(t *testing.T) {
	whole := udp(53, 4000, make([]byte, 120))
	first := ip4frag(UDP, 1, 0, true, whole[:64])
	last := ip4frag(UDP, 1, 64, false, whole[64:])
	for name, tc := range map[string]struct {
		fs       [][]byte
		payloads int
		packets  int
	}{
		"overlap":          {[][]byte{first, ip4frag(UDP, 1, 56, true, whole[56:72]), last}, 0, 3},
		"same start":       {[][]byte{first, ip4frag(UDP, 1, 0, true, whole[:32]), last}, 0, 3},
		"repeated":         {[][]byte{first, first, last}, 1, 3},
		"two ends":         {[][]byte{first, ip4frag(UDP, 1, 96, false, whole[96:]), last}, 0, 3},
		"end before data":  {[][]byte{ip4frag(UDP, 1, 80, true, whole[80:88]), ip4frag(UDP, 1, 64, false, whole[64:72]), first}, 0, 3},
		"odd length":       {[][]byte{first, ip4frag(UDP, 1, 64, true, whole[64:67]), last}, 0, 3},
		"never a first":    {[][]byte{last, last}, 0, 0},
		"beyond 64 KB":     {[][]byte{ip4frag(UDP, 1, 65528, false, make([]byte, 100))}, 0, 0},
		"empty":            {[][]byte{ip4frag(UDP, 1, 64, false, nil)}, 0, 0},
		"header too short": {[][]byte{ip4frag(UDP, 1, 0, true, make([]byte, 4)), last}, 0, 0},
	} {
		d := New()
		s := feed(d, tc.fs)
		if s.payloads != tc.payloads || s.packets != tc.packets {
			t.Errorf("%s: %d payloads, %d packets; want %d, %d", name, s.payloads, s.packets, tc.payloads, tc.packets)
		}
		d.Close()
		lost := uint64(0)
		for _, n := range d.Drops {
			lost += n
		}
		if int(lost)+s.packets != len(tc.fs) {
			t.Errorf("%s: %d packets counted and %d dropped of %d", name, s.packets, lost, len(tc.fs))
		}
	}
}

func TestFragmentBounds(t *testing.T) {
	d := New()
	var p Packet
	for i := range 100000 {
		b := ip4frag(UDP, uint16(i), 8*(i%8000), true, make([]byte, 64))
		be.PutUint32(b[12:], uint32(i))
		d.Decode(&p, 101, b, len(b), int64(i)*1e3)
		if len(d.frags.byKey) > maxDatagrams+1 || d.frags.held > maxHeld+maxDatagram || len(d.frags.free) > 64 {
			t.Fatalf("%d datagrams with %d bytes held", len(d.frags.byKey), d.frags.held)
		}
	}
	d.Close()
	counted := uint64(0)
	for _, n := range d.Drops {
		counted += n
	}
	if counted+100000/8000 < 100000-13 { // the few with offset 0 have a flow
		t.Errorf("%d of 100000 fragments accounted for", counted)
	}
	// The old must go by packet time.
	d = New()
	feed(d, [][]byte{ip4frag(UDP, 1, 64, false, make([]byte, 8))})
	b := ip4frag(UDP, 2, 64, false, make([]byte, 8))
	d.Decode(&p, 101, b, len(b), 40e9)
	if len(d.frags.byKey) != 1 || d.Drops[LostFragment] != 1 {
		t.Errorf("%d datagrams, %d lost", len(d.frags.byKey), d.Drops[LostFragment])
	}
}

// A snap length leaves the beginning of a datagram, and that is better than nothing.
func TestCutFragment(t *testing.T) {
	d := New()
	var p Packet
	f := ip4frag(UDP, 1, 0, true, udp(53, 4000, make([]byte, 120)))
	if !d.Decode(&p, 101, f[:60], len(f), 0) || len(p.Payload) != 32 || !p.Truncated || p.DstPort != 4000 {
		t.Errorf("%+v", p)
	}
	f = ip4frag(UDP, 1, 128, false, make([]byte, 80))
	if !d.Decode(&p, 101, f[:60], len(f), 0) || p.Payload != nil || p.PayloadLen != 80 || p.DstPort != 4000 {
		t.Errorf("%+v", p)
	}
}

func FuzzFragments(f *testing.F) {
	f.Add([]byte{0, 0x20, 8, 1, 0x20, 8, 2, 0, 8})
	f.Add([]byte{1, 0x20, 8, 0, 0x20, 8, 0, 0x21, 16, 2, 0, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		d := New()
		var p Packet
		seen, counted := 0, 0
		for ; len(script) >= 3 && seen < 2000; script = script[3:] {
			proto := [...]uint8{UDP, TCP, GREL4, IPv4}[script[1]&3]
			b := ip4frag(proto, uint16(script[1]>>6), int(script[0])*8, script[1]&0x20 != 0, bytes.Repeat([]byte{0x45}, int(script[2])))
			seen++
			if d.Decode(&p, 101, b, len(b), int64(seen)*1e8) {
				counted += int(p.Packets)
				if len(p.Payload) > p.WholeLen {
					t.Fatalf("%+v", p)
				}
			}
		}
		d.Close()
		for _, n := range d.Drops {
			counted += int(n)
		}
		if d.frags.held != 0 || counted > seen {
			t.Errorf("%d bytes held, %d of %d packets counted", d.frags.held, counted, seen)
		}
	})
}
