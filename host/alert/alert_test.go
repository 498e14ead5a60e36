package alert

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

var (
	client = netip.MustParseAddr("192.0.2.7")
	server = netip.MustParseAddr("2001:db8::2")
	noon   = time.Date(2026, 3, 4, 12, 0, 0, 123456789, time.FixedZone("CET", 3600))
)

func decode(t *testing.T, a *Alert) (map[string]any, pdk.Alert) {
	t.Helper()
	b, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	m, p := map[string]any{}, pdk.Alert{}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal("endpoints cannot read it:", err)
	}
	return m, p
}

// TestFlowJSON pins the shape that `tocsin alerts` prints and endpoints read, for a flow.
func TestFlowJSON(t *testing.T) {
	a := &Alert{
		ID: NewID(), Time: noon, Entity: EntityFlow, AlertID: 28, Check: "flow/tls_certificate_selfsigned", Title: "Self-signed",
		Category: Security, Severity: Error, Score: 100, Message: "a \"b\" <c>", Advice: "Do.", Interface: "eth0",
		Flow: &Flow{
			L4: "TCP", Client: client, Server: server, ClientPort: 0, ServerPort: 443, Protocol: "TLS.Google", Hostname: "example.org",
			CommunityID: "1:x", First: noon.Add(-time.Minute), Last: noon, Packets: [2]uint64{1, 2}, Bytes: [2]uint64{3, 4},
			ClientLoc: true, Attacker: Server, Victim: Client, Info: "CN=x",
		},
	}
	m, p := decode(t, a)
	for k, want := range map[string]any{
		"entity": "flow", "entity_id": 4.0, "alert_id": 28.0, "category": "security", "severity": "error", "severity_id": 5.0,
		"score": 100.0, "action": "store", "tstamp": float64(noon.Unix()), "time": "2026-03-04T11:00:00.123456Z",
		"message": "a \"b\" <c>", "client": "192.0.2.7", "client_port": 0.0, "server": "2001:db8::2", "server_port": 443.0,
		"client_local": true, "attacker": "2001:db8::2", "victim": "192.0.2.7", "entity_value": "192.0.2.7:0 -> [2001:db8::2]:443",
		"first": float64(noon.Unix() - 60), "l4": "TCP", "protocol": "TLS.Google", "id": a.ID.String(),
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	for _, k := range []string{"ip", "mac", "key", "engaged_tstamp", "value", "server_local", "vlan"} {
		if v, ok := m[k]; ok {
			t.Errorf("%s is %v, want it left out", k, v)
		}
	}
	if p.Packets != [2]uint64{1, 2} || p.Bytes != [2]uint64{3, 4} || p.ServerPort != 443 || p.Info != "CN=x" || p.Advice != "Do." {
		t.Errorf("endpoints read %+v", p)
	}
}

// TestHostJSON is the same for a host's release.
func TestHostJSON(t *testing.T) {
	a := &Alert{
		ID: NewID(), Time: noon, Entity: EntityHost, AlertID: 5, Check: "host/syn_scan", Action: Release, Engaged: noon.Add(-time.Minute),
		Key:  "host/syn_scan/192.0.2.7/attacker",
		Host: &Host{IP: client, VLAN: 7, MAC: "02:00:00:00:00:01", Name: "printer", Local: true, Attacker: true, Value: 12.5, Threshold: 256},
	}
	m, p := decode(t, a)
	for k, want := range map[string]any{
		"entity": "host", "entity_id": 1.0, "entity_value": "192.0.2.7", "action": "release", "ip": "192.0.2.7", "vlan": 7.0,
		"mac": "02:00:00:00:00:01", "name": "printer", "local": true, "attacker": "192.0.2.7", "value": 12.5, "threshold": 256.0,
		"engaged_tstamp": float64(noon.Unix() - 60), "key": "host/syn_scan/192.0.2.7/attacker",
	} {
		if m[k] != want {
			t.Errorf("%s is %v, want %v", k, m[k], want)
		}
	}
	if m, _ := decode(t, &Alert{Kind: KindReport}); m["kind"] != "report" {
		t.Errorf("a report has kind %v", m["kind"])
	}
	for _, k := range []string{"client", "client_port", "packets", "victim", "kind"} {
		if v, ok := m[k]; ok {
			t.Errorf("%s is %v, want it left out", k, v)
		}
	}
	if p.IP != "192.0.2.7" || p.EngagedAt != noon.Unix()-60 {
		t.Errorf("endpoints read %+v", p)
	}
}

func TestEntityValue(t *testing.T) {
	for want, a := range map[string]*Alert{
		"192.0.2.7": {Host: &Host{IP: client}}, "02:00:00:00:00:01": {MAC: "02:00:00:00:00:01"}, "eth0": {Interface: "eth0"},
		"www.example.org": {Entity: EntityAMHost, Name: "www.example.org", Interface: "eth0"},
	} {
		if got := a.EntityValue(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSeverityOf(t *testing.T) {
	for score, want := range map[int]Severity{
		-1: None, 0: None, 1: Info, 9: Info, 10: Notice, 49: Notice, 50: Warning, 99: Warning, 100: Error, 199: Error, 200: Critical,
		249: Critical, 250: Emergency, 1000: Emergency,
	} {
		if got := SeverityOf(score); got != want {
			t.Errorf("score %d: %s, want %s", score, got, want)
		}
	}
}

// TestNames wants every name to be read back, in any case, and a wrong one to be answered with the right ones.
func TestNames(t *testing.T) {
	for i := range int(Emergency) + 1 {
		if got, err := ParseSeverity(strings.ToUpper(Severity(i).String())); err != nil || got != Severity(i) {
			t.Error(got, err)
		}
	}
	for i := range int(SNMP) + 1 {
		if got, err := ParseCategory(Category(i).String()); err != nil || got != Category(i) {
			t.Error(got, err)
		}
	}
	for i := range int(EntitySystem) + 1 {
		if i == 6 { // no entity has this id
			continue
		}
		if got, err := ParseEntity(Entity(i).String()); err != nil || got != Entity(i) {
			t.Error(got, err)
		}
	}
	for i := range int(Release) + 1 {
		if got, err := ParseAction(Action(i).String()); err != nil || got != Action(i) {
			t.Error(got, err)
		}
	}
	for i := range int(KindReport) + 1 {
		for _, name := range []string{Kind(i).String(), Kind(i).String() + "s"} {
			if got, err := ParseKind(name); err != nil || got != Kind(i) {
				t.Error(got, err)
			}
		}
	}
	for i := range int(Silenced) + 1 {
		if got, err := ParseState(State(i).String()); err != nil || got != State(i) {
			t.Error(got, err)
		}
	}
	_, err := ParseSeverity("loud")
	if err == nil || !strings.Contains(err.Error(), `unknown severity "loud": it is one of none, debug, info, notice, warning`) {
		t.Error(err)
	}
	if _, err := ParseEntity(""); err == nil {
		t.Error("an empty entity was read")
	}
	if s := Entity(6).String() + Severity(99).String(); s != "699" {
		t.Error("names of what has none:", s)
	}
}

// TestID: ids sort in the order they were made, also when several goroutines make them, and are read back.
func TestID(t *testing.T) {
	const n = 5000 // more than one millisecond's sequence holds
	var wg sync.WaitGroup
	got := make([][]ID, 4)
	for g := range got {
		wg.Go(func() {
			for range n {
				got[g] = append(got[g], NewID())
			}
		})
	}
	wg.Wait()
	all := map[ID]bool{}
	for _, ids := range got {
		if !slices.IsSortedFunc(ids, func(a, b ID) int { return strings.Compare(a.String(), b.String()) }) {
			t.Error("ids do not sort by the time they were made")
		}
		for _, id := range ids {
			if all[id] {
				t.Fatal("an id was made twice")
			}
			all[id] = true
			if id[6]>>4 != 7 || id[8]>>6 != 2 {
				t.Fatalf("%s is no UUID of version 7", id)
			}
			if back, err := ParseID(id.String()); err != nil || back != id {
				t.Fatal(back, err)
			}
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44", "", "0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a4g", "0192f0c18a3e7c519d0e3f6f3b1c2a44"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseID(s)
		if err == nil && !strings.EqualFold(id.String(), s) {
			t.Errorf("%q was read as %s", s, id)
		}
		if err != nil && id != (ID{}) {
			t.Errorf("%q: an error and an id", s)
		}
	})
}
