package dissect

// vpnProbes recognise tunnels and proxies: WireGuard, OpenVPN, IKE (RFC 7296, RFC 2408), SOCKS (RFC 1928), Tinc, Tailscale's
// discovery, DNScrypt and Tor's directory.
var vpnProbes = []probe{
	{proto: ProtoWireGuard, l4: l4UDP, first: "\x01\x02\x03\x04", hint: []uint16{51820}, match: matchWireGuard},
	{proto: ProtoOpenVPN, l4: l4UDP, first: "\x08\x10\x38\x40\x50", match: matchOpenVPN},
	{proto: ProtoOpenVPN, l4: l4TCP, first: "\x00\x01\x02\x03\x04\x05", match: matchOpenVPN},
	{proto: ProtoIPSec, l4: l4UDP, ports: []uint16{500, 4500}, hint: []uint16{500, 4500}, match: matchIKE},
	{proto: ProtoSOCKS, l4: l4TCP, first: "\x04\x05", match: matchSOCKS},
	{proto: ProtoTinc, l4: l4TCP, first: "0", match: func(c *ctx) verdict {
		if l, _, ok := line(c.b); ok && len(l) >= 6 && l[1] == ' ' && (endsWith(l, " 17") || endsWith(l, " 17.0") || endsWith(l, " 17.7")) && printable(l) {
			return yes
		}
		return no
	}},
	magic(ProtoTailscale, l4UDP, "TS\xf0\x9f\x92\xac"),
	{proto: ProtoDNScrypt, l4: l4UDP, first: "r", match: matchDNScrypt},
}

func endsWith(b []byte, s string) bool { return len(b) >= len(s) && string(b[len(b)-len(s):]) == s }

// matchWireGuard looks at the four message types, whose next three bytes are zero (WireGuard whitepaper, 5.4).
func matchWireGuard(c *ctx) verdict {
	b := c.b
	if len(b) < 32 || b[1]|b[2]|b[3] != 0 {
		return no
	}
	known := c.p.ServerPort == 51820 || c.p.ClientPort == 51820
	x := c.scratch()
	switch {
	case b[0] == 1 && len(b) == 148:
		x.seq[0] = le32(b[4:])
		return yes
	case b[0] == 2 && len(b) == 92:
		return yes
	case b[0] == 3 && len(b) == 64 && known:
		return yes
	case b[0] == 4 && len(b)%16 == 0:
		// The receiver index stays and the counter grows.
		d := c.dir
		ix, ctr := le32(b[4:]), le32(b[8:])
		if le32(b[12:]) != 0 {
			return no
		}
		if known {
			return yes
		}
		if x.seq[d] == ix && ix != 0 && ctr < 1<<24 {
			if x.rtp.n[d]++; x.rtp.n[d] >= 2 {
				return yes
			}
			return no
		}
		x.seq[d], x.rtp.n[d] = ix, 0
	}
	return no
}

// matchOpenVPN looks at the hard resets that open a session and their acknowledgement.
func matchOpenVPN(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) < 16 {
			return no
		}
		n := int(u16(b))
		if n+2 != len(b) || n < 14 {
			return no
		}
		b = b[2:]
	}
	if len(b) < 14 || len(b) > 1500 {
		return no
	}
	op := b[0] >> 3
	if b[0]&7 != 0 || op != 7 && op != 8 && op != 10 && op != 1 && op != 2 {
		return no
	}
	known := c.p.ServerPort == 1194 || c.p.ClientPort == 1194
	session := u64(b[1:])
	if session == 0 {
		return no
	}
	// Without authentication: session, no acknowledgements, packet id 0. With tls-auth a digest of 16 to 64 bytes, an id
	// that begins with 1 and a time stand between session and acknowledgements; with tls-crypt the time comes first.
	switch op {
	case 7, 1:
		if len(b) == 14 && b[9] == 0 && u32(b[10:]) == 0 {
			return yes
		}
		for _, h := range []int{16, 20, 32, 64} {
			if i := 9 + h; len(b) == i+13 && u32(b[i:]) == 1 && b[i+8] == 0 && u32(b[i+9:]) == 0 {
				return yes
			}
		}
		if len(b) == 54 && (u32(b[9:]) == 1 || u32(b[9:]) == 0x0f000001) {
			return yes
		}
	case 8, 2:
		if len(b) == 26 && b[9] == 1 && u32(b[10:]) == 0 {
			return yes
		}
		for _, h := range []int{16, 20, 32, 64} {
			if i := 9 + h; len(b) == i+25 && u32(b[i:]) == 1 && b[i+8] == 1 {
				return yes
			}
		}
		if known {
			return yes
		}
	case 10:
		if u32(b[9:]) == 1 || u32(b[9:]) == 0x0f000001 {
			return yes
		}
	}
	return no
}

// matchIKE looks at an ISAKMP header, behind a non-ESP marker on port 4500, or at ESP in UDP (RFC 3948).
func matchIKE(c *ctx) verdict {
	b := c.b
	nat := c.p.ServerPort == 4500 || c.p.ClientPort == 4500
	if nat && len(b) == 1 && b[0] == 0xff {
		return yes
	}
	if nat && len(b) >= 32 && u32(b) == 0 {
		b = b[4:]
	} else if nat && len(b) >= 8 && u32(b) != 0 && u32(b) > 255 && u32(b[4:]) < 1<<24 {
		return yes
	}
	if len(b) < 28 {
		return no
	}
	if v := b[17]; (v == 0x10 || v == 0x20) && b[16] < 60 && u64(b) != 0 {
		if n := int(u32(b[24:])); n != len(b) && n > max(c.p.Wire, len(b)) {
			c.risk(RiskMalformedPacket, "ISAKMP length")
		}
		return yes
	}
	return no
}

// matchSOCKS wants a client's greeting whose length agrees, and for version 5 the server's answer too.
func matchSOCKS(c *ctx) verdict {
	b := c.b
	x := c.scratch()
	if b[0] == 5 {
		switch {
		case c.dir == 0 && len(b) >= 3 && len(b) == 2+int(b[1]) && b[1] <= 8:
			if c.p.ServerPort == 1080 {
				return yes
			}
			x.seq[0] = 5
		case c.dir == 1 && len(b) == 2 && (b[1] <= 9 || b[1] == 0xff) && x.seq[0] == 5:
			return yes
		}
		return no
	}
	if c.dir == 0 && len(b) >= 9 && (b[1] == 1 || b[1] == 2) && b[len(b)-1] == 0 && u16(b[2:]) != 0 && len(b) < 300 && printable(b[8:len(b)-1]) {
		return yes
	}
	return no
}

// dnscryptMagics begin the messages of DNSCrypt version 2 resolvers' certificates and of every response.
const dnscryptResolver = "r6fnvWj8"

// matchDNScrypt looks at a response, which begins with fixed bytes, on any port (DNSCrypt protocol, version 2).
func matchDNScrypt(c *ctx) verdict {
	if len(c.b) >= 64 && prefix(c.b, dnscryptResolver) {
		return yes
	}
	return no
}
