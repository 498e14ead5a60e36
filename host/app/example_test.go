package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/app"
)

const testdata = "../../capture/testdata"

// expected is what tshark and the recording's own story say is in the captures; see capture/testdata/README.md.
type expected struct {
	LocalNetworks []string `json:"local_networks"`
	DNSServers    []string `json:"dns_servers"`
	Demo          struct {
		Flows []struct {
			L4, Client, Server string
			ClientPort         int `json:"client_port"`
			ServerPort         int `json:"server_port"`
			Protocol           string
			Packets            [2]int
			Hostname           string
			Issuer             string
		}
		Alerts []struct {
			Check, Client, Server, IP string
			ClientPort                int `json:"client_port"`
			ServerPort                int `json:"server_port"`
		}
	} `json:"demo.pcap"`
}

func load(t *testing.T) expected {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var e expected
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestExampleAlerts wants exactly the alerts that the recording's story promises from the eight checks named in it.
func TestExampleAlerts(t *testing.T) {
	e := load(t)
	conf := filepath.Join(t.TempDir(), "tocsin.toml")
	quoted := func(ss []string) string { b, _ := json.Marshal(ss); return string(b) }
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[capture]\nlocal_networks = %s\n[checks.parameters.\"flow/unexpected_dns\"]\nitems = %s\n",
		quoted(e.LocalNetworks), quoted(e.DNSServers)), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []string
	checks := map[string]bool{}
	for _, a := range e.Demo.Alerts {
		checks[a.Check] = true
		if a.IP != "" {
			want = append(want, a.Check+" engage "+a.IP, a.Check+" release "+a.IP)
			continue
		}
		want = append(want, fmt.Sprintf("%s store %s:%d %s:%d", a.Check, a.Client, a.ClientPort, a.Server, a.ServerPort))
	}
	var keys []string
	for k := range checks {
		keys = append(keys, k)
	}
	var out, stderr bytes.Buffer
	err := app.Alerts(t.Context(), app.Reading{
		Streams: app.Streams{Out: &out, Err: &stderr}, File: filepath.Join(testdata, "demo.pcap"), Format: "jsonl",
	}, app.Selection{Checks: strings.Join(keys, ","), Config: conf})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(out.Bytes()) {
		var a struct {
			Check, Action, Client, Server, IP string
			ClientPort                        int `json:"client_port"`
			ServerPort                        int `json:"server_port"`
		}
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatal(err)
		}
		if a.IP != "" {
			got = append(got, a.Check+" "+a.Action+" "+a.IP)
			continue
		}
		got = append(got, fmt.Sprintf("%s %s %s:%d %s:%d", a.Check, a.Action, a.Client, a.ClientPort, a.Server, a.ServerPort))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("alerts\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestExampleFlows wants every conversation that tshark sees, under the protocol and name it has.
func TestExampleFlows(t *testing.T) {
	e := load(t)
	var out, stderr bytes.Buffer
	err := app.Flows(t.Context(), app.Reading{
		Streams: app.Streams{Out: &out, Err: &stderr}, File: filepath.Join(testdata, "demo.pcap"), Format: "jsonl",
	})
	if err != nil {
		t.Fatal(err)
	}
	type flow struct {
		protocol, hostname, issuer string
		packets                    int
	}
	got := map[string]*flow{}
	ends := func(l4, c string, cp int, s string, sp int) string {
		a, b := fmt.Sprintf("%s %d", c, cp), fmt.Sprintf("%s %d", s, sp)
		if a > b {
			a, b = b, a
		}
		return l4 + " " + a + " " + b
	}
	for line := range bytes.Lines(out.Bytes()) {
		var f struct {
			L4, Client, Server string
			ClientPort         int `json:"client_port"`
			ServerPort         int `json:"server_port"`
			Protocol, Hostname string
			Packets            [2]int
			TLS                struct{ Issuer string }
		}
		if err := json.Unmarshal(line, &f); err != nil {
			t.Fatal(err)
		}
		k := ends(f.L4, f.Client, f.ClientPort, f.Server, f.ServerPort)
		g := got[k]
		if g == nil {
			g = &flow{}
			got[k] = g
		}
		g.packets += f.Packets[0] + f.Packets[1]
		if f.Protocol != "Unknown" {
			g.protocol = f.Protocol
		}
		if f.Hostname != "" {
			g.hostname = f.Hostname
		}
		if f.TLS.Issuer != "" {
			g.issuer = f.TLS.Issuer
		}
	}
	for _, w := range e.Demo.Flows {
		k := ends(w.L4, w.Client, w.ClientPort, w.Server, w.ServerPort)
		g := got[k]
		switch {
		case g == nil:
			t.Errorf("no flow %s", k)
			continue
		case g.packets != w.Packets[0]+w.Packets[1]:
			t.Errorf("%s has %d packets, want %d", k, g.packets, w.Packets[0]+w.Packets[1])
		case w.Protocol != "" && g.protocol != w.Protocol && !strings.HasPrefix(g.protocol, w.Protocol+"."):
			t.Errorf("%s is %q, want %q", k, g.protocol, w.Protocol)
		case w.Hostname != "" && g.hostname != w.Hostname:
			t.Errorf("%s has host name %q, want %q", k, g.hostname, w.Hostname)
		case w.Issuer != "" && !strings.Contains(g.issuer, w.Issuer):
			t.Errorf("%s has issuer %q, want %q in it", k, g.issuer, w.Issuer)
		}
	}
}
