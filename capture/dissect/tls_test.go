package dissect

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is one write of one side of a recorded handshake.
type record struct {
	dir uint8
	b   []byte
}

type recorder struct {
	net.Conn
	mu  *sync.Mutex
	out *[]record
	dir uint8
}

func (r recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	*r.out = append(*r.out, record{r.dir, bytes.Clone(b)})
	r.mu.Unlock()
	return r.Conn.Write(b)
}

// handshake records what a client and a server of crypto/tls say to each other.
func handshake(t testing.TB, client, server *tls.Config) []record {
	t.Helper()
	a, b := net.Pipe()
	var mu sync.Mutex
	var out []record
	done := make(chan error, 1)
	go func() {
		s := tls.Server(recorder{b, &mu, &out, 1}, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("data"))
		}
		done <- err
		_ = b.Close()
	}()
	c := tls.Client(recorder{a, &mu, &out, 0}, client)
	if err := c.HandshakeContext(t.Context()); err == nil {
		_, _ = c.Read(make([]byte, 16))
	}
	_ = a.Close()
	<-done
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(out)
}

var (
	testRSA = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return k
	})
	testECDSA = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

type certOptions struct {
	subject       pkix.Name
	names         []string
	before, after time.Time
	issuer        *pkix.Name // nil: self-signed
	rsa           bool
}

func makeCert(t testing.TB, o certOptions) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: o.subject, DNSNames: o.names, NotBefore: o.before, NotAfter: o.after,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	var key any = testECDSA()
	var pub any = &testECDSA().PublicKey
	if o.rsa {
		key, pub = testRSA(), &testRSA().PublicKey
	}
	parent := tmpl
	if o.issuer != nil {
		parent = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: *o.issuer, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var testNow = time.Unix(0, testTime)

func goodCert(t testing.TB) tls.Certificate {
	return makeCert(t, certOptions{
		subject: pkix.Name{CommonName: "shop.example.org", Organization: []string{"Example Ltd"}}, names: []string{"shop.example.org", "*.cdn.example.org"},
		before: testNow.AddDate(0, -1, 0), after: testNow.AddDate(0, 10, 0), issuer: &pkix.Name{CommonName: "Example CA", Organization: []string{"GoDaddy.com"}},
	})
}

func play(f *feed, rs []record) {
	for _, r := range rs {
		f.send(r.dir, r.b)
	}
}

func TestTLSHandshake12(t *testing.T) {
	rs := handshake(t,
		&tls.Config{ServerName: "shop.example.org", NextProtos: []string{"h2", "http/1.1"}, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
		&tls.Config{Certificates: []tls.Certificate{goodCert(t)}, NextProtos: []string{"http/1.1"}})
	f := newFeed(l4TCP, 443)
	play(f, rs)
	f.end()
	wantLabel(t, f, "TLS")
	m := f.s.Meta
	if m.Hostname != "shop.example.org" || m.TLS.SNI != "shop.example.org" {
		t.Errorf("host name %q, SNI %q", m.Hostname, m.TLS.SNI)
	}
	if m.TLS.Version != 0x0303 || m.TLS.Cipher != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 || m.TLS.Negotiated != "http/1.1" {
		t.Errorf("TLS = %+v", m.TLS)
	}
	if !slices.Equal(m.TLS.ALPN, []string{"h2", "http/1.1"}) {
		t.Errorf("ALPN = %v", m.TLS.ALPN)
	}
	if !strings.HasPrefix(m.JA4, "t12d01") || !strings.Contains(m.JA4, "h2_") {
		t.Errorf("JA4 = %s", m.JA4)
	}
	c := m.TLS.Certificate
	if c == nil {
		t.Fatal("no certificate")
	}
	if c.CommonName != "shop.example.org" || c.Organization != "Example Ltd" || c.IssuerOrganization != "GoDaddy.com" || c.Issuer != "O=GoDaddy.com, CN=Example CA" {
		t.Errorf("certificate = %+v", c)
	}
	if c.NotBefore != testNow.AddDate(0, -1, 0).Unix() || len(c.SHA1) != 59 || len(c.SHA256) != 95 || c.SelfSigned || len(c.Names) != 2 || c.KeyAlgorithm != "ECDSA" {
		t.Errorf("certificate = %+v", c)
	}
	wantNoRisks(t, f, RiskTLSSelfSigned, RiskTLSCertExpired, RiskTLSCertMismatch, RiskTLSObsoleteVersion, RiskTLSWeakCipher, RiskTLSMissingSNI, RiskTLSNotHTTPS, RiskNonStandardPort)
	checkMeta(t, &f.s)
}

func TestTLSHandshake13(t *testing.T) {
	rs := handshake(t, &tls.Config{ServerName: "www.youtube.com", NextProtos: []string{"h2"}, InsecureSkipVerify: true},
		&tls.Config{Certificates: []tls.Certificate{goodCert(t)}, NextProtos: []string{"h2"}})
	f := newFeed(l4TCP, 443)
	play(f, rs)
	wantLabel(t, f, "TLS.YouTube")
	if f.s.Meta.TLS.Version != 0x0304 || !strings.HasPrefix(f.s.Meta.JA4, "t13d") {
		t.Errorf("version %s, JA4 %s", VersionName(f.s.Meta.TLS.Version), f.s.Meta.JA4)
	}
	if !f.s.Done() || f.s.Category != CategoryMedia {
		t.Errorf("done = %v, category = %v", f.s.Done(), f.s.Category)
	}
}

func TestTLSRisks(t *testing.T) {
	year := func(n int) time.Time { return testNow.AddDate(n, 0, 0) }
	self := certOptions{subject: pkix.Name{CommonName: "box.example.org"}, names: []string{"box.example.org"}, before: year(-1), after: year(1), rsa: true}
	old, soon, long, ca := self, self, self, pkix.Name{CommonName: "CA"}
	old.before, old.after, old.issuer = year(-3), year(-1), &ca
	soon.before, soon.after, soon.issuer = testNow.AddDate(0, -3, 0), testNow.AddDate(0, 0, 10), &ca
	long.before, long.after, long.issuer = testNow.AddDate(0, -1, 0), year(3), &ca
	for _, tc := range []struct {
		name   string
		cert   certOptions
		client *tls.Config
		want   []Risk
		not    []Risk
	}{
		{"self-signed", self, &tls.Config{ServerName: "box.example.org"}, []Risk{RiskTLSSelfSigned, RiskTLSNotHTTPS}, []Risk{RiskTLSCertExpired, RiskTLSCertMismatch, RiskTLSMissingSNI}},
		{"expired", old, &tls.Config{ServerName: "box.example.org"}, []Risk{RiskTLSCertExpired}, []Risk{RiskTLSSelfSigned, RiskTLSAboutToExpire}},
		{"about to expire", soon, &tls.Config{ServerName: "box.example.org"}, []Risk{RiskTLSAboutToExpire}, []Risk{RiskTLSCertExpired}},
		{"too long", long, &tls.Config{ServerName: "box.example.org"}, []Risk{RiskTLSValidityTooLong}, nil},
		{"mismatch", old, &tls.Config{ServerName: "www.example.com"}, []Risk{RiskTLSCertMismatch}, nil},
		{"no server name", self, &tls.Config{NextProtos: []string{"h2"}}, []Risk{RiskTLSMissingSNI, RiskTLSALPNMismatch}, []Risk{RiskTLSNotHTTPS}},
		{"weak cipher", self, &tls.Config{ServerName: "box.example.org", CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}}, []Risk{RiskTLSWeakCipher}, nil},
		{"old version", self, &tls.Config{ServerName: "box.example.org", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, []Risk{RiskTLSObsoleteVersion}, nil},
		{"odd protocol", self, &tls.Config{ServerName: "box.example.org", NextProtos: []string{"my-own/1"}}, []Risk{RiskTLSUncommonALPN}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.client.InsecureSkipVerify = true
			if tc.client.MaxVersion == 0 {
				tc.client.MaxVersion = tls.VersionTLS12
			}
			rs := handshake(t, tc.client, &tls.Config{Certificates: []tls.Certificate{makeCert(t, tc.cert)}, MinVersion: tls.VersionTLS10, CipherSuites: tc.client.CipherSuites, NextProtos: tc.client.NextProtos})
			f := newFeed(l4TCP, 443)
			play(f, rs)
			f.end()
			wantRisks(t, f, tc.want...)
			wantNoRisks(t, f, tc.not...)
			checkMeta(t, &f.s)
		})
	}
}

// TestTLSSegments cuts a handshake into small segments, swaps and repeats some: what is read must stay the same.
func TestTLSSegments(t *testing.T) {
	rs := handshake(t, &tls.Config{ServerName: "shop.example.org", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12},
		&tls.Config{Certificates: []tls.Certificate{goodCert(t)}})
	whole := newFeed(l4TCP, 443)
	play(whole, rs)
	whole.end()
	for _, size := range []int{1, 7, 100, 536, 1460} {
		f := newFeed(l4TCP, 443)
		for _, r := range rs {
			var parts []record
			for i := 0; i < len(r.b); i += size {
				parts = append(parts, record{r.dir, r.b[i:min(i+size, len(r.b))]})
			}
			base := f.seq[r.dir]
			at := func(i int) uint32 { return base + uint32(i*size) }
			for i := 0; i < len(parts); i++ {
				if size >= 100 && i+1 < len(parts) && i > 0 { // the next one first, then this, then this again
					f.packet(r.dir, at(i+1), parts[i+1].b)
					f.packet(r.dir, at(i), parts[i].b)
					f.packet(r.dir, at(i), parts[i].b)
					i++
					continue
				}
				f.packet(r.dir, at(i), parts[i].b)
			}
			f.seq[r.dir] = base + uint32(len(r.b))
		}
		f.end()
		if size == 1 {
			// So many packets are not read; what the flow is must be known all the same.
			wantLabel(t, f, "TLS")
			continue
		}
		if f.s.Meta == nil || f.s.Meta.JA4 != whole.s.Meta.JA4 || f.s.Meta.TLS.SNI != "shop.example.org" {
			t.Errorf("size %d: hello not read: %+v", size, f.s.Meta)
			continue
		}
		if size >= 100 && (f.s.Meta.TLS.Certificate == nil || f.s.Meta.TLS.Certificate.SHA256 != whole.s.Meta.TLS.Certificate.SHA256) {
			t.Errorf("size %d: certificate not read", size)
		}
	}
}

// buildHello makes a ClientHello message with the given suites and extensions, body only.
func buildHello(version uint16, ciphers []uint16, exts [][]byte) []byte {
	b := []byte{byte(version >> 8), byte(version)}
	b = append(b, make([]byte, 32)...)
	b = append(b, 0)
	b = append(b, byte(len(ciphers)*2>>8), byte(len(ciphers)*2))
	for _, c := range ciphers {
		b = append(b, byte(c>>8), byte(c))
	}
	b = append(b, 1, 0)
	var e []byte
	for _, x := range exts {
		e = append(e, x...)
	}
	b = append(b, byte(len(e)>>8), byte(len(e)))
	return append(b, e...)
}

func ext(id uint16, body ...byte) []byte {
	return append([]byte{byte(id >> 8), byte(id), byte(len(body) >> 8), byte(len(body))}, body...)
}

func sniExt(host string) []byte {
	n := len(host)
	return ext(0, append([]byte{byte((n + 3) >> 8), byte(n + 3), 0, byte(n >> 8), byte(n)}, host...)...)
}

func alpnExt(names ...string) []byte {
	var l []byte
	for _, n := range names {
		l = append(append(l, byte(len(n))), n...)
	}
	return ext(16, append([]byte{byte(len(l) >> 8), byte(len(l))}, l...)...)
}

// wrapHello puts a hello into a handshake message and a record.
func wrapHello(body []byte) []byte {
	m := append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(m) >> 8), byte(len(m))}, m...)
}

// chromeHello has the suites, extensions and signature algorithms of the example in FoxIO's description of JA4.
func chromeHello() []byte {
	sigs := []byte{0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1}
	exts := [][]byte{
		ext(0x1a1a), sniExt("example.org"), ext(0x0017), ext(0xff01, 0), ext(0x000a, 0, 2, 0, 29), ext(0x000b, 1, 0), ext(0x0023), alpnExt("h2", "http/1.1"),
		ext(0x0005, 1, 0, 0, 0, 0), ext(0x000d, sigs...), ext(0x0012), ext(0x0033, 0, 0), ext(0x002d, 1, 1), ext(0x002b, 7, 0x3a, 0x3a, 3, 4, 3, 3, 0x2a),
		ext(0x001b, 2, 0, 2), ext(0x4469, 0, 0), ext(0x2a2a, 0), ext(0x0015, make([]byte, 12)...),
	}
	return buildHello(0x0303, []uint16{0x4a4a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035}, exts)
}

func TestJA4(t *testing.T) {
	for _, tc := range []struct {
		name string
		body []byte
		want string
	}{
		{"FoxIO's example", chromeHello(), "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		{"nothing", buildHello(0x0301, nil, nil), "t10i000000_000000000000_000000000000"},
		{"no name, odd protocol", buildHello(0x0303, []uint16{0x0a0a, 0x1301}, [][]byte{alpnExt("\xabx\xcd")}), "t12i0101ad_0f2cb44170f4_000000000000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(l4TCP, 443)
			f.send(0, wrapHello(tc.body))
			if got := f.s.Meta.JA4; got != tc.want {
				t.Errorf("JA4 = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestTLSClientOnly(t *testing.T) {
	f := newFeed(l4TCP, 443)
	f.send(0, wrapHello(buildHello(0x0301, []uint16{0x002f}, [][]byte{sniExt("old.example.org")})))
	f.end()
	wantLabel(t, f, "TLS")
	wantRisks(t, f, RiskTLSObsoleteVersion)
	f = newFeed(l4TCP, 443)
	f.send(0, wrapHello(buildHello(0x0303, []uint16{0x1301}, [][]byte{sniExt("198.51.100.7")})))
	wantRisks(t, f, RiskNumericHost)
}

func TestTLSAlert(t *testing.T) {
	f := newFeed(l4TCP, 443)
	f.send(0, wrapHello(chromeHello()))
	f.send(1, []byte{21, 3, 3, 0, 2, 2, 40})
	wantRisks(t, f, RiskTLSFatalAlert)
	if f.s.Meta.TLS.AlertCode != 40 || !f.s.Done() {
		t.Errorf("alert %d, done %v", f.s.Meta.TLS.AlertCode, f.s.Done())
	}
}

func TestCovers(t *testing.T) {
	c := &Certificate{Names: []string{"Example.org", "*.a.example.org", "192.0.2.1"}}
	for host, want := range map[string]bool{"example.org": true, "x.a.example.org": true, "x.y.a.example.org": false, "a.example.org": false, "192.0.2.1": true, "other.org": false} {
		if got := c.covers(host); got != want {
			t.Errorf("covers(%s) = %v", host, got)
		}
	}
	if !(&Certificate{CommonName: "printer"}).covers("10.0.0.1") {
		t.Error("a certificate that names no host was judged")
	}
}

// TestLenientCertificate reads a certificate that crypto/x509 refuses because its serial number is negative.
func TestLenientCertificate(t *testing.T) {
	der := bytes.Clone(goodCert(t).Certificate[0])
	i := bytes.Index(der, []byte{2, 1, 7}) // INTEGER 7
	if i < 0 {
		t.Fatal("no serial number")
	}
	der[i+2] = 0xf9
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Skip("crypto/x509 accepts a negative serial number")
	}
	c := parseCertificate(der)
	if c == nil || c.CommonName != "shop.example.org" || c.NotAfter == 0 {
		t.Errorf("certificate = %+v", c)
	}
	if parseCertificate([]byte("not a certificate")) != nil {
		t.Error("rubbish was taken for a certificate")
	}
}

func TestCertCacheBounded(t *testing.T) {
	d := New()
	der := goodCert(t).Certificate[0]
	first := d.certs.get(der)
	if d.certs.get(der) != first {
		t.Error("the second look-up made a new certificate")
	}
	for i := range 5 * maxCerts {
		d.certs.get([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if n := len(d.certs.young) + len(d.certs.old); n > 2*maxCerts {
		t.Errorf("%d certificates kept", n)
	}
}

// TestQUICKeys checks the key derivation with the values of RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
func TestQUICKeys(t *testing.T) {
	dcid, _ := hex.DecodeString("8394c8f03e515708")
	for _, tc := range []struct {
		version uint32
		iv      string
	}{{1, "fa044b2f42a3fd3b46fb255c"}, {quicV2, "91f73e2351d8fa91660e909f"}} {
		q := &quicState{}
		if !q.derive(tc.version, quicSalt(tc.version), dcid) {
			t.Fatal("no keys")
		}
		if got := hex.EncodeToString(q.iv[:]); got != tc.iv {
			t.Errorf("version %x: iv %s, want %s", tc.version, got, tc.iv)
		}
	}
}

// initial makes a client's Initial packet with the given frames.
func initial(t testing.TB, version uint32, dcid []byte, num byte, frames []byte) []byte {
	t.Helper()
	q := &quicState{}
	if !q.derive(version, quicSalt(version), dcid) {
		t.Fatal("no keys")
	}
	for len(frames) < 1100 {
		frames = append(frames, 0)
	}
	first := byte(0xc0)
	if version == quicV2 {
		first = 0xd0
	}
	b := []byte{first, byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version), byte(len(dcid))}
	b = append(b, dcid...)
	b = append(b, 0, 0) // no source id, no token
	n := 1 + len(frames) + 16
	b = append(b, 0x40|byte(n>>8), byte(n))
	pn := len(b)
	b = append(b, num)
	nonce := q.iv
	nonce[11] ^= num
	b = q.aead.Seal(b, nonce[:], frames, bytes.Clone(b))
	var mask [16]byte
	q.hp.Encrypt(mask[:], b[pn+4:pn+20])
	b[0] ^= mask[0] & 0x0f
	b[pn] ^= mask[1]
	return b
}

func crypto(off int, p []byte) []byte {
	return append([]byte{6, 0x80, byte(off >> 16), byte(off >> 8), byte(off), 0x40 | byte(len(p)>>8), byte(len(p))}, p...)
}

func TestQUICInitial(t *testing.T) {
	m := wrapHello(buildHello(0x0303, []uint16{0x1301}, [][]byte{sniExt("www.google.com"), alpnExt("h3"), ext(43, 2, 3, 4), ext(57, 1, 2, 3)}))[5:]
	dcid := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	cut := len(m) / 2
	for _, v := range []uint32{1, quicV2, 0xff00001d} {
		f := newFeed(l4UDP, 443)
		// The second half first, in a packet of its own, then the rest in two frames out of order.
		f.send(0, initial(t, v, dcid, 0, append([]byte{1}, crypto(cut, m[cut:])...)))
		f.send(0, initial(t, v, dcid, 1, append(crypto(20, m[20:cut]), crypto(0, m[:20])...)))
		wantLabel(t, f, "QUIC.Google")
		if f.s.Meta.QUIC.Version != v || f.s.Meta.TLS == nil || f.s.Meta.TLS.SNI != "www.google.com" || !strings.HasPrefix(f.s.Meta.JA4, "q13d0104h3_") {
			t.Errorf("version %x: %+v %s", v, f.s.Meta.TLS, f.s.Meta.JA4)
		}
		if !f.s.Done() {
			t.Error("reads on")
		}
	}
}

// TestQUICCapped sends packets that cannot be decrypted: the work must end.
func TestQUICCapped(t *testing.T) {
	f := newFeed(l4UDP, 443)
	b := initial(t, 1, []byte{1, 2, 3, 4, 5, 6, 7, 8}, 0, crypto(1000, []byte{1}))
	n := 0
	for ; n < 100 && !f.s.Done(); n++ {
		b[len(b)-1]++
		f.send(0, b)
	}
	wantLabel(t, f, "QUIC")
	if n > 20 {
		t.Errorf("read %d packets", n)
	}
}

func TestDTLS(t *testing.T) {
	body := buildHello(0xfefd, []uint16{0xc02b}, nil)
	body = append(body[:35], append([]byte{0}, body[35:]...)...) // an empty cookie
	msg := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body)), 0, 0, 0, 0, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	rec := append([]byte{22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(msg) >> 8), byte(len(msg))}, msg...)
	f := newFeed(l4UDP, 5000)
	f.send(0, rec)
	wantLabel(t, f, "DTLS")
	if !strings.HasPrefix(f.s.Meta.JA4, "dd2i0100") {
		t.Errorf("JA4 = %s", f.s.Meta.JA4)
	}
}
