package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// defaultWait is how long to wait after a 429 that does not say for how long. A server counts by the second.
const defaultWait = 5_000 // ms

// maxID bounds a post's id, in bytes; they have 26. The host takes 512.
const maxID = 200

const (
	tokenHint   = "; check mattermost_token: it is the bot's access token, and the bot must not be disabled"
	urlHint     = "; check mattermost_url: it is the server's address alone, such as https://chat.example.org"
	channelHint = "; check mattermost_channelname, which is the channel's id, and add the bot to its team and to the channel"
	editHint    = "; if this stays so it is sent as a reply instead"
	replyHint   = "; if this stays so it is sent as a post of its own instead"
	urgentHint  = "; priorities are switched off on this server: set urgent = false for its recipients"
)

// tooMuch begins the names of errors of a post that is too long or otherwise no post.
const tooMuch = "model.post.is_valid."

// refusals tells causes of 400, 403 and 404 apart by how the names of their errors begin (server/channels/api4 and app of Mattermost
// 10 and 11). What one channel is to blame for is tried again without holding the endpoint, since its other recipients are not
// concerned.
var refusals = []struct {
	id      string
	outcome pdk.Outcome
	hint    string
}{
	{tooMuch, pdk.BadPayload, ""},
	{"api.post.post_priority.", pdk.BadPayload, urgentHint},
	{"api.post.create_post.root_id", pdk.Retry, replyHint},
	{"api.post.create_post.channel_root_id", pdk.Retry, replyHint},
	{"api.post.create_post.can_not_post_", pdk.Retry, channelHint},
	{"api.post.create_post.town_square_read_only", pdk.Retry, channelHint},
}

// verdict reads a post or another object, both of which have an id, or an AppError, whose id is its name.
func verdict(r *pdk.Reply) pdk.Verdict {
	id := r.JSON.String("id", "")
	if r.Status < 300 {
		return taken(r, id)
	}
	if id != "" {
		r.Explain(pdk.TruncateRunes(r.JSON.String("message", ""), 200)+" ("+pdk.TruncateRunes(id, 100)+")", 310)
	}
	switch {
	case r.Status == 429:
		return r.Limited(resetWait(r), "; it takes no more posts for now")
	case r.Status == 413, r.Status == 501, // too much, or something that the server's licence does not have
		r.Status == 400 && id == "":
		return r.Fail(pdk.BadPayload, "")
	case r.Passing():
		return r.Retry("")
	case r.Status != 401 && (id == "" || id == "api.context.404.app_error"):
		return r.Fail(pdk.EndpointBroken, urlHint)
	case r.Status == 401, r.Note == noteMe:
		return r.Fail(pdk.EndpointBroken, tokenHint)
	case r.Note == noteEdit && !strings.HasPrefix(id, tooMuch): // gone, too old, or not allowed: 403 for all that the server hides
		return r.Fail(pdk.Retry, editHint)
	}
	for _, c := range refusals {
		if strings.HasPrefix(id, c.id) {
			return r.Fail(c.outcome, c.hint)
		}
	}
	if r.Status == 403 || r.Status == 404 || strings.HasPrefix(id, "api.context.invalid_") && strings.Contains(strings.ToLower(r.Said), "channel") {
		return r.Fail(pdk.Retry, channelHint)
	}
	return r.Fail(pdk.BadPayload, "")
}

// taken judges an answer that says yes. Without an object that has an id it is not Mattermost's.
func taken(r *pdk.Reply, id string) pdk.Verdict {
	deleted := r.JSON.Int("delete_at", 0) > 0
	switch {
	case id == "":
		return r.Fail(pdk.Retry, ", but not as Mattermost does"+urlHint+", and proxies on the way")
	case deleted && r.Note == noteChannel:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the channel is archived: unarchive it, or choose another"}
	case deleted && r.Note == noteMe:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the bot is disabled: enable it under Integrations, Bot Accounts"}
	}
	probe := r.Note == noteMe || r.Note == noteChannel
	if probe || len(r.In.Request.Deliveries) > 1 || len(id) > maxID {
		id = ""
	}
	return pdk.Verdict{Outcome: pdk.Delivered, ProviderID: id}
}

// resetWait is how long to wait without a Retry-After: X-RateLimit-Reset is how many seconds are left; some proxies put the time of
// day there.
func resetWait(r *pdk.Reply) int64 {
	n, err := strconv.ParseInt(r.In.Response.Headers["x-ratelimit-reset"], 10, 64)
	wait := n * 1000
	if n > 1_000_000_000 {
		wait -= r.In.Now
	}
	if err != nil || wait <= 0 {
		return defaultWait
	}
	return wait
}
