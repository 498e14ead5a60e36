package dissect

import "bytes"

// remoteProbes recognise remote control and file services: RDP, VNC, SMB, DCE/RPC, ONC RPC and NFS, LDAP, Kerberos, RSH,
// TeamViewer, Radmin, Citrix, AFP, NoMachine, TFTP, XDMCP, X.25-less relatives.
var remoteProbes = []probe{
	{proto: ProtoRDP, l4: l4TCP, first: "\x03", match: matchRDP},
	{proto: ProtoRDP, l4: l4UDP, ports: []uint16{3389}, match: matchRDPUDP},
	magic(ProtoVNC, l4TCP, "RFB 003.", "RFB 004.", "RFB 005."),
	{proto: ProtoSMBv23, l4: l4TCP, first: "\x00", hint: []uint16{445}, match: matchSMB, read: nil},
	{proto: ProtoNetBIOS, l4: l4TCP, first: "\x81\x82\x83", match: matchNBSession, read: readNBSession},
	{proto: ProtoDCERPC, first: "\x04\x05", match: matchDCERPC},
	{proto: ProtoNFS, l4: l4TCP, first: "\x80", match: matchRPC},
	{proto: ProtoNFS, l4: l4UDP, match: matchRPC},
	{proto: ProtoLDAP, first: "0", match: matchLDAP},
	{proto: ProtoKerberos, first: "\x00\x6a\x6b\x6c\x6d\x6e\x6f\x7e", match: matchKerberos},
	{proto: ProtoRSH, l4: l4TCP, ports: []uint16{514}, hint: []uint16{514}, match: matchRSH},
	{proto: ProtoTeamViewer, first: "\x00\x11\x17", match: matchTeamViewer},
	magic(ProtoRadmin, l4TCP, "\x01\x00\x00\x00\x01\x00\x00\x00\x08\x08", "\x01\x00\x00\x00\x25\x00\x00\x01\x10"),
	magic(ProtoCitrix, l4TCP, "\x7f\x7fICA\x00", "\x1a\x43\x47\x50/01"),
	{proto: ProtoAFP, l4: l4TCP, first: "\x00\x01", match: matchAFP},
	magic(ProtoNoMachine, l4TCP, "NXSH-", "NXD-"),
	{proto: ProtoTFTP, l4: l4UDP, first: "\x00", match: matchTFTP},
	test(ProtoXDMCP, l4UDP, []uint16{177}, func(b []byte) bool {
		return len(b) >= 6 && u16(b) == 1 && u16(b[2:]) >= 1 && u16(b[2:]) <= 13 && int(u16(b[4:])) == len(b)-6
	}),
	test(ProtoXDMCP, l4TCP, []uint16{6000, 6001, 6002, 6003, 6004, 6005}, func(b []byte) bool {
		return len(b) == 48 && (b[0] == 'l' || b[0] == 'B') && b[1] == 0
	}),
	{proto: ProtoVMware, l4: l4UDP, ports: []uint16{902, 903}, match: func(c *ctx) verdict {
		if b := c.b; len(b) == 66 && b[0]|b[1]|b[2]|b[3] == 0 || len(b) > 8 && b[1]|b[2]|b[3] == 0 {
			return yes
		}
		return no
	}},
	magic(ProtoVMware, l4TCP, "220 VMware Authentication"),
}

// matchRDP looks at an X.224 connection request or confirm in a TPKT, with what MS-RDPBCGR puts into it.
func matchRDP(c *ctx) verdict {
	b := c.b
	if len(b) < 11 || b[1] != 0 || int(u16(b[2:])) != len(b) || int(b[4]) != len(b)-5 {
		return no
	}
	if b[5] != 0xe0 && b[5] != 0xd0 {
		return no
	}
	port := c.p.ServerPort == 3389 || c.p.ClientPort == 3389
	rest := b[11:]
	if bytes.Contains(rest, []byte("Cookie: mstshash")) || bytes.Contains(rest, []byte("Cookie: msts=")) || port {
		return yes
	}
	if len(rest) >= 8 && (rest[0] == 1 && b[5] == 0xe0 || (rest[0] == 2 || rest[0] == 3) && b[5] == 0xd0) && rest[2] == 8 && rest[3] == 0 {
		return yes
	}
	return no
}

// matchRDPUDP looks at the synchronising datagram of MS-RDPEUDP.
func matchRDPUDP(c *ctx) verdict {
	b := c.b
	if len(b) >= 1000 && u32(b) == 0xffffffff || len(b) >= 8 && u16(b[6:])&0x0001 != 0 && len(b) > 500 {
		return yes
	}
	return no
}

// matchSMB looks at SMB in the session service's framing.
func matchSMB(c *ctx) verdict {
	b := c.b
	if len(b) < 8 {
		if len(b) >= 4 && b[1]|b[2] == 0 && (c.p.ServerPort == 445 || c.p.ServerPort == 139) {
			return more
		}
		return no
	}
	switch {
	case string(b[4:8]) == "\xffSMB":
		// A client that also knows SMB 2 may begin with the old negotiation; what comes back decides.
		if c.dir == 0 && len(b) > 36 && b[8] == 0x72 && bytes.Contains(b, []byte("SMB 2.")) {
			c.scratch().seq[0] = 1
			return no
		}
		c.protocol(ProtoNetBIOS)
		c.app(ProtoSMBv1)
		c.risk(RiskSMBInsecure, "SMBv1")
		return yes
	case string(b[4:8]) == "\xfeSMB", string(b[4:8]) == "\xfdSMB":
		return yes
	}
	return no
}

func matchNBSession(c *ctx) verdict {
	b := c.b
	switch {
	case b[0] == 0x81 && len(b) >= 72 && b[1] == 0 && b[4] == 0x20:
		return yes
	case b[0] == 0x82 && len(b) == 4 && u24(b[1:]) == 0:
		return yes
	}
	return no
}

// readNBSession keeps the name that is called, and sees which SMB follows.
func readNBSession(c *ctx) int {
	b := c.b
	if b[0] == 0x81 && len(b) >= 37 && c.s.Meta == nil {
		if n := netbiosName(b[5:37]); len(n) > 0 {
			c.meta().Hostname = c.hostText(n)
		}
	}
	if len(b) >= 8 && b[0] == 0 && string(b[4:8]) == "\xffSMB" && !(c.dir == 0 && bytes.Contains(b, []byte("SMB 2."))) {
		c.app(ProtoSMBv1)
		c.risk(RiskSMBInsecure, "SMBv1")
		c.done()
	}
	if len(b) >= 8 && string(b[4:8]) == "\xfeSMB" {
		c.app(ProtoSMBv23)
		c.done()
	}
	if c.s.packets > 6 {
		c.done()
	}
	return len(b)
}

// matchDCERPC looks at a connection-oriented header of version 5, or a connectionless one of version 4 (C706).
func matchDCERPC(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) >= 16 && b[0] == 5 && b[1] <= 1 && b[2] <= 19 && b[4]&0xef == 0 && (b[4] == 0x10 && int(le16(b[8:])) <= len(b) || b[4] == 0 && int(u16(b[8:])) <= len(b)) && b[3] != 0 &&
			le16(b[8:])|u16(b[8:]) >= 16 {
			return yes
		}
		return no
	}
	if len(b) < 80 || b[0] != 4 || b[1] > 10 || b[2]&0xc0 == 0xc0 || b[5]|b[6] > 0x03 || b[4]&0xee != 0 {
		return no
	}
	n := int(le16(b[74:]))
	if b[4] == 0 {
		n = int(u16(b[74:]))
	}
	if 80+n <= len(b) && n+160 > len(b) {
		if c.p.ServerPort == 34964 || c.p.ClientPort == 34964 || bytes.HasPrefix(b[24:], []byte("\x01\x00\xa0\xde\x97\x6c\xd1\x11\x82\x71\x00\xa0\x24\x42\xdf\x7d")) ||
			bytes.Contains(b[8:40], []byte("\x6c\x97\xd1\x11\x82\x71\x00\xa0\x24\x42\xdf\x7d")) || bytes.Contains(b[8:40], []byte("\xd1\x11\x82\x71\x00\xa0\x24\x42\xdf\x7d")) {
			c.protocol(ProtoDCERPC)
			c.app(ProtoPROFINETIO)
		}
		return yes
	}
	return no
}

// matchRPC looks at an ONC RPC call or reply (RFC 5531) for NFS, mount and the port mapper.
func matchRPC(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) < 28 || b[0]&0x80 == 0 || int(u32(b)&0x7fffffff) > 1<<20 {
			return no
		}
		b = b[4:]
	}
	if len(b) < 24 {
		return no
	}
	x := c.s.x
	switch u32(b[4:]) {
	case 0: // call
		if u32(b[8:]) != 2 || u32(b[16:]) > 5 {
			return no
		}
		switch u32(b[12:]) {
		case 100000, 100003, 100005, 100021, 100024, 100227, 100011:
			return yes
		}
	case 1: // reply: accepted, with the server's verifier
		known := c.p.ServerPort == 111 || c.p.ServerPort == 2049 || c.p.ClientPort == 111 || c.p.ClientPort == 2049
		if known && u32(b[8:]) <= 1 && x == nil {
			return yes
		}
	}
	return no
}

// berLen reads a length of BER; n is the number of bytes it took, 0 if it is broken.
func berLen(b []byte) (v, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if b[0] < 0x80 {
		return int(b[0]), 1
	}
	k := int(b[0] & 0x7f)
	if k == 0 || k > 4 || len(b) < 1+k {
		return 0, 0
	}
	for _, x := range b[1 : 1+k] {
		v = v<<8 | int(x)
	}
	return v, 1 + k
}

// matchLDAP looks at an LDAPMessage: a sequence of a message id and an operation (RFC 4511).
func matchLDAP(c *ctx) verdict {
	b := c.b
	v, n := berLen(b[1:])
	if n == 0 || v < 5 || v > 1<<20 || len(b) < 1+n+5 || 1+n+v > len(b)+maxStream {
		return no
	}
	b = b[1+n:]
	if b[0] != 2 || b[1] == 0 || b[1] > 4 || len(b) < 3+int(b[1]) {
		return no
	}
	op := b[2+b[1]]
	switch op {
	case 0x60, 0x61, 0x63, 0x64, 0x65, 0x73, 0x77, 0x78, 0x42, 0x66, 0x68, 0x4a:
		// SNMP looks alike, but its version is followed by a string.
		return yes
	}
	return no
}

// matchKerberos looks at the application tag of a message, over TCP behind four bytes of length (RFC 4120).
func matchKerberos(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) < 10 || b[0] != 0 || int(u32(b)) < len(b)-4 && c.p.ServerPort != 88 && c.p.ClientPort != 88 || u32(b) > 1<<17 {
			return no
		}
		b = b[4:]
	}
	switch b[0] {
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x7e:
	default:
		return no
	}
	v, n := berLen(b[1:])
	if n == 0 || len(b) < 1+n+2 || b[1+n] != 0x30 {
		return no
	}
	if 1+n+v >= len(b)-8 && 1+n+v <= len(b)+maxStream || c.p.ServerPort == 88 || c.p.ClientPort == 88 {
		return yes
	}
	return no
}

// matchRSH looks at the client's first bytes: a port in digits, NUL, two user names and a command.
func matchRSH(c *ctx) verdict {
	b := c.b
	i := bytes.IndexByte(b, 0)
	if i < 0 || i > 5 || c.dir != 0 {
		return no
	}
	if _, n := digits(b[:i]); n != i {
		return no
	}
	parts := bytes.SplitN(b[i+1:], []byte{0}, 4)
	if i == len(b)-1 {
		return more
	}
	if len(parts) >= 3 && printable(parts[0]) && printable(parts[1]) && len(parts[0]) > 0 && len(parts[0]) <= 32 {
		c.protocol(ProtoRSH)
		c.credentials(ProtoRSH, c.text(parts[1]), false)
		return yes
	}
	return no
}

func matchTeamViewer(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) >= 5 && (b[0] == 0x17 && b[1] == 0x24 && b[2] >= 0x08 && b[2] < 0x40 || b[0] == 0x11 && b[1] == 0x30 && b[2] < 0x80) && c.p.ServerPort != 443 || len(b) >= 5 && b[0] == 0x17 && b[1] == 0x24 {
			return yes
		}
		return no
	}
	if len(b) > 13 && b[0] == 0 && b[11] == 0x17 && b[12] == 0x24 {
		return yes
	}
	return no
}

// matchAFP looks at a DSI header: request or reply, command, length (Apple Filing Protocol).
func matchAFP(c *ctx) verdict {
	b := c.b
	if len(b) < 16 || b[0] > 1 || b[1] == 0 || b[1] > 8 || u32(b[12:]) != 0 || int(u32(b[8:])) != len(b)-16 {
		return no
	}
	if (b[1] == 3 || b[1] == 4) && u32(b[4:]) == 0 && u16(b[2:]) <= 1 || c.p.ServerPort == 548 {
		return yes
	}
	return no
}

// matchTFTP looks at a request with its file and mode (RFC 1350), or on the port at what answers it.
func matchTFTP(c *ctx) verdict {
	b := c.b
	if len(b) < 4 {
		return no
	}
	switch b[1] {
	case 1, 2:
		i := bytes.IndexByte(b[2:], 0)
		if i <= 0 || i > 255 || !printable(b[2:2+i]) {
			return no
		}
		mode := b[3+i:]
		for _, m := range []string{"octet\x00", "netascii\x00", "mail\x00"} {
			if prefixFold(mode, m) {
				return yes
			}
		}
	case 3:
		if len(b) == 516 && (u16(b[2:]) == 1 || c.p.Wire == 516 && u16(b[2:]) == uint16(c.scratch().seq[c.dir])+1) {
			x := c.scratch()
			was := x.seq[c.dir]
			x.seq[c.dir] = uint32(u16(b[2:]))
			if was != 0 {
				return yes
			}
		}
	case 4:
		if len(b) == 4 {
			x := c.scratch()
			n := uint32(u16(b[2:])) + 1
			if was := x.seq[c.dir]; was != 0 && n == was+1 {
				return yes
			}
			x.seq[c.dir] = n
		}
	case 5:
		if b[2] == 0 && b[3] <= 8 && len(b) > 5 && b[len(b)-1] == 0 && printable(b[4:len(b)-1]) {
			return yes
		}
	case 6:
		if b[len(b)-1] == 0 && (prefixFold(b[2:], "blksize") || prefixFold(b[2:], "tsize") || prefixFold(b[2:], "timeout")) {
			return yes
		}
	}
	return no
}
