package dissect

import "bytes"

// p2pProbes recognise file sharing and the networks of currencies: BitTorrent (BEP 3, 5, 14, 15, 29), Gnutella, eDonkey,
// Syncthing, Bitcoin, Ethereum, Monero, and mining pools.
var p2pProbes = []probe{
	{proto: ProtoBitTorrent, l4: l4TCP, first: "\x13", match: func(c *ctx) verdict {
		if prefix(c.b, "\x13BitTorrent protocol") {
			return yes
		}
		if len(c.b) < 20 && prefix([]byte("\x13BitTorrent protocol"), string(c.b)) {
			return more
		}
		return no
	}},
	{proto: ProtoBitTorrent, l4: l4UDP, first: "dB\x00\x01\x11\x21\x31\x41", match: matchTorrentUDP},
	magic(ProtoGnutella, l4TCP, "GNUTELLA CONNECT/0.", "GNUTELLA/0.", "GNUTELLA OK", "GIV ", "GET /uri-res/N2R?urn:sha1:"),
	{proto: ProtoGnutella, l4: l4UDP, match: matchGnutellaUDP},
	{proto: ProtoEDonkey, l4: l4TCP, first: "\xe3\xc5\xd4", match: func(c *ctx) verdict {
		b := c.b
		if len(b) >= 6 && int(le32(b[1:])) == len(b)-5 && (b[5] == 0x01 || b[5] == 0x4c || b[5] == 0x38) {
			return yes
		}
		return no
	}},
	magic(ProtoSyncthing, l4UDP, "\x2e\xa7\xd9\x0b", "\x9f\x79\xbc\x40"),
	magic(ProtoSyncthing, l4TCP, "\x2e\xa7\xd9\x0b"),
	magic(ProtoBitcoin, l4TCP, "\xf9\xbe\xb4\xd9", "\x0b\x11\x09\x07", "\xfa\xbf\xb5\xda"),
	{proto: ProtoEthereum, l4: l4UDP, match: matchEthereum},
	magic(ProtoMonero, l4TCP, "\x01\x21\x01\x01\x01\x01\x01\x01"),
	{proto: ProtoMining, l4: l4TCP, first: "{", match: matchMining},
}

func matchTorrentUDP(c *ctx) verdict {
	b := c.b
	switch {
	case prefix(b, "d1:ad"), prefix(b, "d1:rd"), prefix(b, "d1:el"), prefix(b, "d2:ip"), prefix(b, "d1:q"), prefix(b, "d2:id20:"):
		return yes
	case prefix(b, "BT-SEARCH * HTTP/1.1"):
		return yes
	case len(b) == 16 && u64(b) == 0x41727101980 && u32(b[8:]) == 0: // tracker: connect
		return yes
	}
	// uTP: type and version, extension, connection id, two times, window, sequence and acknowledgement.
	if len(b) < 20 || b[0]&0x0f != 1 || b[0]>>4 > 4 || b[1] > 3 || c.p.ServerPort < 1024 && c.p.ClientPort < 1024 {
		return no
	}
	if b[0] == 0x41 && u32(b[8:]) == 0 && (b[1] == 0 || b[1] == 2) && u16(b[18:]) == 0 && u32(b[12:]) != 0 && u32(b[12:]) < 1<<24 { // SYN
		if b[1] == 0 && len(b) == 20 || b[1] == 2 && len(b) >= 30 && b[20] == 0 && b[21] == 8 {
			x := c.scratch()
			x.seq[0] = uint32(u16(b[2:]))
			return yes
		}
	}
	return no
}

// matchGnutellaUDP looks at the framing of the semi-reliable transport, or on the known ports at a descriptor: 16 bytes of
// id, type, time to live, hops and the length of what follows, which is too little to go by elsewhere.
func matchGnutellaUDP(c *ctx) verdict {
	b := c.b
	if prefix(b, "GND") && len(b) >= 8 {
		return yes
	}
	if len(b) >= 61 && b[16] == 0x44 && int(le32(b[19:])) == len(b)-23 { // the distributed hash table
		return yes
	}
	if c.p.ServerPort != 6346 && c.p.ClientPort != 6346 && c.p.ServerPort != 6347 {
		return no
	}
	if len(b) < 23 || int(le32(b[19:])&0xffff) != len(b)-23 || b[22] > 0x80 || b[17] == 0 || b[17] > 7 || b[18] > 7 {
		return no
	}
	switch b[16] {
	case 0x00, 0x01, 0x30, 0x31, 0x32, 0x40, 0x44, 0x80, 0x81:
		return yes
	}
	return no
}

// matchEthereum looks at node discovery: hash, signature, type, and an RLP list (discv4).
func matchEthereum(c *ctx) verdict {
	b := c.b
	if len(b) < 102 || len(b) > 1280 || b[97] == 0 || b[97] > 6 || b[98] < 0xc0 || b[96] > 1 {
		return no
	}
	// The list must end with the datagram, or leave room for what later versions append.
	n := 0
	switch h := b[98]; {
	case h <= 0xf7:
		n = 99 + int(h-0xc0)
	case h == 0xf8:
		n = 100 + int(b[99])
	case h == 0xf9:
		n = 101 + int(u16(b[99:]))
	default:
		return no
	}
	if n <= len(b) && n+64 >= len(b) {
		return yes
	}
	return no
}

// matchMining looks for the JSON-RPC of mining pools: Stratum and its relatives.
func matchMining(c *ctx) verdict {
	b := c.b[:min(len(c.b), 512)]
	for _, w := range []string{`"mining.subscribe"`, `"mining.authorize"`, `"mining.notify"`, `"eth_submitLogin"`, `"eth_getWork"`, `"mining.extranonce`, `"mining.set_`} {
		if bytes.Contains(b, []byte(w)) {
			return yes
		}
	}
	flat := bytes.ReplaceAll(b, []byte(" "), nil)
	if bytes.Contains(flat, []byte(`"method":"login"`)) && (bytes.Contains(flat, []byte(`"agent":`)) || bytes.Contains(flat, []byte(`"pass":`))) {
		return yes
	}
	return no
}
