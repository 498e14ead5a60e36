package dissect

// scadaProbes recognise protocols of plants and buildings. Most frame their messages with a length and a fixed byte or
// two, so ports are required where that is all there is.
var scadaProbes = []probe{
	{proto: ProtoModbus, l4: l4TCP, ports: []uint16{502}, match: func(c *ctx) verdict {
		b := c.b
		if len(b) < 8 || u16(b[2:]) != 0 || int(u16(b[4:])) != len(b)-6 {
			return no
		}
		if b[7] == 0x5a { // the function of Unity's own messages
			c.protocol(ProtoModbus)
			c.app(ProtoUMAS)
		}
		return yes
	}},
	begin("\x05", ProtoDNP3, 0, nil, func(b []byte) bool { return len(b) >= 10 && b[0] == 0x05 && b[1] == 0x64 && b[2] >= 5 }),
	begin("h", ProtoIEC60870, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 6 && b[0] == 0x68 && int(b[1]) == len(b)-2 && b[1] == 4 && b[2]&3 == 3 && b[3]|b[4]|b[5] == 0
	}),
	test(ProtoIEC60870, l4TCP, []uint16{2404}, func(b []byte) bool { return len(b) >= 6 && b[0] == 0x68 && b[1] >= 4 }),
	begin("\x81", ProtoBACnet, l4UDP, nil, func(b []byte) bool {
		return len(b) >= 6 && b[0] == 0x81 && b[1] <= 0x0c && int(u16(b[2:])) == len(b)
	}),
	{proto: ProtoS7Comm, l4: l4TCP, first: "\x03", match: matchTPKT},
	test(ProtoEthernetIP, 0, []uint16{44818}, func(b []byte) bool {
		switch {
		case len(b) < 24 || int(le16(b[2:])) != len(b)-24:
			return false
		}
		switch le16(b) {
		case 0, 1, 4, 0x63, 0x64, 0x65, 0x66, 0x6f, 0x70, 0x72, 0x73:
			return true
		}
		return false
	}),
	test(ProtoHARTIP, 0, []uint16{5094}, func(b []byte) bool { return len(b) >= 8 && b[0] <= 2 && b[1] <= 15 && int(u16(b[6:])) == len(b) }),
	magic(ProtoFINS, l4TCP, "FINS\x00\x00"),
	test(ProtoFINS, l4UDP, []uint16{9600}, func(b []byte) bool { return len(b) >= 12 && b[0]&0x80 != 0 && b[1] == 0 && b[2] <= 7 }),
	test(ProtoIEEEC37118, 0, []uint16{4712, 4713, 8900, 8901, 8902}, func(b []byte) bool { return len(b) >= 14 && b[0] == 0xaa && b[1] <= 0x5f && int(u16(b[2:])) == len(b) }),
	begin("\xaa", ProtoIEEEC37118, 0, nil, func(b []byte) bool {
		return len(b) >= 18 && b[0] == 0xaa && (b[1]&0x8f == 1 || b[1]&0x8f == 2) && b[1]>>4&7 <= 5 && int(u16(b[2:])) == len(b)
	}),
	test(ProtoBeckhoffADS, l4TCP, []uint16{48898}, func(b []byte) bool { return len(b) >= 38 && b[0]|b[1] == 0 && int(le32(b[2:])) == len(b)-6 }),
	test(ProtoIEC62056, l4TCP, []uint16{4059}, func(b []byte) bool { return len(b) >= 9 && u16(b) == 1 && int(u16(b[6:])) == len(b)-8 }),
	begin("~", ProtoIEC62056, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 9 && b[0] == 0x7e && b[1]&0xf0 == 0xa0 && b[len(b)-1] == 0x7e && int(b[1]&7)<<8|int(b[2]) == len(b)-2
	}),
	test(ProtoANSIC1222, 0, []uint16{1153}, func(b []byte) bool { return len(b) > 8 && b[0] == 0x60 }),
	test(ProtoATG, l4TCP, []uint16{10001}, func(b []byte) bool {
		return len(b) >= 6 && b[0] == 1 && (b[1]|0x20 == 'i' || b[1]|0x20 == 's') && b[2] >= '0' && b[2] <= '9'
	}),
	{proto: ProtoTPLINKSHP, ports: []uint16{9999}, match: matchKasa},
	begin("\x0b", ProtoHL7, l4TCP, nil, func(b []byte) bool {
		return prefix(b, "\x0bMSH|^~\\&|") || prefix(b, "\x0bFHS|") || prefix(b, "\x0bBHS|")
	}),
	magic(ProtoCAN, l4UDP, "ISO11898"),
	begin("R", ProtoRTPS, l4UDP, nil, func(b []byte) bool { return len(b) >= 20 && prefix(b, "RTPS") && b[4] <= 2 }),
	test(ProtoSOMEIP, 0, []uint16{30490, 30491, 30501, 30503}, matchSOMEIP),
	begin("\xff", ProtoSOMEIP, l4UDP, nil, func(b []byte) bool { return len(b) >= 16 && u32(b) == 0xffff8100 && matchSOMEIP(b) }),
	test(ProtoCoAP, l4UDP, []uint16{5683, 5684, 61616}, matchCoAP),
	magic(ProtoOpenFlow, l4TCP, "\x01\x00\x00\x08", "\x04\x00\x00\x08", "\x04\x00\x00\x10", "\x05\x00\x00\x10", "\x06\x00\x00\x10"),
	test(ProtoISCSI, l4TCP, []uint16{3260}, func(b []byte) bool { return len(b) >= 48 && (b[0] == 0x43 || b[0] == 0x23) && b[4] == 0 }),
}

// matchTPKT tells apart what runs over COTP in a TPKT (RFC 1006): S7, its successor, and MMS.
func matchTPKT(c *ctx) verdict {
	b := c.b
	if len(b) < 8 || b[1] != 0 || int(u16(b[2:])) > len(b) {
		return no
	}
	if b[4] == 2 && b[5] == 0xf0 {
		switch b[7] {
		case 0x32:
			return yes
		case 0x72:
			c.protocol(ProtoS7CommPlus)
			return yes
		case 0x0d, 0x0e, 0x01, 0x61, 0xa0:
			if c.p.ServerPort == 102 || c.p.ClientPort == 102 {
				c.protocol(ProtoMMS)
				return yes
			}
		}
	}
	return no
}

// matchKasa undoes the autokey cipher of TP-Link's smart home devices: the text is JSON.
func matchKasa(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4TCP {
		if len(b) < 8 || int(u32(b)) != len(b)-4 {
			return no
		}
		b = b[4:]
	}
	if len(b) < 4 || b[0]^171 != '{' {
		return no
	}
	if x := b[1] ^ b[0]; x == '"' || x == '}' {
		return yes
	}
	return no
}

// matchSOMEIP looks at a header: message, length, request, versions 1, type and return code.
func matchSOMEIP(b []byte) bool {
	return len(b) >= 16 && int(u32(b[4:])) >= 8 && int(u32(b[4:])) <= len(b)-8 && b[12] == 1 && (b[14] <= 2 || b[14] == 0x80 || b[14] == 0x81) && b[15] <= 0x5e
}

// matchCoAP looks at a message of RFC 7252.
func matchCoAP(b []byte) bool {
	if len(b) < 4 || b[0]>>6 != 1 || b[0]&15 > 8 || len(b) < 4+int(b[0]&15) {
		return false
	}
	switch class, detail := b[1]>>5, b[1]&31; class {
	case 0:
		return detail <= 7
	case 2:
		return detail <= 5 || detail == 31
	case 4, 5:
		return detail <= 15
	}
	return false
}
