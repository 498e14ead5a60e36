package dissect

import (
	"encoding/hex"
	"strings"
	"testing"
)

// sample is the first messages of a flow: "> text" or "< text", in Go's string syntax, or hex after "x:".
type sample struct {
	label string
	l4    uint8
	port  uint16
	msgs  []string
}

func unhexed(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func zeros(n int) string { return strings.Repeat("\x00", n) }

// samples are written from the protocols' specifications.
var samples = []sample{
	{"DNS", l4UDP, 53, []string{">" + string(dnsQuery("www.example.org", 1, 0x100))}},
	{"DNS", l4UDP, 5333, []string{">" + string(dnsQuery("www.example.org", 1, 0x100))}},
	{"DNScrypt", l4UDP, 443, []string{">" + string(dnsQuery("2.dnscrypt-cert.example.org", 16, 0x100))}},
	{"MDNS", l4UDP, 5353, []string{">" + string(dnsQuery("_ipp._tcp.local", 12, 0))}},
	{"LLMNR", l4UDP, 5355, []string{">" + string(dnsQuery("printer", 1, 0))}},
	{"NetBIOS", l4UDP, 137, []string{">" + string(dnsQuery("CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 33, 0x10))}},
	{"SSDP", l4UDP, 1900, []string{">M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n"}},
	{"DHCPV6", l4UDP, 547, []string{">" + unhexed("01 123456 0008 0002 0000")}},
	{"STUN", l4UDP, 3478, []string{">" + unhexed("0001 0000 2112a442 0102030405060708090a0b0c")}},
	{"STUN.TelegramVoip", l4UDP, 1400, []string{">" + unhexed("0001 0018 2112a442 0102030405060708090a0b0c 8022 0014") + "telegram.org reflect"}},
	{"SIP", l4UDP, 5060, []string{">INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nUser-Agent: phone\r\n\r\n"}},
	{"RTSP", l4TCP, 554, []string{">DESCRIBE rtsp://example.org/a RTSP/1.0\r\nCSeq: 1\r\n\r\n"}},
	{"RTP", l4UDP, 40000, []string{">" + unhexed("8000 0001 00000000 11223344") + zeros(160), ">" + unhexed("8000 0002 000000a0 11223344") + zeros(160), ">" + unhexed("8000 0003 00000140 11223344") + zeros(160)}},
	{"RTCP", l4UDP, 40001, []string{">" + unhexed("80c80006 11223344 0000000000000000 00000000 00000000 00000000")}},
	{"BitTorrent", l4TCP, 6881, []string{">\x13BitTorrent protocol" + zeros(48)}},
	{"BitTorrent", l4UDP, 6881, []string{">d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"}},
	{"BitTorrent", l4UDP, 30000, []string{">" + unhexed("41 00 3039 00000001 00000000 00000f00 0001 0000")}},
	{"Gnutella", l4TCP, 30000, []string{">GNUTELLA CONNECT/0.6\r\nUser-Agent: x\r\n\r\n"}},
	{"BITCOIN", l4TCP, 8333, []string{">" + unhexed("f9beb4d9 76657273696f6e0000000000 00000000 00000000")}},
	{"Mining", l4TCP, 3333, []string{`>{"id":1,"method":"mining.subscribe","params":[]}` + "\n"}},
	{"WireGuard", l4UDP, 41000, []string{">" + unhexed("01000000") + strings.Repeat("k", 144)}},
	{"OpenVPN", l4UDP, 1194, []string{">" + unhexed("38 0102030405060708 00 00000000")}},
	{"OpenVPN", l4TCP, 443, []string{">" + unhexed("000e 38 0102030405060708 00 00000000")}},
	{"IPSec", l4UDP, 500, []string{">" + unhexed("0102030405060708 0000000000000000 21 20 22 08 00000000 0000001c")}},
	{"SOCKS", l4TCP, 1080, []string{">\x05\x01\x00", "<\x05\x00"}},
	{"SOCKS", l4TCP, 9050, []string{">\x05\x02\x00\x02", "<\x05\x00"}},
	{"MySQL", l4TCP, 3306, []string{"<" + unhexed("4a000000 0a") + "8.0.36\x00" + zeros(66)}},
	{"PostgreSQL", l4TCP, 5432, []string{">" + unhexed("00000008 04d2162f")}},
	{"MsSQL-TDS", l4TCP, 1433, []string{">" + unhexed("1201001a 0000 00 00 00") + zeros(17)}},
	{"MongoDB", l4TCP, 27017, []string{">" + unhexed("1a000000 01000000 00000000 dd070000") + zeros(10)}},
	{"Redis", l4TCP, 6379, []string{">*1\r\n$4\r\nPING\r\n"}},
	{"Memcached", l4TCP, 11211, []string{">get key\r\n"}},
	{"AMQP", l4TCP, 5672, []string{">AMQP\x00\x00\x09\x01"}},
	{"MQTT", l4TCP, 1883, []string{">" + unhexed("10 0e 0004 4d515454 04 02 003c 0002 6161")}},
	{"Kafka", l4TCP, 9092, []string{">" + unhexed("00000013 0012 0000 00000001 0009") + "test-clnt"}},
	{"Nats", l4TCP, 4222, []string{`<INFO {"server_id":"x"}` + "\r\n"}},
	{"Oracle", l4TCP, 1521, []string{">" + unhexed("0051 0000 01 00 0000") + zeros(50) + "(CONNECT_DATA=(SID=orcl"}},
	{"RDP", l4TCP, 3389, []string{">" + unhexed("0300 0013 0e e0 0000 0000 00 01 00 0800 03000000")}},
	{"VNC", l4TCP, 5900, []string{"<RFB 003.008\n"}},
	{"SMBv23", l4TCP, 445, []string{">" + unhexed("00000044 fe534d42 4000") + zeros(62)}},
	{"NetBIOS.SMBv1", l4TCP, 445, []string{">" + unhexed("00000024 ff534d42 73") + zeros(31)}},
	{"DCERPC", l4TCP, 135, []string{">" + unhexed("05 00 0b 03 10000000 4800 0000 01000000") + zeros(56)}},
	{"NFS", l4TCP, 2049, []string{">" + unhexed("80000028 00000001 00000000 00000002 000186a3 00000003 00000000") + zeros(16)}},
	{"LDAP", l4TCP, 389, []string{">" + unhexed("30 0c 02 01 01 60 07 02 01 03 04 00 80 00")}},
	{"Kerberos", l4UDP, 88, []string{">" + unhexed("6a 14 30 12 a1 03 02 01 05 a2 03 02 01 0a a4 06 30 04 a0 02 30 00")}},
	{"TFTP", l4UDP, 69, []string{">\x00\x01file\x00octet\x00"}},
	{"SNMP", l4UDP, 161, []string{">" + unhexed("30 29 02 01 00 04 06 7075626c6963 a0 1c 02 04 00000001 02 01 00 02 01 00 30 0e 30 0c 06 08 2b06010201010100 05 00")}},
	{"Syslog", l4UDP, 514, []string{"><34>Oct 11 22:14:15 box su: failed"}},
	{"Radius", l4UDP, 1812, []string{">" + unhexed("01 01 0014") + zeros(16)}},
	{"BGP", l4TCP, 179, []string{">" + unhexed("ffffffffffffffffffffffffffffffff 001d 01 04 fde9 00b4 c0000201 00")}},
	{"NetFlow", l4UDP, 2055, []string{">" + unhexed("0009 0001") + zeros(16)}},
	{"GTP.GTP_C", l4UDP, 2123, []string{">" + unhexed("40 01 0004 000001 00")}},
	{"Munin", l4TCP, 4949, []string{"<# munin node at example\n"}},
	{"AJP", l4TCP, 8009, []string{">" + unhexed("1234 0005 02 02 00 08 48")}},
	{"HAProxy", l4TCP, 80, []string{">PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"}},
	{"Jabber", l4TCP, 5222, []string{"><?xml version='1.0'?><stream:stream to='example.org' xmlns='jabber:client'>"}},
	{"Usenet", l4TCP, 119, []string{"<200 news.example.org NNTP ready\r\n"}},
	{"Whois-DAS", l4TCP, 43, []string{">example.org\r\n"}},
	{"Modbus", l4TCP, 502, []string{">" + unhexed("0001 0000 0006 01 03 0000 0001")}},
	{"DNP3", l4TCP, 20000, []string{">" + unhexed("0564 05 c9 0100 0200 1234")}},
	{"IEC60870", l4TCP, 2404, []string{">" + unhexed("68 04 07 00 00 00")}},
	{"BACnet", l4UDP, 47808, []string{">" + unhexed("81 0b 000c 0120 ffff 00 ff 10 08")}},
	{"S7Comm", l4TCP, 102, []string{">" + unhexed("0300 0019 02 f0 80 32 01 0000 0000 0008 0000 f0 00 00 01 00 01 01 e0")}},
	{"EthernetIP", l4TCP, 44818, []string{">" + unhexed("6500 0400 00000000 00000000 0000000000000000 00000000 01000000")}},
	{"COAP", l4UDP, 5683, []string{">" + unhexed("40 01 1234 b4") + "test"}},
	{"TPLINK_SHP", l4UDP, 9999, []string{">" + string(kasa(`{"system":{"get_sysinfo":{}}}`))}},
	{"Discord", l4UDP, 50001, []string{">" + unhexed("0001 0046 00000001") + zeros(66)}},
	{"Source_Engine", l4UDP, 27015, []string{">\xff\xff\xff\xffTSource Engine Query\x00"}},
	{"RakNet", l4UDP, 19132, []string{">" + unhexed("01 0000000000000001 00ffff00fefefefefdfdfdfd12345678 0000000000000002")}},
	{"KCP", l4UDP, 40000, []string{">" + unhexed("01000000 51 00 8000 00000000 00000000 00000000 04000000") + "data"}},
	{"Spotify", l4UDP, 57621, []string{">SpotUdp0" + zeros(36)}},
	{"Dropbox", l4UDP, 17500, []string{`>{"host_int": 1, "version": [2, 0]}`}},
	{"Syncthing", l4UDP, 21027, []string{">" + unhexed("2ea7d90b") + zeros(30)}},
	{"Tailscale", l4UDP, 41641, []string{">TS\xf0\x9f\x92\xac" + zeros(40)}},
	{"QUIC", l4UDP, 443, []string{">" + unhexed("c0 00000001 08 0102030405060708 00 00") + zeros(40)}},
	{"Unknown", l4UDP, 40000, []string{">nothing that anybody speaks"}},
	{"Unknown", l4TCP, 40000, []string{">nothing that anybody speaks"}},
}

// kasa encrypts as TP-Link's devices do.
func kasa(s string) []byte {
	k := byte(171)
	out := make([]byte, len(s))
	for i := range s {
		k ^= s[i]
		out[i] = k
	}
	return out
}

func (s *sample) play(f *feed) {
	for _, m := range s.msgs {
		dir := uint8(0)
		if m[0] == '<' {
			dir = 1
		}
		f.send(dir, []byte(m[1:]))
	}
}

func TestRecognise(t *testing.T) {
	for _, s := range samples {
		f := newFeed(s.l4, s.port)
		s.play(f)
		if got := f.label(); got != s.label {
			t.Errorf("port %d: %s, want %s", s.port, got, s.label)
		}
		if want := s.label != "Unknown"; (f.s.Confidence == ConfidenceDPI) != want {
			t.Errorf("%s: confidence %v", s.label, f.s.Confidence)
		}
		f.end()
		checkMeta(t, &f.s)
	}
}
