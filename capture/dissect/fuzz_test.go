package dissect

import (
	"testing"
)

// maxHold is what a flow may hold between packets: two directions with a buffer and early segments each, and what the
// readers of TLS and QUIC put together.
const maxHold = 2*(2*maxStream) + 2*5*maxStream + maxQUICHello + maxStream

func held(s *State) int {
	n := 0
	for _, st := range s.streams {
		if st != nil {
			n += len(st.buf) + st.size
		}
	}
	if x := s.x; x != nil {
		n += len(x.tls.hs[0]) + len(x.tls.hs[1]) + len(x.tls.frag) + len(x.text.typed)
		if x.quic != nil {
			n += len(x.quic.hello)
		}
	}
	return n
}

// fuzzFlow cuts data into packets: each begins with a byte that holds direction, length and how far its sequence number
// is off.
func fuzzFlow(t *testing.T, l4 uint8, port uint16, data []byte) {
	f := newFeed(l4, port)
	for len(data) > 1 {
		h := data[0]
		n := int(data[1]) + int(h>>6)*256
		data = data[2:]
		n = min(n, len(data))
		b := data[:n]
		data = data[n:]
		dir := h & 1
		if n == 0 {
			continue
		}
		switch h >> 1 & 7 {
		case 6:
			f.packet(dir, f.seq[dir]+uint32(h>>4)*100, b)
		case 7:
			f.packet(dir, f.seq[dir]-uint32(h>>4)*10, b)
		default:
			f.send(dir, b)
		}
		if k := held(&f.s); k > maxHold {
			t.Fatalf("%d bytes held", k)
		}
		checkMeta(t, &f.s)
	}
	f.end()
	checkMeta(t, &f.s)
	if !f.s.Done() || f.s.x != nil {
		t.Error("a finished flow holds on to memory")
	}
}

// flowSeed writes messages the way fuzzFlow reads them.
func flowSeed(msgs ...string) []byte {
	var out []byte
	for _, m := range msgs {
		dir := byte(0)
		if m[0] == '<' {
			dir = 1
		}
		b := m[1:]
		for len(b) > 0 {
			n := min(len(b), 1023)
			out = append(out, dir|byte(n>>8)<<6, byte(n))
			out = append(out, b[:n]...)
			b = b[n:]
		}
	}
	return out
}

func seedFlows(f *testing.F, l4 uint8) {
	for _, s := range samples {
		if s.l4 == l4 {
			f.Add(s.port, flowSeed(s.msgs...))
		}
	}
}

func FuzzTCP(f *testing.F) {
	seedFlows(f, l4TCP)
	f.Add(uint16(443), flowSeed(">"+string(wrapHello(chromeHello())), "<"+unhexed("15030300020228")))
	f.Fuzz(func(t *testing.T, port uint16, data []byte) { fuzzFlow(t, l4TCP, port, data) })
}

func FuzzUDP(f *testing.F) {
	seedFlows(f, l4UDP)
	f.Add(uint16(443), flowSeed(">"+string(initial(f, 1, []byte("12345678"), 0, crypto(0, wrapHello(chromeHello())[5:])))))
	f.Fuzz(func(t *testing.T, port uint16, data []byte) { fuzzFlow(t, l4UDP, port, data) })
}

func FuzzLogin(f *testing.F) {
	f.Add(uint16(21), flowSeed("<220 FTP\r\n", ">USER a\r\n", ">PASS b\r\n"))
	f.Add(uint16(25), flowSeed("<220 ESMTP\r\n", ">EHLO x\r\n", ">AUTH PLAIN AGEAYg==\r\n", ">AUTH LOGIN\r\n", ">YQ==\r\n"))
	f.Add(uint16(110), flowSeed("<+OK\r\n", ">USER a\r\n", ">PASS b\r\n", ">STLS\r\n", "<+OK\r\n"))
	f.Add(uint16(143), flowSeed("<* OK\r\n", ">a LOGIN b c\r\n"))
	f.Add(uint16(23), flowSeed("<\xff\xfd\x18\xff\xfd\x20login: ", ">a\r\n", "<Password:", ">b\r\n"))
	f.Fuzz(func(t *testing.T, port uint16, data []byte) {
		fuzzFlow(t, l4TCP, []uint16{21, 25, 110, 143, 23, 6667}[port%6], data)
	})
}

func FuzzHTTP(f *testing.F) {
	f.Add([]byte("GET /?q=%3Cscript%3E HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTpi\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nMZ"))
	f.Add([]byte("CONNECT a:443 HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, req, resp []byte) {
		x := newFeed(l4TCP, 80)
		if len(req) > 0 {
			x.send(0, req)
		}
		if len(resp) > 0 {
			x.send(1, resp)
		}
		x.end()
		checkMeta(t, &x.s)
	})
}

func FuzzDNS(f *testing.F) {
	f.Add(dnsQuery("www.example.org", 1, 0x100))
	f.Add(dnsAnswer("www.example.org", 0, 60, [4]byte{1, 2, 3, 4}))
	f.Add([]byte{0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		for _, port := range []uint16{53, 5353, 137} {
			x := newFeed(l4UDP, port)
			x.send(0, b)
			x.send(1, b)
			x.end()
			checkMeta(t, &x.s)
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(chromeHello(), byte('t'))
	f.Add(buildHello(0xfefd, []uint16{1, 2}, [][]byte{sniExt("a.b"), alpnExt("h3")}), byte('d'))
	f.Fuzz(func(t *testing.T, m []byte, transport byte) {
		d, s := New(), &State{}
		c := &d.c
		*c = ctx{d: d, s: s, p: &Packet{Time: testTime, Server: testServer}}
		c.clientHello(m, "tqd"[transport%3])
		c.serverHello(m)
		c.certificates(m)
		s.tlsRisks(false)
		if n := len(s.Meta.JA4); n != 0 && n != 36 {
			t.Errorf("JA4 of %d characters: %q", n, s.Meta.JA4)
		}
		checkMeta(t, s)
	})
}

func FuzzCertificate(f *testing.F) {
	f.Add(goodCert(f).Certificate[0])
	f.Fuzz(func(t *testing.T, der []byte) {
		d, s := New(), &State{}
		c := &d.c
		*c = ctx{d: d, s: s, p: &Packet{Time: testTime}}
		c.leaf(der)
		lenientCertificate(der, &Certificate{})
		checkMeta(t, s)
	})
}

func FuzzQUICFrames(f *testing.F) {
	f.Add(append([]byte{1, 0, 2, 1, 1, 0, 1}, crypto(0, wrapHello(chromeHello())[5:])...), []byte("CHLO\x01\x00\x00\x00SNI\x00\x03\x00\x00\x00a.b"))
	f.Fuzz(func(t *testing.T, frames, chlo []byte) {
		q := &quicState{}
		q.frames(frames)
		q.frames(chlo)
		if len(q.hello) > maxQUICHello || len(q.have) > maxQUICSpans {
			t.Fatalf("%d bytes, %d spans", len(q.hello), len(q.have))
		}
		d, s := New(), &State{}
		c := &d.c
		*c = ctx{d: d, s: s, p: &Packet{Time: testTime}}
		if m := q.complete(); m != nil {
			c.clientHello(m[4:], 'q')
		}
		c.chlo(chlo)
		checkMeta(t, s)
	})
}
