package main

import (
	"os"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }

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
