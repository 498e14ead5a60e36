package dissect

import (
	"net/netip"
	"testing"
	"unicode"
	"unicode/utf8"
)

var (
	testClient = netip.MustParseAddr("192.0.2.10")
	testServer = netip.MustParseAddr("198.51.100.20")
)

// testTime is the packet time of tests, 2024-03-01 12:00:00 UTC.
const testTime = int64(1709294400) * 1e9

// feed plays a flow through a dissector. It keeps the sequence numbers.
type feed struct {
	d      *Dissector
	s      State
	l4     uint8
	port   uint16
	cport  uint16
	time   int64
	seq    [2]uint32
	sent   [2]uint64
	pkts   [2]uint64
	frag   bool
	server netip.Addr
}

func newFeed(l4 uint8, port uint16) *feed {
	return &feed{d: New(), l4: l4, port: port, cport: 40000, time: testTime, seq: [2]uint32{1000, 0xfffffff0}, server: testServer}
}

func (f *feed) packet(dir uint8, seq uint32, b []byte) bool {
	f.pkts[dir]++
	f.sent[dir] += uint64(len(b))
	if f.s.Done() {
		return false
	}
	return f.d.Packet(&f.s, &Packet{
		Payload: b, Wire: len(b), Dir: dir, L4: f.l4, ClientPort: f.cport, ServerPort: f.port,
		Client: testClient, Server: f.server, Time: f.time, Seq: seq, Fragment: f.frag,
	})
}

// send sends b in one packet.
func (f *feed) send(dir uint8, b []byte) bool {
	c := f.packet(dir, f.seq[dir], b)
	f.seq[dir] += uint32(len(b))
	return c
}

func (f *feed) client(s string) *feed { f.send(0, []byte(s)); return f }
func (f *feed) reply(s string) *feed  { f.send(1, []byte(s)); return f }

// end finishes the flow.
func (f *feed) end() *feed {
	f.d.Finish(&f.s, &FlowEnd{
		L4: f.l4, ClientPort: f.cport, ServerPort: f.port, Client: testClient, Server: f.server,
		Packets: f.pkts, Bytes: f.sent, Payload: f.sent, TCPFlags: [2]uint8{tcpSYN | tcpACK, tcpSYN | tcpACK},
	})
	return f
}

func (f *feed) label() string { return Label(f.s.Protocol, f.s.App) }

func wantLabel(t *testing.T, f *feed, want string) {
	t.Helper()
	if got := f.label(); got != want {
		t.Fatalf("label = %s, want %s", got, want)
	}
}

func wantRisks(t *testing.T, f *feed, want ...Risk) {
	t.Helper()
	for _, r := range want {
		if !f.s.Risks.Has(r) {
			t.Errorf("risk %v is missing; have %v", r, f.s.Risks.List())
		}
	}
}

func wantNoRisks(t *testing.T, f *feed, not ...Risk) {
	t.Helper()
	for _, r := range not {
		if f.s.Risks.Has(r) {
			t.Errorf("risk %v was raised: %s", r, f.s.Meta.RiskInfo[r])
		}
	}
}

// checkText fails for a string that Meta promises not to hold.
func checkText(t *testing.T, what, s string) {
	t.Helper()
	if len(s) > 4*maxString {
		t.Errorf("%s is %d bytes long", what, len(s))
	}
	if !utf8.ValidString(s) {
		t.Errorf("%s is not UTF-8: %q", what, s)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			t.Errorf("%s has a control character: %q", what, s)
			return
		}
	}
}

// checkMeta checks every string of a result.
func checkMeta(t *testing.T, s *State) {
	t.Helper()
	if s.Protocol.String() == "" || s.Category.String() == "" {
		t.Errorf("protocol %d or category %d has no name", s.Protocol, s.Category)
	}
	m := s.Meta
	if m == nil {
		return
	}
	checkText(t, "hostname", m.Hostname)
	if len(m.Hostname) > maxString {
		t.Errorf("host name of %d bytes", len(m.Hostname))
	}
	checkText(t, "ja4", m.JA4)
	if x := m.TLS; x != nil {
		checkText(t, "sni", x.SNI)
		for _, a := range x.ALPN {
			checkText(t, "alpn", a)
		}
		if c := x.Certificate; c != nil {
			for _, v := range append([]string{c.Subject, c.Issuer, c.CommonName, c.Organization, c.IssuerOrganization}, c.Names...) {
				checkText(t, "certificate", v)
			}
		}
	}
	if x := m.HTTP; x != nil {
		for _, v := range []string{x.Method, x.Version, x.Host, x.URL, x.UserAgent, x.ContentType, x.Server, x.BasicUser, x.Referer} {
			checkText(t, "http", v)
		}
	}
	if x := m.DNS; x != nil {
		checkText(t, "query", x.Query)
	}
	if x := m.SSH; x != nil {
		checkText(t, "ssh", x.Client+x.Server)
	}
	if x := m.DHCP; x != nil {
		checkText(t, "dhcp", x.Hostname+x.VendorClass)
	}
	if x := m.Credentials; x != nil {
		checkText(t, "user", x.User)
	}
	for r, v := range m.RiskInfo {
		if !s.Risks.Has(r) {
			t.Errorf("words for risk %v, which is not raised", r)
		}
		checkText(t, "risk info", v)
	}
}
