package main

import (
	"encoding/json"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// FuzzRender writes alerts of any content: each stands in one request, which is whole JSON within the budget.
func FuzzRender(f *testing.F) {
	f.Add("🟠 Error", "The certificate expired\n\nFrom\t192.0.2.7", "store", false)
	f.Add("", "", "release", true)
	f.Add("\"\\", "\x00\xff\u202e\n\t\n\t\t\n", "engage", false)
	f.Fuzz(func(t *testing.T, title, text, action string, plain bool) {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"teams_url": "https://t.example/x"}}
		for i := range 3 {
			in.Deliveries = append(in.Deliveries, pdk.Delivery{
				ID: string(rune('a' + i)), Subject: title, Text: text, Plain: plain,
				Alert: pdk.Alert{Title: title, Message: text, Action: action},
			})
		}
		out, err := render(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, r := range out.Requests {
			seen += len(r.Deliveries)
			if body := r.HTTP.Body; !json.Valid([]byte(body)) || len(body) > maxBody {
				t.Errorf("%d bytes: %q", len(body), body)
			}
		}
		if seen != 3 {
			t.Errorf("%d of 3 deliveries stand in requests", seen)
		}
	})
}

// FuzzClassify reads any answer.
func FuzzClassify(f *testing.F) {
	f.Add(200, "<html>", "")
	f.Add(400, `{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"x"}}`, "")
	f.Add(429, `{"error":[]}`, "9999999999999")
	f.Fuzz(func(t *testing.T, status int, body, retry string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{Response: &pdk.Response{Status: status, Body: body, Headers: map[string]string{"retry-after": retry}}})
		if err != nil || len(out.Verdicts) != 1 {
			t.Fatal(out, err)
		}
		v := out.Verdicts[0]
		if !v.Outcome.Valid() || v.RetryAfterMS < 0 || v.Outcome == pdk.Delivered {
			t.Errorf("%d %q: %+v", status, body, v)
		}
	})
}
