package main

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

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

const (
	// defaultWait is how long to wait after a 429 that does not say for how long, as those of Discord's front do.
	defaultWait = 60_000 // ms
	// goneWait is how long a webhook that is no more is left alone: Discord bans addresses that go on calling. It is the
	// longest that the host waits.
	goneWait = 24 * 3600_000 // ms
)

func verdict(r *pdk.Reply) pdk.Verdict {
	if m := r.JSON.String("message", ""); m != "" && r.Status >= 300 {
		r.Explain(m, 200)
		r.Said += details(r.JSON.Object("errors"), "")
	}
	switch code := r.JSON.Int("code", 0); {
	case r.Status == 204: // something on the way took the wish to wait out of the URL
		return pdk.Verdict{Outcome: pdk.Accepted, RetryAfterMS: spent(r)}
	case r.Status < 300 && !r.JSON.Has("id"):
		return r.Fail(pdk.Retry, ", but not as its webhooks do: check discord_url, and proxies on the way")
	case r.Status < 300:
		v := pdk.Verdict{Outcome: pdk.Delivered, RetryAfterMS: spent(r)}
		// The id of the webhook itself, which a probe reads, is a part of its secret URL: the host has put a mark in its place.
		if id := r.JSON.String("id", ""); isID(id) {
			v.ProviderID = id
		}
		return v
	case r.Note == noteEdit && (code == unknownMessage || code == tooManyEdits):
		return r.Fail(pdk.BadPayload, "; the end is sent as a message of its own instead")
	case code == unknownChannel, code == threadLocked:
		return r.Fail(pdk.Retry, "; check thread_id, and that the thread is open")
	case code == threadNeeded:
		return r.Fail(pdk.Retry, "; the webhook belongs to a forum: set thread_id to one of its posts")
	case r.Status == 429:
		if wait := milliseconds(r.JSON.String("retry_after", "")); wait > 0 {
			r.Wait = wait
		}
		return r.Limited(defaultWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 404, r.Status == 410:
		v := r.Fail(pdk.EndpointBroken, "; the webhook was deleted: make a new one and replace discord_url")
		v.RetryAfterMS = goneWait
		return v
	case r.Status == 401, r.Status == 403:
		return r.Fail(pdk.EndpointBroken, "; check discord_url: copy it again from the channel's settings, under Integrations")
	}
	return r.Fail(pdk.BadPayload, "")
}

// spent gives how long to leave the webhook alone after a message that was the last of its limit's window, so that no request is sent
// only to be refused; Discord counts those that are.
func spent(r *pdk.Reply) int64 {
	if r.In.Response.Headers["x-ratelimit-remaining"] != "0" {
		return 0
	}
	if wait := milliseconds(r.In.Response.Headers["x-ratelimit-reset-after"]); wait <= maxSpent {
		return wait
	}
	return 0 // no window is that long: it is not Discord's
}

// maxSpent is how long a window may be that a message has used up, in milliseconds.
const maxSpent = 600_000

// milliseconds reads seconds with a fraction; 0 if there are none.
func milliseconds(s string) int64 {
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 {
		return int64(math.Ceil(math.Min(f, 1e6) * 1000))
	}
	return 0
}

// details names the first field that Discord refused, and why: its errors are a tree of field names whose leaves are lists
// named "_errors".
func details(tree pdk.Params, path string) string {
	if list, _ := tree["_errors"].([]any); len(list) > 0 {
		first, _ := list[0].(map[string]any)
		if path != "" {
			path = pdk.TruncateRunes(path, 100) + ": "
		}
		return " (" + path + pdk.TruncateRunes(pdk.Params(first).String("message", "refused"), 150) + ")"
	}
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		if s := details(tree.Object(name), strings.TrimPrefix(path+"."+name, ".")); s != "" {
			return s
		}
	}
	return ""
}
