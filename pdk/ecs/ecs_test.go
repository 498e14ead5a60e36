package ecs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

func certificate() *pdk.Alert {
	return &pdk.Alert{
		ID: "0195931f-4a25-7000-8000-000000000000", Entity: "flow", EntityValue: "192.0.2.17:51324 -> 198.51.100.7:443", AlertID: 12,
		Check: "flow/tls_certificate_expired", Title: "TLS certificate expired", Category: "security", Severity: "error", SeverityID: 5, Score: 100,
		Action: "store", Tstamp: 1773480413, Time: "2026-03-14T09:26:53.589793Z", Message: "The certificate of www.example.org expired 12 days ago",
		Advice: "Renew the certificate on the server, or find out who else answers under its name.", Link: "https://tocsin.example.org/a/1?b=ü",
		Interface: "eth0", L4: "TCP", Client: "192.0.2.17", ClientPort: 51324, Server: "198.51.100.7", ServerPort: 443, ClientLocal: true,
		Protocol: "TLS.Google", Hostname: "www.example.org", CommunityID: "1:wCb3OG7yAFWelaUydu0D+125CLM=", First: 1773480409, Last: 1773480413,
		Packets: [2]uint64{14, 11}, Bytes: [2]uint64{2310, 48210}, Info: "CN=www.example.org", VLAN: 12,
	}
}

func scanner(action string) *pdk.Alert {
	return &pdk.Alert{
		ID: "0195931f-4a25-7000-8000-000000000003", Entity: "host", EntityValue: "192.0.2.66", AlertID: 22, Check: "host/scan_detection",
		Title: "Port scan", Category: "security", Severity: "critical", SeverityID: 6, Score: 200, Action: action, Tstamp: 1773480413, EngagedAt: 1773479988,
		Message: "192.0.2.66 tried 512 ports in a minute", Key: "host/scan_detection|192.0.2.66", Interface: "eth0", IP: "192.0.2.66", Name: "printer-3",
		MAC: "02:00:5e:10:00:42", Attacker: "192.0.2.66", Victim: "198.51.100.7", Value: 512, Threshold: 256,
	}
}

// flat gives a document's values by the paths of their fields.
func flat(t *testing.T, doc []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	out := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			out[path] = v
		}
		for k, e := range m {
			walk(strings.TrimPrefix(path+"."+k, "."), e)
		}
	}
	walk("", v)
	return out
}

func TestFields(t *testing.T) {
	test := certificate()
	test.Test, test.Link = true, "https://"+strings.Repeat("x", maxText)
	dns := certificate()
	dns.Protocol = "DNS"
	unknown := certificate()
	unknown.Protocol, unknown.Client = "Unknown", "2001:db8::17"
	for _, c := range []struct {
		name   string
		alert  *pdk.Alert
		detail Detail
		want   map[string]string // by path; "" is for a field that is not there
	}{
		{"a flow", certificate(), Whole, map[string]string{
			"@timestamp": "2026-03-14T09:26:53.589793Z", "message": "said", "tags": "", "ecs.version": Version, "event.category": "[intrusion_detection network]",
			"event.type": "[info]", "event.url": "https://tocsin.example.org/a/1?b=ü", "event.duration": "4e+09", "event.severity_label": "error",
			"event.code": "12", "event.start": "2026-03-14T09:26:49Z", "organization.name": "tocsin", "rule.id": "flow/tls_certificate_expired",
			"source.ip": "192.0.2.17", "source.bytes": "2310", "destination.domain": "www.example.org", "network.protocol": "tls",
			"network.application": "google", "network.direction": "outbound", "network.type": "ipv4", "network.vlan.id": "12",
			"tls.client.server_name": "www.example.org", "related.ip": "[192.0.2.17 198.51.100.7]", "log.level": "error",
			"tocsin.info": "CN=www.example.org", "observer.ingress.interface.name": "eth0", "host.ip": "",
		}},
		{"less of it", certificate(), Usual, map[string]string{
			"event.url": "https://tocsin.example.org/a/1?b=ü", "related.hosts": "[www.example.org]", "tocsin.advice": certificate().Advice,
			"source.bytes": "", "network.bytes": "", "destination.domain": "",
		}},
		{"as little as can be", certificate(), Essential, map[string]string{
			"event.url": "", "source.ip": "192.0.2.17", "destination.port": "443", "network.community_id": "1:wCb3OG7yAFWelaUydu0D+125CLM=",
			"event.severity_label": "error", "organization.name": "tocsin", "rule.name": "TLS certificate expired", "tocsin.key": "", "related.ip": "",
		}},
		{"a link too long, and a test", test, Essential, map[string]string{"tags": "[test]", "event.url": ""}},
		{"a query", dns, Whole, map[string]string{"dns.question.name": "www.example.org", "destination.domain": "", "tls.client.server_name": ""}},
		{"a protocol nobody knows", unknown, Whole, map[string]string{"network.protocol": "", "network.type": "ipv6"}},
		{"a host, the beginning", scanner("engage"), Whole, map[string]string{
			"event.type": "[info start]", "host.ip": "[192.0.2.66]", "host.mac": "[02-00-5E-10-00-42]", "source.ip": "192.0.2.66", "destination.ip": "198.51.100.7",
			"related.ip": "[192.0.2.66 198.51.100.7]", "tocsin.value": "512", "event.start": "", "@timestamp": "2026-03-14T09:26:53Z",
		}},
		{"its end", scanner("release"), Whole, map[string]string{
			"event.type": "[info end]", "event.start": "2026-03-14T09:19:48Z", "event.end": "2026-03-14T09:26:53Z", "event.duration": "4.25e+11",
			"tocsin.key": "host/scan_detection|192.0.2.66",
		}},
		{"a MAC address", &pdk.Alert{Entity: "mac", MAC: "02:00:5e:10:00:42"}, Whole, map[string]string{"host.mac": "[02-00-5E-10-00-42]", "event.category": "[network]"}},
		{"a user", &pdk.Alert{Entity: "user", Name: "anna"}, Essential, map[string]string{"user.name": "anna"}},
		{"a monitored host", &pdk.Alert{Entity: "am_host", Name: "www"}, Essential, map[string]string{"related.hosts": "[www]"}},
		{"the system", &pdk.Alert{Entity: "system"}, Whole, map[string]string{"event.category": "[host]", "@timestamp": "1970-01-01T00:00:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := Append([]byte("x"), c.alert, "said", c.detail)
			got := flat(t, b[1:])
			for path, want := range c.want {
				v, there := got[path]
				if there != (want != "") || there && fmt.Sprint(v) != want {
					t.Errorf("%s is %v, want %q", path, v, want)
				}
			}
		})
	}
}

// TestAlways wants the keys that programs of ntopng's users parse, whatever the alert and the room.
func TestAlways(t *testing.T) {
	always := []string{
		"@timestamp", "message", "ecs.version", "event.category", "event.created", "event.dataset", "event.kind", "event.module", "event.risk_score",
		"event.severity", "event.severity_label", "organization.name", "rule.name",
	}
	flow := []string{
		"source.ip", "source.port", "destination.ip", "destination.port", "network.community_id", "network.protocol", "network.transport", "network.vlan.id",
	}
	for _, a := range []*pdk.Alert{certificate(), scanner("engage")} {
		want := always
		if a.Entity == "flow" {
			want = append(slices.Clone(always), flow...)
		}
		for _, doc := range [][]byte{
			Append(nil, a, "said", Essential), Append(nil, a, "said", Usual), Append(nil, a, "said", Whole), AppendNtopng(nil, a, "said"),
		} {
			got := flat(t, doc)
			for _, path := range want {
				if got[path] == nil {
					t.Errorf("%s has no %s", doc, path)
				}
			}
		}
	}
}

// TestNtopng has the keys of ntopng's documents and no others.
func TestNtopng(t *testing.T) {
	want := `{"@timestamp":"2026-03-14T09:26:53.589793Z","message":"said","ecs":{"version":"1.6.0"},"event":{"category":"security",` +
		`"created":"2026-03-14T09:26:53.589793Z","dataset":"flow","kind":"alert","module":"ntopng","risk_score":100,"severity":5,"severity_label":"error"},` +
		`"organization":{"name":"ntop"},"rule":{"name":"TLS certificate expired"},"source":{"ip":"192.0.2.17","port":51324},` +
		`"destination":{"ip":"198.51.100.7","port":443},"network":{"community_id":"1:wCb3OG7yAFWelaUydu0D+125CLM=","protocol":"tls.google",` +
		`"transport":"tcp","vlan":{"id":"12"}}}`
	if got := string(AppendNtopng(nil, certificate(), "said")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// hostile has the same text wherever others than tocsin can put one.
func hostile(entity, s string) *pdk.Alert {
	a := certificate()
	a.Entity, a.EntityValue, a.Check, a.Title, a.Message, a.Advice, a.Interface, a.Key, a.Link = entity, s, "flow/"+s, s, s, s, s, s, s
	a.Protocol, a.Hostname, a.Name, a.Info, a.MAC, a.VLAN = s+"."+s, s, s, s, s, 4095
	a.Client, a.Server = "2001:db8:1234:5678:90ab:cdef:1234:5678", "2001:db8:1234:5678:90ab:cdef:1234:5679" // the host's own, as the rest
	a.IP, a.Attacker, a.Victim = a.Client, a.Client, a.Server
	return a
}

// TestFit wants documents whole, ASCII and within their room, whatever is in an alert.
func TestFit(t *testing.T) {
	for _, unit := range []string{"x", "\"\\", "\x00\r\n", "\xff", "ä", "漢", "🚨", "\u202e]", "</script>"} {
		s := strings.Repeat(unit, 12_000/len(unit))
		for _, entity := range []string{"flow", "host", "mac", "user", "system"} {
			a := hostile(entity, s)
			for _, room := range []int{1600, 7700, 11_000} {
				text := Fit(s, room, func(message string, d Detail) []byte { return Append(nil, a, message, d) })
				if len(text) > room || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%q, %s, %d: %d bytes, or not printable ASCII: %.200q", unit, entity, room, len(text), text)
				}
				if m, _ := flat(t, []byte(text))["message"].(string); m == "" {
					t.Errorf("%q, %s, %d: there is no message", unit, entity, room)
				}
			}
		}
	}
	// What is common loses nothing but what is there twice.
	text := Fit("said", 1600, func(message string, d Detail) []byte { return Append(nil, certificate(), message, d) })
	if got := flat(t, []byte(text)); got["tocsin.advice"] != certificate().Advice || got["event.url"] != certificate().Link || got["message"] != "said" {
		t.Errorf("in a datagram, %d bytes: %s", len(text), text)
	}
	if text := Fit("said", 0, func(message string, d Detail) []byte { return Append(nil, certificate(), message, d) }); flat(t, []byte(text))["message"] != "" {
		t.Errorf("without any room: %s", text)
	}
}

// TestDetail takes any number for a detail.
func TestDetail(t *testing.T) {
	for d, like := range map[Detail]Detail{-1: Essential, 7: Whole} {
		if got, want := string(Append(nil, certificate(), "said", d)), string(Append(nil, certificate(), "said", like)); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{`"a~"`: `"a~"`, "\"ü\x7f🚨\"": `"\u00fc\u007f\ud83d\udea8"`} {
		if got := string(ascii([]byte(in))); got != want {
			t.Errorf("%q becomes %s, want %s", in, got, want)
		}
	}
}

// TestTime compares the calendar with package time's, which modules do without.
func TestTime(t *testing.T) {
	check := func(sec int64) {
		if got, want := Time(sec), time.Unix(sec, 0).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%d: %s, want %s", sec, got, want)
		}
	}
	for sec := int64(-62_167_219_200); sec < 253_402_300_799; sec += 86399*977 + 7 {
		check(sec)
	}
	for _, sec := range []int64{951782400, 951868800, 1709164800, 4107542400, -1, -62_167_219_200, 253_402_300_799} {
		check(sec)
	}
	for sec, want := range map[int64]string{1 << 62: "9999-12-31T23:59:59Z", -1 << 62: "0000-01-01T00:00:00Z"} {
		if got := Time(sec); got != want {
			t.Errorf("%d: %s, want %s", sec, got, want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("flow", "The certificate expired", int64(1718000000), 1600)
	f.Add("host", "\U0001f6a8\u202e\"\\\xff", int64(-1), 0)
	f.Add("mac", strings.Repeat("ä", 300), int64(1<<62), -7)
	f.Fuzz(func(t *testing.T, entity, s string, sec int64, room int) {
		a := hostile(entity, s)
		a.Time, a.Tstamp, a.First, a.Last = "", sec, sec/2, sec
		for _, write := range []func(message string, d Detail) []byte{
			func(message string, d Detail) []byte { return Append(nil, a, message, d) },
			func(message string, _ Detail) []byte { return AppendNtopng(nil, a, message) },
		} {
			if b := write(s, Whole); !json.Valid(b) || !utf8.Valid(b) || strings.ContainsAny(string(b), "\r\n") {
				t.Fatalf("%q is no JSON on one line", b)
			}
			if text := Fit(s, room, write); !json.Valid([]byte(text)) {
				t.Fatalf("%q is no JSON", text)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	a, buf := certificate(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], a, a.Message, Whole)
	}
}

func BenchmarkFit(b *testing.B) {
	a := certificate()
	b.ReportAllocs()
	for b.Loop() {
		Fit(a.Message, 1600, func(message string, d Detail) []byte { return Append(nil, a, message, d) })
	}
}
