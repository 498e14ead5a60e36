package discord

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

func TestServer(t *testing.T) {
	s := &Server{ID: "1100000000000000001", Token: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-_", Threads: []string{"77"}}
	hook := s.Path()
	embed := func(fields string) string { return `{"embeds":[{` + fields + `}],"allowed_mentions":{"parse":[]}}` }
	for _, c := range []struct{ name, method, path, body, want string }{
		{"read", "GET", hook, "", `200 "type":1`},
		{"sent", "POST", hook + "?wait=true", embed(`"title":"a","color":1,"timestamp":"2024-06-10T06:13:20.000000Z"`), `200 "id":"1300000000000000001"`},
		{"sent unseen", "POST", hook, `{"content":"a"}`, `204 `},
		{"in a thread", "POST", hook + "?wait=true&thread_id=77", `{"content":"a"}`, `200 "id":"1300000000000000003"`},
		{"in another thread", "POST", hook + "?wait=true&thread_id=78", `{"content":"a"}`, `404 "Unknown Channel"`},
		{"edited", "PATCH", hook + "/messages/1300000000000000001", embed(`"title":"b"`), `200 "title":"b"`},
		{"edited in the wrong place", "PATCH", hook + "/messages/1300000000000000001?thread_id=77", embed(`"title":"b"`), `404 "Unknown Message"`},
		{"no such message", "PATCH", hook + "/messages/5", embed(`"title":"b"`), `404 "Unknown Message"`},
		{"empty", "POST", hook, `{"content":" ","allowed_mentions":{"parse":[]}}`, `400 50006`},
		{"title", "POST", hook, embed(`"title":"` + strings.Repeat("é", 257) + `"`), `400 {"code":50035,"errors":{"embeds":{"0":{"title":`},
		{"title that fits", "POST", hook + "?wait=true", embed(`"title":"` + strings.Repeat("🚨", 256) + `"`), `200 `},
		{"total", "POST", hook, `{"embeds":[{"description":"` + strings.Repeat("a", 3001) + `"},{"description":"` + strings.Repeat("a", 3000) + `"}]}`, `400 exceeds maximum size of 6000`},
		{"colour", "POST", hook, embed(`"title":"a","color":16777216`), `400 "color"`},
		{"time", "POST", hook, embed(`"title":"a","timestamp":"yesterday"`), `400 "timestamp"`},
		{"eleven", "POST", hook, `{"embeds":[` + strings.Repeat(`{"title":"a"},`, 10) + `{"title":"a"}]}`, `400 "embeds"`},
		{"unknown field", "POST", hook, embed(`"titel":"a"`), `400 titel`},
		{"name", "POST", hook, `{"content":"a","username":"MyDiscordBot"}`, `400 "username"`},
		{"no JSON", "POST", hook, `{`, `400 50109`},
		{"wrong token", "POST", "/api/webhooks/1100000000000000001/b", `{}`, `401 50027`},
		{"wrong id", "POST", "/api/webhooks/11/b", `{}`, `404 10015`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := do(t, s, c.method, c.path, c.body); !holds(got, c.want) {
				t.Errorf("answer %s\nwant %s", got, c.want)
			}
		})
	}
	if got := s.Taken()[0]; got.Edited != 1 || got.Embeds[0].Title != "b" {
		t.Errorf("the first message is %+v", got)
	}
	do(t, s, "POST", hook, `{"content":"@everyone"}`)
	if m := s.Taken(); len(m[len(m)-1].Pings) != 1 {
		t.Errorf("a mention was not noticed: %+v", m[len(m)-1])
	}
}

func TestRateLimit(t *testing.T) {
	s := &Server{ID: "11", Token: "t", Count: 2, Window: time.Hour}
	for i, want := range []string{"204", "204", `429 "retry_after":3599.`} {
		if got := do(t, s, "POST", s.Path(), `{"content":"a"}`); !holds(got, want) {
			t.Errorf("request %d: %s, want %s", i, got, want)
		}
	}
	if invalid, _ := s.Counts(); invalid != 1 {
		t.Errorf("%d invalid requests, want 1", invalid)
	}
}

// TestVectors has the service take every request that the plug-in's vectors expect.
func TestVectors(t *testing.T) {
	s := &Server{ID: "11", Token: "t", Threads: []string{"77", "1234567890123456789"}}
	for _, v := range standin.Vectors(t, "discord") {
		for _, r := range v.Requests {
			got := do(t, s, r.HTTP.Method, strings.Replace(r.HTTP.URL[strings.Index(r.HTTP.URL, "tocsin-secret-11"):], "tocsin-secret-11", s.Path(), 1), r.HTTP.Body)
			if !holds(got, "200") && (r.Note != "edit" || !holds(got, "404 10008")) { // there is nothing to edit here
				t.Errorf("%s: %s", v.File, got)
			}
		}
	}
	for _, m := range s.Taken() {
		if len(m.Pings) > 0 {
			t.Errorf("%v are mentioned by %q", m.Pings, m.Content)
		}
	}
}

// holds tells whether an answer has the status and the text of want, "400 text".
func holds(got, want string) bool {
	status, text, _ := strings.Cut(want, " ")
	return strings.HasPrefix(got, status) && strings.Contains(got, text)
}

func do(t *testing.T, s *Server, method, path, body string) string {
	t.Helper()
	status, answer := standin.Ask(t, s, method, path, body)
	return fmt.Sprint(status, " ", answer)
}
