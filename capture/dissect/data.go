package dissect

import "bytes"

// dataProbes recognise databases, caches and message queues by the first message their protocols define.
var dataProbes = []probe{
	{proto: ProtoMySQL, l4: l4TCP, match: matchMySQL},
	{proto: ProtoPostgreSQL, l4: l4TCP, first: "\x00RESNp", match: matchPostgres},
	{proto: ProtoTDS, l4: l4TCP, first: "\x01\x02\x03\x04\x10\x12", match: matchTDS},
	test(ProtoTDS, l4UDP, []uint16{1434}, func(b []byte) bool { return b[0] >= 2 && b[0] <= 4 && len(b) < 64 || b[0] == 5 && len(b) > 3 }),
	{proto: ProtoMongoDB, l4: l4TCP, match: matchMongoDB},
	{proto: ProtoRedis, l4: l4TCP, first: "*+-:$", match: matchRedis},
	{proto: ProtoMemcached, first: "sgaidrpcvSE\x00\x80\x81", match: matchMemcached},
	{proto: ProtoCassandra, l4: l4TCP, ports: []uint16{9042, 7000, 7001}, first: "\x03\x04\x05\x42\x83\x84\x85\xc2", match: matchCassandra},
	{proto: ProtoOracle, l4: l4TCP, first: "\x00\x01", match: matchOracle},
	{proto: ProtoDRDA, l4: l4TCP, match: matchDRDA},
	magic(ProtoAMQP, l4TCP, "AMQP\x00", "AMQP\x01", "AMQP\x02", "AMQP\x03"),
	test(ProtoAMQP, l4TCP, []uint16{5672}, func(b []byte) bool { return len(b) >= 8 && b[0] >= 1 && b[0] <= 3 && b[1] == 0 && u32(b[3:]) < 1<<17 }),
	{proto: ProtoMQTT, l4: l4TCP, first: "\x10\x20\x30\x31\x32\x33\xc0\xd0\x82\x90\xe0", match: matchMQTT},
	{proto: ProtoKafka, l4: l4TCP, first: "\x00", match: matchKafka},
	magic(ProtoNats, l4TCP, "INFO {\"server_id\"", "CONNECT {\"", "INFO {"),
	begin("\xff", ProtoZeroMQ, l4TCP, nil, func(b []byte) bool { return len(b) >= 10 && b[0] == 0xff && b[8] == 0 && b[9] == 0x7f }),
	magic(ProtoCeph, l4TCP, "ceph v027", "ceph v2\n", "ceph v02"),
	{proto: ProtoElasticsearch, l4: l4TCP, first: "E", match: func(c *ctx) verdict {
		if b := c.b; len(b) >= 6 && b[1] == 'S' && int(u32(b[2:])) <= 1<<20 && int(u32(b[2:])) == len(b)-6 {
			return yes
		}
		return no
	}},
	magic(ProtoRsync, l4TCP, "@RSYNCD: "),
	magic(ProtoJRMI, l4TCP, "JRMI\x00"),
	magic(ProtoGit, l4TCP, "0032git-upload-pack", "git-upload-pack"),
	{proto: ProtoGit, l4: l4TCP, first: "0", match: func(c *ctx) verdict {
		if b := c.b; len(b) > 16 && (prefix(b[4:], "git-upload-pack /") || prefix(b[4:], "git-receive-pack /")) {
			return yes
		}
		return no
	}},
}

// matchMySQL looks at the server's greeting: length, sequence 0, protocol 10, version, thread id.
func matchMySQL(c *ctx) verdict {
	b := c.b
	if len(b) < 20 || b[3] != 0 || int(b[0])|int(b[1])<<8|int(b[2])<<16 != len(b)-4 {
		return no
	}
	if b[4] == 0xff && len(b) > 9 && (prefix(b[7:], "Host ") || prefix(b[7:], "#0") || prefix(b[7:], "Too many")) {
		return yes
	}
	if b[4] != 10 {
		return no
	}
	i := bytes.IndexByte(b[5:min(len(b), 60)], 0)
	if i > 2 && b[5] >= '3' && b[5] <= '9' && printable(b[5:5+i]) {
		return yes
	}
	return no
}

// matchPostgres looks at the startup packet or the request for TLS.
func matchPostgres(c *ctx) verdict {
	b := c.b
	switch {
	case len(b) == 8 && u32(b) == 8 && (u32(b[4:]) == 80877103 || u32(b[4:]) == 80877104):
		return yes
	case len(b) == 16 && u32(b) == 16 && u32(b[4:]) == 80877102:
		return yes
	case len(b) > 13 && int(u32(b)) == len(b) && u32(b[4:]) == 0x00030000 && bytes.Contains(b, []byte("user\x00")):
		return yes
	case len(b) >= 9 && b[0] == 'R' && u32(b[1:]) >= 8 && u32(b[1:]) < 128 && u32(b[5:]) <= 12 && c.dir == 1 && c.p.ServerPort == 5432:
		return yes
	}
	return no
}

// matchTDS looks at a packet of MS-TDS: type, status, length, channel and packet id.
func matchTDS(c *ctx) verdict {
	b := c.b
	if len(b) < 9 || b[1] > 1 && b[1] != 8 || b[7] != 0 || int(u16(b[2:])) != len(b) {
		return no
	}
	switch b[0] {
	case 0x12:
		if b[8] <= 1 {
			return yes
		}
	case 0x10:
		if len(b) > 36 && int(le32(b[8:])) == len(b)-8 {
			return yes
		}
	case 1, 2, 3, 4:
		if c.p.ServerPort == 1433 {
			return yes
		}
	}
	return no
}

// matchMongoDB looks at a message header: length, request, response to, operation (MongoDB wire protocol).
func matchMongoDB(c *ctx) verdict {
	b := c.b
	if len(b) < 16 || int(le32(b)) < 16 || int(le32(b)) > 48<<20 {
		return no
	}
	if int(le32(b)) != len(b) && c.p.ServerPort != 27017 {
		return no
	}
	switch le32(b[12:]) {
	case 1, 2001, 2002, 2004, 2005, 2006, 2007, 2010, 2011, 2012, 2013:
		return yes
	}
	return no
}

// matchRedis looks at RESP, which both sides have to speak.
func matchRedis(c *ctx) verdict {
	b := c.b
	l, n, ok := line(b)
	if !ok || len(l) < 2 || n < 4 {
		return no
	}
	switch {
	case b[0] == '*':
		if v, k := digits(l[1:]); k > 0 && k == len(l)-1 && v > 0 && v < 1<<16 && n < len(b) && b[n] == '$' {
			return yes
		}
	case prefix(b, "+PONG\r\n"), prefix(b, "-NOAUTH "), prefix(b, "-ERR wrong number"):
		return yes
	case c.p.ServerPort == 6379 && (b[0] == '+' || b[0] == '$' || b[0] == ':') && printable(l):
		return yes
	}
	return no
}

// matchMemcached looks at commands in text, over UDP behind a frame header of eight bytes, and at the binary header.
func matchMemcached(c *ctx) verdict {
	b := c.b
	if c.p.L4 == l4UDP {
		if len(b) < 14 || u16(b[2:]) > 1400 || u16(b[4:]) == 0 || u16(b[6:]) != 0 || c.p.ServerPort != 11211 && c.p.ClientPort != 11211 {
			return no
		}
		b = b[8:]
	}
	if b[0] == 0x80 || b[0] == 0x81 {
		if len(b) >= 24 && b[1] <= 0x22 && b[5] == 0 && int(u32(b[8:])) == len(b)-24 && (c.p.ServerPort == 11211 || c.p.ClientPort == 11211) {
			return yes
		}
		return no
	}
	l, _, ok := line(b)
	if !ok || !printable(l) {
		return no
	}
	switch {
	case prefix(b, "stats\r\n"), prefix(b, "version\r\n") && c.p.ServerPort == 11211, prefix(b, "STAT pid "), prefix(b, "gets "), prefix(b, "flush_all\r\n"):
		return yes
	case prefix(b, "set "), prefix(b, "add "), prefix(b, "replace "), prefix(b, "append "), prefix(b, "prepend "):
		if n := bytes.Count(l, []byte(" ")); n == 4 || n == 5 {
			return yes
		}
	case prefix(b, "get "), prefix(b, "delete "), prefix(b, "incr "), prefix(b, "decr "), prefix(b, "END\r\n"), prefix(b, "STORED\r\n"), prefix(b, "VALUE "):
		if c.p.ServerPort == 11211 || c.p.ClientPort == 11211 {
			return yes
		}
	}
	return no
}

func matchCassandra(c *ctx) verdict {
	b := c.b
	if len(b) >= 9 && b[1]&0xe0 == 0 && b[4] <= 0x10 && u32(b[5:]) <= 1<<24 && int(u32(b[5:])) <= len(b)+8192 {
		return yes
	}
	return no
}

// matchOracle looks at a TNS packet: length, checksum 0, type, and for a connect its description.
func matchOracle(c *ctx) verdict {
	b := c.b
	if len(b) < 12 || int(u16(b)) != len(b) || u16(b[2:]) != 0 || b[5] != 0 || u16(b[6:]) != 0 {
		return no
	}
	if b[4] == 1 && bytes.Contains(b, []byte("(CONNECT_DATA=")) || b[4] >= 2 && b[4] <= 6 && (c.p.ServerPort == 1521 || c.p.ClientPort == 1521) || b[4] == 1 && b[8] == 1 && len(b) >= 58 && c.p.ServerPort == 1521 {
		return yes
	}
	return no
}

// matchDRDA looks at DDM: length, the byte D0, format, correlation, length again, code point.
func matchDRDA(c *ctx) verdict {
	b := c.b
	if len(b) >= 10 && b[2] == 0xd0 && b[3]&0x0f >= 1 && b[3]&0x0f <= 3 && u16(b[6:])+6 == u16(b) && int(u16(b)) <= len(b) && b[8] >= 0x10 && b[8] <= 0x24 {
		return yes
	}
	return no
}

// matchMQTT looks at a CONNECT, or on its port at any control packet whose length agrees (MQTT 3.1.1, 5.0).
func matchMQTT(c *ctx) verdict {
	b := c.b
	n, k := 0, 1
	for shift := 0; ; shift += 7 {
		if k >= len(b) || k > 4 {
			return no
		}
		n |= int(b[k]&0x7f) << shift
		k++
		if b[k-1]&0x80 == 0 {
			break
		}
	}
	if b[0] == 0x10 {
		if len(b) >= k+8 && (prefix(b[k:], "\x00\x04MQTT") || prefix(b[k:], "\x00\x06MQIsdp")) {
			return yes
		}
		return no
	}
	switch {
	case b[0] == 0x20 && n == 2 && len(b) == 4 && c.dir == 1 && b[2] <= 1 && b[3] <= 5:
		return yes
	case c.p.ServerPort != 1883 && c.p.ClientPort != 1883:
		if b[0]&0xf6 == 0x30 && n+k == len(b) && n > 8 {
			t := int(u16(b[k:]))
			if t > 3 && t < n-2 && t < 128 && printable(b[k+2:k+2+t]) && u16(b[k:]) < 256 {
				return yes
			}
		}
	case n+k == len(b):
		return yes
	}
	return no
}

// matchKafka looks at a request: length, API key and version, correlation, and the client's name.
func matchKafka(c *ctx) verdict {
	b := c.b
	if len(b) < 14 || int(u32(b)) != len(b)-4 && int(u32(b)) < len(b) || u32(b) > 1<<20 || u16(b[4:]) > 74 || u16(b[6:]) > 17 {
		return no
	}
	known := c.p.ServerPort == 9092 || c.p.ClientPort == 9092
	if n := int(u16(b[12:])); n >= 3 && 14+n <= len(b) && n < 128 && printable(b[14:14+n]) && int(u32(b)) == len(b)-4 && u16(b[4:])|u16(b[6:]) != 0 && (known || u32(b[8:]) < 1<<16) {
		return yes
	}
	return no
}
