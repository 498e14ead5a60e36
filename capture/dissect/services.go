package dissect

import "bytes"

// serviceProbes recognise applications that speak a protocol of their own, by the constants it begins with.
var serviceProbes = []probe{
	// Discord: voice address discovery (its developer documentation, Voice Connections) and keep-alives.
	begin("\x00\x13", ProtoDiscord, l4UDP, nil, func(b []byte) bool {
		return len(b) == 74 && (u32(b) == 0x00010046 || u32(b) == 0x00020046) || len(b) == 8 && u32(b) == 0x1337cafe
	}),
	{proto: ProtoTelegram, l4: l4TCP, first: "\xef\xee\xdd", match: matchTelegram},
	{proto: ProtoTelegram, l4: l4UDP, match: matchTelegram},
	begin("WE", ProtoWhatsApp, l4TCP, nil, func(b []byte) bool {
		return len(b) > 8 && (prefix(b, "WA\x01\x05") || prefix(b, "WA\x06\x02") || prefix(b, "WA\x06\x03") || prefix(b, "WA\x05\x02") || prefix(b, "WA\x04\x00") || prefix(b, "ED\x00\x01"))
	}),
	{proto: ProtoViber, ports: []uint16{4244, 5242, 5243, 7985, 7987, 9785}, match: matchViber},
	{proto: ProtoZoom, l4: l4UDP, first: "\x01\x02\x03\x04\x05\x1f", match: matchZoom},
	begin("\x00", ProtoSDRTN, l4UDP, nil, func(b []byte) bool {
		return len(b) > 60 && b[0] == 0 && bytes.Contains(b[12:64], []byte(".agora.io")) || len(b) > 60 && bytes.Contains(b[12:40], []byte("SNI\x00")) && bytes.Contains(b[:min(len(b), 96)], []byte(".agora."))
	}),
	test(ProtoOICQ, l4UDP, []uint16{8000, 4000}, func(b []byte) bool { return len(b) >= 12 && b[0] == 2 && b[len(b)-1] == 3 }),
	magic(ProtoAliCloud, l4TCP, "\xce\xfa\xbe\xba"),
	begin("\xc2", ProtoXiaomi, l4TCP, nil, func(b []byte) bool { return len(b) >= 16 && u32(b) == 0xc2fe0005 && int(u32(b[4:])) <= len(b) }),
	magic(ProtoAvast, l4TCP, "NOSA"),
	magic(ProtoRipeAtlas, l4UDP, "MGLNDD_"),
	magic(ProtoTencentGames, l4TCP, "\x33\x66\x00\x0b", "\x33\x66\x00\x0a", "\x33\x66\x00\x09", "\x43\x66\xaa\x00"),
	test(ProtoHPVIRTGRP, l4TCP, []uint16{5223}, func(b []byte) bool {
		return len(b) >= 8 && (b[0] == 0x16 || b[0] == 0x17 || b[0] == 0x14) && int(u16(b[1:])) == len(b) && b[3] == 0
	}),
	{proto: ProtoSpotify, l4: l4TCP, first: "\x00", match: func(c *ctx) verdict {
		if b := c.b; len(b) >= 9 && b[1] == 4 && b[2]|b[3] == 0 && b[6] == 0x52 && (b[7] == 0x0e || b[7] == 0x0f) && b[8] == 0x50 {
			return yes
		}
		return no
	}},

	// Games.
	test(ProtoRakNet, l4UDP, nil, isRakNet),
	magic(ProtoSourceEngine, l4UDP, "\xff\xff\xff\xffTSource Engine Query", "\xff\xff\xff\xffI\x11", "\xff\xff\xff\xffU\xff", "\xff\xff\xff\xffA", "\xff\xff\xff\xffqconnect0x"),
	begin("\xff", ProtoSteam, l4UDP, nil, func(b []byte) bool { return len(b) > 16 && u64(b) == 0xffffffff214c5fa0 }),
	begin("V", ProtoSteam, 0, nil, func(b []byte) bool { return prefix(b, "VS01") || prefix(b, "VT01") }),
	magic(ProtoSteamDatagramRelay, l4UDP, "\x01\x81sdping"),
	begin("0W", ProtoWorldOfWarcraft, l4TCP, nil, func(b []byte) bool {
		return len(b) >= 40 && (prefix(b[2:], "WORLD OF WARCRAFT CONNECTION") || prefix(b, "WORLD OF WARCRAFT CONNECTION"))
	}),
	begin("2", ProtoNintendo, l4UDP, nil, func(b []byte) bool { return len(b) >= 16 && u32(b) == 0x32ab9864 }),
	test(ProtoActivision, l4UDP, []uint16{3074, 3075}, func(b []byte) bool {
		return len(b) >= 17 && (b[0] == 0x0c || b[0] == 0x0d) && b[1] == 2 && b[2] == 0
	}),
	test(ProtoRiotGames, l4UDP, nil, func(b []byte) bool { return len(b) >= 24 && endsWith(b, "aaaaaaaabbbbbbbb") }),
	test(ProtoRiotGames, l4UDP, nil, func(b []byte) bool {
		return len(b) == 36 && u64(b[28:]) == 0xaaaaaaaabbbbbbbb
	}),
	{proto: ProtoKCP, l4: l4UDP, match: matchKCP},
	{proto: ProtoTocaBoca, l4: l4UDP, ports: []uint16{5055, 5056, 5058}, match: matchPhoton},
	test(ProtoHalfLife2, l4UDP, []uint16{27015, 27005, 27016}, func(b []byte) bool { return len(b) >= 8 && u32(b) == 0xffffffff }),
	test(ProtoStarcraft, 0, []uint16{1119}, func(b []byte) bool { return len(b) >= 10 && (b[0] == 0x4a && b[1] == 0 || b[0] == 0x49 && b[1] == 0) }),
}

// matchTelegram looks at MTProto's transports over TCP (core.telegram.org/mtproto/mtproto-transports) and at the
// reflectors of its calls, where twelve bytes of ones follow the tag of a peer.
func matchTelegram(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4UDP {
		if len(b) >= 32 && u64(b[16:]) == ^uint64(0) && u32(b[24:]) == 0xffffffff {
			return yes
		}
		return no
	}
	if c.dir != 0 || len(b) < 41 {
		return no
	}
	switch b[0] {
	case 0xef: // abridged: length in words, then a plain message with key 0
		n := int(b[1])
		at := 2
		if b[1] == 0x7f {
			n, at = int(b[2])|int(b[3])<<8|int(b[4])<<16, 5
		}
		if 4*n == len(b)-at || at+4*n <= len(b) && n > 4 && u64(b[at:]) == 0 {
			return yes
		}
	case 0xee, 0xdd:
		if b[1] == b[0] && b[2] == b[0] && b[3] == b[0] && int(le32(b[4:]))+8 <= len(b) && le32(b[4:]) >= 20 {
			return yes
		}
	}
	return no
}

// matchViber looks at a length and a kind in front of each message on the ports Viber publishes.
func matchViber(c *ctx) verdict {
	b := c.b
	p := c.p.ServerPort
	if c.p.L4 == l4TCP {
		if (p == 4244 || p == 5242 || p == 5243 || p == 9785) && len(b) >= 11 && int(le16(b)) == len(b) && b[2] >= 3 && b[2] <= 0x0d && b[3] == 0 {
			return yes
		}
		return no
	}
	if (p == 7985 || p == 7987 || p == 5243 || p == 9785) && len(b) >= 20 && b[3] == 0 && (b[2] == 0x01 || b[2] == 0x03 || b[2] == 0x09 || b[2] == 0x0a || b[2] == 0x19 || b[2] == 0x1a) {
		return yes
	}
	return no
}

// matchZoom looks at the media server's encapsulation on port 8801 and at the greeting between two clients.
func matchZoom(c *ctx) verdict {
	b := c.b
	if c.p.ServerPort == 8801 || c.p.ClientPort == 8801 {
		if len(b) >= 24 && b[0] >= 1 && b[0] <= 5 && b[1] <= 1 {
			return yes
		}
		return no
	}
	if len(b) >= 36 && b[0] == 0x1f && (b[1] == 1 || b[1] == 2) && b[2] == 1 && b[3] == 0 && b[5] == 0 {
		return yes
	}
	return no
}

// isRakNet looks for the constant of RakNet's messages before a connection is up.
func isRakNet(b []byte) bool {
	const magic = "\x00\xff\xff\x00\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd\x12\x34\x56\x78"
	for _, at := range []int{1, 9, 17} {
		if len(b) >= at+16 && string(b[at:at+16]) == magic {
			return true
		}
	}
	return false
}

// matchKCP looks at a segment: conversation, command, fragment, window, time, number, acknowledgement and length.
func matchKCP(c *ctx) verdict {
	b := c.b
	if len(b) < 24 || b[4] < 81 || b[4] > 84 || le32(b[20:]) > 1500 {
		return no
	}
	for len(b) >= 24 {
		n := 24 + int(le32(b[20:]))
		if b[4] < 81 || b[4] > 84 || n > len(b) || b[4] != 81 && n != 24 {
			return no
		}
		b = b[n:]
	}
	if len(b) == 0 && le16(c.b[6:]) != 0 {
		return yes
	}
	return no
}

// matchPhoton looks at the header of the Photon engine: peer, flags, number of commands, time and challenge.
func matchPhoton(c *ctx) verdict {
	b := c.b
	if len(b) < 24 || b[3] == 0 || b[3] > 16 {
		return no
	}
	cmd := b[12:]
	if n := int(u32(cmd[4:])); cmd[0] >= 1 && cmd[0] <= 14 && n >= 12 && n <= len(cmd) {
		return yes
	}
	return no
}
