package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// FuzzAnswer gives classify any answer: each delivery gets a verdict that the host knows, and none is given to a stranger.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"a","reason":"}},{\"create\":"}}}]}`, false, "")
	f.Add(200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"sta`, true, "")
	f.Add(200, `{"items":[{"create":{"status":1e99}},{"create":null}]}`, false, "")
	f.Add(200, `{"items":[{"create":{"status":201,"failure_store":7}},{"create":{"status":409,"error":"x"}},{}]}`, false, "")
	f.Add(403, `{"error":{"type":["x"],"reason":{}}}`, false, "")
	f.Add(200, `{"version":{}}`, false, noteInfo)
	f.Add(200, `{"has_all_requested":"true"}`, false, noteMay)
	f.Fuzz(func(t *testing.T, status int, body string, truncated bool, note string) {
		ids := []string{"1", "2"}
		out, err := classify(&pdk.ClassifyInput{
			Request:  pdk.RequestInfo{Deliveries: ids, Kind: "http", Note: note},
			Response: &pdk.Response{Status: status, Body: body, Truncated: truncated},
		})
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]bool{"1": true, "2": true}
		for _, v := range out.Verdicts {
			switch {
			case !v.Outcome.Valid() || v.Outcome == pdk.Skipped || v.RetryAfterMS < 0:
				t.Errorf("verdict %+v", v)
			case v.Delivery == "":
				clear(left)
			case !left[v.Delivery]:
				t.Errorf("a verdict for %q, which has one or is unknown", v.Delivery)
			}
			delete(left, v.Delivery)
		}
		if len(left) > 0 {
			t.Errorf("no verdict for %v", left)
		}
	})
}

// TestLong has every text of an alert 100 kB long: the document stays small, as a full batch must not be more than a call may return.
func TestLong(t *testing.T) {
	for _, unit := range []string{"x", "\"\\", "\x00\r\n", "\xff", "漢", "🚨", "\u202e]"} {
		s := strings.Repeat(unit, 100_000/len(unit))
		for _, compat := range []string{"ecs", "ntopng"} {
			out, err := render(&pdk.RenderInput{
				Endpoint: pdk.Params{"elasticsearch_url": "http://127.0.0.1", "compat": compat},
				Deliveries: []pdk.Delivery{{ID: "2", Alert: pdk.Alert{
					ID: "1", Entity: "flow", EntityValue: s, Check: s, Title: s, Category: s, Message: s, Advice: s, Link: s, Key: s, Interface: s,
					Protocol: s, Hostname: s, Info: s,
				}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if body := out.Requests[0].HTTP.Body; len(body) > 32<<10 || strings.Count(body, "\n") != 2 || !utf8.ValidString(body) {
				t.Errorf("%s, %q: %d bytes in %d lines", compat, unit, len(body), strings.Count(body, "\n"))
			}
		}
	}
}

// FuzzDocument renders alerts of any text: two lines for each, and each line is JSON.
func FuzzDocument(f *testing.F) {
	f.Add("flow", "title", "message\r\n{}", "TLS.Google", "192.0.2.1", "a.example", int64(1718000000), int64(1718000009))
	f.Add("host", "\x00\xff", "\u202e🚨", "", "", "", int64(-1), int64(1<<62))
	f.Add("mac", strings.Repeat("🚨", 300), "", ".", ":", "\"", int64(253402300800), int64(0))
	f.Fuzz(func(t *testing.T, entity, title, message, protocol, address, name string, tstamp, last int64) {
		a := pdk.Alert{
			ID: "1", Entity: entity, Title: title, Message: message, Protocol: protocol, Client: address, Attacker: address, IP: address, MAC: address,
			Hostname: name, Name: name, EntityValue: name, Info: message, Advice: message, Tstamp: tstamp, First: tstamp, Last: last, Interface: name,
		}
		for _, compat := range []string{"ecs", "ntopng"} {
			out, err := render(&pdk.RenderInput{
				Endpoint: pdk.Params{"elasticsearch_url": "http://127.0.0.1", "compat": compat}, Deliveries: []pdk.Delivery{{ID: "2", Alert: a}},
			})
			if err != nil {
				t.Fatal(err)
			}
			body := out.Requests[0].HTTP.Body
			if strings.Count(body, "\n") != 2 || !strings.HasSuffix(body, "\n") || !utf8.ValidString(body) || len(body) > 64<<10 {
				t.Errorf("%d bytes: %q", len(body), body)
			}
			for line := range strings.Lines(body) {
				var v map[string]any
				if err := json.Unmarshal([]byte(line), &v); err != nil || len(v) == 0 {
					t.Errorf("%v in %q", err, line)
				}
			}
		}
	})
}
