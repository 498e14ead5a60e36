package main

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// FuzzRender writes alerts of any content and holds what comes out against Discord's limits.
func FuzzRender(f *testing.F) {
	f.Add("🟠 Error", "The certificate expired", "flow/tls", "store", false)
	f.Add("", "", "", "release", true)
	f.Add("*_[`", "\x00\xff\u202e", "\r\n", "engage", false)
	f.Fuzz(func(t *testing.T, title, text, check, action string, plain bool) {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"discord_url": "https://d.example/api/webhooks/1/t"}}
		for i := range 3 {
			in.Deliveries = append(in.Deliveries, pdk.Delivery{
				ID: string(rune('a' + i)), Subject: title, Text: text, Plain: plain,
				Alert: pdk.Alert{Title: title, Message: text, Check: check, Action: action, CommunityID: check},
			})
		}
		out, err := render(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, r := range out.Requests {
			seen += len(r.Deliveries)
			var m struct {
				Content string
				Embeds  []struct {
					Title, Description string
					Footer             struct{ Text string }
				}
				Mentions struct{ Parse []string } `json:"allowed_mentions"`
			}
			if err := json.Unmarshal([]byte(r.HTTP.Body), &m); err != nil {
				t.Fatalf("%v in %q", err, r.HTTP.Body)
			}
			total := 0
			for _, e := range m.Embeds {
				n, d, foot := utf8.RuneCountInString(e.Title), utf8.RuneCountInString(e.Description), utf8.RuneCountInString(e.Footer.Text)
				if n == 0 || n > 256 || d > 4096 || foot > 2048 {
					t.Errorf("an embed has a title of %d, a text of %d and a footer of %d characters", n, d, foot)
				}
				total += n + d + foot
			}
			if total > 6000 || len(m.Embeds) > 10 || utf8.RuneCountInString(m.Content) > 2000 || m.Content == "" && len(m.Embeds) == 0 || m.Mentions.Parse == nil {
				t.Errorf("the message %q does not keep the limits", r.HTTP.Body)
			}
		}
		if seen != 3 {
			t.Errorf("%d of 3 deliveries stand in requests", seen)
		}
	})
}

// FuzzClassify reads any answer.
func FuzzClassify(f *testing.F) {
	f.Add(200, `{"id":"1300000000000000042"}`, "", "")
	f.Add(400, `{"code":50035,"errors":{"embeds":{"0":{"_errors":[{"message":"x"}]}}},"message":"Invalid Form Body"}`, "", "edit")
	f.Add(429, `{"retry_after":1e308}`, "3", "")
	f.Add(429, `{"retry_after":"NaN"}`, "-3", "")
	f.Fuzz(func(t *testing.T, status int, body, retry, note string) {
		headers := map[string]string{"retry-after": retry, "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": retry}
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Request: pdk.RequestInfo{Note: note}, Response: &pdk.Response{Status: status, Body: body, Headers: headers},
		})
		if err != nil || len(out.Verdicts) != 1 {
			t.Fatalf("%v, %+v", err, out)
		}
		v := out.Verdicts[0]
		if !v.Outcome.Valid() || v.RetryAfterMS < 0 || v.ProviderID != "" && !isID(v.ProviderID) || status == 429 && v.Outcome == pdk.Retry && v.RetryAfterMS == 0 && note == "" {
			t.Errorf("%d %q: %+v", status, body, v)
		}
	})
}
