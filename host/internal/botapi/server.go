// Package botapi is a stand-in for Telegram's Bot API on loopback, for the demo and for tests: it checks each request as
// strictly as the service documents (https://core.telegram.org/bots/api, version 10.1), refuses fields that do not
// exist, parses the HTML of messages, and answers and limits as the service does. It keeps what it was sent.
package botapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

// maxText is the longest message, in UTF-16 code units after the entities are parsed, as the service counts.
const maxText = 4096

// Message is a message the server took.
type Message struct {
	ID       int64
	Chat     string
	Thread   int64
	Text     string // as sent
	Plain    string // as shown: entities parsed
	Edited   int    // how often it was edited
	Received time.Time
}

// Server answers the Bot API for one bot. Use it as an http.Handler. Safe for concurrent use.
type Server struct {
	Token string // the bot's token, "123456:ABC..."
	// Intercept, if set, may answer a call itself (to play an outage or a rate limit) and then returns true.
	Intercept func(w http.ResponseWriter, method string, n int) bool
	// OnMessage, if set, is called for each message taken.
	OnMessage func(Message)

	mu       sync.Mutex // mu guards what follows
	calls    int
	messages []Message
}

// TokenPattern is what a bot's token looks like.
var TokenPattern = regexp.MustCompile(`^[0-9]{3,}:[A-Za-z0-9_-]{35}$`)

// Messages gives a copy of what was taken so far, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

type reply struct {
	OK          bool        `json:"ok"`
	Result      any         `json:"result,omitempty"`
	ErrorCode   int         `json:"error_code,omitempty"`
	Description string      `json:"description,omitempty"`
	Parameters  *Parameters `json:"parameters,omitempty"`
}

// Parameters help a client to handle an error.
type Parameters struct {
	MigrateTo  int64 `json:"migrate_to_chat_id,omitempty"`
	RetryAfter int   `json:"retry_after,omitempty"`
}

// Fail writes an error as the service does.
func Fail(w http.ResponseWriter, code int, description string, p *Parameters) {
	if p != nil && p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	write(w, code, reply{ErrorCode: code, Description: description, Parameters: p})
}

func write(w http.ResponseWriter, code int, r reply) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(r) // the client is gone: nobody to tell
}

// ServeHTTP answers /bot<token>/<method>.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/bot")
	token, method, ok2 := strings.Cut(path, "/")
	switch {
	case !ok || !ok2 || !TokenPattern.MatchString(token):
		Fail(w, http.StatusNotFound, "Not Found", nil)
		return
	case token != s.Token:
		Fail(w, http.StatusUnauthorized, "Unauthorized", nil)
		return
	}
	s.mu.Lock()
	s.calls++
	n := s.calls
	s.mu.Unlock()
	if s.Intercept != nil && s.Intercept(w, method, n) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		Fail(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large", nil)
		return
	}
	if len(body) > 0 && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		Fail(w, http.StatusBadRequest, "Bad Request: this stand-in reads application/json only", nil)
		return
	}
	if strings.EqualFold(method, "getMe") {
		write(w, http.StatusOK, reply{OK: true, Result: map[string]any{
			"id": 123456, "is_bot": true, "first_name": "tocsin", "username": "tocsin_bot", "can_join_groups": true,
		}})
		return
	}
	call, known := map[string]func([]byte) (any, string){
		"sendmessage": s.sendMessage, "editmessagetext": s.editMessageText, "getchat": s.getChat,
	}[strings.ToLower(method)]
	if !known {
		Fail(w, http.StatusNotFound, "Not Found", nil)
		return
	}
	result, problem := call(body)
	if problem != "" {
		Fail(w, http.StatusBadRequest, "Bad Request: "+problem, nil)
		return
	}
	write(w, http.StatusOK, reply{OK: true, Result: result})
}

// text is the fields that sendMessage and editMessageText share.
type text struct {
	ChatID    json.RawMessage `json:"chat_id"`
	Thread    int64           `json:"message_thread_id"`
	MessageID int64           `json:"message_id"`
	Text      string          `json:"text"`
	ParseMode string          `json:"parse_mode"`
	Preview   *struct {
		Disabled    bool   `json:"is_disabled"`
		URL         string `json:"url"`
		PreferSmall bool   `json:"prefer_small_media"`
		PreferLarge bool   `json:"prefer_large_media"`
		ShowAbove   bool   `json:"show_above_text"`
	} `json:"link_preview_options"`
	Silent  bool `json:"disable_notification"`
	Protect bool `json:"protect_content"`
	Reply   *struct {
		MessageID int64 `json:"message_id"`
		Allow     bool  `json:"allow_sending_without_reply"`
	} `json:"reply_parameters"`
}

func parse(body []byte) (text, string, string) {
	var m text
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, "", "can't parse JSON: " + err.Error()
	}
	chat, problem := chatID(m.ChatID)
	if problem != "" {
		return m, "", problem
	}
	return m, chat, ""
}

var username = regexp.MustCompile(`^@[A-Za-z][A-Za-z0-9_]{3,31}$`)

func chatID(raw json.RawMessage) (string, string) {
	s := strings.Trim(string(raw), `"`)
	switch {
	case len(raw) == 0 || s == "" || s == "null":
		return "", "chat_id is empty"
	case username.MatchString(s):
		return s, ""
	}
	if _, err := strconv.ParseInt(s, 10, 64); err != nil {
		return "", "chat not found"
	}
	return s, ""
}

func (m *text) shown() (string, string) {
	plain := m.Text
	switch m.ParseMode {
	case "":
	case "HTML":
		var problem string
		if plain, problem = parseHTML(m.Text); problem != "" {
			return "", "can't parse entities: " + problem
		}
	default:
		return "", "unsupported parse_mode"
	}
	switch n := len(utf16.Encode([]rune(plain))); {
	case strings.TrimSpace(plain) == "":
		return "", "message text is empty"
	case n > maxText:
		return "", "message is too long"
	}
	return plain, ""
}

func (s *Server) sendMessage(body []byte) (any, string) {
	m, chat, problem := parse(body)
	if problem != "" {
		return nil, problem
	}
	plain, problem := m.shown()
	if problem != "" {
		return nil, problem
	}
	s.mu.Lock()
	msg := Message{ID: int64(len(s.messages) + 1), Chat: chat, Thread: m.Thread, Text: m.Text, Plain: plain, Received: time.Now()}
	s.messages = append(s.messages, msg)
	s.mu.Unlock()
	if s.OnMessage != nil {
		s.OnMessage(msg)
	}
	return result(msg), ""
}

func (s *Server) editMessageText(body []byte) (any, string) {
	m, chat, problem := parse(body)
	if problem != "" {
		return nil, problem
	}
	plain, problem := m.shown()
	if problem != "" {
		return nil, problem
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.messages {
		old := &s.messages[i]
		if old.ID != m.MessageID || old.Chat != chat {
			continue
		}
		if old.Text == m.Text {
			return nil, "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message"
		}
		old.Text, old.Plain = m.Text, plain
		old.Edited++
		return result(*old), ""
	}
	return nil, "message to edit not found"
}

func (s *Server) getChat(body []byte) (any, string) {
	_, chat, problem := parse(body)
	if problem != "" {
		return nil, problem
	}
	return map[string]any{"id": chat, "type": "supergroup", "title": "operations"}, ""
}

func result(m Message) map[string]any {
	return map[string]any{
		"message_id": m.ID, "date": m.Received.Unix(), "text": m.Plain,
		"chat": map[string]any{"id": json.RawMessage(chatNumber(m.Chat)), "type": "supergroup", "title": "operations"},
	}
}

func chatNumber(chat string) string {
	if strings.HasPrefix(chat, "@") {
		return "-1001234567890"
	}
	return chat
}

// String names the server without its token.
func (s *Server) String() string {
	return fmt.Sprintf("Bot API stand-in with %d messages", len(s.Messages()))
}
