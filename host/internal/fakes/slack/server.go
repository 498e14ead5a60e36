// Package slack is a stand-in for Slack on loopback, for tests: incoming webhooks and the few methods of the Web API that tocsin
// calls. It checks each request against a reduced schema of the documentation, stricter than the service: arguments that it does
// not know, and markup that values could have brought in, are refused. It answers as the service does and keeps what it took.
package slack

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// The limits of a whole message, in characters. That of all blocks is measured, not documented: slackapi/bolt-js#2509.
const (
	maxBlockText = 13_172
	blockCost    = 125 // by which one more divider lowered the limit
	maxText      = 40_000
)

//go:embed requests.schema.json
var requests []byte

var schema = standin.Schemas(requests)

// Message is a message the server took.
type Message struct {
	Channel, TS, Thread string
	Broadcast           bool
	Username            string
	Text                string
	Blocks              []Block
	Edited              int // how often it was changed
}

// Block is one block of a message.
type Block struct {
	Type     string `json:"type"`
	Text     *Text  `json:"text"`
	Elements []Text `json:"elements"`
}

// Text is a text object.
type Text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Shown is what a reader sees of a message, without marks: the texts of its blocks, or its text.
func (m *Message) Shown() string {
	if len(m.Blocks) == 0 {
		return unescape(m.Text)
	}
	var parts []string
	for _, b := range m.Blocks {
		for _, t := range b.texts() {
			parts = append(parts, unescape(t.Text))
		}
	}
	return strings.Join(parts, "\n")
}

func (b *Block) texts() []Text {
	if b.Text != nil {
		return append([]Text{*b.Text}, b.Elements...)
	}
	return b.Elements
}

// Channel is a channel of the workspace.
type Channel struct {
	ID, Name         string
	Member, Archived bool
}

// Server answers for one app with one token, and for one webhook. Use it as an http.Handler. Safe for concurrent use; its fields
// are not changed after the first request.
type Server struct {
	standin.Desk[Message]

	Token    string // "xoxb-..."
	Hook     string // the path of the webhook, "/services/T.../B.../..."
	HookTo   string // the channel that the webhook writes to
	Channels []Channel
	// NoEdits refuses to change messages, as a workspace can be set.
	NoEdits bool
	// Scopes that the token lacks.
	Lacks []string
}

// refusal is an error of Slack's with what it says about it.
type refusal struct{ name, detail string }

// Error gives the name and the detail.
func (e *refusal) Error() string { return e.name + ": " + e.detail }

// ServeHTTP answers the webhook, and /api/METHOD.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, api := strings.CutPrefix(r.URL.Path, "/api/")
	if !api {
		method = "webhook"
	}
	if !s.Open(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !api {
		s.webhook(w, r, body)
		return
	}
	answer, err := s.call(method, r, body)
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		s.Refuse("%s: %v", method, bad)
		answer = map[string]any{"ok": false, "error": bad.name}
		if bad.detail != "" {
			answer["response_metadata"] = map[string]any{"messages": []string{"[ERROR] " + bad.detail}}
		}
		if bad.name == "missing_scope" {
			answer["needed"] = bad.detail
		}
	case err != nil:
		answer = map[string]any{"ok": false, "error": "internal_error"}
	default:
		answer["ok"] = true
	}
	standin.Answer(w, http.StatusOK, answer)
}

// webhook answers with a status and one word, as Slack does (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
func (s *Server) webhook(w http.ResponseWriter, r *http.Request, body []byte) {
	say := func(status int, word string) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, word) // the client is gone: nobody to tell
	}
	if s.Hook == "" || r.URL.Path != s.Hook || r.Method != http.MethodPost {
		say(http.StatusNotFound, "no_service")
		return
	}
	to, err := s.channel(s.HookTo)
	var m Message
	if err == nil {
		m, err = read("webhook", r, body)
	}
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		s.Refuse("webhook: %v", bad)
		status := http.StatusBadRequest
		switch bad.name {
		case "channel_not_found":
			status = http.StatusNotFound
		case "is_archived":
			status, bad.name = http.StatusGone, "channel_is_archived"
		case "invalid_json", "invalid_arguments":
			bad.name = "invalid_payload"
		}
		say(status, bad.name)
		return
	case err != nil:
		say(http.StatusInternalServerError, "rollup_error")
		return
	}
	m.Channel = to.ID
	s.take(m)
	say(http.StatusOK, "ok")
}

// request is the body of every method that writes.
type request struct {
	Channel   string  `json:"channel"`
	TS        string  `json:"ts"`
	Thread    string  `json:"thread_ts"`
	Broadcast bool    `json:"reply_broadcast"`
	Username  string  `json:"username"`
	Text      string  `json:"text"`
	Blocks    []Block `json:"blocks"`
}

// read checks a request's form.
func read(method string, r *http.Request, body []byte) (Message, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return Message{}, &refusal{"invalid_post_type", "the Content-Type is to be application/json"}
	}
	if !utf8.Valid(body) {
		return Message{}, &refusal{"invalid_charset", ""}
	}
	var q request
	if err := standin.Decode(schema(method), body, &q); err != nil {
		name := "invalid_json"
		if _, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
			name = "invalid_arguments"
			if strings.Contains(err.Error(), "/blocks") {
				name = "invalid_blocks"
			}
		}
		return Message{}, &refusal{name, strings.ReplaceAll(err.Error(), "\n", " ")}
	}
	m := Message{Channel: q.Channel, TS: q.TS, Thread: q.Thread, Broadcast: q.Broadcast, Username: q.Username, Text: q.Text, Blocks: q.Blocks}
	return m, m.check()
}

// check finds what a schema cannot state.
func (m *Message) check() error {
	if m.Text == "" && len(m.Blocks) == 0 {
		return &refusal{"no_text", ""}
	}
	if utf8.RuneCountInString(m.Text) > maxText {
		return &refusal{"msg_too_long", ""}
	}
	if at := markup(m.Text); at != "" {
		return &refusal{"invalid_arguments", "text: " + at}
	}
	total := 0
	for _, b := range m.Blocks {
		total += blockCost
		for _, t := range b.texts() {
			total += utf8.RuneCountInString(t.Text)
			if at := markup(t.Text); t.Type == "mrkdwn" && at != "" {
				return &refusal{"invalid_blocks", b.Type + ": " + at}
			}
		}
	}
	if total > maxBlockText {
		return &refusal{"msg_blocks_too_long", ""}
	}
	return nil
}

// The only entities of mrkdwn, and a link: all else that these signs begin was not escaped.
var (
	entity = regexp.MustCompile(`&(amp|lt|gt);`)
	link   = regexp.MustCompile(`<https?://[^<>|\s]+(\|[^<>|]+)?>`)
	calls  = regexp.MustCompile(`(?i)@(channel|here|everyone)`)
)

// markup says what mrkdwn has that a template would not write: a bare sign, a mention.
func markup(s string) string {
	rest := link.ReplaceAllString(entity.ReplaceAllString(s, ""), "")
	if i := strings.IndexAny(rest, "&<>"); i >= 0 {
		return fmt.Sprintf("%q is not escaped", rest[i:i+1])
	}
	if at := calls.FindString(s); at != "" {
		return fmt.Sprintf("%q calls everyone", at)
	}
	return ""
}

func unescape(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(s)
}

// call answers a method of the Web API.
func (s *Server) call(method string, r *http.Request, body []byte) (map[string]any, error) {
	switch token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case !ok:
		return nil, &refusal{"not_authed", ""}
	case token != s.Token:
		return nil, &refusal{"invalid_auth", ""}
	case method != "conversations.info" && r.Method != http.MethodPost:
		return nil, &refusal{"invalid_arguments", "this stand-in takes POST only"}
	}
	switch method {
	case "auth.test":
		return map[string]any{"url": "https://example.slack.com/", "team": "example", "user": "tocsin", "team_id": "T0123456789", "user_id": "U0123456789", "bot_id": "B0123456789"}, nil
	case "conversations.info":
		return s.info(r.URL.Query().Get("channel"))
	case "chat.postMessage", "chat.update":
	default:
		return nil, &refusal{"unknown_method", ""}
	}
	if err := s.scope("chat:write"); err != nil {
		return nil, err
	}
	m, err := read(method, r, body)
	if err != nil {
		return nil, err
	}
	c, err := s.channel(m.Channel)
	switch {
	case err != nil:
		return nil, err
	case !c.Member:
		return nil, &refusal{"not_in_channel", ""}
	case method == "chat.update":
		return s.update(m)
	}
	m.Channel = c.ID
	if ts := s.take(m); ts != "" {
		return map[string]any{"channel": c.ID, "ts": ts, "message": map[string]any{"text": m.Text, "type": "message"}}, nil
	}
	return nil, &refusal{"thread_not_found", ""}
}

func (s *Server) scope(needed string) error {
	if slices.Contains(s.Lacks, needed) {
		return &refusal{"missing_scope", needed}
	}
	return nil
}

// channel finds a channel by its id or name.
func (s *Server) channel(name string) (Channel, error) {
	for _, c := range s.Channels {
		if c.ID == name || c.Name == strings.TrimPrefix(name, "#") {
			if c.Archived {
				return c, &refusal{"is_archived", ""}
			}
			return c, nil
		}
	}
	return Channel{}, &refusal{"channel_not_found", ""}
}

func (s *Server) info(id string) (map[string]any, error) {
	if err := s.scope("channels:read"); err != nil {
		return nil, err
	}
	for _, c := range s.Channels {
		if c.ID == id {
			return map[string]any{"channel": map[string]any{"id": c.ID, "name": c.Name, "is_channel": true, "is_member": c.Member, "is_archived": c.Archived}}, nil
		}
	}
	return nil, &refusal{"channel_not_found", ""}
}

// take keeps a message and gives it a time stamp, which is its name in the channel, or none if its thread is not there.
func (s *Server) take(m Message) (ts string) {
	s.With(func(list *[]Message) {
		if m.Thread == "" || find(*list, m.Channel, m.Thread) != nil {
			ts = fmt.Sprintf("1718000000.%06d", len(*list)+1)
			m.TS = ts
			*list = append(*list, m)
		}
	})
	return ts
}

func find(list []Message, channel, ts string) *Message {
	for i := range list {
		if list[i].Channel == channel && list[i].TS == ts {
			return &list[i]
		}
	}
	return nil
}

// update changes a message. The channel must be its id: chat.update takes no names.
func (s *Server) update(m Message) (answer map[string]any, err error) {
	s.With(func(list *[]Message) {
		switch old := find(*list, m.Channel, m.TS); {
		case old == nil:
			err = &refusal{"message_not_found", ""}
		case s.NoEdits:
			err = &refusal{"edit_window_closed", ""}
		default:
			old.Text, old.Blocks = m.Text, m.Blocks
			old.Edited++
			answer = map[string]any{"channel": old.Channel, "ts": old.TS, "text": old.Text}
		}
	})
	return answer, err
}

// Limit writes Slack's answer to too many calls.
func Limit(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	standin.Answer(w, http.StatusTooManyRequests, map[string]any{"ok": false, "error": "ratelimited"})
}
