package main

import (
	"math"
	"sort"
	"strconv"

	"github.com/tocsin-net/tocsin/pdk"
)

// Discord's error codes that matter.
const (
	unknownChannel = 10003
	unknownMessage = 10008
	tooManyEdits   = 30046 // of a message older than an hour
	threadLocked   = 160005
	threadNeeded   = 220001 // the webhook belongs to a forum
)

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	v, err := pdk.ParseJSON([]byte(in.Response.Body))
	object, isObject := v.(map[string]any)
	a := pdk.Params(object)
	said := "Discord answered " + strconv.Itoa(status)
	if m := a.String("message", ""); m != "" && status >= 300 {
		said += ": " + pdk.TruncateRunes(m, 200) + details(object["errors"], "")
	}
	fails := func(o pdk.Outcome, hint string) pdk.Verdict { return pdk.Verdict{Outcome: o, Reason: said + hint} }
	switch code := a.Int("code", 0); {
	case status == 204: // something on the way took the wish to wait out of the URL
		return pdk.Verdict{Outcome: pdk.Accepted}
	case status < 300 && (err != nil || !isObject || !a.Has("id")):
		return fails(pdk.Retry, ", but not as its webhooks do: check discord_url, and proxies on the way")
	case status < 300:
		v := pdk.Verdict{Outcome: pdk.Delivered}
		// The id of the webhook itself, which a probe reads, is a part of its secret URL: the host has put a mark in its place.
		if id := a.String("id", ""); isID(id) {
			v.ProviderID = id
		}
		return v
	case in.Request.Note == noteEdit && (code == unknownMessage || code == tooManyEdits):
		return fails(pdk.BadPayload, "; the end is sent as a message of its own instead")
	case code == unknownChannel, code == threadLocked:
		return fails(pdk.Retry, "; check thread_id, and that the thread is open")
	case code == threadNeeded:
		return fails(pdk.Retry, "; the webhook belongs to a forum: set thread_id to one of its posts")
	case status == 429:
		wait := int64(math.Ceil(math.Min(seconds(object["retry_after"]), 1e6) * 1000))
		if wait <= 0 {
			wait = pdk.RetryAfter(in.Response.Headers, in.Now)
		}
		if wait <= 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: pdk.RetryAfter(in.Response.Headers, in.Now), Reason: said}
	case status == 404, status == 410:
		v := fails(pdk.EndpointBroken, "; the webhook was deleted: make a new one and replace discord_url")
		v.RetryAfterMS = goneWait
		return v
	case status == 401, status == 403:
		return fails(pdk.EndpointBroken, "; check discord_url: copy it again from the channel's settings, under Integrations")
	}
	return fails(pdk.BadPayload, "")
}

// seconds reads a number of the answer; 0 if it is none.
func seconds(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsNaN(f) {
			return f
		}
	}
	return 0
}

// details names the first field that Discord refused, and why: its errors are a tree of field names whose leaves are lists
// named "_errors".
func details(v any, path string) string {
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	if list, ok := m["_errors"].([]any); ok && len(list) > 0 {
		first, _ := list[0].(map[string]any)
		if path != "" {
			path = pdk.TruncateRunes(path, 100) + ": "
		}
		return " (" + path + pdk.TruncateRunes(pdk.Params(first).String("message", "refused"), 150) + ")"
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		under := name
		if path != "" {
			under = path + "." + name
		}
		if s := details(m[name], under); s != "" {
			return s
		}
	}
	return ""
}
