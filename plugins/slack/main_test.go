package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }

// FuzzRender writes alerts of any content and holds what comes out against Slack's limits.
func FuzzRender(f *testing.F) {
	f.Add("🟠 Error — x", "a\n\nb", "flow/tls", "store", "", 1, false, true)
	f.Add("", "", "", "release", "C1/1.2", 3, false, true)
	f.Add("*_[`", "\x00\xff\u202e", "\r\n", "engage", "C1/1.2", 1, true, false)
	f.Add(strings.Repeat("x", 300), strings.Repeat("&lt;", 3000), "c", "store", "/", 5, false, false)
	f.Fuzz(func(t *testing.T, subject, text, check, action, known string, attempt int, plain, token bool) {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"slack_webhook": "https://s.example/x"}}
		if token {
			in.Endpoint, in.Recipient = pdk.Params{"slack_token": "xoxb"}, pdk.Params{"channel": "C1"}
		}
		for i := range 3 {
			in.Deliveries = append(in.Deliveries, pdk.Delivery{
				ID: string(rune('a' + i)), Subject: subject, Text: text, Plain: plain, Attempt: attempt, ProviderID: known,
				Alert: pdk.Alert{Title: subject, Message: text, Check: check, Action: action},
			})
		}
		out, err := render(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := ""
		for _, r := range out.Requests {
			seen += strings.Join(r.Deliveries, "")
			type content struct{ Type, Text string }
			var m struct {
				Text   string
				Blocks []struct {
					Type string
					Text content
				}
			}
			if err := json.Unmarshal([]byte(r.HTTP.Body), &m); err != nil {
				t.Fatalf("%v in %q", err, r.HTTP.Body)
			}
			if len(m.Blocks) > maxBlocks || plain && pdk.UTF16Len(m.Text) > 10*maxSection {
				t.Errorf("%d blocks, %d characters of plain text", len(m.Blocks), len(m.Text))
			}
			for _, b := range m.Blocks {
				if n := pdk.UTF16Len(b.Text.Text); b.Type == "header" && n > maxHeader || n > maxSection {
					t.Errorf("a %s has %d characters", b.Type, n)
				}
			}
		}
		if seen != "abc" {
			t.Errorf("the deliveries stand in requests as %q", seen)
		}
	})
}

// FuzzClassify has a service answer anything: there is one verdict with a known outcome, no wait is
// negative, and what is kept of a message is short.
func FuzzClassify(f *testing.F) {
	f.Add(200, "post", `{"ok":true,"id":"x","channel":"C1","ts":"1.2"}`, "3")
	f.Add(200, "channel", `{"ok":false,"error":"missing_scope","needed":"chat:write","response_metadata":{"messages":["x"]}}`, "")
	f.Add(403, "channel", `{"id":"api.context.permissions.app_error","message":"no","delete_at":1}`, "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add(429, "webhook", "[[[[", "-1")
	f.Add(404, "", "null", "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, note, body, after string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Now: 784111700000, Request: pdk.RequestInfo{Deliveries: []string{"d"}, Kind: "http", Note: note},
			Response: &pdk.Response{Status: status, Body: body, Headers: map[string]string{"retry-after": after, "x-ratelimit-reset": after}},
		})
		if err != nil || len(out.Verdicts) != 1 || !out.Verdicts[0].Outcome.Valid() || out.Verdicts[0].RetryAfterMS < 0 || len(out.Verdicts[0].ProviderID) > 512 {
			t.Fatalf("%v, %+v", err, out)
		}
		if v := out.Verdicts[0]; v.Outcome != pdk.Delivered && v.Reason == "" {
			t.Fatalf("no reason: %+v", v)
		}
	})
}
