package ecs

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/ecs"
)

func TestSchema(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		schema    Schema
		want      string
	}{
		{"fine", `{"@timestamp":"2026-03-14T09:26:53.1Z","event":{"category":["network"],"severity_label":"error"},"tocsin":{"x":[1]}}`, Schema{}, ""},
		{"unknown field", `{"event":{"severity_name":"x"}}`, Schema{}, "dynamic introduction of [event.severity_name]"},
		{"unknown field, any", `{"event":{"severity_name":"x"},"my":{"own":1}}`, Schema{Any: true}, ""},
		{"a word for a list", `{"event":{"category":"network"}}`, Schema{}, "[event.category] is a list: false"},
		{"a word for a list, any", `{"event":{"category":"security"}}`, Schema{Any: true}, ""},
		{"a list for a word", `{"rule":{"name":["x"]}}`, Schema{}, "[rule.name] is a list: true"},
		{"a category that there is not", `{"event":{"category":["security"]}}`, Schema{}, "may not be [security]"},
		{"no address", `{"source":{"ip":"x"}}`, Schema{}, "[source.ip] of type [ip]"},
		{"no address, any", `{"source":{"ip":"x"}}`, Schema{Any: true}, "[source.ip] of type [ip]"},
		{"no date", `{"@timestamp":1}`, Schema{}, "[@timestamp] of type [date]"},
		{"no whole number", `{"event":{"severity":1.5}}`, Schema{}, "[event.severity] of type [long]"},
		{"too long for a term", `{"rule":{"name":"` + strings.Repeat("x", 32767) + `"}}`, Schema{}, "[rule.name] of type [keyword]"},
		{"another mapping", `{"rule":{"name":"x"}}`, Schema{Mappings: map[string]string{"rule.name": "long"}}, "[rule.name] of type [long]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(c.doc), &doc); err != nil {
				t.Fatal(err)
			}
			err := c.schema.Check(doc)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestDocuments has the schema take what package pdk's writer makes of alerts of every entity, in every detail.
func TestDocuments(t *testing.T) {
	for _, entity := range []string{"flow", "host", "mac", "network", "interface", "user", "am_host", "snmp_device", "system", ""} {
		for _, action := range []string{"store", "engage", "release"} {
			for _, category := range []string{"security", "network", "system", "internals", "other"} {
				a := &pdk.Alert{
					ID: "1", Entity: entity, EntityValue: "x", AlertID: 3, Check: "x/y", Title: "Y", Category: category, Severity: "error", SeverityID: 5,
					Score: 7, Action: action, Tstamp: 1718000000, Advice: "x", Link: "https://tocsin.example.org/a", Test: true, EngagedAt: 1717999000,
					Key: "k", Interface: "eth0", IP: "192.0.2.1", Name: "n", MAC: "02:00:5e:10:00:42", Attacker: "192.0.2.1", Victim: "2001:db8::1",
					Value: 1.5, Threshold: 1, L4: "TCP", Client: "192.0.2.1", ClientPort: 1, Server: "2001:db8::1", ServerPort: 2, VLAN: 4, Protocol: "DNS.X",
					Hostname: "h", CommunityID: "c", First: 1718000000, Last: 1718000001, Packets: [2]uint64{1, 2}, Bytes: [2]uint64{3, 4}, Info: "i",
				}
				for detail := ecs.Essential; detail <= ecs.Whole; detail++ {
					b := ecs.Append(nil, a, "said", detail)
					var doc map[string]any
					if err := json.Unmarshal(b, &doc); err != nil {
						t.Fatal(err)
					}
					if err := (Schema{}).Check(doc); err != nil {
						t.Errorf("%v: %s", err, b)
					}
				}
			}
		}
	}
}
