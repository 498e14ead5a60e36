package plugin

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/pdk"
)

// Sample is an alert made up for previews and tests.
type Sample struct {
	Name  string // what is special about it, such as "host, ends"
	Alert pdk.Alert
}

// madeUp holds the samples for checks, which change nothing in them.
var madeUp = sync.OnceValue(Samples)

// Samples returns alerts of every entity and action, among them one with hardly any field and one full of markup and
// far too long. They are the same each time. Addresses are of the ranges kept for documentation (RFC 5737, RFC 3849).
func Samples() []Sample {
	at := time.Date(2026, 3, 14, 9, 26, 53, 589793000, time.UTC)
	flow := alert.Flow{
		L4: "TCP", Client: netip.MustParseAddr("192.0.2.17"), ClientPort: 51324, Server: netip.MustParseAddr("198.51.100.7"),
		ServerPort: 443, Protocol: "TLS", Hostname: "www.example.org", CommunityID: "1:wCb3OG7yAFWelaUydu0D+125CLM=",
		First: at.Add(-4 * time.Second), Last: at, Packets: [2]uint64{14, 11}, Bytes: [2]uint64{2310, 48210}, ClientLoc: true,
		Info: "CN=www.example.org",
	}
	six := flow
	six.L4, six.Client, six.Server = "UDP", netip.MustParseAddr("2001:db8::17"), netip.MustParseAddr("2001:db8:1::53")
	six.ServerPort, six.Protocol, six.Hostname, six.Info, six.VLAN = 53, "DNS", "", "", 12
	six.Attacker, six.Victim = alert.Client, alert.Server
	icmp := alert.Flow{L4: "ICMP", Client: flow.Client, Server: flow.Server, First: at, Last: at, Packets: [2]uint64{1, 0}}
	host := alert.Host{
		IP: netip.MustParseAddr("192.0.2.66"), MAC: "02:00:5e:10:00:42", Name: "printer-3", Local: true, Attacker: true,
		Value: 512, Threshold: 256,
	}
	long := flow
	long.Hostname = hostile + strings.Repeat("ä", 300)
	long.Info = hostile + strings.Repeat("漢字", 2000)

	list := []struct {
		name string
		a    alert.Alert
	}{
		{"flow, certificate expired", alert.Alert{
			Entity: alert.EntityFlow, AlertID: 12, Check: "flow/tls_certificate_expired", Title: "TLS certificate expired",
			Category: alert.Security, Score: 100, Flow: &flow, Message: "The certificate of www.example.org expired 12 days ago",
			Advice: "Renew the certificate on the server, or find out who else answers under its name.",
		}},
		{"flow over IPv6, with attacker and victim", alert.Alert{
			Entity: alert.EntityFlow, AlertID: 41, Check: "flow/unexpected_dns", Title: "Unexpected DNS server", Category: alert.Security,
			Score: 50, Flow: &six, Message: "A DNS server that is not on the list answered 2001:db8::17",
		}},
		{"flow without ports", alert.Alert{
			Entity: alert.EntityFlow, AlertID: 1, Check: "flow/blacklisted", Title: "Blacklisted host", Category: alert.Security, Score: 250,
			Flow: &icmp, Message: "198.51.100.7 is on a blacklist",
		}},
		{"host, starts", alert.Alert{
			Entity: alert.EntityHost, AlertID: 22, Check: "host/scan_detection", Title: "Port scan", Category: alert.Security, Score: 200,
			Action: alert.Engage, Key: "host/scan_detection|192.0.2.66", Host: &host, Message: "192.0.2.66 tried 512 ports in a minute",
			Advice: "Find out what runs on the host; block it if nobody knows.",
		}},
		{"host, ends", alert.Alert{
			Entity: alert.EntityHost, AlertID: 22, Check: "host/scan_detection", Title: "Port scan", Category: alert.Security, Score: 200,
			Action: alert.Release, Key: "host/scan_detection|192.0.2.66", Engaged: at.Add(-7*time.Minute - 5*time.Second), Host: &host,
			Message: "192.0.2.66 tries few ports again",
		}},
		{"MAC address", alert.Alert{
			Entity: alert.EntityMAC, AlertID: 3, Check: "mac/new_device", Title: "New device", Category: alert.Network, Score: 10,
			MAC: "02:00:5e:10:00:42", Message: "02:00:5e:10:00:42 was not seen before",
		}},
		{"interface, starts", alert.Alert{
			Entity: alert.EntityInterface, AlertID: 5, Check: "interface/drops", Title: "Packet drops", Category: alert.Internals, Score: 50,
			Action: alert.Engage, Key: "interface/drops|eth0", Message: "4.1% of the packets were dropped",
		}},
		{"interface, ends", alert.Alert{
			Entity: alert.EntityInterface, AlertID: 5, Check: "interface/drops", Title: "Packet drops", Category: alert.Internals, Score: 50,
			Action: alert.Release, Key: "interface/drops|eth0", Engaged: at.Add(-26 * time.Hour), Message: "No packets are dropped any more",
		}},
		{"network", alert.Alert{Entity: alert.EntityNetwork, AlertID: 7, Check: "network/score", Title: "Network score", Category: alert.Network, Score: 100, Message: "The score of 192.0.2.0/24 is high"}},
		{"SNMP device", alert.Alert{Entity: alert.EntitySNMPDevice, AlertID: 8, Check: "snmp/port_errors", Title: "Port errors", Category: alert.SNMP, Score: 50, Message: "Port 7 counts errors"}},
		{"user", alert.Alert{Entity: alert.EntityUser, AlertID: 9, Check: "user/login_failed", Title: "Login failed", Category: alert.System, Score: 50, Message: "Three logins failed"}},
		{"monitored host", alert.Alert{Entity: alert.EntityAMHost, AlertID: 10, Check: "am/unreachable", Title: "Host unreachable", Category: alert.ActiveMonitoring, Score: 100, Message: "router.example.org does not answer"}},
		{"system", alert.Alert{Entity: alert.EntitySystem, AlertID: 11, Check: "system/disk", Title: "Disk nearly full", Category: alert.System, Score: 300, Message: "The disk is 97% full"}},
		{"hardly any field", alert.Alert{Entity: alert.EntitySystem}},
		{"hostile and far too long", alert.Alert{
			Entity: alert.EntityFlow, AlertID: 99, Check: "flow/" + hostile, Title: hostile, Category: alert.Other, Score: 100, Flow: &long,
			Message: hostile + strings.Repeat("&<>\"'`*_~[](){}#+-.!|\\ ", 1000), Advice: strings.Repeat(hostile, 100), Interface: hostile,
		}},
	}
	samples := make([]Sample, 0, len(list))
	for i := range list {
		a := &list[i].a
		a.ID = alert.ID{0x01, 0x95, 0x93, 0x1f, 0x4a, 0x25, 0x70, 0, 0x80, 15: byte(i)}
		a.Time, a.Severity = at, alert.SeverityOf(a.Score)
		if a.Interface == "" && a.Title != "" {
			a.Interface = "eth0"
		}
		s := Sample{Name: list[i].name}
		b, err := json.Marshal(a)
		if err == nil {
			err = json.Unmarshal(b, &s.Alert)
		}
		if err != nil {
			panic(fmt.Sprintf("sample %q: %v", s.Name, err)) // only if the alert model no longer fits package pdk
		}
		s.Alert.Raw = b
		samples = append(samples, s)
	}
	return samples
}

// hostile is what somebody who wants to break a message would call a host.
const hostile = "<b>&lt;i>\x1b[31m\r\n</code>```**_[x](http://x.example)_** \u202egnp.exe <!channel> @everyone {{.secret}} \"}],\"a\":1 \xff"
