// Package mattermost is a stand-in for a Mattermost server on loopback, for tests: the few calls of its REST API, version 4, that tocsin
// makes. It checks each request against a reduced schema of the documentation, stricter than the server: keys that it does not know, and
// mentions that values could have brought in, are refused. It answers as versions 10 and 11 do, errors by their ids, drops repeats as they
// do, and keeps what it took.
package mattermost

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

// The limits of a post in characters (server/public/model/post.go).
const (
	maxMessage = 16_383
	maxProps   = 800_000
)

//go:embed requests.schema.json
var requests []byte

var schema = standin.Schemas(requests)

// Post is a post the server took.
type Post struct {
	ID, Channel, Root string
	Message           string
	Attachments       []Attachment
	Priority          string
	Edited            int // how often it was changed
	pending           string
}

// Attachment is a message attachment.
type Attachment struct {
	Fallback string `json:"fallback"`
	Color    string `json:"color"`
	Pretext  string `json:"pretext"`
	Text     string `json:"text"`
}

// Channel is a channel of the server; the bot may post to it if it is a member.
type Channel struct {
	ID               string
	Member, Archived bool
}

// Server answers for one bot. Use it as an http.Handler. Safe for concurrent use; its fields are not changed after the first request.
type Server struct {
	standin.Desk[Post]

	Token    string
	Channels []Channel
	// NoEdits lets nobody edit a post, as a server can be set; NoPriority has message priorities switched off.
	NoEdits, NoPriority bool
	// After, if set, is called when a call was done and before it is answered, with how many posts there are; if it returns true the
	// answer is lost.
	After func(posts int) bool
}

// failure is the server's AppError.
type failure struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Detail  string `json:"detailed_error"`
	Status  int    `json:"status_code"`
}

// Error gives status, id and message.
func (f *failure) Error() string { return fmt.Sprintf("%d %s: %s", f.Status, f.ID, f.Message) }

func fail(status int, id, message string) *failure {
	return &failure{ID: id, Message: message, Status: status}
}

func noPermission() *failure {
	return fail(http.StatusForbidden, "api.context.permissions.app_error", "You do not have the appropriate permissions.")
}

// ServeHTTP answers /api/v4/users/me, channels/ID, posts and posts/ID/patch.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Open(w, r) {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	status, answer, err := s.call(r, body)
	if s.After != nil && s.After(len(s.Taken())) {
		panic(http.ErrAbortHandler) // the connection breaks
	}
	if err != nil {
		var f *failure
		if !errors.As(err, &f) {
			f = fail(http.StatusInternalServerError, "app.error", err.Error())
		}
		s.Refuse("%v", f)
		status, answer = f.Status, f
	}
	standin.Answer(w, status, answer)
}

func (s *Server) call(r *http.Request, body []byte) (int, any, error) {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v4/")
	if !ok {
		return 0, nil, fail(http.StatusNotFound, "api.context.404.app_error", "Sorry, we could not find the page.")
	}
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		return 0, nil, fail(http.StatusUnauthorized, "api.context.session_expired.app_error", "Invalid or expired session, please login again.")
	}
	parts := strings.Split(path, "/")
	switch {
	case r.Method == http.MethodGet && path == "users/me":
		return http.StatusOK, map[string]any{"id": "uuuuuuuuuuuuuuuuuuuuuuuuuu", "username": "tocsin", "is_bot": true, "delete_at": 0}, nil
	case r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "channels":
		return s.channel(parts[1])
	case r.Method == http.MethodPost && path == "posts":
		return s.create(body)
	case r.Method == http.MethodPut && len(parts) == 3 && parts[0] == "posts" && parts[2] == "patch":
		return s.patch(parts[1], body)
	}
	return 0, nil, fail(http.StatusNotFound, "api.context.404.app_error", "Sorry, we could not find the page.")
}

var validID = regexp.MustCompile(`^[a-z0-9]{26}$`)

func (s *Server) channel(id string) (int, any, error) {
	if !validID.MatchString(id) {
		return 0, nil, fail(http.StatusBadRequest, "api.context.invalid_url_param.app_error", "Invalid or missing channel_id parameter in request URL.")
	}
	for _, c := range s.Channels {
		if c.ID != id {
			continue
		}
		if !c.Member {
			return 0, nil, noPermission()
		}
		deleted := 0
		if c.Archived {
			deleted = 1_718_000_000_000
		}
		return http.StatusOK, map[string]any{"id": id, "type": "O", "name": "alerts", "delete_at": deleted}, nil
	}
	return 0, nil, fail(http.StatusNotFound, "app.channel.get.existing.app_error", "Unable to find the existing channel.")
}

// content is what posts and patches have in common.
type content struct {
	Channel string  `json:"channel_id"`
	Root    string  `json:"root_id"`
	Pending string  `json:"pending_post_id"`
	Message *string `json:"message"`
	Props   *struct {
		Attachments []Attachment `json:"attachments"`
	} `json:"props"`
	Metadata struct {
		Priority *struct {
			Priority string `json:"priority"`
		} `json:"priority"`
	} `json:"metadata"`
}

// read checks the form of a post or a patch.
func read(kind string, body []byte) (*content, error) {
	c := &content{}
	if err := standin.Decode(schema(kind), body, c); err != nil {
		return nil, fail(http.StatusBadRequest, "api.context.invalid_body_param.app_error", "Invalid or missing post in request body: "+strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if c.Message != nil && utf8.RuneCountInString(*c.Message) > maxMessage {
		return nil, fail(http.StatusBadRequest, "model.post.is_valid.message_length.app_error", "Post Message property is longer than the maximum permitted length.")
	}
	texts := []string{}
	if c.Message != nil {
		texts = append(texts, *c.Message)
	}
	if c.Props != nil {
		size := 0
		for _, a := range c.Props.Attachments {
			texts = append(texts, a.Pretext, a.Text, a.Fallback)
			size += utf8.RuneCountInString(a.Pretext + a.Text + a.Fallback)
		}
		if size > maxProps {
			return nil, fail(http.StatusBadRequest, "model.post.is_valid.props.app_error", "Invalid props.")
		}
	}
	for _, t := range texts {
		if at := mention.FindString(t); at != "" {
			return nil, fail(http.StatusBadRequest, "stand-in.mention", fmt.Sprintf("%q mentions somebody", at))
		}
		if strings.ContainsRune(t, 0) {
			return nil, fail(http.StatusInternalServerError, "app.post.save.app_error", "Unable to save the Post.") // PostgreSQL takes no NUL
		}
	}
	return c, nil
}

// mention is what the server takes for a name: tocsin never means it.
var mention = regexp.MustCompile(`@[A-Za-z0-9._-]+`)

func (s *Server) create(body []byte) (int, any, error) {
	c, err := read("post", body)
	if err != nil {
		return 0, nil, err
	}
	at := -1
	for i := range s.Channels {
		if s.Channels[i].ID == c.Channel {
			at = i
		}
	}
	switch {
	case at < 0 || !s.Channels[at].Member:
		return 0, nil, noPermission()
	case s.Channels[at].Archived:
		return 0, nil, fail(http.StatusBadRequest, "api.post.create_post.can_not_post_to_deleted.error", "Can not post to deleted channel.")
	case c.Metadata.Priority != nil && s.NoPriority:
		return 0, nil, fail(http.StatusForbidden, "api.post.post_priority.priority_post_not_allowed_for_user.request_error", "Priorities are not allowed.")
	case c.Metadata.Priority != nil && c.Root != "":
		return 0, nil, fail(http.StatusBadRequest, "api.post.post_priority.priority_post_only_allowed_for_root_post.request_error", "Only root posts have a priority.")
	}
	p := Post{Channel: c.Channel, Root: c.Root, Message: *c.Message, pending: c.Pending}
	if c.Props != nil {
		p.Attachments = c.Props.Attachments
	}
	if c.Metadata.Priority != nil {
		p.Priority = c.Metadata.Priority.Priority
	}
	s.With(func(posts *[]Post) {
		if c.Root != "" {
			if root := find(*posts, c.Root); root == nil || root.Root != "" {
				err = fail(http.StatusBadRequest, "api.post.create_post.root_id.app_error", "Invalid RootId parameter.")
				return
			}
		}
		if i := slices.IndexFunc(*posts, func(old Post) bool { return c.Pending != "" && old.pending == c.Pending }); i >= 0 {
			p = (*posts)[i]
			return
		}
		p.ID = fmt.Sprintf("p%025d", len(*posts)+1)
		*posts = append(*posts, p)
	})
	return http.StatusCreated, p.answer(), err
}

func find(posts []Post, id string) *Post {
	for i := range posts {
		if posts[i].ID == id {
			return &posts[i]
		}
	}
	return nil
}

func (s *Server) patch(id string, body []byte) (int, any, error) {
	c, err := read("patch", body)
	if err != nil {
		return 0, nil, err
	}
	var answer any
	s.With(func(posts *[]Post) {
		p := find(*posts, id)
		switch {
		case p == nil: // the server hides whether there is such a post
			err = noPermission()
			return
		case s.NoEdits:
			err = fail(http.StatusBadRequest, "api.post.update_post.permissions_time_limit.app_error", "Post edit is only allowed for 0 seconds.")
			return
		}
		if c.Message != nil {
			p.Message = *c.Message
		}
		if c.Props != nil { // all of them are replaced
			p.Attachments = c.Props.Attachments
		}
		p.Edited++
		answer = p.answer()
	})
	return http.StatusOK, answer, err
}

func (p *Post) answer() map[string]any {
	return map[string]any{
		"id": p.ID, "create_at": 1_718_000_000_000, "delete_at": 0, "user_id": "uuuuuuuuuuuuuuuuuuuuuuuuuu", "channel_id": p.Channel,
		"root_id": p.Root, "message": p.Message, "type": "slack_attachment", "props": map[string]any{"attachments": p.Attachments},
	}
}

// Limit writes the server's answer to too many calls.
func Limit(w http.ResponseWriter, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.Header().Set("X-Ratelimit-Reset", strconv.Itoa(seconds))
	http.Error(w, "limit exceeded", http.StatusTooManyRequests)
}
