package msteams

import (
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/internal/fakes/standin"
)

const run = `{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"a"}]}`

func card(body string) string {
	return `{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard","version":"1.5","body":[` + body + `]}}]}`
}

func TestServer(t *testing.T) {
	s := &Server{Sig: "k"}
	hook := s.URL("")
	for _, c := range []struct{ name, url, body, want string }{
		{"taken", hook, card(run), "202"},
		{"nested", hook, card(`{"type":"Container","style":"attention","items":[` + run + `]}`), "202"},
		{"no card", hook, `{"text":"a"}`, "400 TriggerInputSchemaMismatch"},
		{"unknown element", hook, card(`{"type":"TextBlok","text":"a"}`), "400 "},
		{"unknown property", hook, card(`{"type":"RichTextBlock","colour":"red","inlines":[{"type":"TextRun","text":"a"}]}`), "400 "},
		{"unknown style", hook, card(`{"type":"Container","style":"red","items":[` + run + `]}`), "400 "},
		{"control character", hook, card(`{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"\u0000"}]}`), "400 "},
		{"nothing", hook, card(``), "400 "},
		{"too large", hook, card(strings.Repeat(run+",", 400) + run), "413"},
		{"cut off", hook, card(run)[:100], "400 InvalidRequestContent"},
		{"wrong key", hook + "x", card(run), "401 DirectApi"},
		{"elsewhere", "/", card(run), "404 WorkflowNotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text, _ := strings.Cut(c.want, " ")
			if got, answer := standin.Ask(t, s, http.MethodPost, c.url, c.body); strconv.Itoa(got) != status || !strings.Contains(answer, text) {
				t.Errorf("%d %s, want %s", got, answer, c.want)
			}
		})
	}
	if got := s.Taken(); len(got) != 2 || got[1].Style[0] != "attention" || got[1].Lines[0] != "a" {
		t.Errorf("taken: %+v", got)
	}
}

// TestVectors has the workflow, and npm's adaptivecards, take every request that the plug-in's vectors expect.
func TestVectors(t *testing.T) {
	s := &Server{Sig: "k"}
	for _, v := range standin.Vectors(t, "msteams") {
		for _, r := range v.Requests {
			if status, answer := standin.Ask(t, s, http.MethodPost, s.URL(""), r.HTTP.Body); status != http.StatusAccepted || len(r.HTTP.Body) > 20_000 {
				t.Errorf("%s, %d bytes: %d %s", v.File, len(r.HTTP.Body), status, answer)
			}
		}
	}
	var cards []string
	for _, c := range s.Taken() {
		cards = append(cards, c.JSON)
	}
	validated(t, cards, "")
}

// TestValidate has the library find what is wrong with cards.
func TestValidate(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"type":"Nothing"}`, `Unknown element type "Nothing"`},
		{`{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"a","size":"Huge"}]}`, `Invalid value "Huge"`},
		{`{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"a","weigth":"Bolder"}]}`, `weigth is not understood`},
	} {
		validated(t, []string{`{"type":"AdaptiveCard","version":"1.5","body":[` + c.body + `]}`}, c.want)
	}
}

func validated(t *testing.T, cards []string, want string) {
	t.Helper()
	problems, err := Validate(t.Context(), cards)
	if errors.Is(err, ErrNoValidator) {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal(err, ", and TOCSIN_SERVERS=required")
		}
		t.Skip(err)
	}
	if got := strings.Join(problems, "\n"); err != nil || want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("%v\n%s\nwant %q", err, got, want)
	}
}
