package dissect

// dtlsProbes recognise DTLS (RFC 6347, RFC 9147) and the version 0x0100 of old OpenSSL and Cisco clients.
var dtlsProbes = []probe{
	{proto: ProtoDTLS, l4: l4UDP, first: "\x14\x15\x16\x17", match: matchDTLS, read: readDTLS},
}

func dtlsVersion(v uint16) bool { return v == 0xfeff || v == 0xfefd || v == 0xfefc || v == 0x0100 }

func matchDTLS(c *ctx) verdict {
	b := c.b
	if len(b) < 14 || !dtlsVersion(u16(b[1:])) {
		return no
	}
	n := int(u16(b[11:]))
	if n == 0 || 13+n > c.p.Wire && 13+n > len(b) {
		return no
	}
	if b[0] == recordHandshake && b[3] == 0 && b[4] == 0 && b[13] > 25 {
		return no
	}
	return yes
}

// readDTLS reads the records of one datagram.
func readDTLS(c *ctx) int {
	b := c.b
	x := &c.scratch().tls
	for len(b) >= 13 && b[0] >= recordCCS && b[0] <= recordData && dtlsVersion(u16(b[1:])) && !c.s.done {
		n := int(u16(b[11:]))
		epoch := u16(b[3:])
		if len(b) < 13+n {
			break
		}
		body := b[13 : 13+n]
		switch {
		case b[0] == recordHandshake && epoch == 0:
			c.dtlsMessages(x, body)
		case b[0] == recordAlert && epoch == 0 && n == 2:
			c.tlsAlert(body)
		case b[0] == recordData || epoch != 0:
			x.encrypted[c.dir] = true
			if x.encrypted[0] && x.encrypted[1] || c.s.packets > 8 {
				c.tlsDone()
			}
		}
		b = b[13+n:]
	}
	if c.s.packets > 20 {
		c.tlsDone()
	}
	return len(c.b)
}

// dtlsMessages reads handshake messages, putting those that came in pieces together: one at a time, since peers send them
// in order.
func (c *ctx) dtlsMessages(x *tlsState, b []byte) {
	for len(b) >= 12 && !c.s.done {
		typ, total, seq := b[0], u24(b[1:]), u16(b[4:])
		off, n := u24(b[6:]), u24(b[9:])
		if off+n > total || len(b) < 12+n || total > maxStream {
			return
		}
		part := b[12 : 12+n]
		b = b[12+n:]
		if n == total {
			c.dtlsMessage(x, typ, part)
			continue
		}
		if len(x.frag) == 0 || x.fragSeq != seq || len(x.frag) != total+1 || x.frag[0] != typ {
			x.frag, x.fragSeq, x.fragHave = append(x.frag[:0], make([]byte, total+1)...), seq, 0
			x.frag[0] = typ
		}
		if off == x.fragHave { // pieces out of order or again wait for the sender's retransmission
			copy(x.frag[1+off:], part)
			x.fragHave = off + n
		}
		if x.fragHave == total {
			m := x.frag[1:]
			c.dtlsMessage(x, typ, m)
			x.fragHave, x.fragSeq = 0, seq+1
		}
	}
}

func (c *ctx) dtlsMessage(x *tlsState, typ byte, m []byte) {
	switch typ {
	case msgClientHello:
		// The first hello may be answered by a request to verify; the second one says the same.
		if !x.sawHello[0] {
			x.sawHello[0] = true
			c.clientHello(m, 'd')
		}
	case msgServerHello:
		if !x.sawHello[1] {
			x.sawHello[1] = true
			c.serverHello(m)
		}
	case msgCertificate:
		if !x.cert {
			x.cert = true
			c.certificates(m)
		}
	}
}
