package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }

// FuzzRender writes events of any content and holds them against PagerDuty's limits.
func FuzzRender(f *testing.F) {
	f.Add("SYN scan", "192.0.2.66 sent SYNs", "host/syn_scan|192.0.2.66", "engage", "")
	f.Add("", "", "", "store", "")
	f.Add("\xff\u202e\x00", strings.Repeat("🚨", 3000), strings.Repeat("é", 300), "release", "key")
	f.Fuzz(func(t *testing.T, title, text, key, action, provider string) {
		out, err := render(&pdk.RenderInput{Deliveries: []pdk.Delivery{{
			ID: "d", Subject: title, Text: text, ProviderID: provider,
			Alert: pdk.Alert{Title: title, Message: text, Check: text, Hostname: title, Name: text, Interface: title, Key: key, Action: action, Severity: key, Link: text},
		}}})
		if err != nil || len(out.Requests)+len(out.Rejected) != 1 {
			t.Fatal(out, err)
		}
		for _, r := range out.Requests {
			var e struct {
				Action  string `json:"event_action"`
				Key     string `json:"dedup_key"`
				Payload struct{ Summary, Severity, Source string }
			}
			if err := json.Unmarshal([]byte(r.HTTP.Body), &e); err != nil {
				t.Fatalf("%v in %q", err, r.HTTP.Body)
			}
			p := e.Payload
			if n := utf8.RuneCountInString(p.Summary); n == 0 || n > maxSummary || len(r.HTTP.Body) > 512<<10 || p.Source == "" ||
				e.Key == "" || provider == "" && len(key) == len(strings.ToValidUTF8(key, "")) && len(e.Key) > maxDedup {
				t.Errorf("the event %q does not keep the limits", r.HTTP.Body)
			}
		}
	})
}

// FuzzClassify reads any answer: there is one verdict with a known outcome and, beyond a success, a reason.
func FuzzClassify(f *testing.F) {
	f.Add(202, `{"status":"success","message":"Event processed","dedup_key":"k"}`, "", "")
	f.Add(400, `{"status":"invalid event","message":"Event object is invalid","errors":["routing_key"]}`, "", "probe")
	f.Add(429, "[[[[", "-1", "")
	f.Add(503, "null", "Sun, 06 Nov 1994 08:49:37 GMT", "")
	f.Fuzz(func(t *testing.T, status int, body, after, note string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Request:  pdk.RequestInfo{Note: note},
			Response: &pdk.Response{Status: status, Body: body, Headers: map[string]string{"retry-after": after}},
		})
		if err != nil || len(out.Verdicts) != 1 {
			t.Fatal(out, err)
		}
		v := out.Verdicts[0]
		if !v.Outcome.Valid() || v.RetryAfterMS < 0 || v.Outcome != pdk.Delivered && v.Reason == "" || len(v.ProviderID) > maxDedup {
			t.Errorf("%d %q: %+v", status, body, v)
		}
	})
}
