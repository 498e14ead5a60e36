package botapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestServer(t *testing.T) {
	const token = "123456:abcdefghijklmnopqrstuvwxyzABCDEFGHI"
	srv := httptest.NewServer(&Server{Token: token})
	defer srv.Close()
	for _, c := range []struct{ name, path, body, want string }{
		{"sent", "/bot" + token + "/sendMessage", `{"chat_id":"-100","text":"<b>a</b> &lt;x","parse_mode":"HTML"}`, `"text":"a \u003cx"`},
		{"edited", "/bot" + token + "/editMessageText", `{"chat_id":"-100","message_id":1,"text":"b"}`, `"message_id":1`},
		{"not modified", "/bot" + token + "/editMessageText", `{"chat_id":"-100","message_id":1,"text":"b"}`, `message is not modified`},
		{"bad tag", "/bot" + token + "/sendMessage", `{"chat_id":-100,"text":"<script>","parse_mode":"HTML"}`, `Unsupported start tag`},
		{"left open", "/bot" + token + "/sendMessage", `{"chat_id":-100,"text":"<b>x","parse_mode":"HTML"}`, `Can't find end tag`},
		{"too long", "/bot" + token + "/sendMessage", `{"chat_id":-100,"text":"` + strings.Repeat("é", 4097) + `"}`, `message is too long`},
		{"just right", "/bot" + token + "/sendMessage", `{"chat_id":-100,"text":"` + strings.Repeat("é", 4096) + `"}`, `"ok":true`},
		{"unknown field", "/bot" + token + "/sendMessage", `{"chat_id":-100,"text":"x","disable_web_page_preview":true}`, `unknown field`},
		{"no chat", "/bot" + token + "/sendMessage", `{"text":"x"}`, `chat_id is empty`},
		{"wrong token", "/bot123456:abcdefghijklmnopqrstuvwxyzABCDEFGHX/getMe", ``, `Unauthorized`},
		{"no token", "/botx/getMe", ``, `Not Found`},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := http.Post(srv.URL+c.path, "application/json", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), c.want) {
				t.Errorf("answer %s\nwant %s", got, c.want)
			}
		})
	}
}
