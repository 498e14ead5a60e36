package dissect

import "bytes"

// infraProbes recognise the protocols of networks themselves: management, routing, time, logs, accounting and mobile cores.
var infraProbes = []probe{
	{proto: ProtoSNMP, l4: l4UDP, first: "0", match: matchSNMP, read: readSNMP},
	{proto: ProtoSyslog, first: "<", match: matchSyslog},
	test(ProtoRADIUS, l4UDP, []uint16{1812, 1813, 1645, 1646, 3799}, func(b []byte) bool {
		return len(b) >= 20 && b[0] >= 1 && b[0] <= 50 && int(u16(b[2:])) <= len(b) && u16(b[2:]) >= 20 && int(u16(b[2:]))+8 >= len(b)
	}),
	begin("\x01", ProtoDiameter, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 20 && b[0] == 1 && u24(b[1:]) >= 20 && u24(b[1:]) <= 1<<16 && u24(b[1:])%4 == 0 && b[4]&0x0f == 0 && (u24(b[5:]) >= 257 && u24(b[5:]) <= 282 || u24(b[5:]) >= 300 && u24(b[5:]) < 330)
	}),
	begin("\xff", ProtoBGP, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 19 && u64(b) == ^uint64(0) && u64(b[8:]) == ^uint64(0) && u16(b[16:]) >= 19 && u16(b[16:]) <= 4096 && b[18] >= 1 && b[18] <= 5
	}),
	test(ProtoLDP, 0, []uint16{646}, func(b []byte) bool { return len(b) >= 10 && u16(b) == 1 && int(u16(b[2:]))+4 <= len(b) }),
	test(ProtoBFD, l4UDP, []uint16{3784, 3785, 4784, 6784}, func(b []byte) bool {
		return len(b) >= 24 && (b[0]>>5 == 1 || b[0]>>5 == 0) && int(b[3]) == len(b) && u32(b[4:]) != 0
	}),
	test(ProtoHSRP, l4UDP, []uint16{1985}, func(b []byte) bool { return len(b) >= 20 && b[0] <= 1 }),
	test(ProtoHSRP, l4UDP, []uint16{2029}, func(b []byte) bool { return len(b) >= 42 }),
	test(ProtoPTP, l4UDP, []uint16{319, 320}, func(b []byte) bool { return len(b) >= 34 && b[1]&15 == 2 && int(u16(b[2:])) <= len(b) }),
	test(ProtoNetFlow, l4UDP, []uint16{2055, 9995, 9996, 2056, 4739}, matchNetFlow),
	test(ProtoSFlow, l4UDP, []uint16{6343}, func(b []byte) bool { return len(b) >= 28 && u32(b) == 5 && u32(b[4:]) <= 2 }),
	test(ProtoCollectd, l4UDP, []uint16{25826}, func(b []byte) bool {
		return len(b) >= 8 && (u16(b) <= 9 || u16(b) == 0x200 || u16(b) == 0x210) && u16(b[2:]) >= 4
	}),
	{proto: ProtoGTPC, l4: l4UDP, ports: []uint16{2123, 2152, 3386}, match: matchGTP},
	test(ProtoPFCP, l4UDP, []uint16{8805}, func(b []byte) bool { return len(b) >= 8 && b[0]>>5 == 1 && int(u16(b[2:]))+4 == len(b) }),
	test(ProtoCAPWAP, l4UDP, []uint16{5246, 5247}, func(b []byte) bool { return len(b) >= 8 && b[0] <= 1 }),
	test(ProtoTeredo, l4UDP, []uint16{3544}, func(b []byte) bool { return len(b) >= 40 && (b[0]>>4 == 6 || u16(b) <= 1) }),
	test(ProtoLISP, l4UDP, []uint16{4341, 4342}, func(b []byte) bool { return len(b) >= 8 }),
	test(ProtoRX, l4UDP, []uint16{7000, 7001, 7002, 7003, 7005, 7007}, func(b []byte) bool {
		return len(b) >= 28 && b[20] >= 1 && b[20] <= 13 && u32(b[4:])&3 <= 3 && u32(b)>>24 >= 0x40 && b[22] < 8
	}),
	test(ProtoUBNTAC2, l4UDP, []uint16{10001}, func(b []byte) bool {
		return len(b) >= 4 && (b[0] == 1 || b[0] == 2) && b[1] <= 0x0b && int(u16(b[2:])) == len(b)-4
	}),
	magic(ProtoRoughtime, l4UDP, "ROUGHTIM"),
	test(ProtoRoughtime, l4UDP, []uint16{2002, 2003}, func(b []byte) bool {
		return len(b) >= 12 && le32(b) >= 1 && le32(b) <= 16 && (bytes.Contains(b[:min(len(b), 96)], []byte("NONC")) || bytes.Contains(b[:min(len(b), 96)], []byte("SREP")))
	}),
	{proto: ProtoMunin, l4: l4TCP, first: "#", match: func(c *ctx) verdict {
		if prefix(c.b, "# munin node at ") {
			return yes
		}
		return no
	}},
	magic(ProtoZabbix, l4TCP, "ZBXD\x01"),
	magic(ProtoCheckMK, l4TCP, "<<<check_mk>>>"),
	magic(ProtoKismet, 0, "*KISMET: ", "KISMET"),
	{proto: ProtoAJP, l4: l4TCP, first: "\x12A", match: func(c *ctx) verdict {
		b := c.b
		if len(b) >= 5 && (u16(b) == 0x1234 && (b[4] == 2 || b[4] == 7 || b[4] == 8 || b[4] == 10) || b[0] == 'A' && b[1] == 'B' && b[4] >= 3 && b[4] <= 9) && int(u16(b[2:])) <= len(b)+8192 {
			return yes
		}
		return no
	}},
	begin("\x01", ProtoFastCGI, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 16 && b[0] == 1 && b[1] == 1 && u16(b[4:]) == 8 && b[7] == 0 && u16(b[8:]) >= 1 && u16(b[8:]) <= 3 && b[10] <= 1 && u32(b[11:]) == 0
	}),
	magic(ProtoHAProxy, l4TCP, "PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN", "\r\n\r\n\x00\r\nQUIT\n"),
	{proto: ProtoCorba, l4: l4TCP, first: "GZ", match: func(c *ctx) verdict {
		if len(c.b) >= 12 && (prefix(c.b, "GIOP\x01") || prefix(c.b, "ZIOP\x01")) {
			return yes
		}
		return no
	}},
	magic(ProtoCorba, l4UDP, "MIOP"),
	{proto: ProtoJabber, l4: l4TCP, first: "<", match: func(c *ctx) verdict {
		if b := c.b[:min(len(c.b), 400)]; prefix(b, "<stream:stream") || prefix(b, "<?xml") && bytes.Contains(b, []byte("<stream:stream")) || bytes.Contains(b, []byte("http://etherx.jabber.org/streams")) ||
			(prefix(b, "<iq ") || prefix(b, "<presence") || prefix(b, "<message ")) && (c.p.ServerPort == 5222 || c.p.ServerPort == 5269) {
			return yes
		}
		return no
	}},
	{proto: ProtoRTMP, l4: l4TCP, first: "\x03\x06", match: func(c *ctx) verdict {
		b := c.b
		if len(b) < 13 {
			return no
		}
		if (c.p.ServerPort == 1935 || c.p.ClientPort == 1935 || len(b) == 1537) && len(b) >= 1400 && len(b) <= 1537 && (u32(b[5:]) == 0 || b[5] < 0x20) {
			return yes
		}
		return no
	}},
	{proto: ProtoUsenet, l4: l4TCP, first: "2AM", match: func(c *ctx) verdict {
		l, _, ok := line(c.b)
		low := bytes.ToLower(l)
		if ok && (prefix(c.b, "200 ") || prefix(c.b, "201 ")) && (bytes.Contains(low, []byte("nntp")) || bytes.Contains(low, []byte("usenet")) || bytes.Contains(low, []byte("news")) || c.p.ServerPort == 119) {
			return yes
		}
		if prefixFold(c.b, "authinfo user ") || prefixFold(c.b, "mode reader\r\n") {
			return yes
		}
		return no
	}},
	{proto: ProtoWhois, l4: l4TCP, ports: []uint16{43, 4343}, match: func(c *ctx) verdict {
		if l, n, ok := line(c.b); ok && c.dir == 0 && n == len(c.b) && printable(l) && len(l) > 1 {
			return yes
		}
		return no
	}},
	begin("\x00", ProtoSMPP, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 16 && int(u32(b)) == len(b) && u32(b[4:])&0x7fffffff <= 0x112 && u32(b[4:])&0x7fffffff != 0 && (u32(b[8:]) == 0 || u32(b[4:]) > 0x80000000 && u32(b[8:]) < 0x500) && u32(b[12:]) != 0 && u32(b[12:]) < 1<<24
	}),
	begin("8", ProtoFIX, l4TCP, nil, func(b []byte) bool {
		return prefix(b, "8=FIX") && bytes.Contains(b[:min(len(b), 64)], []byte("\x019=")) || prefix(b, "8=O\x019=")
	}),
	{proto: ProtoMPEGTS, l4: l4UDP, first: "G", match: func(c *ctx) verdict {
		b := c.b
		if len(b)%188 == 0 && (len(b) == 188 || b[188] == 0x47) && (len(b) > 188 || b[1]&0x80 == 0) {
			return yes
		}
		return no
	}},
	magic(ProtoIceCast, l4TCP, "SOURCE /"),
	magic(ProtoJSONRPC, l4TCP, `{"jsonrpc":"2.0"`, `{"jsonrpc": "2.0"`, `{"id":1,"jsonrpc":"2.0"`),
	test(ProtoCPHA, l4UDP, []uint16{8116}, func(b []byte) bool { return len(b) > 20 && b[0] == 0x1a && b[1] == 0x90 }),
	begin(" 0@", ProtoBFCP, 0, nil, func(b []byte) bool {
		return len(b) >= 12 && (b[0] == 0x20 || b[0] == 0x30 || b[0] == 0x40) && b[1] >= 1 && b[1] <= 18 && int(u16(b[2:]))*4 == len(b)-12 && u32(b[4:]) != 0
	}),
	magic(ProtoSoftEther, l4TCP, "SE-VPN"),
	{proto: ProtoPPTP, l4: l4TCP, first: "\x00", match: func(c *ctx) verdict {
		if b := c.b; len(b) >= 12 && int(u16(b)) == len(b) && u16(b[2:]) == 1 && u32(b[4:]) == 0x1a2b3c4d {
			return yes
		}
		return no
	}},
	{proto: ProtoUFTP, l4: l4UDP, first: "\x40\x50\x30", match: func(c *ctx) verdict {
		if b := c.b; len(b) >= 24 && b[1] >= 1 && b[1] <= 20 && (b[0] == 0x40 || b[0] == 0x50) && (c.p.ServerPort == 1044 || c.p.ClientPort == 1044) {
			return yes
		}
		return no
	}},
	begin("Tt", ProtoTiVoConnect, 0, nil, func(b []byte) bool { return prefixFold(b, "tivoconnect=") }),
	test(ProtoNestLogSink, l4TCP, []uint16{11095}, func(b []byte) bool { return len(b) > 8 && b[1] <= 2 && b[2] == 0x10 }),
}

// matchSNMP looks at version and community of SNMP, or at the header of version 3 (RFC 1157, RFC 3416, RFC 3412).
func matchSNMP(c *ctx) verdict {
	b := c.b
	v, n := berLen(b[1:])
	if n == 0 || 1+n+v > len(b)+2 || v < 10 || len(b) < 1+n+6 {
		return no
	}
	b = b[1+n:]
	if b[0] != 2 || b[1] != 1 || b[2] > 3 || b[2] == 2 {
		return no
	}
	if b[2] == 3 && b[3] == 0x30 || b[2] != 3 && b[3] == 0x04 && int(b[4])+7 < len(b) && b[5+b[4]] >= 0xa0 && b[5+b[4]] <= 0xa8 {
		return yes
	}
	return no
}

// readSNMP raises an error that an agent answers.
func readSNMP(c *ctx) int {
	b := c.b
	_, n := berLen(b[1:])
	b = b[1+n:]
	if b[2] != 3 && len(b) > 5+int(b[4])+2 {
		pdu := b[5+b[4]:]
		if pdu[0] == 0xa2 {
			_, k := berLen(pdu[1:])
			pdu = pdu[1+k:]
			if k > 0 && len(pdu) > 2 && pdu[0] == 2 && len(pdu) >= 2+int(pdu[1])+3 {
				e := pdu[2+pdu[1]:]
				if e[0] == 2 && e[1] == 1 && e[2] != 0 {
					c.risk(RiskErrorCode, "SNMP error "+numberText(uint16(e[2])))
				}
			}
		}
	}
	if c.s.packets >= 2 {
		c.done()
	}
	return len(c.b)
}

// matchSyslog looks at a priority of up to three digits in angle brackets (RFC 3164, RFC 5424).
func matchSyslog(c *ctx) verdict {
	b := c.b
	v, n := digits(b[1:])
	if n == 0 || n > 3 || v > 191 || len(b) < n+6 || b[1+n] != '>' {
		return no
	}
	rest := b[n+2 : min(len(b), n+34)]
	port := c.p.ServerPort == 514 || c.p.ClientPort == 514 || c.p.ServerPort == 601
	if !printable(rest) {
		return no
	}
	if port || prefix(rest, "1 ") {
		return yes
	}
	for _, m := range []string{"jan ", "feb ", "mar ", "apr ", "may ", "jun ", "jul ", "aug ", "sep ", "oct ", "nov ", "dec "} {
		if prefixFold(rest, m) {
			return yes
		}
	}
	return no
}

// matchNetFlow looks at the versions 1, 5, 7, 9 and IPFIX.
func matchNetFlow(b []byte) bool {
	if len(b) < 16 {
		return false
	}
	switch v, n := u16(b), int(u16(b[2:])); v {
	case 1, 5, 7:
		return n >= 1 && n <= 30
	case 9:
		return n >= 1 && n <= 128
	case 10:
		return n == len(b)
	}
	return false
}

// matchGTP tells control, user and charging plane apart (3GPP TS 29.060, 29.274, 32.295).
func matchGTP(c *ctx) verdict {
	b := c.b
	if len(b) < 8 || b[0]>>5 == 0 && c.p.ServerPort != 3386 && c.p.ClientPort != 3386 || b[0]>>5 > 2 {
		return no
	}
	n := int(u16(b[2:]))
	switch {
	case c.p.ServerPort == 2123 || c.p.ClientPort == 2123:
		if n+4 == len(b) || n+8 == len(b) {
			c.protocol(ProtoGTP)
			c.app(ProtoGTPC)
			return yes
		}
	case c.p.ServerPort == 3386 || c.p.ClientPort == 3386:
		if n+6 <= len(b) && n+20 >= len(b) {
			c.protocol(ProtoGTP)
			c.app(ProtoGTPPRIME)
			return yes
		}
	case b[0]>>5 == 1 && n+8 == len(b):
		c.protocol(ProtoGTP)
		c.app(ProtoGTPU)
		return yes
	}
	return no
}
