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

// FuzzRender writes messages of any content and holds them against WeCom's limits.
func FuzzRender(f *testing.F) {
	f.Add("🔴 **SYN scan**\n`192.0.2.66`", "✅ **SYN scan**", "engage", false, true)
	f.Add(strings.Repeat("é", 2500), strings.Repeat("x\n", 1500), "store", false, false)
	f.Add("<@all>", "\xff<font", "release", true, true)
	f.Fuzz(func(t *testing.T, a, b, action string, plain, mention bool) {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"wechat_url": "u"}, Recipient: pdk.Params{}}
		if mention {
			in.Recipient["mentioned_list"] = []any{"@all"}
		}
		for i, words := range []string{a, b, a} {
			in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: string(rune('a' + i)), Text: words, Plain: plain, Alert: pdk.Alert{Title: a, Message: b, Action: action}})
		}
		out, err := render(in)
		if err != nil {
			t.Fatal(err)
		}
		seen := ""
		for _, r := range out.Requests {
			seen += strings.Join(r.Deliveries, "")
			var m struct {
				Type           string `json:"msgtype"`
				Text, Markdown *struct{ Content string }
			}
			if err := json.Unmarshal([]byte(r.HTTP.Body), &m); err != nil {
				t.Fatalf("%v in %q", err, r.HTTP.Body)
			}
			// A byte that is no UTF-8 becomes three when it is written, and the host hands over none.
			valid := strings.ToValidUTF8(a+b, "") == a+b
			switch {
			case m.Type == "text" && m.Text != nil && m.Markdown == nil && (!valid || len(m.Text.Content) <= text.limit):
				if plain && strings.Contains(m.Text.Content, "<@") {
					t.Errorf("%q mentions by itself", m.Text.Content)
				}
			case m.Type == "markdown" && m.Markdown != nil && m.Text == nil && !plain && (!valid || len(m.Markdown.Content) <= markdown.limit):
			default:
				t.Errorf("the message %q does not keep the limits", r.HTTP.Body)
			}
		}
		if seen != "abc" {
			t.Errorf("the deliveries stand in requests as %q", seen)
		}
	})
}

// FuzzClassify reads any answer: there is one verdict with a known outcome and, beyond a success, a reason.
func FuzzClassify(f *testing.F) {
	f.Add(200, `{"errcode":0,"errmsg":"ok"}`, "", "")
	f.Add(200, `{"errcode":93000,"errmsg":"invalid webhook url, hint: [1]"}`, "", "probe")
	f.Add(200, `{"errcode":1e300}`, "", "")
	f.Add(429, "[[[[", "-1", "")
	f.Fuzz(func(t *testing.T, status int, body, after, note string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Request: pdk.RequestInfo{Note: note}, Response: &pdk.Response{Status: status, Body: body, Headers: map[string]string{"retry-after": after}},
		})
		if err != nil || len(out.Verdicts) != 1 {
			t.Fatalf("%v, %+v", err, out)
		}
		v := out.Verdicts[0]
		if !v.Outcome.Valid() || v.RetryAfterMS < 0 || v.Outcome != pdk.Delivered && v.Reason == "" {
			t.Errorf("%d %q: %+v", status, body, v)
		}
	})
}
