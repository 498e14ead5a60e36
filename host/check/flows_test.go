package check

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

const quiet = flow.ClientLocal | flow.SawSYN

// TestFlowChecks gives each check what it must find and what it must not.
func TestFlowChecks(t *testing.T) {
	dns := &dissect.Meta{Hostname: "example.org", DNS: &dissect.DNS{Query: "example.org"}}
	for _, tt := range []struct {
		check  string
		params Params
		hook   flow.Hook
		row    row
		want   string // a part of the message; empty: nothing must be found
	}{
		{"flow/unexpected_dns", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS, sport: 53, meta: dns}, "asked for example.org at 198.51.100.2"},
		{"flow/unexpected_dns", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS, sport: 53, server: "192.168.1.1"}, "192.168.1.1, which is not an expected DNS server"},
		{"flow/unexpected_dns", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoMDNS, server: "224.0.0.251", flags: flow.MulticastDest}, ""},
		{"flow/unexpected_dns", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS, server: "255.255.255.255", flags: flow.MulticastDest}, ""},
		{"flow/unexpected_dns", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS, flags: flow.MulticastDest, server: "192.168.1.255"}, ""},
		{"flow/unexpected_dns", Params{"items": []any{"198.51.100.2"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS}, ""},
		{"flow/unexpected_dns", Params{"items": []any{"198.51.100.0/24"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS}, ""},
		{"flow/unexpected_dns", Params{"items": []any{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "198.51.100.2"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS}, ""},
		{"flow/unexpected_dns", Params{"items": []any{"198.51.100.3"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS}, "not an expected DNS server"},
		{"flow/unexpected_dns", Params{"items": []any{"example.org"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDNS, meta: dns}, "example.org"},
		{"flow/unexpected_dns", nil, flow.End, row{proto: dissect.ProtoDNS, sport: 53, conf: dissect.ConfidenceGuess, empty: true}, ""},
		{"flow/unexpected_ntp", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoNTP, sport: 123}, "not an expected NTP server"},
		{"flow/unexpected_smtp", nil, flow.Detected, row{proto: dissect.ProtoSMTP, sport: 25}, "not an expected mail server"},
		{"flow/unexpected_smtp", Params{"items": []string{"Example.ORG"}}, flow.Detected, row{proto: dissect.ProtoSMTP, meta: &dissect.Meta{Hostname: "mx.example.org"}}, ""},
		{"flow/unexpected_smtp", Params{"items": []string{"ample.org"}}, flow.Detected, row{proto: dissect.ProtoSMTP, meta: &dissect.Meta{Hostname: "example.org"}}, "mail server"},
		{"flow/unexpected_dhcp", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDHCP, client: "0.0.0.0", server: "255.255.255.255", cport: 68, sport: 67, packets: [2]uint64{2, 0}}, ""},
		{"flow/unexpected_dhcp", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDHCP, server: "192.168.1.1", cport: 68, sport: 67}, "192.168.1.1 answered a client"},
		{"flow/unexpected_dhcp", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDHCP, client: "192.168.1.1", server: "255.255.255.255", cport: 67, sport: 68}, "192.168.1.1 answered"},
		{"flow/unexpected_dhcp", nil, flow.Detected, row{l4: 17, proto: dissect.ProtoDHCP, client: "0.0.0.0", server: "255.255.255.255", sport: 67, meta: &dissect.Meta{DHCP: &dissect.DHCP{Server: "192.168.1.9", Hostname: "laptop"}}}, "192.168.1.9 answered laptop"},
		{"flow/unexpected_dhcp", Params{"items": []any{"192.168.1.1"}}, flow.Detected, row{l4: 17, proto: dissect.ProtoDHCP, server: "192.168.1.1", cport: 68, sport: 67}, ""},
		{"flow/remote_to_remote", nil, flow.End, row{client: "203.0.113.1", flags: flow.SawSYN}, "neither side is in a local network"},
		{"flow/remote_to_remote", nil, flow.End, row{flags: flow.ClientLocal}, ""},
		{"flow/remote_to_remote", nil, flow.End, row{client: "0.0.0.0", flags: flow.SawSYN}, ""},
		{"flow/remote_access", nil, flow.Detected, row{proto: dissect.ProtoSSH, cat: dissect.CategoryRemoteAccess, sport: 22}, "port 22: remote access with SSH"},
		{"flow/remote_access", nil, flow.Detected, row{}, ""},
		{"flow/remote_access", nil, flow.End, row{proto: dissect.ProtoSSH, cat: dissect.CategoryRemoteAccess, empty: true}, ""},
		{"flow/remote_access", nil, flow.End, row{l4: 50, proto: dissect.ProtoIPSec, cat: dissect.CategoryVPN, empty: true}, "remote access with IPSec"},
		{"flow/remote_to_local_insecure_flow", nil, flow.Detected, row{client: "203.0.113.1", server: "192.168.1.2", flags: flow.ServerLocal | flow.Established, proto: dissect.ProtoFTP}, "insecure protocol FTP_CONTROL"},
		{"flow/remote_to_local_insecure_flow", nil, flow.Detected, row{client: "203.0.113.1", server: "192.168.1.2", flags: flow.ServerLocal, proto: dissect.ProtoFTP}, ""},
		{"flow/remote_to_local_insecure_flow", nil, flow.Detected, row{client: "203.0.113.1", server: "192.168.1.2", flags: flow.ServerLocal | flow.Established, proto: dissect.ProtoFTP, conf: dissect.ConfidenceGuess}, ""},
		{"flow/remote_to_local_insecure_flow", nil, flow.Detected, row{flags: quiet | flow.Established, proto: dissect.ProtoFTP}, ""},
		{"flow/broadcast_non_udp_traffic", nil, flow.End, row{l4: 1, server: "255.255.255.255", flags: flow.MulticastDest}, "packets of ICMP to the broadcast address 255.255.255.255"},
		{"flow/broadcast_non_udp_traffic", nil, flow.End, row{l4: 1, server: "192.168.1.255", flags: flow.MulticastDest}, "192.168.1.255"},
		{"flow/broadcast_non_udp_traffic", nil, flow.End, row{l4: 2, server: "224.0.0.1", flags: flow.MulticastDest}, ""},
		{"flow/broadcast_non_udp_traffic", nil, flow.End, row{l4: 17, server: "255.255.255.255", flags: flow.MulticastDest}, ""},
		{"flow/long_lived", nil, flow.Periodic, row{last: 12*time.Hour + 5*time.Minute}, "has lasted 12 h 5 min (limit 12 h)"},
		{"flow/long_lived", nil, flow.Periodic, row{last: 12 * time.Hour}, ""},
		{"flow/long_lived", Params{"min_duration": int64(60), "items": []any{"ssh"}}, flow.End, row{last: time.Hour, proto: dissect.ProtoSSH}, ""},
		{"flow/long_lived", Params{"min_duration": int64(60)}, flow.End, row{last: 90 * time.Second}, "has lasted 1 min 30 s (limit 1 min)"},
		{"flow/elephant_flows", nil, flow.End, row{bytes: [2]uint64{1, 3 << 30}}, "the server sent 3.0 GB"},
		{"flow/elephant_flows", nil, flow.End, row{bytes: [2]uint64{1 << 30, 1 << 30}}, ""},
		{"flow/elephant_flows", Params{"l2r_bytes_value": int64(1 << 20)}, flow.End, row{bytes: [2]uint64{2 << 20, 5 << 20}}, "the client sent 2.0 MB with HTTP in 1 s (limit 1.0 MB)"},
		{"flow/elephant_flows", Params{"l2r_bytes_value": int64(1 << 20)}, flow.End, row{flags: flow.ServerLocal, bytes: [2]uint64{5 << 20, 2 << 20}}, "the server sent 2.0 MB"},
		{"flow/elephant_flows", Params{"items": []any{"HTTP"}}, flow.End, row{bytes: [2]uint64{1, 3 << 30}}, ""},
		{"flow/low_goodput", nil, flow.End, row{payload: [2]uint64{1000, 1000}}, "only 11 % of 17.6 kB were payload"},
		{"flow/low_goodput", nil, flow.End, row{}, ""},
		{"flow/low_goodput", nil, flow.End, row{payload: [2]uint64{1, 1}, proto: dissect.ProtoSSH}, ""},
		{"flow/low_goodput", nil, flow.End, row{payload: [2]uint64{1, 1}, flags: quiet}, ""},
		{"flow/low_goodput", nil, flow.End, row{payload: [2]uint64{1, 1}, packets: [2]uint64{2, 1}}, ""},
		{"flow/tcp_connection_refused", nil, flow.End, row{flags: quiet | flow.ServerRefused}, "198.51.100.2 refused a connection of 192.168.1.7 to port 443"},
		{"flow/tcp_connection_refused", nil, flow.End, row{l4: 17, flags: quiet | flow.ServerRefused}, ""},
		{"flow/tcp_connection_failed", nil, flow.End, row{flags: quiet, tcp: [2]uint8{flow.SYN, 0}, packets: [2]uint64{3, 0}}, "to port 443 3 times"},
		{"flow/tcp_connection_failed", nil, flow.End, row{flags: quiet | flow.ServerRefused, tcp: [2]uint8{flow.SYN, 0}, packets: [2]uint64{3, 0}}, ""},
		{"flow/tcp_connection_failed", nil, flow.End, row{}, ""},
		{"flow/tcp_flow_reset", nil, flow.End, row{tcp: [2]uint8{flow.SYN | flow.ACK, flow.ACK | flow.RST}}, "reset by the server after 1 s"},
		{"flow/tcp_flow_reset", nil, flow.End, row{}, ""},
		{"flow/tcp_no_data_exchanged", nil, flow.End, row{empty: true, packets: [2]uint64{1, 0}}, "1 packet in 1 s, none with data"},
		{"flow/tcp_no_data_exchanged", nil, flow.End, row{}, ""},
		{"flow/tcp_no_data_exchanged", nil, flow.End, row{l4: 17, empty: true}, ""},
		{"flow/web_mining", nil, flow.Detected, row{proto: dissect.ProtoMining, cat: dissect.CategoryMining}, "mining of a cryptocurrency (Mining)"},
		{"flow/web_mining", Params{"items": []any{"198.51.100.2"}}, flow.Detected, row{proto: dissect.ProtoMining}, ""},
		{"flow/vlan_bidirectional_traffic", Params{"items": []any{int64(12)}}, flow.Detected, row{vlan: 12}, "answered in VLAN 12"},
		{"flow/vlan_bidirectional_traffic", Params{"items": []any{"12"}}, flow.Detected, row{vlan: 12, packets: [2]uint64{1, 0}}, ""},
		{"flow/vlan_bidirectional_traffic", nil, flow.Detected, row{}, ""},
	} {
		e, got := engine(t, tt.check, map[string]Params{tt.check: tt.params})
		b := block(tt.hook, tt.row)
		if err := e.Flows(b); err != nil {
			t.Fatal(err)
		}
		switch {
		case tt.want == "" && len(*got) > 0:
			t.Errorf("%s found what it must not: %s", tt.check, (*got)[0].Message)
		case tt.want != "" && len(*got) != 1:
			t.Errorf("%s: %d alerts, want one with %q", tt.check, len(*got), tt.want)
		case tt.want != "" && !strings.Contains((*got)[0].Message, tt.want):
			t.Errorf("%s says %q, want %q in it", tt.check, (*got)[0].Message, tt.want)
		}
	}
}

// TestRiskChecks wants every risk check to find its risk, and no other, and to put it into words with nothing known but
// the addresses.
func TestRiskChecks(t *testing.T) {
	for _, d := range risksOf(t) {
		e, got := engine(t, d.Key, nil)
		var rows []row
		for r := range 64 {
			rows = append(rows, row{risks: []dissect.Risk{dissect.Risk(r)}})
		}
		if err := e.Flows(block(flow.Detected, rows...)); err != nil {
			t.Fatal(err)
		}
		if len(*got) != 1 || (*got)[0].Check != d.Key || (*got)[0].AlertID != d.AlertID {
			t.Errorf("%s: got %d alerts", d.Key, len(*got))
			continue
		}
		a := (*got)[0]
		if !strings.HasPrefix(a.Message, "192.168.1.7 -> 198.51.100.2, port 443: ") || strings.HasSuffix(a.Message, ": ") {
			t.Errorf("%s says %q", d.Key, a.Message)
		}
	}
}

// TestRiskWords pins what people read about the findings they meet most.
func TestRiskWords(t *testing.T) {
	cert := &dissect.Certificate{
		Subject: "CN=example.org, O=Example", CommonName: "example.org", Names: []string{"example.org", "www.example.org"},
		NotBefore: start.AddDate(-2, 0, 0).Unix(), NotAfter: start.AddDate(0, 0, -10).Unix(),
	}
	tls := &dissect.Meta{Hostname: "shop.example.com", TLS: &dissect.TLS{SNI: "shop.example.com", Version: 0x0301, Certificate: cert, AlertCode: 40}}
	http := &dissect.Meta{Hostname: "example.org", HTTP: &dissect.HTTP{Host: "example.org", URL: "/?q=<script>", UserAgent: "sqlmap/1.0", Status: 404}}
	secret := &dissect.Meta{Credentials: &dissect.Credentials{Protocol: dissect.ProtoFTP, User: "anna", Password: true}}
	why := &dissect.Meta{RiskInfo: map[dissect.Risk]string{dissect.RiskMalformedPacket: "short header"}}
	for _, tt := range []struct {
		risk dissect.Risk
		meta *dissect.Meta
		want string
	}{
		{dissect.RiskTLSCertExpired, tls, `192.168.1.7 -> shop.example.com (198.51.100.2), port 443: the server's certificate "example.org" expired on 2026-02-22, 10 days ago`},
		{dissect.RiskTLSCertMismatch, tls, `asked for shop.example.com, but the certificate is for "example.org" and 1 other names`},
		{dissect.RiskTLSSelfSigned, tls, "the server's certificate is self-signed (CN=example.org, O=Example)"},
		{dissect.RiskTLSObsoleteVersion, tls, "uses TLSv1, which is obsolete"},
		{dissect.RiskTLSFatalAlert, tls, "ended with the fatal alert handshake_failure (40)"},
		{dissect.RiskHTTPUserAgent, http, `the user agent "sqlmap/1.0" is suspicious`},
		{dissect.RiskURLXSS, http, `the URL "/?q=<script>" looks like cross-site scripting; the server answered 404`},
		{dissect.RiskErrorCode, http, "the server answered 404 for example.org/?q=<script>"},
		{dissect.RiskClearTextCredentials, secret, `a password of user "anna" was sent in clear text over FTP_CONTROL`},
		{dissect.RiskMalformedPacket, why, "breaks the rules of its protocol (short header)"},
	} {
		e, got := engine(t, "all", nil)
		if err := e.Flows(block(flow.Detected, row{risks: []dissect.Risk{tt.risk}, meta: tt.meta})); err != nil {
			t.Fatal(err)
		}
		if len(*got) != 1 || !strings.Contains((*got)[0].Message, tt.want) {
			t.Errorf("risk %s: %d alerts; want one with %q", tt.risk, len(*got), tt.want)
			for _, a := range *got {
				t.Log(a.Check, a.Message)
			}
		}
	}
}

// TestFlowAlert pins all that a flow alert carries.
func TestFlowAlert(t *testing.T) {
	e, got := engine(t, "flow/ndpi_url_possible_xss", nil)
	m := &dissect.Meta{Hostname: "example.org", HTTP: &dissect.HTTP{Host: "example.org", URL: "/a"}}
	r := row{risks: []dissect.Risk{dissect.RiskURLXSS}, meta: m, vlan: 7, sport: 80, app: dissect.ProtoGoogle, packets: [2]uint64{3, 4}, bytes: [2]uint64{300, 400}}
	if err := e.Flows(block(flow.Detected, r)); err != nil || len(*got) != 1 {
		t.Fatal(err, len(*got))
	}
	a := (*got)[0]
	if a.Action != alert.Store || a.Key != "" || a.Entity != alert.EntityFlow || a.AlertID != 39 || a.Score != 150 ||
		a.Severity != alert.Error || a.Category != alert.Security || a.Interface != "test.pcap" || a.Title == "" || a.Advice == "" ||
		!a.Time.Equal(start.Add(time.Second)) || a.ID == (alert.ID{}) {
		t.Errorf("alert: %+v", a)
	}
	f := *a.Flow
	if !strings.HasPrefix(f.CommunityID, "1:") {
		t.Errorf("community id %q", f.CommunityID)
	}
	f.CommunityID = ""
	want := alert.Flow{
		L4: "TCP", Client: netip.MustParseAddr("192.168.1.7"), Server: netip.MustParseAddr("198.51.100.2"), ClientPort: 50000, ServerPort: 80,
		VLAN: 7, Protocol: "HTTP.Google", Hostname: "example.org", First: start, Last: start.Add(time.Second), Packets: [2]uint64{3, 4},
		Bytes: [2]uint64{300, 400}, ClientLoc: true, Attacker: alert.Client, Victim: alert.Server, Info: "example.org/a",
	}
	if f != want {
		t.Errorf("flow:\n got %+v\nwant %+v", f, want)
	}
}

// TestOnceForEachFlowAndCheck: a finding is reported when it is first seen, not at every further hook; another finding of
// the same flow still is; and the engine forgets a flow at its end.
func TestOnceForEachFlowAndCheck(t *testing.T) {
	e, got := engine(t, "all,-flow/low_goodput", nil)
	expired, both := []dissect.Risk{dissect.RiskTLSCertExpired}, []dissect.Risk{dissect.RiskTLSCertExpired, dissect.RiskTLSSelfSigned}
	steps := []struct {
		b    *flow.Block
		want []string
	}{
		{block(flow.Detected, row{id: 9, risks: expired}), []string{"flow/tls_certificate_expired"}},
		{block(flow.Periodic, row{id: 9, risks: expired}), nil},
		{block(flow.Periodic, row{id: 9, risks: both, last: 13 * time.Hour}), []string{"flow/tls_certificate_selfsigned", "flow/long_lived"}},
		{block(flow.End, row{id: 9, risks: both, last: 13 * time.Hour}), nil},
		{block(flow.End, row{id: 10, risks: expired}), []string{"flow/tls_certificate_expired"}},
	}
	for i, s := range steps {
		*got = nil
		if err := e.Flows(s.b); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, a := range *got {
			keys = append(keys, a.Check)
		}
		if !slices.Equal(keys, s.want) {
			t.Errorf("step %d: got %v, want %v", i, keys, s.want)
		}
	}
	if len(e.seen) != 0 {
		t.Errorf("the engine still remembers %d flows that have ended", len(e.seen))
	}
}

// TestLargeBlock runs over a block of more than BlockSize records, which the contract forbids, without harm.
func TestLargeBlock(t *testing.T) {
	e, got := engine(t, "all", nil)
	rows := make([]row, flow.BlockSize+1)
	rows[flow.BlockSize].risks = []dissect.Risk{dissect.RiskTLSWeakCipher}
	if err := e.Flows(block(flow.Detected, rows...)); err != nil || len(*got) != 1 {
		t.Errorf("%v, %d alerts, want 1", err, len(*got))
	}
	if err := e.Flows(&flow.Block{Hook: flow.End}); err != nil {
		t.Error("an empty block:", err)
	}
}
