package slack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

const token = "xoxb-1234567890-abcdefghij"

func fake() *Server {
	return &Server{
		Token: token, Hook: "/services/T1/B1/secret", HookTo: "C0123456789",
		Channels: []Channel{{ID: "C0123456789", Name: "alerts", Member: true}, {ID: "C0000000002", Name: "other"}, {ID: "C0000000003", Name: "old", Member: true, Archived: true}},
	}
}

func TestServer(t *testing.T) {
	s := fake()
	const post, update = "/api/chat.postMessage", "/api/chat.update"
	section := func(n int) string {
		return `{"type":"section","text":{"type":"mrkdwn","text":"` + strings.Repeat("é", n) + `"}}`
	}
	for _, c := range []struct{ name, path, body, want string }{
		{"posted", post, `{"channel":"#alerts","text":"a &lt;b&gt;"}`, `"ts":"1718000000.000001"`},
		{"changed", update, `{"channel":"C0123456789","ts":"1718000000.000001","text":"b"}`, `"ok":true`},
		{"changed by the channel's name", update, `{"channel":"#alerts","ts":"1718000000.000001","text":"b"}`, `message_not_found`},
		{"no such message", update, `{"channel":"C0123456789","ts":"1718000000.000009","text":"b"}`, `message_not_found`},
		{"reply", post, `{"channel":"C0123456789","thread_ts":"1718000000.000001","text":"b"}`, `"ok":true`},
		{"no such thread", post, `{"channel":"C0123456789","thread_ts":"1718000000.000009","text":"b"}`, `thread_not_found`},
		{"no text", post, `{"channel":"C0123456789"}`, `no_text`},
		{"no channel", post, `{"text":"x"}`, `invalid_arguments`},
		{"unknown channel", post, `{"channel":"C0000000009","text":"x"}`, `channel_not_found`},
		{"not a member", post, `{"channel":"#other","text":"x"}`, `not_in_channel`},
		{"archived", post, `{"channel":"#old","text":"x"}`, `is_archived`},
		{"unknown argument", post, `{"channel":"#alerts","text":"x","link_names":true}`, `invalid_arguments`},
		{"mention", post, `{"channel":"#alerts","text":"<!channel>"}`, `not escaped`},
		{"bare ampersand", post, `{"channel":"#alerts","text":"a & b"}`, `not escaped`},
		{"calls everyone", post, `{"channel":"#alerts","text":"@here"}`, `calls everyone`},
		{"header of 151", post, `{"channel":"#alerts","blocks":[{"type":"header","text":{"type":"plain_text","text":"` + strings.Repeat("x", 151) + `"}}]}`, `invalid_blocks`},
		{"header in mrkdwn", post, `{"channel":"#alerts","blocks":[{"type":"header","text":{"type":"mrkdwn","text":"x"}}]}`, `invalid_blocks`},
		{"section of 3000", post, `{"channel":"#alerts","blocks":[` + section(3000) + `]}`, `"ok":true`},
		{"section of 3001", post, `{"channel":"#alerts","blocks":[` + section(3001) + `]}`, `invalid_blocks`},
		{"empty section", post, `{"channel":"#alerts","blocks":[` + section(0) + `]}`, `invalid_blocks`},
		{"unknown block", post, `{"channel":"#alerts","blocks":[{"type":"table"}]}`, `invalid_blocks`},
		{"51 blocks", post, `{"channel":"#alerts","blocks":[{"type":"divider"}` + strings.Repeat(`,{"type":"divider"}`, 50) + `]}`, `invalid_blocks`},
		{"blocks too long", post, `{"channel":"#alerts","blocks":[` + section(3000) + strings.Repeat(","+section(3000), 4) + `]}`, `msg_blocks_too_long`},
		{"text too long", post, `{"channel":"#alerts","text":"` + strings.Repeat("x", 40_001) + `"}`, `msg_too_long`},
		{"no JSON", post, `{`, `invalid_json`},
		{"who", "/api/auth.test", `{}`, `"bot_id"`},
		{"no such method", "/api/chat.shout", `{}`, `unknown_method`},
		{"webhook", "/services/T1/B1/secret", `{"text":"x"}`, `200 ok`},
		{"webhook with a channel", "/services/T1/B1/secret", `{"text":"x","channel":"#other"}`, `400 invalid_payload`},
		{"webhook without text", "/services/T1/B1/secret", `{}`, `400 invalid_payload`},
		{"another webhook", "/services/T1/B1/other", `{"text":"x"}`, `404 no_service`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := standin.Ask(t, s, http.MethodPost, c.path, c.body, "Content-Type", "application/json; charset=utf-8", "Authorization", "Bearer "+token)
			if text := fmt.Sprint(status, " ", got); !strings.Contains(text, c.want) {
				t.Errorf("answer %s\nwant %s", text, c.want)
			}
		})
	}
}
