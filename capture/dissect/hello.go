package dissect

import "slices"

// Extension numbers (IANA, TLS ExtensionType Values).
const (
	extServerName        = 0
	extSignatureAlgs     = 13
	extALPN              = 16
	extSupportedVersions = 43
	extECH               = 0xfe0d
	extESNI              = 0xffce
)

// isGREASE reports whether v is one of the values reserved to keep implementations honest (RFC 8701).
func isGREASE(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// maxHelloList bounds the cipher suites and extensions that are read of a hello.
const maxHelloList = 256

// hello is a ClientHello taken apart, as far as the fingerprint needs it.
type hello struct {
	version  uint16 // legacy version
	highest  uint16 // highest of supported_versions, 0 without
	sni      []byte
	hasSNI   bool
	alpn     []byte // first one offered
	ciphers  [maxHelloList]uint16
	nCiphers int
	exts     [maxHelloList]uint16
	nExts    int
	sigs     [maxHelloList]uint16
	nSigs    int
}

// reset forgets the last hello; the lists beyond their counts do not matter.
func (h *hello) reset() {
	h.version, h.highest, h.sni, h.hasSNI, h.alpn = 0, 0, nil, false, nil
	h.nCiphers, h.nExts, h.nSigs = 0, 0, 0
}

// clientHello reads a ClientHello without its four bytes of handshake header (RFC 8446, 4.1.2); transport is 't', 'q' or
// 'd', the first letter of JA4.
func (c *ctx) clientHello(m []byte, transport byte) {
	t := c.tlsMeta()
	t.ClientHello = true
	h := &c.d.hello
	h.reset()
	if len(m) < 35 {
		c.risk(RiskMalformedPacket, "ClientHello too short")
		return
	}
	h.version = u16(m)
	t.ClientVersion = h.version
	m = m[34:]
	if m, _ = vec8(m); m == nil {
		c.risk(RiskMalformedPacket, "ClientHello session id too long")
		return
	}
	if transport == 'd' {
		if m, _ = vec8(m); m == nil { // cookie
			c.risk(RiskMalformedPacket, "ClientHello cookie too long")
			return
		}
	}
	m, suites := vec16(m)
	if m == nil || len(suites)%2 != 0 {
		c.risk(RiskMalformedPacket, "ClientHello cipher suites too long")
		return
	}
	for ; len(suites) >= 2 && h.nCiphers < maxHelloList; suites = suites[2:] {
		if v := u16(suites); !isGREASE(v) {
			h.ciphers[h.nCiphers] = v
			h.nCiphers++
		}
	}
	t.Ciphers = append(t.Ciphers[:0], h.ciphers[:h.nCiphers]...)
	m, _ = vec8(m) // compression methods
	if len(m) >= 2 {
		_, exts := vec16(m)
		if exts == nil {
			exts = m[2:] // cut: read what is there
		}
		c.clientExtensions(t, h, exts)
	}
	if h.highest != 0 {
		t.ClientVersion = h.highest
	}
	c.s.Meta.JA4 = c.ja4(h, transport)
	if h.hasSNI && len(h.sni) > 0 {
		t.SNI = c.hostText(h.sni)
		c.hostname(t.SNI)
		if !hostChars(h.sni) {
			c.risk(RiskTLSExtension, "unprintable server name")
			c.risk(RiskInvalidCharacters, "server name")
		}
	}
	if t.ESNI && h.hasSNI && t.SNI != "" && h.esni() {
		c.risk(RiskTLSESNI, "encrypted and clear server name together")
	}
	c.alpnApp(t)
}

func (h *hello) esni() bool {
	return slices.Contains(h.exts[:h.nExts], extESNI)
}

func (c *ctx) clientExtensions(t *TLS, h *hello, exts []byte) {
	for len(exts) >= 4 {
		id, n := u16(exts), int(u16(exts[2:]))
		if len(exts) < 4+n {
			c.risk(RiskMalformedPacket, "ClientHello extension too long")
			return
		}
		e := exts[4 : 4+n]
		exts = exts[4+n:]
		if isGREASE(id) {
			continue
		}
		if h.nExts < maxHelloList {
			h.exts[h.nExts] = id
			h.nExts++
		}
		switch id {
		case extServerName:
			// A list with one entry: its length, type 0, the name's length and the name.
			h.hasSNI = true
			if len(e) >= 5 && e[2] == 0 {
				if k := int(u16(e[3:])); 5+k <= len(e) {
					h.sni = e[5 : 5+k]
				}
			}
		case extALPN:
			_, l := vec16(e)
			for len(l) > 0 {
				rest, name := vec8(l)
				if rest == nil {
					break
				}
				if len(name) > 0 {
					if h.alpn == nil {
						h.alpn = name
					}
					if len(t.ALPN) < 32 {
						t.ALPN = append(t.ALPN, c.text(name))
					}
				}
				l = rest
			}
		case extSupportedVersions:
			_, l := vec8(e)
			for ; len(l) >= 2; l = l[2:] {
				v := u16(l)
				if !isGREASE(v) && versionAge(v) > versionAge(h.highest) {
					h.highest = v
				}
			}
		case extSignatureAlgs:
			_, l := vec16(e)
			for ; len(l) >= 2 && h.nSigs < maxHelloList; l = l[2:] {
				if v := u16(l); !isGREASE(v) {
					h.sigs[h.nSigs] = v
					h.nSigs++
				}
			}
		case extECH, extESNI:
			t.ESNI = true
		}
	}
}

// versionAge orders versions by age; the numbers of DTLS count down.
func versionAge(v uint16) int {
	switch {
	case v == 0:
		return 0
	case v >= 0xfe00:
		return 0x10000 - int(v)
	case v>>8 == 0x7f: // drafts of TLS 1.3
		return 0x0303<<1 + 1
	}
	return int(v) << 1
}

// serverHello reads a ServerHello without its header (RFC 8446, 4.1.3).
func (c *ctx) serverHello(m []byte) {
	t := c.tlsMeta()
	t.ServerHello = true
	if len(m) < 38 {
		c.risk(RiskMalformedPacket, "ServerHello too short")
		return
	}
	t.Version = u16(m)
	m = m[34:]
	if m, _ = vec8(m); len(m) < 3 {
		c.risk(RiskMalformedPacket, "ServerHello session id too long")
		return
	}
	t.Cipher = u16(m)
	m = m[3:] // suite and compression
	if len(m) < 2 {
		return
	}
	_, exts := vec16(m)
	for len(exts) >= 4 {
		id, n := u16(exts), int(u16(exts[2:]))
		if len(exts) < 4+n {
			return
		}
		e := exts[4 : 4+n]
		exts = exts[4+n:]
		switch id {
		case extSupportedVersions:
			if len(e) == 2 {
				t.Version = u16(e)
			}
		case extALPN:
			_, l := vec16(e)
			if _, name := vec8(l); len(name) > 0 {
				t.Negotiated = c.text(name)
			}
		}
	}
}

// vec8 takes a vector with one byte of length off b; rest is nil if it is longer than b.
func vec8(b []byte) (rest, v []byte) {
	if len(b) < 1 || len(b) < 1+int(b[0]) {
		return nil, nil
	}
	n := 1 + int(b[0])
	return b[n:], b[1:n]
}

// vec16 takes a vector with two bytes of length off b; rest is nil if it is longer than b.
func vec16(b []byte) (rest, v []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	n := 2 + int(u16(b))
	if len(b) < n {
		return nil, nil
	}
	return b[n:], b[2:n]
}
