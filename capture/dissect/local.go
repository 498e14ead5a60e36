package dissect

import "bytes"

// localProbes recognise the protocols by which hosts find each other and their settings on a local network.
var localProbes = []probe{
	{proto: ProtoDHCP, l4: l4UDP, first: "\x01\x02", hint: []uint16{67, 68}, match: matchDHCP, read: readDHCP},
	{proto: ProtoDHCPv6, l4: l4UDP, ports: []uint16{546, 547}, hint: []uint16{546, 547}, match: matchDHCPv6, read: readDHCPv6},
	{proto: ProtoNTP, l4: l4UDP, ports: []uint16{123}, hint: []uint16{123}, match: matchNTP, read: readNTP},
	{proto: ProtoNetBIOS, l4: l4UDP, hint: []uint16{137, 138}, match: matchNetBIOS, read: readNetBIOS},
	{proto: ProtoSSDP, l4: l4UDP, first: "MNH", hint: []uint16{1900}, match: matchSSDP, read: readSSDP},
	{proto: ProtoWSD, l4: l4UDP, first: "<", ports: []uint16{3702}, match: func(c *ctx) verdict {
		if prefix(c.b, "<?xml") || prefix(c.b, "<soap") {
			return yes
		}
		return no
	}},
	{proto: ProtoSLP, ports: []uint16{427}, first: "\x01\x02", match: matchSLP},
	{proto: ProtoNATPMP, l4: l4UDP, ports: []uint16{5350, 5351}, first: "\x00\x02", match: matchNATPMP},
	{proto: ProtoBJNP, l4: l4UDP, first: "BM", ports: []uint16{8611, 8612, 8613, 8614, 8610}, match: func(c *ctx) verdict {
		if prefix(c.b, "BJNP") || prefix(c.b, "BNJB") || prefix(c.b, "MFNP") || prefix(c.b, "BJNB") {
			return yes
		}
		return no
	}},
	magic(ProtoSpotify, l4UDP, "SpotUdp"),
	{proto: ProtoDropbox, l4: l4UDP, ports: []uint16{17500}, first: "{", match: func(c *ctx) verdict {
		if bytes.Contains(c.b, []byte(`"host_int"`)) {
			return yes
		}
		return no
	}},
}

// matchDHCP looks at a BOOTP message (RFC 951) with the cookie of DHCP (RFC 2131), or on its ports without.
func matchDHCP(c *ctx) verdict {
	b := c.b
	if len(b) < 236 || b[1] == 0 || b[2] > 16 {
		return no
	}
	if len(b) >= 240 && u32(b[236:]) == 0x63825363 {
		return yes
	}
	if (c.p.ServerPort == 67 || c.p.ServerPort == 68) && b[1] == 1 && b[2] == 6 {
		return yes
	}
	return no
}

// readDHCP reads a client's or server's options (RFC 2132).
func readDHCP(c *ctx) int {
	b := c.b
	if len(b) < 240 {
		return len(b)
	}
	m := c.meta()
	if m.DHCP == nil {
		m.DHCP = &DHCP{}
	}
	// All clients without an address share one flow, from 0.0.0.0 to 255.255.255.255: each message speaks for itself.
	d := m.DHCP
	d.Hostname, d.ClientMAC = "", [6]byte{}
	if b[1] == 1 && b[2] == 6 {
		d.ClientMAC = [6]byte(b[28:34])
	}
	c.changed = true
	opts := b[240:]
	reply := b[0] == 2
	for len(opts) >= 2 && opts[0] != 255 {
		if opts[0] == 0 {
			opts = opts[1:]
			continue
		}
		n := int(opts[1])
		if len(opts) < 2+n {
			if len(b) >= c.p.Wire {
				c.risk(RiskMalformedPacket, "DHCP option too long")
			}
			break
		}
		v := opts[2 : 2+n]
		switch opts[0] {
		case 53:
			if n == 1 {
				d.MessageType = v[0]
			}
		case 12:
			if d.Hostname == "" {
				d.Hostname = c.hostText(v)
				if m.Hostname == "" {
					m.Hostname = d.Hostname
				}
			}
		case 81: // the client's full name: flags, two codes, the name
			if n > 3 && d.Hostname == "" {
				d.Hostname = c.hostText(v[3:])
				if m.Hostname == "" {
					m.Hostname = d.Hostname
				}
			}
		case 60:
			d.VendorClass = c.text(v)
		case 54:
			if n == 4 {
				d.ServerID = ipText(v)
			}
		}
		opts = opts[2+n:]
	}
	if reply {
		from := c.p.Server
		if c.dir == 0 {
			from = c.p.Client
		}
		if from.IsValid() {
			d.Server = from.Unmap().String()
		}
	}
	return len(b)
}

func matchDHCPv6(c *ctx) verdict {
	if len(c.b) >= 4 && c.b[0] >= 1 && c.b[0] <= 13 {
		return yes
	}
	return no
}

// readDHCPv6 reads the client's name (RFC 8415, RFC 4704).
func readDHCPv6(c *ctx) int {
	b := c.b
	m := c.meta()
	if m.DHCP == nil {
		m.DHCP = &DHCP{}
	}
	m.DHCP.MessageType = b[0]
	if b[0] == 2 || b[0] == 7 {
		from := c.p.Server
		if c.dir == 0 {
			from = c.p.Client
		}
		if from.IsValid() {
			m.DHCP.Server = from.String()
		}
	}
	for o := b[4:]; len(o) >= 4; {
		id, n := u16(o), int(u16(o[2:]))
		if len(o) < 4+n {
			break
		}
		if id == 39 && n > 1 && m.DHCP.Hostname == "" {
			var buf [256]byte
			name, _ := dnsName(o[5:4+n], 0, buf[:0])
			m.DHCP.Hostname = c.hostText(name)
			m.Hostname = m.DHCP.Hostname
		}
		o = o[4+n:]
	}
	if c.s.packets >= 4 {
		c.done()
	}
	return len(b)
}

// matchNTP looks at an NTP message (RFC 5905); mode 6 and 7 are the control messages.
func matchNTP(c *ctx) verdict {
	b := c.b
	if v := b[0] >> 3 & 7; v < 1 || v > 4 || b[0]&7 == 0 && v > 1 {
		return no
	}
	if len(b) >= 48 || (b[0]&7 == 6 || b[0]&7 == 7) && len(b) >= 8 {
		return yes
	}
	return no
}

func readNTP(c *ctx) int {
	b := c.b
	m := c.meta()
	mode := b[0] & 7
	if m.NTP == nil {
		m.NTP = &NTP{Version: b[0] >> 3 & 7, Mode: mode}
		if mode < 6 {
			m.NTP.Stratum = b[1]
		}
	}
	if mode == 4 {
		m.NTP.Answered = true
		m.NTP.Stratum = b[1]
		c.done()
	}
	if c.s.packets >= 6 {
		c.done()
	}
	return len(b)
}

// matchNetBIOS looks at the name service and datagram service (RFC 1002).
func matchNetBIOS(c *ctx) verdict {
	b := c.b
	switch {
	case c.p.ServerPort == 138 || c.p.ClientPort == 138:
		if len(b) >= 14 && b[0] >= 0x10 && b[0] <= 0x16 && b[1] <= 0x0f {
			return yes
		}
	case c.p.ServerPort == 137 || c.p.ClientPort == 137:
		if len(b) >= 12 {
			if h := readDNSHeader(b); h.qd <= 4 && h.an <= 64 && h.ns <= 4 && h.ar <= 4 && h.qd+h.an+h.ns+h.ar > 0 {
				return yes
			}
		}
	default:
		// Only the encoded name tells: 32 letters from A to P.
		if len(b) >= 50 && b[12] == 32 {
			if h := readDNSHeader(b); h.qd == 1 && h.an == 0 && netbiosName(b[13:45]) != nil {
				return yes
			}
		}
	}
	return no
}

// netbiosName decodes the first level encoding of RFC 1001, 14.1; it returns nil for what is none.
func netbiosName(b []byte) []byte {
	if len(b) < 32 {
		return nil
	}
	out := make([]byte, 16)
	for i := range out {
		h, l := b[2*i]-'A', b[2*i+1]-'A'
		if h > 15 || l > 15 {
			return nil
		}
		out[i] = h<<4 | l
	}
	return bytes.TrimRight(out[:15], " \x00")
}

func readNetBIOS(c *ctx) int {
	b := c.b
	at := 12
	if c.p.ServerPort == 138 || c.p.ClientPort == 138 {
		at = 14
		if len(b) > 82 && bytes.Contains(b[82:min(len(b), 200)], []byte("\xffSMB")) {
			c.app(ProtoSMBv1) // browsing the network, which says nothing of the version used for files
		}
	}
	if len(b) > at+33 && b[at] == 32 {
		if n := netbiosName(b[at+1 : at+33]); len(n) > 0 {
			if m := c.meta(); m.Hostname == "" {
				m.Hostname = c.hostText(n)
			}
		}
	}
	if c.s.packets >= 2 {
		c.done()
	}
	return len(b)
}

func matchSSDP(c *ctx) verdict {
	b := c.b
	switch {
	case prefix(b, "M-SEARCH * HTTP/1.1"), prefix(b, "NOTIFY * HTTP/1.1"):
		return yes
	case prefix(b, "HTTP/1.1 200 OK") && (c.p.ServerPort == 1900 || c.p.ClientPort == 1900 || bytes.Contains(b, []byte("\r\nUSN:")) || bytes.Contains(b, []byte("\r\nST:"))):
		return yes
	}
	return no
}

// readSSDP keeps the program that searches or announces.
func readSSDP(c *ctx) int {
	for head := c.b; len(head) > 0; {
		l, n, _ := line(head)
		head = head[n:]
		if name, v, ok := field(l); ok && (is(name, "user-agent") || is(name, "server")) {
			h := c.httpMeta()
			if is(name, "server") {
				h.Server = c.text(v)
			} else {
				h.UserAgent = c.text(v)
			}
		}
	}
	c.done()
	return len(c.b)
}

// matchSLP looks at a Service Location Protocol header (RFC 2608).
func matchSLP(c *ctx) verdict {
	b := c.b
	if len(b) < 12 || b[1] == 0 || b[1] > 11 {
		return no
	}
	if b[0] == 2 && u24(b[2:]) <= max(c.p.Wire, len(b)) || b[0] == 1 {
		return yes
	}
	return no
}

// matchNATPMP looks at NAT-PMP (RFC 6886) and its successor PCP (RFC 6887), which share their ports.
func matchNATPMP(c *ctx) verdict {
	b := c.b
	if b[0] == 2 && len(b) >= 24 && b[1]&0x7f <= 2 {
		return yes
	}
	if b[0] == 0 && (len(b) == 2 || len(b) == 8 || len(b) == 12 || len(b) == 16) && b[1]&0x7f <= 2 {
		return yes
	}
	return no
}
