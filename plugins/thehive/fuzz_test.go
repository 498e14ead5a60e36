package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// FuzzAnswer gives classify any answer: there is one verdict, which the host knows.
func FuzzAnswer(f *testing.F) {
	f.Add(201, `{"_id":"~4096"}`, false, "")
	f.Add(201, `{"_id":["~4096"]}`, true, noteOrg)
	f.Add(400, `{"type":"CreateError","message":"Alert already exist"}`, false, "")
	f.Add(400, `{"message":{"a":1}}`, false, noteClose)
	f.Add(200, `{"login":"a","permissions":{"a":1}}`, false, noteWho)
	f.Add(404, `[]`, false, noteTag)
	f.Fuzz(func(t *testing.T, status int, body string, truncated bool, note string) {
		out, err := endpoint.Classify(&pdk.ClassifyInput{
			Request:  pdk.RequestInfo{Deliveries: []string{"1"}, Kind: "http", Note: note},
			Response: &pdk.Response{Status: status, Body: body, Truncated: truncated},
		})
		if err != nil || len(out.Verdicts) != 1 || !out.Verdicts[0].Outcome.Valid() || out.Verdicts[0].Outcome == pdk.Skipped || out.Verdicts[0].RetryAfterMS < 0 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// FuzzAlert renders alerts of any text: the request is JSON within TheHive's limits, and no observable is there twice.
func FuzzAlert(f *testing.F) {
	f.Add("flow", "title", "message\r\n{}", "192.0.2.1", "a.example.", "https://a.example/", "t13d")
	f.Add("host", "\x00\xff", "\u202e🚨", "", "192.0.2.1", "http://", "")
	f.Add("mac", strings.Repeat("🚨", 600), "", ":", strings.Repeat("a", 300), strings.Repeat("é", 5000), "\"")
	f.Fuzz(func(t *testing.T, entity, title, message, address, name, info, ja4 string) {
		for _, s := range []*string{&entity, &title, &message, &address, &name, &info, &ja4} {
			*s = strings.ToValidUTF8(*s, "") // as all of an alert's JSON is
		}
		a := pdk.Alert{
			ID: "1", Entity: entity, Title: title, Message: message, Client: address, Attacker: address, IP: address, MAC: address, Hostname: name, Name: name,
			Info: info, Link: info, Check: title, Category: title, Tstamp: 1718000000, Raw: pdk.AppendJSON(nil, map[string]any{"ja4": ja4}),
		}
		out, err := render(&pdk.RenderInput{
			Endpoint:   pdk.Params{"thehive_url": "http://127.0.0.1", "thehive_obs_url": info, "thehive_obs_mail": name},
			Deliveries: []pdk.Delivery{{ID: "2", Alert: a, Subject: title, Text: message}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Type, Title  string
			ExternalLink *string
			Tags         []string
			Observables  []struct{ DataType, Data string }
		}
		if err := json.Unmarshal([]byte(out.Requests[0].HTTP.Body), &v); err != nil {
			t.Fatal(err)
		}
		if n := utf8.RuneCountInString(v.Type); n < 1 || n > maxName {
			t.Errorf("type %q", v.Type)
		}
		if n := utf8.RuneCountInString(v.Title); n < 1 || n > maxTitle {
			t.Errorf("title of %d characters", n)
		}
		if l := v.ExternalLink; l != nil && (*l == "" || utf8.RuneCountInString(*l) > maxLink) {
			t.Errorf("link %q", *l)
		}
		for _, tag := range v.Tags {
			if n := utf8.RuneCountInString(tag); n < 1 || n > maxTag {
				t.Errorf("tag of %d characters", n)
			}
		}
		seen := map[string]bool{}
		for _, o := range v.Observables {
			if o.Data == "" || utf8.RuneCountInString(o.Data) > maxData || seen[o.Data] {
				t.Errorf("observable %q", o)
			}
			seen[o.Data] = true
		}
	})
}
