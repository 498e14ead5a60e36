package dissect

import (
	"fmt"
	"strings"
)

// tlsProbes recognise TLS over TCP (RFC 5246, RFC 8446) and the version 2 hello of SSL (RFC 6101, appendix E).
var tlsProbes = []probe{
	{
		proto: ProtoTLS, l4: l4TCP, first: "\x14\x15\x16\x17\x80\x81\x82", hint: []uint16{443, 853, 993, 995, 465, 8443, 5223, 5228},
		match: matchTLS, read: readTLS,
	},
}

// Record and handshake types (RFC 8446).
const (
	recordCCS       = 20
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	msgClientHello = 1
	msgServerHello = 2
	msgCertificate = 11
)

// maxRecord is the largest TLSCiphertext (RFC 5246).
const maxRecord = 16384 + 2048

// tlsState is what the reader of TLS and DTLS remembers of a flow.
type tlsState struct {
	hs        [2][]byte // start of a handshake message that goes on in the next record
	encrypted [2]bool   // a ChangeCipherSpec or data was seen
	cert      bool
	fragSeq   uint16 // DTLS: the message being put together
	frag      []byte
	fragHave  int
	sawHello  [2]bool
}

func matchTLS(c *ctx) verdict {
	b := c.b
	if b[0]&0x80 != 0 {
		// An SSLv2 hello: two bytes of length, type, version, then three lengths that must add up.
		if len(b) < 11 || b[2] != msgClientHello || !(u16(b[3:]) == 0x0002 || b[3] == 3 && b[4] <= 4) {
			return no
		}
		n := int(u16(b)) & 0x7fff
		cs, sid, ch := int(u16(b[5:])), int(u16(b[7:])), int(u16(b[9:]))
		if cs == 0 || cs%3 != 0 || ch < 16 || ch > 32 || 9+cs+sid+ch != n {
			return no
		}
		c.tlsMaster()
		return yes
	}
	if len(b) < 5 {
		if len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4 {
			return no
		}
		return more
	}
	n := int(u16(b[3:]))
	if b[1] != 3 || b[2] > 4 || n == 0 || n > maxRecord {
		return no
	}
	switch b[0] {
	case recordHandshake:
		if len(b) < 6 {
			return more
		}
		if len(b) >= 9 && (b[5] == msgClientHello || b[5] == msgServerHello) && u24(b[6:]) > 1<<17 {
			return no
		}
		if b[5] != msgClientHello && b[5] != msgServerHello && n < 4 {
			return no
		}
	case recordCCS:
		if n != 1 || len(b) > 5 && b[5] != 1 {
			return no
		}
	case recordAlert:
		if n != 2 && n < 16 {
			return no
		}
		if n == 2 && len(b) >= 7 && b[5] != 1 && b[5] != 2 {
			return no
		}
	case recordData:
		// Records follow each other to the end of the segment, or go on in the next one.
		if i := 5 + n; i+3 <= len(b) && (b[i] < recordCCS || b[i] > recordData || b[i+1] != 3 || b[i+2] > 4) {
			return no
		}
	}
	c.tlsMaster()
	return yes
}

// tlsMaster sets the protocol of a flow that begins with TLS: nDPI has its own names for mail on the ports of mail.
func (c *ctx) tlsMaster() {
	switch c.p.ServerPort {
	case 465, 587:
		c.protocol(ProtoSMTPS)
	case 993:
		c.protocol(ProtoIMAPS)
	case 995:
		c.protocol(ProtoPOPS)
	case 853:
		c.protocol(ProtoTLS)
		c.app(ProtoDoHDoT)
	default:
		c.protocol(ProtoTLS)
	}
}

func (c *ctx) tlsMeta() *TLS {
	m := c.meta()
	if m.TLS == nil {
		m.TLS = &TLS{}
	}
	return m.TLS
}

// readTLS reads whole records and returns how many bytes they took.
func readTLS(c *ctx) int {
	x := &c.scratch().tls
	b := c.b
	if b[0]&0x80 != 0 && !x.sawHello[0] && !x.sawHello[1] {
		return c.readSSLv2()
	}
	at := 0
	for len(b)-at >= 5 {
		r := b[at:]
		n := int(u16(r[3:]))
		if r[0] < recordCCS || r[0] > recordData || r[1] != 3 || n > maxRecord {
			c.done() // what follows is not TLS, or bytes are missing
			return len(b)
		}
		if len(r) < 5+n {
			if r[0] == recordData {
				c.tlsData()
				return len(b)
			}
			break
		}
		c.tlsRecord(x, r[0], r[5:5+n])
		at += 5 + n
		if c.s.done {
			return at
		}
	}
	return at
}

func (c *ctx) tlsRecord(x *tlsState, typ byte, body []byte) {
	switch typ {
	case recordHandshake:
		if x.encrypted[c.dir] {
			return
		}
		c.handshakes(x, body)
	case recordAlert:
		if len(body) == 2 && !x.encrypted[c.dir] {
			c.tlsAlert(body)
		}
	case recordCCS:
		x.encrypted[c.dir] = true
		if x.encrypted[0] && x.encrypted[1] {
			c.tlsDone()
		}
	case recordData:
		x.encrypted[c.dir] = true
		c.tlsData()
	}
}

// tlsData ends the reading when data flows: nothing readable follows, except that after a client's early data the
// server's hello is still to come.
func (c *ctx) tlsData() {
	x := &c.scratch().tls
	if c.dir == 0 && x.sawHello[0] && !x.sawHello[1] {
		return
	}
	c.tlsDone()
}

func (c *ctx) tlsDone() {
	c.tlsRisks()
	c.done()
}

// handshakes reads the messages of a handshake record, which may begin and end in the middle of one.
func (c *ctx) handshakes(x *tlsState, body []byte) {
	if len(x.hs[c.dir]) > 0 {
		x.hs[c.dir] = append(x.hs[c.dir], body...)
		body = x.hs[c.dir]
	}
	for len(body) >= 4 {
		n := u24(body[1:])
		if len(body) < 4+n {
			if len(body) > 4*maxStream {
				c.done()
				return
			}
			break
		}
		c.handshake(x, body[0], body[4:4+n])
		body = body[4+n:]
		if c.s.done {
			return
		}
	}
	x.hs[c.dir] = append(x.hs[c.dir][:0], body...)
}

// handshake reads one message.
func (c *ctx) handshake(x *tlsState, typ byte, m []byte) {
	switch typ {
	case msgClientHello:
		if !x.sawHello[0] {
			x.sawHello[0] = true
			c.clientHello(m, 't')
		}
	case msgServerHello:
		if !x.sawHello[1] {
			x.sawHello[1] = true
			c.serverHello(m)
			if t := c.s.Meta.TLS; t.Version >= 0x0304 && t.Version < 0x7fff && (t.ClientHello || c.dir == 0) {
				c.tlsDone()
			}
		}
	case msgCertificate:
		if !x.cert && !(c.dir == 0 && !x.sawHello[1] && x.sawHello[0]) {
			x.cert = true
			c.certificates(m)
		}
	}
}

// tlsAlert notes an alert. A fatal one ends the connection.
func (c *ctx) tlsAlert(b []byte) {
	if b[0] != 1 && b[0] != 2 {
		return
	}
	t := c.tlsMeta()
	t.AlertLevel, t.AlertCode = b[0], b[1]
	if b[0] == 2 {
		c.risk(RiskTLSFatalAlert, fmt.Sprintf("fatal alert %d", b[1]))
		c.tlsDone()
	}
}

// readSSLv2 reads the hello of a client that can also speak SSL 2.
func (c *ctx) readSSLv2() int {
	b := c.b
	n := int(u16(b))&0x7fff + 2
	if len(b) < n || n < 11 {
		return 0
	}
	x := &c.scratch().tls
	x.sawHello[c.dir] = true
	t := c.tlsMeta()
	t.ClientHello, t.ClientVersion = true, u16(b[3:])
	cs := int(u16(b[5:]))
	for i := 11; i+3 <= 11+cs && i+3 <= n; i += 3 {
		if b[i] == 0 {
			t.Ciphers = append(t.Ciphers, u16(b[i+1:]))
		}
	}
	if t.ClientVersion < 0x0300 {
		c.risk(RiskTLSObsoleteVersion, "SSLv2")
	}
	return n
}

// VersionName names a TLS or DTLS version number, such as "TLSv1.2"; unknown ones in hex.
func VersionName(v uint16) string {
	switch v {
	case 0x0002:
		return "SSLv2"
	case 0x0300:
		return "SSLv3"
	case 0x0301:
		return "TLSv1"
	case 0x0302:
		return "TLSv1.1"
	case 0x0303:
		return "TLSv1.2"
	case 0x0304:
		return "TLSv1.3"
	case 0xfeff:
		return "DTLSv1.0"
	case 0xfefd:
		return "DTLSv1.2"
	case 0xfefc:
		return "DTLSv1.3"
	}
	return fmt.Sprintf("0x%04X", v)
}

// obsolete reports whether a version is TLS 1.1 or DTLS 1.0 or older (RFC 8996 retires them).
func obsolete(v uint16) bool {
	return v != 0 && v < 0x0303 || v == 0xfeff || v == 0x0100
}

// isHTTPALPN reports whether a protocol name is one that browsers and web servers use.
func isHTTPALPN(s string) bool {
	return strings.HasPrefix(s, "h2") || strings.HasPrefix(s, "h3") || strings.HasPrefix(s, "http/") ||
		strings.HasPrefix(s, "spdy/") || strings.HasPrefix(s, "hq-")
}
