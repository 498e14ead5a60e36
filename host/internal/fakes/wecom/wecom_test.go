package wecom

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// TestStrict has the stand-in post what WeCom documents, and refuse the rest with the service's codes.
func TestStrict(t *testing.T) {
	text := func(s string) string {
		return `{"msgtype":"text","text":{"content":"` + s + `","mentioned_list":["@all"]}}`
	}
	mark := func(s string) string { return `{"msgtype":"markdown","markdown":{"content":"` + s + `"}}` }
	r := &Robot{Key: "k"}
	post := func(key, body string) (code int, said string) {
		status, answer := standin.Ask(t, r, http.MethodPost, "/cgi-bin/webhook/send?key="+key, body)
		var a struct {
			Code int    `json:"errcode"`
			Text string `json:"errmsg"`
		}
		if err := json.Unmarshal([]byte(answer), &a); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		return a.Code, a.Text
	}
	for _, c := range []struct {
		key, body string
		code      int
		says      string
	}{
		{"k", text(strings.Repeat("é", 1024)), OK, "ok"},
		{"k", mark(`**b** ` + "`c`" + ` <font color=\"info\">d</font> [e](https://e.example) <@zhangsan>`), OK, "ok"},
		{"k", mark(`**b** ` + "`c`" + ` <font color=\"info\">d</font> [e](x://e.example)`), BadRequest, "link to nowhere"},
		{"wrong", text("a"), BadKey, "invalid webhook url, hint"},
		{"k", text(" "), Empty, "empty content"},
		{"k", text(strings.Repeat("é", 1025)), BadRequest, "text.content exceed max length 2048"},
		{"k", mark(strings.Repeat("x", 4097)), BadRequest, "markdown.content exceed max length 4096"},
		{"k", mark("**a"), BadRequest, "does not close"},
		{"k", mark(`<font color=\"red\">a</font>`), BadRequest, "does not know"},
		{"k", `{"msgtype":"markdown","text":{"content":"a"}}`, BadType, "invalid message type"},
		{"k", `{"msgtype":"markdown","markdown":{"content":"a","mentioned_list":["@all"]}}`, BadRequest, "unknown field"},
	} {
		if code, said := post(c.key, c.body); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%.60s: %d %s, want %d %s", c.body, code, said, c.code, c.says)
		}
	}
	if m := r.Taken(); len(m) != 2 || fmt.Sprint(m[0].Mentioned) != "[@all]" || m[0].Markdown || fmt.Sprint(m[1].Mentioned) != "[zhangsan]" || !m[1].Markdown {
		t.Errorf("%+v", m)
	}
	synctest.Test(t, func(t *testing.T) {
		r = &Robot{Key: "k"}
		for i := range PerMinute + 1 {
			if code, _ := post("k", text("a")); (code == OK) != (i < PerMinute) {
				t.Errorf("message %d: %d", i, code)
			}
		}
		time.Sleep(61 * time.Second) // of synctest's clock
		if code, _ := post("k", text("a")); code != OK {
			t.Errorf("a minute later: %d", code)
		}
	})
}
