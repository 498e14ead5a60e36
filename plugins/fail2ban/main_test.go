package main

import (
	"net/netip"
	"os"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }

// FuzzRender has any text for an attacker and for a network: what is banned is an address in its usual form, outside the network.
func FuzzRender(f *testing.F) {
	f.Add("192.0.2.7", "198.51.100.0/24", "engage", true)
	f.Add("::ffff:192.0.2.7", "192.0.2.0/24", "store", false)
	f.Add("-h", "::/0", "release", true)
	f.Add("fe80::1%eth0", "10.0.0.0/33", "", false)
	f.Fuzz(func(t *testing.T, attacker, never, action string, wish bool) {
		out, err := render(&pdk.RenderInput{
			Recipient:  pdk.Params{"fail2ban_jail": "j", "never_ban": []any{never}, "unban_on_release": wish, "ban_local": wish},
			Deliveries: []pdk.Delivery{{ID: "d", Alert: pdk.Alert{Attacker: attacker, Action: action, IP: attacker, Local: true}}},
		})
		spared, perr := network(never)
		if (err != nil) != (perr != nil) {
			t.Fatalf("%q: %v, %v", never, err, perr)
		}
		if err != nil {
			return
		}
		if len(out.Requests)+len(out.Rejected) != 1 {
			t.Fatalf("%+v", out)
		}
		for _, r := range out.Requests {
			a, err := netip.ParseAddr(r.Ban.Addresses[0])
			if err != nil || a.Zone() != "" || a.Is4In6() || a.String() != r.Ban.Addresses[0] || len(r.Ban.Addresses) != 1 ||
				r.Ban.Action == ban && (spared.Contains(a) || !wish) || r.Ban.Action == unban && !wish {
				t.Errorf("%q, %q: %+v", attacker, never, r.Ban)
			}
		}
	})
}

// FuzzClassify reads any end of fail2ban-client: each delivery has a verdict with a known outcome and, beyond a success, a reason.
func FuzzClassify(f *testing.F) {
	f.Add(0, "1", "", "", "ban", true)
	f.Add(255, "", "x", "no_jail", "ban", false)
	f.Add(64, "", "no address is left", "", "unban", false)
	f.Fuzz(func(t *testing.T, status int, body, stderr, problem, note string, ok bool) {
		out, err := classify(&pdk.ClassifyInput{
			Request: pdk.RequestInfo{Deliveries: []string{"a", "b"}, Kind: "ban", Note: note},
			Response: &pdk.Response{
				Status: status, Body: body, Stderr: stderr, Headers: map[string]string{"problem": problem, "reason": stderr},
				Parts: []pdk.Part{{Name: "192.0.2.7", OK: ok, Message: body}},
			},
		})
		if err != nil || len(out.Verdicts) == 0 {
			t.Fatal(out, err)
		}
		for _, v := range out.Verdicts {
			if !v.Outcome.Valid() || v.Reason == "" && v.Outcome != pdk.Delivered && v.Outcome != pdk.Duplicate && v.Outcome != pdk.Rejected {
				t.Errorf("%d %q: %+v", status, body, v)
			}
		}
	})
}
