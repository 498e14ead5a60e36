package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// hostileAlert has the same text wherever others than tocsin can put one.
func hostileAlert(s string) *pdk.Alert {
	return &pdk.Alert{
		ID: "0192f0c1-8a3e-7c51-9d0e-3f6f3b1c2a44", Entity: "flow", EntityValue: s, Check: "flow/" + s, Title: s, Category: "security",
		Severity: "error", Action: "engage", Time: "2024-06-10T06:13:20.000000Z", Message: s, Advice: s, Interface: s, Key: s, Link: s,
		Protocol: "TLS.Google", Hostname: s, CommunityID: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", L4: "TCP", Name: s,
		Client: "2001:db8:1234:5678:90ab:cdef:1234:5678", ClientPort: 50312, Server: "2001:db8:1234:5678:90ab:cdef:1234:5679",
		ServerPort: 65535, VLAN: 4095, Attacker: "2001:db8:1234:5678:90ab:cdef:1234:5678",
	}
}

// Whatever is in an alert, a document is whole, ASCII and within its room, and a text is within the fields' bounds.
func TestHostile(t *testing.T) {
	for _, unit := range []string{"x", "\"\\", "\x00\r\n", "\xff", "ä", "漢", "🚨", "\u202e]", "</script>"} {
		s := strings.Repeat(unit, 100_000/len(unit))
		for _, format := range []string{"text", "text_rfc5424", "json", "ecs", "checkmk"} {
			for _, room := range []int{roomUDP, roomLocal, roomStream} {
				m := message(&pdk.Delivery{ID: "d", Alert: *hostileAlert(s), Text: s}, format, room)
				at := fmt.Sprintf("%s, %q, %d", format, unit, room)
				for _, e := range m.Data {
					for _, p := range e.Params {
						if len(p.Value) > maxLong {
							t.Errorf("%s: %s has %d bytes", at, p.Name, len(p.Value))
						}
					}
				}
				if format != "json" && format != "ecs" {
					if n := strings.Count(m.Text[:min(len(m.Text), 5*maxField)], "]["); n != 5 {
						t.Errorf("%s: %d borders of fields, want 5: %.600q", at, n, m.Text)
					}
					continue
				}
				if len(m.Text) > room || strings.ContainsFunc(m.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%s: %d bytes, or not printable ASCII: %.200q", at, len(m.Text), m.Text)
				}
				var v map[string]any
				if err := json.Unmarshal([]byte(m.Text), &v); err != nil {
					t.Errorf("%s: %v: %.200q", at, err, m.Text)
				} else if text, _ := v["message"].(string); text == "" {
					t.Errorf("%s: there is no message", at)
				}
			}
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("The certificate expired", 200)
	f.Add("\U0001f6a8\u202e\"\\\xff", 0)
	f.Fuzz(func(t *testing.T, s string, room int) {
		for _, format := range []string{"json", "ecs"} {
			if m := message(&pdk.Delivery{Alert: *hostileAlert(s), Text: s}, format, room); !json.Valid([]byte(m.Text)) {
				t.Fatalf("%q is no JSON", m.Text)
			}
		}
	})
}

func BenchmarkRender(b *testing.B) {
	in := &pdk.RenderInput{Endpoint: pdk.Params{"syslog_host": "h", "syslog_alert_format": "json"}}
	for range 10 {
		in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: "d", Alert: *hostileAlert("192.0.2.7"), Text: "The certificate expired"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render(in); err != nil {
			b.Fatal(err)
		}
	}
}
