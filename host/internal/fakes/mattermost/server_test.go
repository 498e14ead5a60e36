package mattermost

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

const (
	token = "tokentokentokentokentokent"
	town  = "4xp9fdt77pncbef59f4k1qe83o"
	old   = "5xp9fdt77pncbef59f4k1qe83o"
	other = "6xp9fdt77pncbef59f4k1qe83o"
)

func TestServer(t *testing.T) {
	s := &Server{Token: token, Channels: []Channel{{ID: town, Member: true}, {ID: old, Member: true, Archived: true}, {ID: other}}}
	off := &Server{Token: token, NoPriority: true, Channels: []Channel{{ID: town, Member: true}}}
	const first, nobody = "p0000000000000000000000001", "p0000000000000000000000099"
	in := func(channel, rest string) string { return `{"channel_id":"` + channel + `",` + rest + `}` }
	for _, c := range []struct{ name, method, path, body, want string }{
		{"posted", "POST", "posts", in(town, `"message":"a","pending_post_id":"x","props":{"attachments":[{"fallback":"b","color":"#C62828","text":"c"}]},"metadata":{"priority":{"priority":"urgent"}}`), `201 {`},
		{"a repeat", "POST", "posts", in(town, `"message":"a","pending_post_id":"x"`), `"id":"` + first + `"`},
		{"a reply", "POST", "posts", in(town, `"message":"a","root_id":"`+first+`"`), `201 {`},
		{"a reply to a reply", "POST", "posts", in(town, `"message":"a","root_id":"p0000000000000000000000002"`), `api.post.create_post.root_id.app_error`},
		{"a reply to nothing", "POST", "posts", in(town, `"message":"a","root_id":"`+nobody+`"`), `api.post.create_post.root_id.app_error`},
		{"an urgent reply", "POST", "posts", in(town, `"message":"a","root_id":"`+first+`","metadata":{"priority":{"priority":"urgent"}}`), `only_allowed_for_root_post`},
		{"changed", "PUT", "posts/" + first + "/patch", `{"message":"b","props":{"attachments":[]}}`, `200 {`},
		{"changed, but gone", "PUT", "posts/" + nobody + "/patch", `{"message":"b"}`, `403 {"id":"api.context.permissions.app_error"`},
		{"unknown key", "POST", "posts", in(town, `"message":"a","text":"b"`), `invalid_body_param`},
		{"wrong colour", "POST", "posts", in(town, `"message":"a","props":{"attachments":[{"fallback":"b","color":"red"}]}`), `invalid_body_param`},
		{"no fallback", "POST", "posts", in(town, `"message":"a","props":{"attachments":[{"text":"b"}]}`), `invalid_body_param`},
		{"wrong priority", "POST", "posts", in(town, `"message":"a","metadata":{"priority":{"priority":"high"}}`), `invalid_body_param`},
		{"no JSON", "POST", "posts", `{`, `invalid_body_param`},
		{"a name for an id", "POST", "posts", in("town-square", `"message":"a"`), `invalid_body_param`},
		{"just right", "POST", "posts", in(town, `"message":"`+strings.Repeat("é", 16383)+`"`), `201 {`},
		{"too long", "POST", "posts", in(town, `"message":"`+strings.Repeat("é", 16384)+`"`), `model.post.is_valid.message_length.app_error`},
		{"too much in attachments", "POST", "posts", in(town, `"message":"a","props":{"attachments":[{"fallback":"b","text":"`+strings.Repeat("x", 800_000)+`"}]}`), `model.post.is_valid.props.app_error`},
		{"a mention", "POST", "posts", in(town, `"message":"@here"`), `mentions somebody`},
		{"a mention in an attachment", "POST", "posts", in(town, `"message":"","props":{"attachments":[{"fallback":"b","text":"@bob"}]}`), `mentions somebody`},
		{"NUL", "POST", "posts", in(town, `"message":"\u0000"`), `500 {`},
		{"archived", "POST", "posts", in(old, `"message":"a"`), `can_not_post_to_deleted`},
		{"not a member", "POST", "posts", in(other, `"message":"a"`), `403 {"id":"api.context.permissions.app_error"`},
		{"who", "GET", "users/me", "", `"is_bot":true`},
		{"a channel", "GET", "channels/" + town, "", `"delete_at":0`},
		{"an archived channel", "GET", "channels/" + old, "", `"delete_at":1718000000000`},
		{"another's channel", "GET", "channels/" + other, "", `403 {`},
		{"no such channel", "GET", "channels/" + nobody, "", `404 {"id":"app.channel.get.existing.app_error"`},
		{"a channel's name", "GET", "channels/town", "", `400 {"id":"api.context.invalid_url_param.app_error"`},
		{"another call", "GET", "teams", "", `404 {"id":"api.context.404.app_error"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ask(t, s, token, c.method, c.path, c.body); !strings.Contains(got, c.want) {
				t.Errorf("answer %s\nwant %s", got, c.want)
			}
		})
	}
	if got := ask(t, s, "x", "GET", "users/me", ""); !strings.HasPrefix(got, `401 {"id":"api.context.session_expired.app_error"`) {
		t.Errorf("without the token: %s", got)
	}
	if got := ask(t, off, token, "POST", "posts", in(town, `"message":"a","metadata":{"priority":{"priority":"urgent"}}`)); !strings.Contains(got, "priority_post_not_allowed_for_user") {
		t.Errorf("with priorities switched off: %s", got)
	}
}

func ask(t *testing.T, s *Server, token, method, path, body string) string {
	t.Helper()
	status, answer := standin.Ask(t, s, method, "/api/v4/"+path, body, "Authorization", "Bearer "+token)
	return fmt.Sprint(status, " ", answer)
}
