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
)

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// answer is the part of the server's answer that matters: a post or another object, or an AppError.
type answer struct {
	json        bool
	id, message string
	deletedAt   int64
}

func parse(body string) (a answer) {
	v, err := pdk.ParseJSON([]byte(body))
	m, is := v.(map[string]any)
	if err != nil || !is {
		return a
	}
	top := pdk.Params(m)
	return answer{json: true, id: top.String("id", ""), message: top.String("message", ""), deletedAt: top.Int("delete_at", 0)}
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	switch {
	case in.Error != nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	case in.Response == nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status, note := in.Response.Status, in.Request.Note
	a := parse(in.Response.Body)
	said := "Mattermost answered " + strconv.Itoa(status)
	if status >= 300 && a.id != "" {
		said += ": " + pdk.TruncateRunes(a.message, 200) + " (" + pdk.TruncateRunes(a.id, 100) + ")"
	}
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	switch {
	case status < 300:
		return taken(in, a, said)
	case status == 429:
		return limited(in, said, wait)
	case status == 501:
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said} // something that the server's licence does not have
	case status >= 500, status == 408:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 413:
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
	case status == 401:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + tokenHint}
	case !a.json || a.id == "" || a.id == "api.context.404.app_error":
		if status == 400 {
			return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
		}
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + urlHint}
	case note == noteMe:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + tokenHint}
	}
	return refused(note, status, a, said)
}

// taken judges an answer that says yes. Without an object that has an id it is not Mattermost's.
func taken(in *pdk.ClassifyInput, a answer, said string) pdk.Verdict {
	switch {
	case a.id == "":
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + ", but not as Mattermost does" + urlHint + ", and proxies on the way"}
	case in.Request.Note == noteChannel && a.deletedAt > 0:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the channel is archived: unarchive it, or choose another"}
	case in.Request.Note == noteMe && a.deletedAt > 0:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the bot is disabled: enable it under Integrations, Bot Accounts"}
	}
	v := pdk.Verdict{Outcome: pdk.Delivered}
	switch in.Request.Note {
	case notePost, noteReply, noteEdit:
		if len(in.Request.Deliveries) == 1 && len(a.id) <= maxID {
			v.ProviderID = a.id
		}
	}
	return v
}

// limited obeys Retry-After, or X-RateLimit-Reset, which is how many seconds are left; some proxies put the time of day there.
func limited(in *pdk.ClassifyInput, said string, wait int64) pdk.Verdict {
	if n, err := strconv.ParseInt(in.Response.Headers["x-ratelimit-reset"], 10, 64); wait <= 0 && err == nil {
		if wait = n * 1000; n > 1_000_000_000 {
			wait -= in.Now
		}
	}
	if wait <= 0 {
		wait = defaultWait
	}
	return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said + "; it takes no more posts for now"}
}

// refused tells the causes of 400, 403 and 404 apart by the names of their errors (server/channels/api4 and app of Mattermost 10 and
// 11). What one channel is to blame for is tried again without holding the endpoint, since its other recipients are not concerned.
func refused(note string, status int, a answer, said string) pdk.Verdict {
	is := func(ids ...string) bool {
		for _, id := range ids {
			if strings.HasPrefix(a.id, id) {
				return true
			}
		}
		return false
	}
	switch {
	case is("model.post.is_valid."): // too long, for example
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
	case note == noteEdit: // gone, too old, or not allowed: the server says 403 for all that it hides
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; if this stays so it is sent as a reply instead"}
	case is("api.post.create_post.root_id", "api.post.create_post.channel_root_id"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; if this stays so it is sent as a post of its own instead"}
	case is("api.post.post_priority."):
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said + "; priorities are switched off on this server: set urgent = false for its recipients"}
	case status == 403, status == 404,
		is("api.post.create_post.can_not_post_", "api.post.create_post.town_square_read_only"),
		is("api.context.invalid_") && strings.Contains(strings.ToLower(a.message), "channel"):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + channelHint}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}
