package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/source"
	"github.com/tocsin-net/tocsin/host/alert"
)

// e2eCase is one of ntopng's end-to-end tests: a capture, what is enabled, and the alerts that ntopng raises.
type e2eCase struct {
	Test   string `json:"test"`
	File   string `json:"pcap"`
	Local  string `json:"local_networks"`
	Checks any    `json:"checks_enabled"` // "all", or a list of keys
	Want   []struct {
		ID         any    `json:"alert_id"`
		IP         string `json:"ip"`
		Client     string `json:"client"`
		ClientPort string `json:"client_port"`
		Server     string `json:"server"`
		ServerPort string `json:"server_port"`
	} `json:"expected_alerts"`
}

func (c *e2eCase) selection() string {
	l, ok := c.Checks.([]any)
	if !ok {
		return fmt.Sprint(c.Checks)
	}
	var keys []string
	for _, k := range l {
		keys = append(keys, fmt.Sprint(k))
	}
	return cmp.Or(strings.Join(keys, ","), "none")
}

// TestAgainstNtopngsAlerts runs captures through the whole of capture and check, and compares the alerts with ntopng's by
// id and addresses. ntopng reports one alert for each flow, the weightiest, and we report all; and protocols are
// recognised elsewhere. So a difference is logged, not a failure, but for the cases in must.
func TestAgainstNtopngsAlerts(t *testing.T) {
	dir := filepath.Join(testdata(t), "ntopng-e2e")
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Skip("ntopng's captures are not here:", err)
	}
	must := map[string]bool{
		"alert_host_synscan": true, "alert_host_synflood": true, "alert_flow_risk_unexpected_ntp": true, "alert_tls_certificate_selfsigned": true,
		"alert_tls_certificate_expired": true, "alert_network_arp_spoofing": true,
	}
	var cases []e2eCase
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	held, found, wanted, unexpected := 0, 0, 0, 0
	for _, c := range cases {
		want, ids := map[string]int{}, map[string]bool{}
		for _, w := range c.Want {
			id := fmt.Sprint(w.ID)
			ids[id] = true
			want[strings.Join([]string{id, w.IP, w.Client, w.ClientPort, w.Server, w.ServerPort}, " ")]++
			wanted++
		}
		if len(ids) == 0 && c.selection() == "all" {
			continue // it asserts something that alerts do not show
		}
		got := map[string]int{}
		for _, a := range runE2E(t, filepath.Join(dir, "pcap", c.File), &c) {
			id := fmt.Sprint(a.AlertID)
			if a.Action == alert.Release || len(ids) > 0 && !ids[id] {
				continue
			}
			k := []string{id, "", "", "", "", ""}
			if a.Host != nil {
				k[1] = a.Host.IP.String()
			}
			if f := a.Flow; f != nil {
				k = []string{id, "", f.Client.String(), fmt.Sprint(f.ClientPort), f.Server.String(), fmt.Sprint(f.ServerPort)}
			}
			got[strings.Join(k, " ")]++
		}
		hit, extra := 0, 0
		for k, n := range got {
			hit += min(n, want[k])
			extra += max(0, n-want[k])
		}
		n := 0
		for _, w := range want {
			n += w
		}
		holds := hit == n && extra == 0
		if holds {
			held++
		}
		found, unexpected = found+hit, unexpected+extra
		logf := t.Logf
		if must[c.Test] && !holds {
			logf = t.Errorf
		}
		logf("%s: holds %t, expected %d, found %d, unexpected %d", c.Test, holds, n, hit, extra)
		if testing.Verbose() && !holds {
			for k, n := range want {
				if got[k] < n {
					t.Logf("   missing    %s", k)
				}
			}
			for k, n := range got {
				if n > want[k] {
					t.Logf("   unexpected %s", k)
				}
			}
		}
	}
	t.Logf("cases %d held, alerts found %d of %d, unexpected %d", held, found, wanted, unexpected)
}

func runE2E(t *testing.T, file string, c *e2eCase) (got []*alert.Alert) {
	t.Helper()
	cfg, err := ParseSelection(c.selection())
	if err != nil {
		t.Error(c.Test, err)
		return nil
	}
	if c.Local != "" {
		cfg.Local = []netip.Prefix{netip.MustParsePrefix(c.Local)}
	}
	e, err := New(cfg, func(a *alert.Alert) { got = append(got, a) })
	if err != nil {
		t.Fatal(err)
	}
	r, err := source.Open(file)
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	if _, err := capture.Run(t.Context(), r, e, capture.Options{Local: cfg.Local, OnARP: e.ARP}); err != nil {
		t.Error(c.Test, err)
	}
	return got
}
