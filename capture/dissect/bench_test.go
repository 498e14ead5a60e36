package dissect

import (
	"crypto/tls"
	"testing"
)

func benchPacket(b *testing.B, l4 uint8, port uint16, payload []byte) {
	d := New()
	p := &Packet{Payload: payload, Wire: len(payload), L4: l4, ClientPort: 40000, ServerPort: port, Client: testClient, Server: testServer, Time: testTime}
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	var s State
	for b.Loop() {
		s = State{}
		d.Packet(&s, p)
		d.Recycle(&s)
	}
}

func BenchmarkDNSQuestion(b *testing.B) {
	benchPacket(b, l4UDP, 53, dnsQuery("www.example.org", 1, 0x100))
}

func BenchmarkClientHello(b *testing.B) { benchPacket(b, l4TCP, 443, wrapHello(chromeHello())) }

func BenchmarkQUICInitial(b *testing.B) {
	benchPacket(b, l4UDP, 443, initial(b, 1, []byte("12345678"), 0, crypto(0, wrapHello(chromeHello())[5:])))
}

func BenchmarkHTTPRequest(b *testing.B) {
	benchPacket(b, l4TCP, 80, []byte("GET /a/b?c=d HTTP/1.1\r\nHost: www.example.org\r\n"+browser+"Accept: text/html\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\n\r\n"))
}

func BenchmarkUnknownUDP(b *testing.B) {
	benchPacket(b, l4UDP, 40000, []byte("\x77nothing that anybody speaks, of the size of a usual datagram"))
}

func BenchmarkUnknownTCP(b *testing.B) {
	benchPacket(b, l4TCP, 40000, []byte("\x77nothing that anybody speaks, of the size of a usual datagram"))
}

func BenchmarkCertificateCached(b *testing.B) {
	der := goodCert(b).Certificate[0]
	d := New()
	b.ReportAllocs()
	for b.Loop() {
		d.certs.get(der)
	}
}

func BenchmarkCertificateParsed(b *testing.B) {
	der := goodCert(b).Certificate[0]
	b.ReportAllocs()
	for b.Loop() {
		parseCertificate(der)
	}
}

// BenchmarkHandshake12 reads a whole handshake of TLS 1.2.
func BenchmarkHandshake12(b *testing.B) {
	rs := handshake(b, &tls.Config{ServerName: "shop.example.org", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, &tls.Config{Certificates: []tls.Certificate{goodCert(b)}})
	d := New()
	b.ReportAllocs()
	var s State
	for b.Loop() {
		s = State{}
		seq := [2]uint32{}
		for _, r := range rs {
			d.Packet(&s, &Packet{Payload: r.b, Wire: len(r.b), Dir: r.dir, L4: l4TCP, ClientPort: 40000, ServerPort: 443, Client: testClient, Server: testServer, Time: testTime, Seq: seq[r.dir]})
			seq[r.dir] += uint32(len(r.b))
		}
		d.Recycle(&s)
	}
}
