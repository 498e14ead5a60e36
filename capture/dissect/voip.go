package dissect

import (
	"bytes"
	"strings"
)

// voipProbes recognise calls: STUN (RFC 8489), SIP (RFC 3261), RTP and RTCP (RFC 3550), RTSP (RFC 7826), H.323, MGCP,
// Megaco, IAX and Cisco's Skinny.
var voipProbes = []probe{
	{proto: ProtoSTUN, first: "\x00\x01", match: matchSTUN, read: readSTUN},
	{proto: ProtoSIP, first: "IARBOCSNUPMEFia", match: matchSIP, read: readSIP},
	{proto: ProtoRTSP, l4: l4TCP, first: "ODSPTGRA", match: matchRTSP, read: readRTSP},
	{proto: ProtoH323, l4: l4TCP, first: "\x03", match: matchH323},
	test(ProtoH323, l4UDP, []uint16{1719}, func(b []byte) bool { return len(b) >= 20 && b[0]&0x80 == 0 && b[0] <= 0x27 }),
	test(ProtoIAX, l4UDP, []uint16{4569}, func(b []byte) bool { return len(b) >= 12 && b[0]&0x80 != 0 && b[8] == 0 && b[9] <= 1 && b[10] == 6 }),
	{proto: ProtoMGCP, l4: l4UDP, first: "ARCDMNE", match: func(c *ctx) verdict {
		if l, _, ok := line(c.b); ok && bytes.HasSuffix(l, []byte("MGCP 1.0")) {
			return yes
		}
		return no
	}},
	magic(ProtoMegaco, l4UDP, "!/1 [", "!/1 <", "MEGACO/1 ", "!/2 [", "!/1 ["),
	{proto: ProtoCiscoSkinny, l4: l4TCP, ports: []uint16{2000}, match: func(c *ctx) verdict {
		b := c.b
		if len(b) >= 12 && int(le32(b))+8 <= len(b)+1024 && le32(b) >= 4 && le32(b) < 4096 && (le32(b[4:]) <= 0x16) && le32(b[8:]) < 0x160 {
			return yes
		}
		return no
	}},
	{proto: ProtoRTCP, l4: l4UDP, first: "\x80\x81\x82\x83\x84", match: matchRTCP},
	{proto: ProtoRTP, l4: l4UDP, first: "\x80\x81\x90\xa0\xb0", match: matchRTP},
}

const stunCookie = 0x2112a442

// isSTUN reports whether b is one STUN message and nothing else; classic is the format of RFC 3489, without cookie.
func isSTUN(b []byte) (ok, classic bool) {
	if len(b) < 20 || b[0]&0xc0 != 0 || b[3]&3 != 0 {
		return false, false
	}
	n := int(u16(b[2:]))
	if u32(b[4:]) == stunCookie {
		return 20+n <= len(b), false
	}
	t := u16(b)
	if 20+n != len(b) || t&0x3eef > 9 || t&0x3eef == 0 && t != 0x0001 {
		return false, false
	}
	// The attributes must fill the message.
	a := b[20:]
	for len(a) >= 4 {
		k := int(u16(a[2:]))
		if u16(a) > 0x40 && u16(a) < 0x8000 && u16(a)&0xfff0 != 0x0100 || k > len(a)-4 {
			return false, false
		}
		a = a[min(len(a), 4+(k+3)&^3):]
	}
	return len(a) == 0, true
}

func matchSTUN(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) >= 22 && u32(b[4:]) != stunCookie && int(u16(b)) == len(b)-2 { // RFC 4571 framing
			b = b[2:]
		}
		if len(b) < 20 || u32(b[4:]) != stunCookie {
			return no
		}
	}
	ok, classic := isSTUN(b)
	if !ok || classic && c.p.ServerPort == 53 {
		return no
	}
	if classic && len(b) == 20 && c.p.ServerPort != 3478 && c.p.ServerPort != 3479 && u16(b) != 1 {
		return no
	}
	return yes
}

// readSTUN learns from the attributes which service a call belongs to, and from what follows whether media flows.
func readSTUN(c *ctx) int {
	b := c.b
	n := len(b)
	if c.p.L4 == l4UDP && len(b) > 14 && dtlsVersion(u16(b[1:])) && b[0] >= recordCCS && b[0] <= recordData {
		c.stunDTLS()
		return n
	}
	if ok, _ := isSTUN(b); ok {
		c.stunAttributes(b)
	} else if len(b) >= 4 && b[0]&0xc0 == 0x40 && c.s.x == nil { // TURN channel data
		c.scratch()
	}
	if c.s.App != Unknown && c.s.packets >= 2 || c.s.packets >= 9 {
		c.done()
	}
	return n
}

// stunDTLS reads the handshake of a call's keys. The flow is then one of DTLS, as nDPI has it.
func (c *ctx) stunDTLS() {
	if c.s.Protocol != ProtoDTLS {
		c.protocol(ProtoDTLS)
	}
	readDTLS(c)
	if m := c.s.Meta; m != nil && m.TLS != nil && m.TLS.ServerHello && m.TLS.ClientHello && m.TLS.Certificate != nil {
		c.done()
	}
}

func (c *ctx) stunAttributes(b []byte) {
	if len(b) < 20 {
		return
	}
	a := b[20:min(len(b), 20+int(u16(b[2:])))]
	for len(a) >= 4 {
		t, k := u16(a), int(u16(a[2:]))
		if k > len(a)-4 {
			return
		}
		v := a[4 : 4+k]
		switch {
		case t == 0x0014 || t == 0x8022: // REALM, SOFTWARE
			c.stunName(strings.ToLower(c.text(v)))
		case t >= 0x4000 && t <= 0x4007:
			c.app(ProtoWhatsAppCall)
		case t == 0x8008 && k == 4, t == 0x8054, t == 0x8055, t == 0x8070, t == 0x8095:
			c.app(ProtoSkypeCall)
		case t == 0x0101 || t == 0x0103:
			if c.s.App == Unknown && u16(b) < 0x10 {
				c.app(ProtoZoom)
			}
		}
		a = a[min(len(a), 4+(k+3)&^3):]
	}
}

func (c *ctx) stunName(s string) {
	switch {
	case strings.Contains(s, "telegram"):
		c.app(ProtoTelegramVoip)
	case strings.Contains(s, "facebook") || strings.Contains(s, "turner"):
		c.app(ProtoFacebookVoip)
	case strings.Contains(s, "whatsapp"):
		c.app(ProtoWhatsAppCall)
	case strings.Contains(s, "signal.org"):
		c.app(ProtoSignalVoip)
	case strings.Contains(s, "google"):
		c.app(ProtoGoogleCall)
	case strings.Contains(s, "discord"):
		c.app(ProtoDiscord)
	case strings.Contains(s, "viber"):
		c.app(ProtoViberVoip)
	default:
		c.app(appByHost(s))
	}
}

var sipStarts = []string{
	"INVITE sip:", "ACK sip:", "BYE sip:", "CANCEL sip:", "OPTIONS sip:", "REGISTER sip:", "SUBSCRIBE sip:", "NOTIFY sip:", "PUBLISH sip:",
	"MESSAGE sip:", "INFO sip:", "REFER sip:", "UPDATE sip:", "PRACK sip:", "SIP/2.0 ", "INVITE tel:", "INVITE sips:", "REGISTER sips:",
	"OPTIONS sips:", "FEATURE sip:",
}

func matchSIP(c *ctx) verdict {
	for _, s := range sipStarts {
		if prefixFold(c.b, strings.ToLower(s)) {
			return yes
		}
	}
	return no
}

// readSIP keeps the program that calls.
func readSIP(c *ctx) int {
	for head := c.b; len(head) > 0; {
		l, n, _ := line(head)
		head = head[n:]
		if len(l) == 0 {
			break
		}
		if name, v, ok := field(l); ok && (is(name, "user-agent") || is(name, "server")) {
			if h := c.httpMeta(); is(name, "server") {
				h.Server = c.text(v)
			} else {
				h.UserAgent = c.text(v)
			}
		}
	}
	if c.s.packets >= 2 {
		c.done()
	}
	return len(c.b)
}

func matchRTSP(c *ctx) verdict {
	b := c.b
	if prefix(b, "RTSP/1.0 ") {
		return yes
	}
	l, _, ok := line(b)
	if ok && bytes.HasSuffix(l, []byte(" RTSP/1.0")) {
		return yes
	}
	return no
}

func readRTSP(c *ctx) int {
	for head := c.b; len(head) > 0; {
		l, n, _ := line(head)
		head = head[n:]
		if len(l) == 0 {
			break
		}
		if name, v, ok := field(l); ok && (is(name, "user-agent") || is(name, "server") || is(name, "authorization")) {
			h := c.httpMeta()
			switch {
			case is(name, "server"):
				h.Server = c.text(v)
			case is(name, "user-agent"):
				h.UserAgent = c.text(v)
			default:
				c.httpAuth(h, v)
			}
		}
	}
	if c.s.packets >= 4 {
		c.done()
	}
	return len(c.b)
}

// matchH323 looks for Q.931 call signalling in a TPKT (H.225.0, RFC 1006).
func matchH323(c *ctx) verdict {
	b := c.b
	if len(b) >= 8 && b[1] == 0 && int(u16(b[2:])) <= len(b)+4096 && b[4] == 8 && (b[5] == 2 || b[5] == 1) && b[6]&0x7f < 0x80 && c.p.ServerPort != 3389 {
		return yes
	}
	if len(b) == 4 && b[1] == 0 && b[2]|b[3] != 0 && (c.p.ServerPort == 1720 || c.p.ClientPort == 1720) {
		return more
	}
	return no
}

// rtpState compares packets of a stream.
type rtpState struct {
	ssrc [2]uint32
	seq  [2]uint16
	n    [2]uint8
}

// matchRTP wants to see three packets of one source in sequence.
func matchRTP(c *ctx) verdict {
	b := c.b
	if len(b) < 12 || b[0]&0x0f > 4 || c.p.ServerPort < 1024 && c.p.ClientPort < 1024 {
		return no
	}
	pt := b[1] & 0x7f
	if pt >= 72 && pt <= 76 || pt > 34 && pt < 77 || pt >= 77 && pt < 96 {
		return no
	}
	seq, ssrc := u16(b[2:]), u32(b[8:])
	if ssrc == 0 {
		return no
	}
	x := &c.scratch().rtp
	d := c.dir
	if x.n[d] > 0 && x.ssrc[d] == ssrc && seq-x.seq[d] > 0 && seq-x.seq[d] <= 3 {
		if x.n[d]++; x.n[d] >= 3 {
			return yes
		}
	} else {
		x.n[d] = 1
	}
	x.ssrc[d], x.seq[d] = ssrc, seq
	return no
}

// matchRTCP looks at a compound packet: a report first, and lengths that add up.
func matchRTCP(c *ctx) verdict {
	b := c.b
	if len(b) < 8 || b[1] != 200 && b[1] != 201 {
		return no
	}
	n := 0
	for len(b) >= 4 && b[0]&0xc0 == 0x80 && b[1] >= 192 && b[1] <= 223 {
		l := 4 * (int(u16(b[2:])) + 1)
		if l > len(b) {
			break
		}
		b = b[l:]
		n++
	}
	if n >= 1 && len(b) <= 16 {
		return yes
	}
	return no
}
