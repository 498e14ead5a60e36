package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// defaultWait is how long to wait where Slack says that it is too much, and not for how long. A channel takes one message a second.
const defaultWait = 30_000 // ms

// maxID bounds what is kept of a message, in bytes; Slack's are about 30. The host takes 512.
const maxID = 200

const (
	tokenHint   = "; check slack_token: it is the Bot User OAuth Token of your app, under OAuth & Permissions"
	hookHint    = "; make a new webhook on the app's page Incoming Webhooks and put its URL in slack_webhook"
	channelHint = "; check channel, and invite the bot there with /invite"
	serverHint  = ", but not as Slack does: check the address, and proxies on the way"
)

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	switch {
	case in.Error != nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	case in.Response == nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	said := "Slack answered " + strconv.Itoa(status)
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	switch {
	case status == 429:
		return limited(said, wait)
	case in.Request.Note == noteHook:
		return hooked(in.Response, said, wait)
	}
	return called(in, said, wait)
}

func limited(said string, wait int64) pdk.Verdict {
	if wait <= 0 {
		wait = defaultWait
	}
	return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said + "; it takes no more messages for now"}
}

// hooked judges a webhook's answer: a status, and one word as the body.
func hooked(r *pdk.Response, said string, wait int64) pdk.Verdict {
	word, _, _ := strings.Cut(strings.TrimSpace(r.Body), "\n")
	if word != "" {
		said += ": " + pdk.TruncateRunes(strings.TrimSpace(word), 200)
	}
	switch {
	case r.Status == 200 && word == "ok":
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status < 300:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + serverHint}
	case r.Status == 408, r.Status >= 500:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case r.Status == 413:
		return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
	case r.Status != 400:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + hookHint}
	}
	switch word {
	case "no_service", "no_active_hooks", "no_team", "team_disabled", "invalid_token", "user_not_found", "channel_not_found", "channel_is_archived",
		"action_prohibited", "posting_to_general_channel_denied":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + hookHint}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}

// called judges the answer of a method of the Web API: a refusal has the status 200 too, and the name of an error.
func called(in *pdk.ClassifyInput, said string, wait int64) pdk.Verdict {
	status, note := in.Response.Status, in.Request.Note
	v, err := pdk.ParseJSON([]byte(in.Response.Body))
	m, _ := v.(map[string]any)
	top := pdk.Params(m)
	ok, is := m["ok"].(bool)
	switch {
	case err != nil || !is:
		switch {
		case status < 300, status == 408, status >= 500:
			return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said + serverHint}
		case status == 413:
			return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
		}
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + serverHint + "; slack_api_url is to be https://slack.com/api"}
	case !ok:
		return refused(note, top, said, wait)
	case note == noteChannel:
		c, _ := m["channel"].(map[string]any)
		channel := pdk.Params(c)
		switch {
		case channel.Bool("is_archived", false):
			return pdk.Verdict{Outcome: pdk.Retry, Reason: "the channel is archived: unarchive it, or choose another"}
		case channel.Has("is_member") && !channel.Bool("is_member", false):
			return pdk.Verdict{Outcome: pdk.Retry, Reason: "the bot is not in the channel" + channelHint}
		}
		return pdk.Verdict{Outcome: pdk.Delivered}
	}
	out := pdk.Verdict{Outcome: pdk.Delivered}
	if c, ts := top.String("channel", ""), top.String("ts", ""); c != "" && ts != "" && len(c)+len(ts) < maxID && len(in.Request.Deliveries) == 1 {
		out.ProviderID = c + "/" + ts
	}
	return out
}

// refused tells the errors of chat.postMessage, chat.update, auth.test and conversations.info apart (their pages under
// https://docs.slack.dev/reference/methods). What one channel is to blame for is tried again without holding the endpoint, since
// its other recipients are not concerned.
func refused(note string, top pdk.Params, said string, wait int64) pdk.Verdict {
	name := pdk.TruncateRunes(top.String("error", "an error without a name"), 100)
	said += ": " + name
	if meta, _ := top["response_metadata"].(map[string]any); meta != nil {
		if list := pdk.Params(meta).Strings("messages"); len(list) > 0 {
			said += ": " + pdk.TruncateRunes(list[0], 200)
		}
	}
	switch name {
	case "ratelimited", "rate_limited", "message_limit_exceeded":
		return limited(said, wait)
	case "missing_scope":
		if note == noteChannel { // the optional scopes that only this question needs
			return pdk.Verdict{Outcome: pdk.Accepted, Reason: said + "; whether the bot is in the channel shows with the first message"}
		}
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; give the app the scope " + top.String("needed", "chat:write") + " and install it again"}
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type", "no_permission",
		"access_denied", "two_factor_setup_required", "org_login_required", "ekm_access_denied", "team_access_not_granted", "team_not_found",
		"enterprise_is_restricted", "accesslimited", "missing_args", "deprecated_endpoint", "method_deprecated", "unknown_method":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + tokenHint}
	case "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "external_channel_migrating":
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case "message_not_found", "cant_update_message", "edit_window_closed", "update_failed", "is_inactive", "thread_not_found",
		"cannot_reply_to_message", "restricted_action_non_threadable_channel", "restricted_action_thread_locked":
		switch note {
		case noteUpdate:
			said += "; if this stays so it is sent to the message's thread instead"
		case noteReply:
			said += "; if this stays so it is sent as a message of its own instead"
		}
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said}
	case "channel_not_found", "not_in_channel", "is_archived", "messages_tab_disabled", "user_not_found", "user_disabled", "cannot_dm_bot",
		"restricted_action", "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
		"slack_connect_canvas_sharing_blocked", "slack_connect_file_link_sharing_blocked", "method_not_supported_for_channel_type":
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + channelHint}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said} // msg_too_long, msg_blocks_too_long, invalid_blocks, no_text ...
}
