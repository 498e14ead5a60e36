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

// FuzzRender writes messages of any content and holds them against Telegram's limit, which counts what is left of HTML.
func FuzzRender(f *testing.F) {
	f.Add("🔴 <b>SYN scan</b>\n&lt;x&gt;", "SYN scan", "-100123", "-100123/42", 1, false)
	f.Add(strings.Repeat("é🚨", 2500), "", "@ops", "", 2, true)
	f.Add("<b>"+strings.Repeat("&amp;", 5000), "\x00\xff\u202e", "", "7/8", 2, false)
	f.Fuzz(func(t *testing.T, text, title, chat, known string, attempt int, plain bool) {
		if c, m, ok := strings.Cut(known, "/"); !ok || strings.Trim(c+m, "0123456789") != "" || m == "" || m[0] == '0' {
			known = "" // verdict writes two numbers
		}
		d := pdk.Delivery{ID: "a", Text: text, Plain: plain, Attempt: attempt, ProviderID: known, Alert: pdk.Alert{Title: title, Message: text}}
		out, err := render(&pdk.RenderInput{Recipient: pdk.Params{"telegram_channel": chat}, Deliveries: []pdk.Delivery{d}})
		if err != nil || len(out.Requests) != 1 {
			t.Fatalf("%v, %+v", err, out)
		}
		var m struct {
			Text string
			Mode string `json:"parse_mode"`
		}
		if err := json.Unmarshal([]byte(out.Requests[0].HTTP.Body), &m); err != nil {
			t.Fatalf("%v in %q", err, out.Requests[0].HTTP.Body)
		}
		if m.Mode == "HTML" {
			m.Text = pdk.UnescapeHTML(pdk.StripTags(m.Text))
		}
		if utf8.RuneCountInString(m.Text) > maxRunes || plain && m.Mode != "" {
			t.Errorf("the message %q does not keep the limits", out.Requests[0].HTTP.Body)
		}
	})
}

// FuzzClassify reads any answer: there is one verdict with a known outcome and, beyond a success, a reason.
func FuzzClassify(f *testing.F) {
	f.Add(200, `{"ok":true,"result":{"message_id":42,"chat":{"id":-100123}}}`, "", "")
	f.Add(400, `{"ok":false,"description":"Bad Request: message to edit not found"}`, "", "edit")
	f.Add(400, `{"ok":false,"description":"x","parameters":{"migrate_to_chat_id":-100}}`, "", "")
	f.Add(429, `{"ok":false,"parameters":{"retry_after":9e18}}`, "-1", "")
	f.Add(200, "[[[[", "", "")
	f.Fuzz(func(t *testing.T, status int, body, after, note string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Request: pdk.RequestInfo{Note: note}, Response: &pdk.Response{Status: status, Body: body, Headers: map[string]string{"retry-after": after}},
		})
		if err != nil || len(out.Verdicts) != 1 {
			t.Fatalf("%v, %+v", err, out)
		}
		v := out.Verdicts[0]
		if !v.Outcome.Valid() || v.RetryAfterMS < 0 || v.Outcome != pdk.Delivered && v.Reason == "" || len(v.ProviderID) > 512 {
			t.Errorf("%d %q: %+v", status, body, v)
		}
	})
}
