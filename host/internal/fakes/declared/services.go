package declared

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// Tokens that the stand-ins take.
const (
	NtfyToken       = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"
	GotifyToken     = "AzyoeNS.D4iJLVa"
	PushoverToken   = "azGDORePK8gMaC0QOYAMyEEuzJnyUi"
	PushoverUser    = "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"
	GoogleChatToken = "x0-aSecretTokenOfAWebhook"
	RocketChatToken = "RScctEHSmLGZGywfIhWyRpyofhKOiMoUIpimhvheU3f"
	RocketChatUser  = "rbAXPnMktTFbNpwtJ"
	OpsgenieToken   = "eb243592-faa2-4ba2-a551-1afdf565c889"
	MatrixToken     = "syt_dG9jc2lu_aSecretTokenOfAnAccount"
	SplunkToken     = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"
)

func ok(format string, args ...any) answer {
	return answer{status: 200, body: fmt.Sprintf(format, args...)}
}

func path(pattern string) *regexp.Regexp { return regexp.MustCompile("^" + pattern + "$") }

var need = func(f field) field { f.required = true; return f }

var (
	text   = field{kind: "string"}
	object = field{kind: "object"}
	list   = field{kind: "list"}
)

var services = map[string]*service{
	// https://docs.ntfy.sh/publish/#publish-as-json and server/errors.go of ntfy.
	"ntfy": {token: NtfyToken, routes: []route{
		{
			method: "POST", path: path("/"), header: [2]string{"Authorization", "Bearer %s"}, wrong: answer{status: 401, body: `{"code":40101,"http":401,"error":"unauthorized"}`},
			fields: map[string]field{
				"topic": need(field{kind: "string", runes: 64}), "message": {kind: "string", bytes: 4096}, "title": text, "tags": list,
				"priority": {kind: "number", min: 1, max: 5}, "sequence_id": {kind: "string", runes: 64}, "click": text, "markdown": text,
			},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				if id, ok := body["sequence_id"].(string); ok {
					m := s.find(id)
					if m == nil {
						return s.refuse(400, "there is no message %q", id)
					}
					m.Edited++
					m.set(body)
					return answer{status: 200, body: fmt.Sprintf(`{"id":"%sx","event":"message"}`, id)}
				}
				return ok(`{"id":%q,"time":1718000100,"event":"message","topic":"t"}`, s.post(body).ID)
			},
		},
		{method: "GET", path: path("/v1/health"), probe: true, do: says(`{"healthy":true}`)},
		{
			method: "GET", path: path("/[-_A-Za-z0-9]{1,64}/auth"), header: [2]string{"Authorization", "Bearer %s"}, probe: true,
			wrong: answer{status: 401, body: `{"code":40101,"http":401,"error":"unauthorized"}`}, do: says(`{"success":true}`),
		},
	}},
	// https://gotify.net/api-docs and https://gotify.net/docs/msgextras.
	"gotify": {token: GotifyToken, routes: []route{
		{
			method: "POST", path: path("/message"), header: [2]string{"X-Gotify-Key", "%s"},
			wrong:  answer{status: 401, body: `{"error":"Unauthorized","errorCode":401,"errorDescription":"you need to provide a valid access token"}`},
			empty:  &answer{status: 400, body: `{"error":"Bad Request","errorCode":400,"errorDescription":"Field 'message' is required"}`},
			fields: map[string]field{"message": need(text), "title": text, "priority": {kind: "number", max: 10}, "extras": object},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				s.post(body)
				return ok(`{"id":%d,"appid":5}`, len(s.messages))
			},
		},
		{method: "GET", path: path("/health"), probe: true, do: says(`{"health":"green","database":"green"}`)},
	}},
	// https://pushover.net/api.
	"pushover": {token: PushoverToken, routes: []route{
		{
			method: "POST", path: path("/1/messages.json"), form: true, header: [2]string{"form"},
			wrong: answer{status: 400, body: `{"token":"invalid","errors":["application token is invalid"],"status":0,"request":"r"}`},
			fields: map[string]field{
				"token": need(text), "user": need(field{kind: "string", runes: 30}), "message": need(field{kind: "string", runes: 1024}), "title": {kind: "string", runes: 250},
				"priority": {kind: "number", min: -2, max: 1}, "timestamp": {kind: "number", min: 1}, "device": text,
			},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				if body["user"] != PushoverUser {
					return answer{status: 400, body: `{"user":"invalid","errors":["user identifier is invalid"],"status":0,"request":"r"}`}
				}
				return ok(`{"status":1,"request":%q}`, s.post(body).ID)
			},
		},
		{
			method: "POST", path: path("/1/users/validate.json"), form: true, header: [2]string{"form"}, probe: true,
			wrong:  answer{status: 400, body: `{"token":"invalid","errors":["application token is invalid"],"status":0,"request":"r"}`},
			fields: map[string]field{"token": need(text), "user": need(text), "device": text}, do: says(`{"status":1,"group":0,"devices":["phone"],"request":"r"}`),
		},
	}},
	// https://developers.google.com/workspace/chat/api/reference/rest/v1/spaces.messages/create.
	"googlechat": {token: GoogleChatToken, routes: []route{{
		method: "POST", path: path("/v1/spaces/AAAA/messages"), query: map[string]string{"key": "k", "token": "%s"},
		wrong:  answer{status: 403, body: `{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}`},
		empty:  &answer{status: 400, body: `{"error":{"code":400,"message":"Message cannot be empty.","status":"INVALID_ARGUMENT"}}`},
		fields: map[string]field{"text": text, "fallbackText": text, "thread": object, "cardsV2": list},
		do: func(s *Server, _ []string, body map[string]any, raw []byte) answer {
			if len(raw) > 32_000 {
				return s.refuse(400, "the message has %d bytes", len(raw))
			}
			return ok(`{"name":"spaces/AAAA/messages/%s"}`, s.post(body).ID)
		},
	}}},
	// https://github.com/RocketChat/Rocket.Chat-Open-API, messaging.yaml; 5000 is the default of Message_MaxAllowedSize.
	"rocketchat": {token: RocketChatToken, routes: []route{
		{
			method: "POST", path: path("/api/v1/chat.postMessage"), header: [2]string{"X-Auth-Token", "%s"}, wrong: rocketLogin,
			fields: map[string]field{"channel": need(text), "text": need(field{kind: "string", runes: 5000}), "alias": text, "emoji": text},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				return ok(`{"success":true,"message":{"_id":%q,"rid":"GENERAL"}}`, s.post(body).ID)
			},
		},
		{
			method: "POST", path: path("/api/v1/chat.update"), header: [2]string{"X-Auth-Token", "%s"}, wrong: rocketLogin,
			fields: map[string]field{"roomId": need(text), "msgId": need(text), "text": need(field{kind: "string", runes: 5000})},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				m := s.find(body["msgId"].(string))
				if m == nil || body["roomId"] != "GENERAL" {
					return s.refuse(400, "no such message")
				}
				m.Edited++
				m.set(body)
				return ok(`{"success":true,"message":{"_id":%q,"rid":"GENERAL"}}`, m.ID)
			},
		},
		{method: "GET", path: path("/api/v1/me"), header: [2]string{"X-Auth-Token", "%s"}, probe: true, wrong: rocketLogin, do: says(`{"_id":"rbAXPnMktTFbNpwtJ","success":true}`)},
	}},
	// https://docs.opsgenie.com/docs/alert-api.
	"opsgenie": {token: OpsgenieToken, routes: []route{
		{
			method: "POST", path: path("/v2/alerts"), header: [2]string{"Authorization", "GenieKey %s"}, wrong: opsgenieKey,
			fields: map[string]field{
				"message": need(field{kind: "string", runes: 130}), "alias": {kind: "string", runes: 512}, "description": {kind: "string", runes: 15000}, "priority": {kind: "string", runes: 2},
				"entity": {kind: "string", runes: 512}, "source": {kind: "string", runes: 100}, "tags": list, "details": object,
			},
			do: func(s *Server, _ []string, body map[string]any, _ []byte) answer {
				alias, _ := body["alias"].(string)
				if m := s.find(alias); m == nil || m.Closed {
					s.post(body).ID = alias
				}
				return opsgenieTaken
			},
		},
		{
			method: "POST", path: path("/v2/alerts/([^/]+)/close"), query: map[string]string{"identifierType": "alias"}, header: [2]string{"Authorization", "GenieKey %s"}, wrong: opsgenieKey,
			fields: map[string]field{"source": {kind: "string", runes: 100}, "note": {kind: "string", runes: 25000}, "user": {kind: "string", runes: 100}},
			do: func(s *Server, parts []string, _ map[string]any, _ []byte) answer {
				if m := s.find(parts[1]); m != nil {
					m.Closed = true
				}
				return opsgenieTaken
			},
		},
		{method: "GET", path: path("/v2/alerts/count"), header: [2]string{"Authorization", "GenieKey %s"}, probe: true, wrong: opsgenieKey, do: says(`{"data":{"count":3},"took":0.1,"requestId":"r"}`)},
	}},
	// https://spec.matrix.org/latest/client-server-api/.
	"matrix": {token: MatrixToken, routes: []route{
		{
			method: "PUT", path: path(`/_matrix/client/v3/rooms/([^/]+)/send/m\.room\.message/([^/]+)`), header: [2]string{"Authorization", "Bearer %s"}, wrong: matrixToken,
			fields: map[string]field{"msgtype": need(text), "body": need(text), "format": text, "formatted_body": text, "m.relates_to": object, "m.new_content": object},
			do:     matrixSend,
		},
		{method: "GET", path: path("/_matrix/client/v3/account/whoami"), header: [2]string{"Authorization", "Bearer %s"}, probe: true, wrong: matrixToken, do: says(`{"user_id":"@tocsin:example.org"}`)},
		{method: "GET", path: path("/_matrix/client/v3/rooms/([^/]+)/joined_members"), header: [2]string{"Authorization", "Bearer %s"}, probe: true, wrong: matrixToken, do: says(`{"joined":{"@tocsin:example.org":{}}}`)},
	}},
	// https://help.splunk.com, "Format events for HTTP Event Collector" and "Troubleshoot HTTP Event Collector".
	"splunk": {token: SplunkToken, routes: []route{
		{
			method: "POST", path: path("/services/collector/event"), header: [2]string{"Authorization", "Splunk %s"}, wrong: answer{status: 403, body: `{"text":"Invalid token","code":4}`},
			empty: &answer{status: 400, body: `{"text":"No data","code":5}`}, do: splunkEvents,
		},
		{method: "GET", path: path("/services/collector/health"), probe: true, do: says(`{"text":"HEC is healthy","code":17}`)},
	}},
}

var (
	rocketLogin   = answer{status: 401, body: `{"status":"error","message":"You must be logged in to do this."}`}
	opsgenieKey   = answer{status: 401, body: `{"message":"Key format is not valid!","took":0.001,"requestId":"r"}`}
	opsgenieTaken = answer{status: 202, body: `{"result":"Request will be processed","took":0.302,"requestId":"43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}`}
	matrixToken   = answer{status: 401, body: `{"errcode":"M_UNKNOWN_TOKEN","error":"Unrecognised access token"}`}
)

func says(body string) func(*Server, []string, map[string]any, []byte) answer {
	return func(*Server, []string, map[string]any, []byte) answer { return answer{status: 200, body: body} }
}

// matrixSend drops a repeated transaction and edits what m.replace names.
func matrixSend(s *Server, parts []string, body map[string]any, raw []byte) answer {
	if len(raw) > 60_000 { // an event has 65,536 bytes with what the server adds
		return s.refuse(413, "the event has %d bytes", len(raw))
	}
	if parts[1] != "!room:example.org" {
		return answer{status: 403, body: `{"errcode":"M_FORBIDDEN","error":"You are not invited to this room."}`}
	}
	if (body["format"] == nil) != (body["formatted_body"] == nil) {
		return s.refuse(400, "format and formatted_body belong together")
	}
	if a, ok := s.seen[parts[2]]; ok {
		return a
	}
	a := answer{status: 200}
	if rel, ok := body["m.relates_to"].(map[string]any); ok {
		id, _ := rel["event_id"].(string)
		content, _ := body["m.new_content"].(map[string]any)
		m := s.find(id)
		if m == nil || rel["rel_type"] != "m.replace" || content["body"] == nil {
			return s.refuse(400, "this replaces nothing")
		}
		m.Edited++
		m.set(content)
		a.body = `{"event_id":"$edit"}`
	} else {
		m := s.post(body)
		m.ID = "$" + m.ID
		a.body = fmt.Sprintf(`{"event_id":%q}`, m.ID)
	}
	s.seen[parts[2]] = a
	return a
}

// splunkEvents reads the events of a request, JSON after JSON.
func splunkEvents(s *Server, _ []string, _ map[string]any, raw []byte) answer {
	d := json.NewDecoder(bytes.NewReader(raw))
	for n := 0; ; n++ {
		var e struct {
			Time                            *float64
			Host, Source, Sourcetype, Index string
			Event                           map[string]any
			Fields                          map[string]any
		}
		d.DisallowUnknownFields()
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return ok(`{"text":"Success","code":0}`)
		}
		switch {
		case err != nil || e.Time == nil:
			s.refused = append(s.refused, fmt.Sprintf("event %d: %v", n, err))
			return answer{status: 400, body: fmt.Sprintf(`{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, n)}
		case len(e.Event) == 0:
			return answer{status: 400, body: fmt.Sprintf(`{"text":"Event field is required","code":12,"invalid-event-number":%d}`, n)}
		case e.Index == "secret":
			return answer{status: 400, body: fmt.Sprintf(`{"text":"Incorrect index","code":7,"invalid-event-number":%d}`, n)}
		}
		s.post(e.Event)
	}
}
