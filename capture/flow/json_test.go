package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
)

// sample is a block of one record with everything set.
func sample() *Block {
	b := newBlock(End)
	k, side := makeKey(addr("10.0.0.1"), addr("2.2.2.2"), 40000, 443, 7, decode.TCP, false)
	h := hot{key: k, first: 1700000000123456789, last: 1700000001000000000, bits: side, tunnel: VXLAN}
	h.packets, h.bytes = [2]uint64{1, 2}, [2]uint64{100, 2000}
	if side != 0 {
		h.packets, h.bytes = [2]uint64{2, 1}, [2]uint64{2000, 100}
	}
	b.add(&h, &life{id: 1}, &dissect.State{
		Protocol: dissect.ProtoTLS, Category: dissect.ProtoTLS.Category(), Confidence: dissect.ConfidenceDPI, Risks: 1<<dissect.RiskTLSSelfSigned | 1<<dissect.RiskTLSCertExpired,
		Meta: &dissect.Meta{
			Hostname: "a\"b\\c\n\x01\xff\u2028é.example", JA4: "t13d",
			TLS: &dissect.TLS{Version: 0x0304, Cipher: 0x1301, SNI: "x", ALPN: []string{"h2", "http/1.1"}, Certificate: &dissect.Certificate{
				Subject: "CN=a", Issuer: "CN=b", NotBefore: 1, NotAfter: 2, SelfSigned: true,
			}},
			HTTP: &dissect.HTTP{Method: "GET", URL: "/", Status: 200}, DNS: &dissect.DNS{Query: "q", Type: 1, Answered: true, Addresses: []string{"1.1.1.1"}},
			SSH: &dissect.SSH{Client: "SSH-2.0-x"}, QUIC: &dissect.QUIC{Version: 1}, DHCP: &dissect.DHCP{MessageType: 1}, NTP: &dissect.NTP{Version: 4},
			Credentials: &dissect.Credentials{Protocol: dissect.ProtoFTP, User: "u", Password: true},
		},
	})
	b.cut()
	return &b.Block
}

func TestAppendJSON(t *testing.T) {
	line := AppendJSON(nil, sample(), 0)
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	for path, want := range map[string]any{
		"l4": "TCP", "client": "10.0.0.1", "client_port": 40000.0, "server": "2.2.2.2", "server_port": 443.0, "vlan": 7.0, "tunnel": "VXLAN",
		"protocol": "TLS", "category": dissect.ProtoTLS.Category().String(), "confidence": "dpi", "first": 1700000000.123456, "last": 1700000001.0,
		"hostname": "a\"b\\c\n\x01\ufffd\u2028é.example", "ja4": "t13d", "tls.ja4": "t13d", "tls.version": dissect.VersionName(0x0304),
		"tls.subject": "CN=a", "tls.issuer": "CN=b", "tls.not_before": 1.0, "tls.not_after": 2.0, "tls.self_signed": true, "tls.sni": "x",
		"http.method": "GET", "http.status": 200.0, "dns.query": "q", "dns.answered": true, "ssh.client": "SSH-2.0-x", "quic.version": 1.0,
		"dhcp.message_type": 1.0, "ntp.version": 4.0, "credentials.user": "u", "credentials.password": true,
	} {
		var v any = got
		for k := range strings.SplitSeq(path, ".") {
			v, _ = v.(map[string]any)[k]
		}
		if v != want {
			t.Errorf("%s is %v, want %v", path, v, want)
		}
	}
	for path, want := range map[string]string{
		"packets": "[1 2]", "bytes": "[100 2000]", "risks": fmt.Sprintf("[%v %v]", dissect.RiskTLSSelfSigned, dissect.RiskTLSCertExpired),
	} {
		if s := fmt.Sprint(got[path]); s != want {
			t.Errorf("%s is %s, want %s", path, s, want)
		}
	}
	if !strings.Contains(string(line), `"first":1700000000.123456,"last":1700000001.000000,`) || !strings.Contains(string(line), `"community_id":"1:`) {
		t.Errorf("%s", line)
	}
}

func TestAppendTime(t *testing.T) {
	for ns, want := range map[int64]string{0: "0.000000", 999: "0.000000", 1500: "0.000001", -1500000: "-0.001500", 1700000000e9 + 5000: "1700000000.000005"} {
		if got := string(appendTime(nil, ns)); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("q\"b\\\x00\x1f\x7f\xff\xc3\u2028é\U0001f600")
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestL4Name(t *testing.T) {
	for l4, want := range map[uint8]string{6: "TCP", 17: "UDP", 58: "ICMPV6", 118: "118", 103: "PIM"} {
		if got := L4Name(l4); got != want {
			t.Errorf("%d is %s", l4, got)
		}
	}
}

// The examples of the specification's README, and its published results for whole captures.
func TestCommunityID(t *testing.T) {
	a, b := netip.MustParseAddr("128.232.110.120"), netip.MustParseAddr("66.35.250.204")
	for _, id := range []string{CommunityID(6, a, b, 34855, 80, 0), CommunityID(6, b, a, 80, 34855, 0)} {
		if id != "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" {
			t.Error(id)
		}
	}
	dir := os.Getenv("TOCSIN_TESTDATA")
	for up, n := "..", 0; dir == "" && n < 6; up, n = filepath.Join("..", up), n+1 {
		if d := filepath.Join(up, "shared", "data"); exists(d) {
			dir = d
		}
	}
	if !exists(filepath.Join(dir, "community-id")) {
		t.Skip("no reference results: put community-id into ../shared/data or set TOCSIN_TESTDATA")
	}
	for name, seed := range map[string]uint16{"baseline_deflt.json": 0, "baseline_seed1.json": 1} {
		text, err := os.ReadFile(filepath.Join(dir, "community-id", name))
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Proto        uint8
			Saddr, Daddr netip.Addr
			Sport, Dport uint16
			CommunityID  string
		}
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&cases); err != nil || len(cases) == 0 {
			t.Fatal(err)
		}
		for _, c := range cases {
			// The list gives the type's counterpart as the other port where there is one; from a packet it is the code.
			if got := CommunityID(c.Proto, c.Saddr, c.Daddr, c.Sport, c.Dport, seed); got != c.CommunityID {
				t.Errorf("%s: %+v: %s", name, c, got)
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func BenchmarkAppendJSON(b *testing.B) {
	blk := sample()
	blk.Meta[0] = &dissect.Meta{Hostname: "www.example.org", JA4: "t13d1516h2_8daaf6152771_b186095e22b6", TLS: blk.Meta[0].TLS}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendJSON(buf[:0], blk, 0)
	}
}
