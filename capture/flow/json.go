package flow

import (
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
)

var l4Names = [256]string{
	decode.ICMP: "ICMP", decode.IGMP: "IGMP", decode.IPv4: "IPIP", decode.TCP: "TCP", 8: "EGP", decode.UDP: "UDP",
	decode.IPv6: "IPV6", 46: "RSVP", decode.GREL4: "GRE", decode.ESP: "ESP", decode.AH: "AH", decode.ICMPv6: "ICMPV6",
	89: "OSPF", 103: "PIM", 112: "VRRP", decode.SCTP: "SCTP", decode.UDPL: "UDPLITE",
}

// L4Name is the name of an IP protocol, such as TCP or ICMPV6, or its number.
func L4Name(l4 uint8) string {
	if n := l4Names[l4]; n != "" {
		return n
	}
	return strconv.Itoa(int(l4))
}

// CommunityID returns the community id of record i with the given seed.
func (b *Block) CommunityID(i int, seed uint16) string {
	return string(b.appendCommunityID(nil, i, seed))
}

func (b *Block) appendCommunityID(to []byte, i int, seed uint16) []byte {
	sport, dport := b.ClientPort[i], b.ServerPort[i]
	src, dst := b.Client[i], b.Server[i]
	if l4 := b.L4[i]; l4 == decode.ICMP || l4 == decode.ICMPv6 {
		sport, dport = uint16(b.ICMPType[i]), uint16(b.ICMPCode[i])
		if b.Packets[0][i] == 0 { // only the server was heard, with a reply
			src, dst = dst, src
		}
	}
	return appendCommunityID(to, b.L4[i], src, dst, sport, dport, seed)
}

// AppendJSON appends record i as one JSON object, without a line end: the shape that `tocsin flows` prints.
func AppendJSON(to []byte, b *Block, i int) []byte {
	to = append(to, `{"l4":"`...)
	if n := l4Names[b.L4[i]]; n != "" {
		to = append(to, n...)
	} else {
		to = strconv.AppendUint(to, uint64(b.L4[i]), 10)
	}
	to = append(to, `","client":"`...)
	to = b.Client[i].AppendTo(to)
	to = append(to, `","client_port":`...)
	to = strconv.AppendUint(to, uint64(b.ClientPort[i]), 10)
	to = append(to, `,"server":"`...)
	to = b.Server[i].AppendTo(to)
	to = append(to, `","server_port":`...)
	to = strconv.AppendUint(to, uint64(b.ServerPort[i]), 10)
	to = append(to, `,"vlan":`...)
	to = strconv.AppendUint(to, uint64(b.VLAN[i]), 10)
	to = append(to, `,"tunnel":"`...)
	to = append(to, b.Tunnel[i].String()...)
	to = append(to, `","protocol":"`...)
	to = appendLabel(to, b.Protocol[i], b.App[i])
	to = append(to, `","category":"`...)
	to = append(to, b.Category[i].String()...)
	to = append(to, `","confidence":"`...)
	to = append(to, b.Confidence[i].String()...)
	to = append(to, `","first":`...)
	to = appendTime(to, b.First[i])
	to = append(to, `,"last":`...)
	to = appendTime(to, b.Last[i])
	to = append(to, `,"packets":[`...)
	to = appendPair(to, b.Packets[0][i], b.Packets[1][i])
	to = append(to, `],"bytes":[`...)
	to = appendPair(to, b.Bytes[0][i], b.Bytes[1][i])
	to = append(to, `],"community_id":"`...)
	to = b.appendCommunityID(to, i, 0)
	to = append(to, '"')
	if l4 := b.L4[i]; l4 == decode.ICMP || l4 == decode.ICMPv6 {
		to = append(to, `,"icmp":{"type":`...)
		to = strconv.AppendUint(to, uint64(b.ICMPType[i]), 10)
		to = append(to, `,"code":`...)
		to = strconv.AppendUint(to, uint64(b.ICMPCode[i]), 10)
		to = append(to, '}')
	}
	if m := b.Meta[i]; m != nil {
		to = appendMeta(to, m)
	}
	if r := b.Risks[i]; r != 0 {
		to = append(to, `,"risks":[`...)
		for ; r != 0; r &= r - 1 {
			to = append(to, '"')
			to = append(to, dissect.Risk(bits.TrailingZeros64(uint64(r))).String()...)
			to = append(to, '"', ',')
		}
		to[len(to)-1] = ']'
	}
	return append(to, '}')
}

func appendLabel(to []byte, master, app dissect.Protocol) []byte {
	if app == dissect.Unknown || app == master || master == dissect.Unknown {
		return append(to, dissect.Label(master, app)...)
	}
	to = append(to, master.String()...)
	to = append(to, '.')
	return append(to, app.String()...)
}

func appendPair(to []byte, a, b uint64) []byte {
	to = strconv.AppendUint(to, a, 10)
	to = append(to, ',')
	return strconv.AppendUint(to, b, 10)
}

// appendTime writes Unix nanoseconds as seconds with six decimals.
func appendTime(to []byte, ns int64) []byte {
	us := ns / 1000
	if us < 0 {
		to = append(to, '-')
		us = -us
	}
	to = strconv.AppendInt(to, us/1e6, 10)
	to = append(to, '.')
	for f, d := us%1e6, int64(1e5); d > 0; d /= 10 {
		to = append(to, byte('0'+f/d%10))
	}
	return to
}

// object writes the members of one JSON object; empty values are left out.
type object struct {
	b     []byte
	first bool
}

func (o *object) open(name string) {
	o.b = append(o.b, ',', '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, `":{`...)
	o.first = true
}

// close ends the object; the next member belongs to the one around it.
func (o *object) close() {
	o.b = append(o.b, '}')
	o.first = false
}

func (o *object) key(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) str(name, v string) {
	if v != "" {
		o.key(name)
		o.b = appendString(o.b, v)
	}
}

func (o *object) uint(name string, v uint64) {
	if v != 0 {
		o.key(name)
		o.b = strconv.AppendUint(o.b, v, 10)
	}
}

func (o *object) int(name string, v int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) bool(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) list(name string, vs []string) {
	if len(vs) == 0 {
		return
	}
	o.key(name)
	o.b = append(o.b, '[')
	for i, v := range vs {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, v)
	}
	o.b = append(o.b, ']')
}

func appendMeta(to []byte, m *dissect.Meta) []byte {
	o := object{b: to}
	o.str("hostname", m.Hostname)
	o.str("ja4", m.JA4)
	if t := m.TLS; t != nil {
		o.open("tls")
		if t.Version != 0 {
			o.str("version", dissect.VersionName(t.Version))
		} else if t.ClientVersion != 0 {
			o.str("client_version", dissect.VersionName(t.ClientVersion))
		}
		if t.Cipher != 0 {
			o.str("cipher", dissect.CipherName(t.Cipher))
		}
		o.str("sni", t.SNI)
		o.list("alpn", t.ALPN)
		o.str("negotiated_alpn", t.Negotiated)
		o.str("ja4", m.JA4)
		if c := t.Certificate; c != nil {
			o.str("subject", c.Subject)
			o.str("issuer", c.Issuer)
			o.list("names", c.Names)
			o.int("not_before", c.NotBefore)
			o.int("not_after", c.NotAfter)
			o.bool("self_signed", c.SelfSigned)
			o.str("sha1", c.SHA1)
			o.str("sha256", c.SHA256)
		}
		if t.AlertLevel != 0 {
			o.uint("alert_level", uint64(t.AlertLevel))
			o.int("alert", int64(t.AlertCode))
		}
		o.close()
	}
	if q := m.QUIC; q != nil {
		o.open("quic")
		o.int("version", int64(q.Version))
		o.close()
	}
	if h := m.HTTP; h != nil {
		o.open("http")
		o.str("method", h.Method)
		o.str("version", h.Version)
		o.str("host", h.Host)
		o.str("url", h.URL)
		o.uint("status", uint64(h.Status))
		o.str("user_agent", h.UserAgent)
		o.str("content_type", h.ContentType)
		o.str("server", h.Server)
		o.str("referer", h.Referer)
		o.str("user", h.BasicUser)
		o.close()
	}
	if d := m.DNS; d != nil {
		o.open("dns")
		o.str("query", d.Query)
		o.int("type", int64(d.Type))
		o.bool("answered", d.Answered)
		if d.Answered {
			o.str("rcode", dissect.RCodeName(d.RCode))
		}
		o.uint("queries", uint64(d.Queries))
		o.uint("answers", uint64(d.Answers))
		o.list("addresses", d.Addresses)
		o.close()
	}
	if s := m.SSH; s != nil {
		o.open("ssh")
		o.str("client", s.Client)
		o.str("server", s.Server)
		o.close()
	}
	if d := m.DHCP; d != nil {
		o.open("dhcp")
		o.uint("message_type", uint64(d.MessageType))
		o.str("hostname", d.Hostname)
		o.str("vendor_class", d.VendorClass)
		o.str("server", d.Server)
		o.str("server_id", d.ServerID)
		o.close()
	}
	if n := m.NTP; n != nil {
		o.open("ntp")
		o.int("version", int64(n.Version))
		o.int("mode", int64(n.Mode))
		o.int("stratum", int64(n.Stratum))
		o.bool("answered", n.Answered)
		o.close()
	}
	if c := m.Credentials; c != nil {
		o.open("credentials")
		o.str("protocol", c.Protocol.String())
		o.str("user", c.User)
		o.bool("password", c.Password)
		o.close()
	}
	return o.b
}

const hex = "0123456789abcdef"

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf-1; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString writes a JSON string; invalid UTF-8 becomes U+FFFD.
func appendString(to []byte, s string) []byte {
	to = append(to, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				to = append(to, s[done:i]...)
				to = append(to, `\ufffd`...)
				i++
				done = i
				continue
			}
			i += n
			continue
		}
		to = append(to, s[done:i]...)
		switch c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\n':
			to = append(to, '\\', 'n')
		case '\r':
			to = append(to, '\\', 'r')
		case '\t':
			to = append(to, '\\', 't')
		default:
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		done = i
	}
	to = append(to, s[done:]...)
	return append(to, '"')
}
