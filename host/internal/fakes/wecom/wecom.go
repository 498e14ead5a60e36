// Package wecom is a stand-in for WeCom's group robots on loopback, for tests: it takes messages as strictly as the service documents
// (developer.work.weixin.qq.com, document 91770), answers with an error code in a 200 as the service does, keeps the robot's limit
// of messages, and refuses Markdown whose marks do not close. It is no part of the program.
package wecom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// Limits of a message in bytes, and of messages in a minute.
const (
	maxMarkdown = 4096
	maxText     = 2048
	PerMinute   = 20
)

// The error codes that the service is known to give.
const (
	OK          = 0
	Busy        = -1
	BadType     = 40008
	BadRequest  = 40058
	Empty       = 44004
	RateLimited = 45009
	BadKey      = 93000
)

var texts = map[int]string{
	OK: "ok", Busy: "system busy", BadType: "invalid message type", Empty: "empty content", RateLimited: "api freq out of limit",
	BadKey: "invalid webhook url",
}

// Message is a message the robot posted.
type Message struct {
	Markdown  bool
	Content   string
	Mentioned []string // by mentioned_list, and by <@userid> in the content
}

// Robot answers for one robot. Use it as an http.Handler. Safe for concurrent use.
type Robot struct {
	standin.Desk[Message]

	Key       string // what its address has behind key=
	Unlimited bool   // lets it post as much as it wants, for benchmarks

	times []time.Time // under With: when it posted
}

// ServeHTTP answers /cgi-bin/webhook/send.
func (r *Robot) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != "/cgi-bin/webhook/send" || req.Method != http.MethodPost {
		http.NotFound(w, req)
		return
	}
	if !r.Open(w, req) {
		return
	}
	code, text := r.take(req)
	Say(w, code, text)
}

// Say writes an error code as the service does, with its usual text if that is empty.
func Say(w http.ResponseWriter, code int, text string) {
	if text == "" {
		text = texts[code]
	}
	if code != OK {
		text += fmt.Sprintf(", hint: [1755605200056773468916791], from ip: 192.0.2.1, more info at https://open.work.weixin.qq.com/devtool/query?e=%d", code)
	}
	standin.Answer(w, http.StatusOK, map[string]any{"errcode": code, "errmsg": text})
}

// take posts a request's message, or gives the error code and text with which it is refused.
func (r *Robot) take(req *http.Request) (int, string) {
	if req.URL.Query().Get("key") != r.Key {
		return BadKey, ""
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil {
		return Busy, ""
	}
	m, code, text := parse(body)
	if code != OK {
		return code, text
	}
	r.With(func(list *[]Message) {
		now := time.Now()
		for len(r.times) > 0 && now.Sub(r.times[0]) > time.Minute {
			r.times = r.times[1:]
		}
		if len(r.times) >= PerMinute && !r.Unlimited {
			code = RateLimited
			return
		}
		r.times = append(r.times, now)
		*list = append(*list, m)
	})
	return code, ""
}

// parse reads a message strictly: a key that is not documented is refused here, where the service overlooks it.
func parse(body []byte) (m Message, code int, text string) {
	var v struct {
		Type string `json:"msgtype"`
		Text *struct {
			Content   string   `json:"content"`
			Mentioned []string `json:"mentioned_list"`
			Mobiles   []string `json:"mentioned_mobile_list"`
		} `json:"text"`
		Markdown *struct {
			Content string `json:"content"`
		} `json:"markdown"`
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil || !utf8.Valid(body) {
		return m, BadRequest, fmt.Sprintf("%v. invalid Request Parameter", err)
	}
	limit := maxText
	switch {
	case v.Type == "text" && v.Text != nil && v.Markdown == nil:
		m.Content, m.Mentioned = v.Text.Content, v.Text.Mentioned
	case v.Type == "markdown" && v.Markdown != nil && v.Text == nil:
		m.Markdown, m.Content, limit = true, v.Markdown.Content, maxMarkdown
	default:
		return m, BadType, ""
	}
	switch {
	case strings.TrimSpace(m.Content) == "":
		return m, Empty, ""
	case len(m.Content) > limit:
		return m, BadRequest, fmt.Sprintf("%s.content exceed max length %d. Invalid input invalid Request Parameter", v.Type, limit)
	}
	if m.Markdown {
		if problem := marks(m.Content); problem != "" {
			return m, BadRequest, "this stand-in refuses Markdown that would look wrong: " + problem
		}
	}
	for _, at := range mention.FindAllStringSubmatch(m.Content, -1) {
		m.Mentioned = append(m.Mentioned, at[1])
	}
	return m, OK, ""
}

var (
	mention = regexp.MustCompile(`<@([^>]*)>`)
	element = regexp.MustCompile(`^<font color="(info|comment|warning)">`)
)

// marks checks line by line that bold, code and colours close, that there is no other element, and no link to anything but the web.
func marks(content string) string {
	for line := range strings.Lines(content) {
		if strings.Count(line, "**")%2 != 0 || strings.Count(line, "`")%2 != 0 {
			return "a mark does not close in " + line
		}
		open := 0
		for i := 0; i < len(line); i++ {
			switch rest := line[i:]; {
			case element.MatchString(rest):
				open++
			case strings.HasPrefix(rest, "</font>"):
				open--
			case rest[0] == '<' && !strings.HasPrefix(rest, "<@"):
				return "an element that it does not know in " + line
			case strings.HasPrefix(rest, "](") && !strings.HasPrefix(rest, "](http"):
				return "a link to nowhere in " + line
			}
			if open < 0 || open > 1 {
				break
			}
		}
		if open != 0 {
			return "a colour does not close in " + line
		}
	}
	return ""
}
