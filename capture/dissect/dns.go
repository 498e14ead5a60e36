package dissect

import (
	"fmt"
	"strings"
)

// dnsProbes recognise DNS (RFC 1035) over UDP and TCP, multicast DNS (RFC 6762) and LLMNR (RFC 4795), which share its
// format.
var dnsProbes = []probe{
	{proto: ProtoDNS, l4: l4UDP, hint: []uint16{53}, match: matchDNS, read: readDNS},
	{proto: ProtoMDNS, l4: l4UDP, ports: []uint16{5353, 5354}, hint: []uint16{5353}, match: matchMDNS, read: readDNS},
	{proto: ProtoLLMNR, l4: l4UDP, ports: []uint16{5355}, hint: []uint16{5355}, match: matchMDNS, read: readDNS},
	{proto: ProtoDNS, l4: l4TCP, first: "\x00\x01\x02\x03\x04\x05", ports: []uint16{53}, hint: []uint16{53}, match: matchDNSTCP, read: readDNSTCP},
	{proto: ProtoLLMNR, l4: l4TCP, first: "\x00\x01", ports: []uint16{5355}, match: matchDNSTCP, read: readDNSTCP},
}

// dnsHeader is the fixed part of a message.
type dnsHeader struct {
	flags          uint16
	qd, an, ns, ar int
}

func (h *dnsHeader) response() bool { return h.flags&0x8000 != 0 }
func (h *dnsHeader) opcode() uint8  { return uint8(h.flags >> 11 & 15) }
func (h *dnsHeader) rcode() uint8   { return uint8(h.flags & 15) }

func readDNSHeader(b []byte) dnsHeader {
	return dnsHeader{flags: u16(b[2:]), qd: int(u16(b[4:])), an: int(u16(b[6:])), ns: int(u16(b[8:])), ar: int(u16(b[10:]))}
}

// plausible reports whether the counts and the operation are what a real message could have.
func (h *dnsHeader) plausible(size int) bool {
	n := h.qd + h.an + h.ns + h.ar
	return h.opcode() <= 6 && h.opcode() != 3 && h.flags&0x0040 == 0 && n > 0 && h.qd <= 16 && 4*n <= size
}

func matchDNS(c *ctx) verdict {
	b := c.b
	if len(b) < 12 {
		return no
	}
	h := readDNSHeader(b)
	if c.p.ServerPort == 53 || c.p.ClientPort == 53 {
		if h.opcode() > 6 || h.qd > 32 || h.an > 512 || h.ns > 512 || h.ar > 512 || h.qd+h.an+h.ns+h.ar == 0 && h.rcode() == 0 {
			return no
		}
		return yes
	}
	// Elsewhere every part of the question must be right.
	if !h.plausible(len(b)) || h.qd != 1 || h.opcode() != 0 || !h.response() && (h.an != 0 || h.ns != 0 || h.flags&0x0f != 0) {
		return no
	}
	var name [256]byte
	n, at := dnsName(b, 12, name[:0])
	if at < 0 || at+4 > len(b) || len(n) == 0 || !hostChars(n) {
		return no
	}
	t, cl := u16(b[at:]), u16(b[at+2:])
	if cl != 1 || t == 0 || t > 260 || !h.response() && h.ar == 0 && at+4 != len(b) {
		return no
	}
	return yes
}

func matchMDNS(c *ctx) verdict {
	if len(c.b) < 12 {
		return no
	}
	if h := readDNSHeader(c.b); h.opcode() > 6 || h.qd > 256 || h.qd+h.an+h.ns+h.ar == 0 {
		return no
	}
	return yes
}

func matchDNSTCP(c *ctx) verdict {
	b := c.b
	if len(b) < 14 {
		if len(b) == 2 || len(b) >= 4 && int(u16(b)) >= 12 {
			return more
		}
		return no
	}
	n := int(u16(b))
	if n < 12 || len(b) > 2+n && len(b) < 2+n+2 {
		return no
	}
	h := readDNSHeader(b[2:])
	if !h.plausible(n) {
		return no
	}
	return yes
}

func readDNSTCP(c *ctx) int {
	at := 0
	for len(c.b)-at >= 2 {
		n := int(u16(c.b[at:]))
		if len(c.b)-at < 2+n {
			break
		}
		c.dnsMessage(c.b[at+2 : at+2+n])
		at += 2 + n
	}
	return at
}

func readDNS(c *ctx) int {
	c.dnsMessage(c.b)
	if c.s.Protocol == ProtoDNS {
		if c.p.Wire > 512 {
			c.risk(RiskDNSLarge, fmt.Sprintf("message of %d bytes", c.p.Wire))
		}
		if c.p.Fragment {
			c.risk(RiskDNSFragmented, fmt.Sprintf("message of %d bytes in fragments", c.p.Wire))
		}
	}
	return len(c.b)
}

// dnsMeta is a Meta together with the part that a DNS flow needs: one allocation instead of two.
type dnsMeta struct {
	meta Meta
	dns  DNS
}

func (c *ctx) dnsMeta() *DNS {
	if c.s.Meta == nil {
		m := &dnsMeta{}
		m.meta.DNS = &m.dns
		c.s.Meta = &m.meta
	}
	m := c.meta()
	if m.DNS == nil {
		m.DNS = &DNS{}
	}
	return m.DNS
}

// dnsMessage reads one message.
func (c *ctx) dnsMessage(b []byte) {
	if len(b) < 12 {
		c.risk(RiskMalformedPacket, "DNS message too short")
		return
	}
	h := readDNSHeader(b)
	d := c.dnsMeta()
	if !h.response() && d.Queries > 0 {
		d.Queries += uint32(h.qd)
		return
	}
	if h.response() && d.Answered {
		return
	}
	if c.s.Protocol == ProtoDNS && (h.qd > 16 || 5*h.qd+11*(h.an+h.ns+h.ar) > c.p.Wire-12+11*h.qd && len(b) >= c.p.Wire) {
		c.risk(RiskMalformedPacket, "DNS header and length do not agree")
	}
	at := 12
	var buf [256]byte
	if h.qd > 0 {
		name, next := dnsName(b, at, buf[:0])
		if next < 0 || next+4 > len(b) {
			if len(b) >= c.p.Wire {
				c.risk(RiskMalformedPacket, "DNS question cut")
			}
			at = -1
		} else {
			at = next + 4
			c.dnsQuestion(d, name, u16(b[next:]))
			for k := 1; k < h.qd && at >= 0; k++ {
				if at = dnsSkip(b, at); at >= 0 {
					at += 4
				}
			}
		}
	}
	if !h.response() {
		d.Queries += uint32(h.qd)
		d.Opcode = h.opcode()
		return
	}
	d.Answered, d.RCode, d.Answers, d.Opcode = true, h.rcode(), uint16(min(h.an, 1<<16-1)), h.opcode()
	if c.s.Protocol == ProtoDNS && d.RCode != 0 {
		c.risk(RiskErrorCode, "DNS "+RCodeName(d.RCode))
	}
	if at > 0 {
		c.dnsAnswers(d, b, at, h.an)
	}
}

// dnsQuestion notes the first question.
func (c *ctx) dnsQuestion(d *DNS, name []byte, typ uint16) {
	if d.Query == "" {
		d.Query, d.Type = c.hostText(name), typ&0x7fff
	}
	if len(name) > len(d.LongName) && carriesData(name) && c.s.Protocol == ProtoDNS {
		d.LongName = c.hostText(name)
		c.changed = true
	}
	m := c.s.Meta
	switch { // what resolvers of their own ask for first
	case c.s.Protocol != ProtoDNS:
	case strings.HasPrefix(d.Query, "2.dnscrypt-cert."):
		c.protocol(ProtoDNScrypt)
	case strings.HasSuffix(d.Query, ".securedns.avast.com"):
		c.protocol(ProtoAVASTSecureDNS)
	}
	if m.Hostname == "" {
		m.Hostname = d.Query
		if !nameChars(name) {
			c.risk(RiskInvalidCharacters, "domain name")
		}
		if c.s.Protocol == ProtoDNS {
			if !isArpa(d.Query) {
				x := c.d.hosts.get(d.Query, factsOfHost)
				c.app(x.app)
				c.nameRisks(d.Query, x)
			}
			if obsoleteType(d.Type) {
				c.risk(RiskDNSSuspicious, fmt.Sprintf("record type %d", d.Type))
			}
		}
	}
}

// dnsAnswers reads the addresses of the answers.
func (c *ctx) dnsAnswers(d *DNS, b []byte, at, n int) {
	for k := 0; k < n && k < 64; k++ {
		var buf [256]byte
		name, next := dnsName(b, at, buf[:0])
		if next < 0 || next+10 > len(b) {
			if len(b) >= c.p.Wire && c.s.Protocol == ProtoDNS && c.p.L4 == l4UDP {
				c.risk(RiskMalformedPacket, "DNS answer cut")
			}
			return
		}
		typ, ttl, l := u16(b[next:]), u32(b[next+4:]), int(u16(b[next+8:]))
		at = next + 10
		if at+l > len(b) {
			return
		}
		if k == 0 && c.s.Meta.Hostname == "" {
			c.s.Meta.Hostname = c.hostText(name)
		}
		if ttl == 0 && c.s.Protocol == ProtoDNS && typ != 41 {
			c.risk(RiskMinorIssues, "DNS record with a lifetime of zero")
		}
		if len(d.Addresses) < 16 {
			switch {
			case typ == 1 && l == 4:
				d.Addresses = append(d.Addresses, ipText(b[at:at+4]))
			case typ == 28 && l == 16:
				d.Addresses = append(d.Addresses, ipText(b[at:at+16]))
			}
		}
		at += l
	}
}

// dnsName reads a name at b[at:], following compression pointers backwards only, and appends it to out with dots. next
// is the offset behind the name, or -1 if it is broken.
func dnsName(b []byte, at int, out []byte) (name []byte, next int) {
	next = -1
	low := at
	for {
		if at >= len(b) {
			return out, -1
		}
		n := int(b[at])
		switch {
		case n == 0:
			if next < 0 {
				next = at + 1
			}
			return out, next
		case n&0xc0 == 0xc0:
			if at+1 >= len(b) {
				return out, -1
			}
			to := (n&0x3f)<<8 | int(b[at+1])
			if next < 0 {
				next = at + 2
			}
			if to >= low {
				return out, -1
			}
			at, low = to, to
			continue
		case n > 63:
			return out, -1
		}
		if at+1+n > len(b) || len(out)+n+1 > 255 {
			return out, -1
		}
		if len(out) > 0 {
			out = append(out, '.')
		}
		out = append(out, b[at+1:at+1+n]...)
		at += 1 + n
	}
}

// dnsSkip returns the offset behind a name, or -1.
func dnsSkip(b []byte, at int) int {
	for at >= 0 && at < len(b) {
		n := int(b[at])
		switch {
		case n == 0:
			return at + 1
		case n&0xc0 == 0xc0:
			return at + 2
		case n > 63:
			return -1
		}
		at += 1 + n
	}
	return -1
}

// nameChars reports whether a domain name has only characters that names are made of in practice.
func nameChars(b []byte) bool {
	for _, x := range b {
		if !alnum(x) && x != '.' && x != '-' && x != '_' && x != '/' && x != ' ' && x != '(' && x != ')' && x != '\'' && x != '*' {
			return false
		}
	}
	return true
}

func isArpa(h string) bool {
	return len(h) > 5 && h[len(h)-5:] == ".arpa"
}

// obsoleteType tells the record types that RFC 1035 and its successors call obsolete or experimental: nobody needs them.
func obsoleteType(typ uint16) bool {
	switch typ {
	case 3, 4, 7, 8, 9, 10, 11, 14, 38, 253, 254:
		return true
	}
	return false
}

// A tunnel packs as much data into a name as fits: labels of up to 63 characters, names of up to 253 (RFC 1035). Names
// made for people and machines stay well below these.
const longLabel, longName = 50, 110

// carriesData reports whether a name is so long that it may carry data.
func carriesData(name []byte) bool {
	if isArpa(string(name)) {
		return false
	}
	run := 0
	for _, x := range name {
		if run++; x == '.' {
			run = 0
		}
		if run >= longLabel {
			return true
		}
	}
	return len(name) >= longName
}

// RCodeName names a DNS response code (RFC 6895), such as NXDOMAIN.
func RCodeName(r uint8) string {
	names := [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("error %d", r)
}
