package check

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

var (
	bad    = netip.MustParseAddr("192.168.1.66")
	victim = netip.MustParseAddr("192.168.1.2")
)

// TestHostChecks gives each check a host on its threshold, which is no finding, and one above it.
func TestHostChecks(t *testing.T) {
	for _, tt := range []struct {
		check    string
		at, over flow.Host
		want     string
		victim   bool
	}{
		{"host/syn_scan", flow.Host{SYNs: [2]uint32{356, 0}, SYNACKs: [2]uint32{0, 100}}, flow.Host{SYNs: [2]uint32{412, 0}}, "sent 412 SYNs in a minute that nobody accepted (limit 256)", false},
		{"host/syn_scan", flow.Host{SYNs: [2]uint32{0, 256}}, flow.Host{SYNs: [2]uint32{0, 300}, SYNACKs: [2]uint32{3, 0}}, "received 297 SYNs in a minute that it did not accept (limit 256)", true},
		{"host/syn_flood", flow.Host{SYNs: [2]uint32{15360, 0}}, flow.Host{SYNs: [2]uint32{0, 18000}}, "received 18000 SYNs in a minute, 300 a second", true},
		{"host/fin_scan", flow.Host{FINs: [2]uint32{256, 256}}, flow.Host{FINs: [2]uint32{257, 0}}, "sent 257 FINs in a minute", false},
		{"host/rst_scan", flow.Host{RSTs: [2]uint32{256, 256}}, flow.Host{RSTs: [2]uint32{0, 257}}, "received 257 RSTs in a minute", true},
		{"host/icmp_flood", flow.Host{ICMP: [2]uint32{15000, 0}}, flow.Host{ICMP: [2]uint32{18000, 0}}, "sent 18000 ICMP packets in a minute, 300 a second", false},
		{"host/flow_flood", flow.Host{Flows: [2]uint32{15360, 0}}, flow.Host{Flows: [2]uint32{18000, 0}}, "began 18000 new flows in a minute, 300 a second", false},
		{"host/dns_flood", flow.Host{DNSFlows: 6000}, flow.Host{DNSFlows: 6060}, "began 6060 DNS flows in a minute, 101 a second", false},
		{"host/snmp_flood", flow.Host{SNMPFlows: 6000}, flow.Host{SNMPFlows: 6060}, "began 6060 SNMP flows", false},
		{"host/scan_detection", flow.Host{HalfOpen: [2]uint32{30, 0}, Unanswered: [2]uint32{2, 0}}, flow.Host{HalfOpen: [2]uint32{30, 0}, Unanswered: [2]uint32{3, 0}}, "began 33 flows in a minute that nobody answered: 30 TCP, 3 UDP (limit 32)", false},
		{"host/host_scanner", flow.Host{Peers: 256}, flow.Host{Peers: 257}, "contacted 257 different hosts in a minute", false},
		{"host/dns_contacts", flow.Host{DNSServers: 5}, flow.Host{DNSServers: 6}, "used 6 different DNS servers in a minute (limit 5)", false},
		{"host/ntp_contacts", flow.Host{NTPServers: 5}, flow.Host{NTPServers: 6}, "used 6 different NTP servers", false},
		{"host/smtp_contacts", flow.Host{SMTPServers: 5}, flow.Host{SMTPServers: 6}, "used 6 different mail servers", false},
		{"host/domain_names_contacts", flow.Host{DomainNames: 250}, flow.Host{DomainNames: 251}, "asked for 251 different domain names", false},
	} {
		e, got := engine(t, tt.check, nil)
		tt.at.Addr, tt.over.Addr = victim, bad
		if err := e.Hosts(minute(0, tt.at, tt.over)); err != nil {
			t.Fatal(err)
		}
		if len(*got) != 1 {
			t.Errorf("%s: %d alerts, want one", tt.check, len(*got))
			continue
		}
		a := (*got)[0]
		if a.Host.IP != bad || a.Host.Victim != tt.victim || a.Host.Attacker == tt.victim || !strings.Contains(a.Message, tt.want) {
			t.Errorf("%s: %s (host %+v), want %q", tt.check, a.Message, a.Host, tt.want)
		}
	}
}

// TestEngageAndRelease follows one condition from its beginning to its end, and a second one that ends because the host
// falls silent.
func TestEngageAndRelease(t *testing.T) {
	e, got := engine(t, "host/syn_scan", nil)
	h := func(addr netip.Addr, syns uint32) flow.Host {
		return flow.Host{Addr: addr, VLAN: 3, Local: true, Name: "printer", MAC: [6]byte{2, 0, 0, 0, 0, 1}, SYNs: [2]uint32{syns, 0}}
	}
	for i, b := range []*flow.HostBatch{
		minute(0, h(bad, 300)), minute(1, h(bad, 500), h(victim, 400)), minute(2, h(bad, 12)), minute(3, h(bad, 400)),
	} {
		*got = nil // each step looks at its own alerts
		if err := e.Hosts(b); err != nil {
			t.Fatal(err)
		}
		want := [][]string{
			{"engage host/syn_scan/192.168.1.66@3/attacker"},
			{"engage host/syn_scan/192.168.1.2@3/attacker"},
			{"release host/syn_scan/192.168.1.2@3/attacker", "release host/syn_scan/192.168.1.66@3/attacker"},
			{"engage host/syn_scan/192.168.1.66@3/attacker"},
		}[i]
		if len(*got) != len(want) {
			t.Fatalf("minute %d: %d alerts, want %v", i, len(*got), want)
		}
		for k, a := range *got {
			if s := a.Action.String() + " " + a.Key; s != want[k] {
				t.Errorf("minute %d: %s, want %s", i, s, want[k])
			}
		}
		switch i {
		case 0:
			a := (*got)[0]
			want := alert.Host{IP: bad, VLAN: 3, MAC: "02:00:00:00:00:01", Name: "printer", Local: true, Attacker: true, Value: 300, Threshold: 256}
			if *a.Host != want || !a.Time.Equal(start.Add(time.Minute)) || !a.Engaged.IsZero() || a.Severity != alert.Warning || a.AlertID != 5 {
				t.Errorf("engage: %+v host %+v", a, a.Host)
			}
		case 2:
			silent, low := (*got)[0], (*got)[1]
			if silent.Host.Value != 0 || !silent.Engaged.Equal(start.Add(2*time.Minute)) {
				t.Errorf("release of a silent host: %+v %+v", silent, silent.Host)
			}
			if low.Host.Value != 12 || !low.Engaged.Equal(start.Add(time.Minute)) || low.Message != "printer (192.168.1.66) is below the limit again: 12 unanswered SYNs a minute (limit 256)" {
				t.Errorf("release: %q %+v", low.Message, low.Host)
			}
		}
	}
	*got = nil
	e.Close()
	if len(*got) != 1 || (*got)[0].Action != alert.Release || !(*got)[0].Time.Equal(start.Add(4*time.Minute)) {
		t.Errorf("Close released %d alerts, want one at the end of the last interval", len(*got))
	}
	e.Close()
	if len(*got) != 1 {
		t.Error("a second Close released something again")
	}
}

// TestLastInterval: the cut-off last interval of a capture engages, but does not release what it is too short to show.
func TestLastInterval(t *testing.T) {
	e, got := engine(t, "host/syn_scan", nil)
	if err := e.Hosts(minute(0, flow.Host{Addr: bad, SYNs: [2]uint32{300, 0}})); err != nil {
		t.Fatal(err)
	}
	last := minute(1, flow.Host{Addr: bad, SYNs: [2]uint32{20, 0}}, flow.Host{Addr: victim, SYNs: [2]uint32{0, 300}})
	last.Last, last.To = true, last.From+int64(3*time.Second)
	if err := e.Hosts(last); err != nil {
		t.Fatal(err)
	}
	if len(*got) != 2 || (*got)[1].Action != alert.Engage || !strings.Contains((*got)[1].Message, "received 300 SYNs in 3 s") {
		t.Fatalf("got %d alerts", len(*got))
	}
}

// TestBothSides: a scan alerts the scanner and the scanned, as ntopng does.
func TestBothSides(t *testing.T) {
	e, got := engine(t, "host/syn_scan", nil)
	err := e.Hosts(minute(0, flow.Host{Addr: bad, SYNs: [2]uint32{300, 0}}, flow.Host{Addr: victim, SYNs: [2]uint32{0, 300}}))
	if err != nil || len(*got) != 2 || !(*got)[0].Host.Attacker || !(*got)[1].Host.Victim {
		t.Fatalf("%v, %d alerts, want attacker and victim", err, len(*got))
	}
}

// TestScores: flow alerts add up to a host's score within a minute, and not beyond it.
func TestScores(t *testing.T) {
	e, got := engine(t, "flow/ndpi_url_possible_xss,flow/tls_certificate_expired,host/score_threshold",
		map[string]Params{"host/score_threshold": {"threshold": 250}})
	hosts := []flow.Host{{Addr: netip.MustParseAddr("192.168.1.7")}, {Addr: netip.MustParseAddr("198.51.100.2")}}
	xss, expired := row{risks: []dissect.Risk{dissect.RiskURLXSS}}, row{risks: []dissect.Risk{dissect.RiskTLSCertExpired}}
	run := func(n int, rows ...row) (found []string) {
		*got = nil
		if err := e.Flows(block(flow.End, rows...)); err != nil {
			t.Fatal(err)
		}
		if err := e.Hosts(minute(n, hosts...)); err != nil {
			t.Fatal(err)
		}
		for _, a := range *got {
			if a.Host != nil {
				found = append(found, a.Action.String()+" "+a.Host.IP.String())
			}
		}
		return found
	}
	if f := run(0, xss, expired); len(f) != 0 { // client 150+50, server 50
		t.Errorf("a score of 200 of 250 gave %v", f)
	}
	if f := run(1, xss, xss); len(f) != 1 || f[0] != "engage 192.168.1.7" {
		t.Errorf("a score of 300 gave %v", f)
	}
	if f := run(2); len(f) != 1 || f[0] != "release 192.168.1.7" {
		t.Errorf("a minute without alerts gave %v", f)
	}
}

// TestDangerousHost: only the sixth minute in a row counts.
func TestDangerousHost(t *testing.T) {
	e, got := engine(t, "flow/ndpi_url_possible_xss,host/dangerous_host", map[string]Params{"host/dangerous_host": {"threshold": int64(100)}})
	for n := range 13 {
		*got = nil
		if n != 5 { // an interruption begins the count anew
			_ = e.Flows(block(flow.End, row{risks: []dissect.Risk{dissect.RiskURLXSS}}))
		}
		*got = nil
		_ = e.Hosts(minute(n, flow.Host{Addr: netip.MustParseAddr("192.168.1.7")}))
		if want := n == 11; want != (len(*got) == 1) {
			t.Errorf("minute %d: %d alerts", n, len(*got))
		}
	}
}

// TestRemoteConnection counts sessions while they last.
func TestRemoteConnection(t *testing.T) {
	e, got := engine(t, "host/remote_connection", nil)
	ssh, h := row{proto: dissect.ProtoSSH, cat: dissect.CategoryRemoteAccess}, flow.Host{Addr: netip.MustParseAddr("192.168.1.7")}
	_ = e.Flows(block(flow.Detected, ssh))
	_ = e.Hosts(minute(0, h))
	if len(*got) != 1 || (*got)[0].Message != "192.168.1.7 had 1 remote access session in a minute" {
		t.Fatalf("%d alerts", len(*got))
	}
	_ = e.Flows(block(flow.Periodic, ssh))
	_ = e.Hosts(minute(1, h))
	_ = e.Hosts(minute(2, h))
	if len(*got) != 2 || (*got)[1].Action != alert.Release {
		t.Fatalf("%d alerts, want engage and release", len(*got))
	}
}

// TestARP: a reply from another device than before is reported each time; a request only keeps the table current.
func TestARP(t *testing.T) {
	e, got := engine(t, "network/ip_reassignment", nil)
	ip, a, b := netip.MustParseAddr("192.168.1.1"), [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	for i, s := range []struct {
		op   uint16
		mac  [6]byte
		want string
	}{
		{1, a, ""},
		{2, a, ""},
		{2, b, "192.168.1.1 was at 02:00:00:00:00:01, and now 02:00:00:00:00:02 says that it is there"},
		{2, b, ""},
		{1, a, ""},
		{2, b, "was at 02:00:00:00:00:01"},
	} {
		*got = nil
		e.ARP(&decode.ARP{Op: s.op, Sender: ip, SenderMAC: s.mac, Time: start.UnixNano()})
		if (s.want == "") != (len(*got) == 0) || s.want != "" && !strings.Contains((*got)[0].Message, s.want) {
			t.Errorf("step %d: %d alerts, want %q", i, len(*got), s.want)
		}
	}
	if al := (*got)[0]; al.Entity != alert.EntityMAC || al.MAC != "02:00:00:00:00:02" || al.EntityValue() != al.MAC || al.Action != alert.Store {
		t.Errorf("%+v", al)
	}
	e.ARP(&decode.ARP{Op: 2, Sender: ip, SenderMAC: a, VLAN: 7}) // another VLAN is another network
	e.ARP(&decode.ARP{Op: 2})
	for i := range maxNeighbours + 10 {
		e.ARP(&decode.ARP{Op: 2, Sender: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), SenderMAC: a})
	}
	if len(*got) != 1 || len(e.neighbours) != maxNeighbours {
		t.Errorf("%d alerts, %d neighbours", len(*got), len(e.neighbours))
	}
	if off, _ := engine(t, "none", nil); off.WantsARP() || !e.WantsARP() {
		t.Error("WantsARP")
	}
}
