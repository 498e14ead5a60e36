package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/app"
	"github.com/tocsin-net/tocsin/host/internal/botapi"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

const botToken = "123456789:AAEabcdefghijklmnopqrstuvwxyz012345"

// folder makes a folder with the first-party plug-ins and a configuration.
func folder(t *testing.T, toml string) string {
	t.Helper()
	t.Setenv("TOCSIN_CACHE", compiled(t))
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "plugins.d"), 0o755))
	must(os.MkdirAll(filepath.Join(dir, "scripts"), 0o755))
	for _, name := range []string{"webhook", "telegram", "shell"} {
		must(os.WriteFile(filepath.Join(dir, "plugins.d", name+".wasm"), build.ForTest(t, name).Wasm, 0o644))
	}
	must(os.WriteFile(filepath.Join(dir, "tocsin.toml"), []byte(toml), 0o600))
	return dir
}

// tocsin runs a command in this process and gives its exit code and what it printed.
func tocsin(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, app.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

type testStep struct{ Step, Result, Of, Detail, Hint string }

func steps(t *testing.T, jsonl string) []testStep {
	t.Helper()
	var all []testStep
	for line := range strings.Lines(jsonl) {
		var s testStep
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		all = append(all, s)
	}
	return all
}

// TestEndpointAndRecipientTests tries endpoints that work, and that fail at each step, against real servers and scripts.
func TestEndpointAndRecipientTests(t *testing.T) {
	var got struct {
		sync.Mutex
		last string
	}
	status := func(code int, body string) string {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			got.Lock()
			got.last = string(b)
			got.Unlock()
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(srv.Close)
		return srv.URL + "/hook"
	}
	bot := &botapi.Server{Token: botToken}
	api := httptest.NewServer(bot)
	t.Cleanup(api.Close)
	fail := func(method string, code int, text string, only int) string {
		b := &botapi.Server{Token: botToken}
		n := 0
		b.Intercept = func(w http.ResponseWriter, m string, _ int) bool {
			if m != method {
				return false
			}
			if n++; only > 0 && n > only {
				return false
			}
			botapi.Fail(w, code, text, nil)
			return true
		}
		srv := httptest.NewServer(b)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the client that does not trust it
	secure.StartTLS()
	t.Cleanup(secure.Close)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the client is gone
		<-r.Context().Done()
	}))
	t.Cleanup(hang.Close)

	var toml strings.Builder
	add := func(name, typ, ep, rc string) {
		fmt.Fprintf(&toml, "[[endpoint]]\nname = %q\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = %q\nendpoint = %q\nparameters = { %s }\n", name, typ, ep, name, name, rc)
	}
	hook := func(name, url string) { add(name, "webhook", fmt.Sprintf("webhook_url = %q", url), "") }
	chat := func(name, url, token, id string) {
		add(name, "telegram", fmt.Sprintf("telegram_api_url = %q, telegram_token = %q", url, token), fmt.Sprintf("telegram_channel = %q", id))
	}
	chat("bot", api.URL, botToken, "-1001234567890")
	chat("wrong-token", api.URL, "123456789:AAEzzzzzzzzzzzzzzzzzzzzzzzzzzzzz999", "-1001234567890")
	chat("no-chat", fail("getChat", 400, "Bad Request: chat not found", 0), botToken, "-1001")
	chat("kicked", fail("sendMessage", 403, "Forbidden: bot was kicked from the group chat", 0), botToken, "-1001")
	chat("no-rights", fail("sendMessage", 400, "Bad Request: not enough rights to send text messages to the chat", 0), botToken, "-1001")
	chat("entities", fail("sendMessage", 400, "Bad Request: can't parse entities", 1), botToken, "-1001")
	chat("portal", status(200, "<html>log in"), botToken, "-1001")
	hook("fine", status(200, ""))
	hook("h401", status(401, "who?"))
	hook("h403", status(403, ""))
	hook("h404", status(404, ""))
	hook("h410", status(410, ""))
	hook("h422", status(422, "bad"))
	hook("h429", status(429, ""))
	hook("h500", status(500, "boom"))
	hook("refused", "http://127.0.0.1:1/")
	hook("dns", "http://nosuch-.example/") // no name of DNS, so nobody is asked for it
	hook("tls", secure.URL)
	hook("hang", hang.URL)
	add("script", "shell", `shell_script = "fine.sh"`, `shell_script_options = ["--a", "b c"]`)
	add("exits", "shell", `shell_script = "exits.sh"`, "")
	add("lost", "shell", `shell_script = "lost.sh"`, "")
	add("release", "shell", `shell_script = "fine.sh"`, `shell_script_execution = "release"`)
	fmt.Fprint(&toml, "[[endpoint]]\nname = \"lonely\"\ntype = \"shell\"\nparameters = { shell_script = \"fine.sh\" }\n")
	fmt.Fprint(&toml, "[[endpoint]]\nname = \"wrong\"\ntype = \"webhook\"\nparameters = { webhook_ulr = \"x\" }\n") // a mistake elsewhere does not matter

	dir := folder(t, toml.String())
	for name, text := range map[string]string{
		"fine.sh": "#!/bin/sh\ncat > \"$(dirname \"$0\")/out\"\n", "exits.sh": "#!/bin/sh\necho no such jail >&2\nexit 3\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "scripts", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "tocsin.toml")
	// A running service holds the database: a test neither needs nor changes it.
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := outbox.Open(t.Context(), filepath.Join(dir, "data", "tocsin.db"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	for _, c := range []struct {
		what, name string
		args       []string
		code       int
		steps      string // the judged ones, in order; a failed one with "!", a skipped one with "-"
		says       string // in the detail of the last
	}{
		{"recipient", "bot", nil, 0, "config auth permission payload post", "delivered, status 200"},
		{"endpoint", "bot", nil, 0, "config auth", ""},
		{"endpoint", "bot", []string{"--send"}, 0, "config auth permission payload post", ""},
		{"recipient", "wrong-token", nil, 4, "config !auth", "Telegram answered 401: Unauthorized; check telegram_token"},
		{"recipient", "no-chat", nil, 4, "config auth !permission", "chat not found; check telegram_channel"},
		{"recipient", "kicked", nil, 4, "config auth permission payload !permission", "kicked"},
		{"recipient", "no-rights", nil, 4, "config auth permission payload !permission", "not enough rights"},
		{"recipient", "entities", nil, 0, "config auth permission payload !payload payload post", "as plain text only"},
		{"recipient", "portal", nil, 4, "config !auth", "not as the Bot API does"},
		{"recipient", "fine", nil, 0, "config -probe payload post", "delivered"},
		{"endpoint", "fine", nil, 0, "config -probe", "webhook can test nothing without posting"},
		{"recipient", "h401", nil, 4, "config -probe payload !auth", "check the user name"},
		{"recipient", "h403", nil, 4, "config -probe payload !permission", "403"},
		{"recipient", "h404", nil, 4, "config -probe payload !post", "404; check the address"},
		{"recipient", "h410", nil, 4, "config -probe payload !post", "check webhook_url"},
		{"recipient", "h422", nil, 4, "config -probe payload !payload payload !payload", "422: bad"},
		{"recipient", "h429", nil, 4, "config -probe payload !post", "429"},
		{"recipient", "h500", nil, 4, "config -probe payload !post", "500: boom"},
		{"recipient", "refused", nil, 4, "config -probe payload !connect", "refused the connection"},
		{"recipient", "dns", nil, 4, "config -probe payload !dns", "nosuch-.example:80: no such host"},
		{"recipient", "tls", nil, 4, "config -probe payload !tls", "certificate"},
		{"recipient", "hang", []string{"--timeout", "3s"}, 4, "config -probe payload !post", "did not answer within"},
		{"recipient", "script", nil, 0, "config start payload post", "exit code 0"},
		{"recipient", "exits", nil, 4, "config start payload !post", "exit code 3: no such jail"},
		{"endpoint", "lost", nil, 4, "config !start", "there is no script lost.sh"},
		{"recipient", "release", nil, 0, "config start -post", "does not want this alert"},
		{"recipient", "release", []string{"--sample", "host, ends"}, 0, "config start payload post", ""},
		{"endpoint", "lonely", nil, 0, "config start", ""},
		{"endpoint", "lonely", []string{"--send"}, 2, "", "has no recipient to send a message to"},
		{"endpoint", "wrong", nil, 2, "", "webhook_ulr"},
		{"recipient", "fine", []string{"--code", "1234"}, 2, "", "no code is waited for"},
		{"endpoint", "fine", []string{"--code", "1234"}, 2, "", "no code is waited for"},
		{"recipient", "finn", nil, 2, "", `has no recipient "finn"; did you mean "fine"?`},
		{"endpoint", "bot", []string{"--timeout", "0s"}, 2, "", "--timeout is 0s"},
		{"endpoint", "bot", []string{"--sample", "zzz"}, 2, "", `no sample alert "zzz"`},
		{"endpoint", "bot", []string{"--log-level", "loud"}, 2, "", "unknown level"},
	} {
		t.Run(c.what+"/"+c.name, func(t *testing.T) {
			code, out, stderr := tocsin(append([]string{c.what, "test", c.name, "-c", conf}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			all := steps(t, out)
			var judged []string
			for _, s := range all {
				mark := map[string]string{"ok": "", "failed": "!", "skipped": "-"}[s.Result]
				if s.Result != "failed" && slices.Contains([]string{"dns", "connect", "tls", "send", "answer"}, s.Step) {
					continue
				}
				judged = append(judged, mark+s.Step)
			}
			if got := strings.Join(judged, " "); got != c.steps {
				t.Errorf("steps %q, want %q", got, c.steps)
			}
			last := stderr
			if len(all) > 0 {
				last = all[len(all)-1].Detail
			}
			if !strings.Contains(last, c.says) {
				t.Errorf("%q does not say %q", last, c.says)
			}
			if _, step, failed := strings.Cut(c.steps, "!"); failed && c.code == 4 {
				step = step[strings.LastIndexByte(step, '!')+1:]
				if !strings.Contains(stderr, fmt.Sprintf("the test of %s %q failed at %s: ", c.what, c.name, step)) {
					t.Errorf("the error does not name the step: %s", stderr)
				}
			}
			if t.Failed() {
				t.Logf("%s%s", out, stderr)
			}
		})
	}
	if m := bot.Messages(); len(m) != 2 || !strings.Contains(m[0].Plain, "Test: ") || !strings.Contains(m[0].Plain, "This is a test by tocsin") {
		t.Errorf("what arrived does not say that it is a test: %+v", m)
	}
	if code, _, stderr := tocsin("recipient", "test", "fine", "-c", conf); code != 0 || !strings.Contains(got.last, `"test":true`) {
		t.Errorf("programs cannot tell a test: %d %s %s", code, got.last, stderr)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "scripts", "out")); err != nil || !bytes.Contains(b, []byte(`"test":true`)) {
		t.Errorf("the script was given %s, %v", b, err)
	}
	if rows, err := db.List(t.Context(), outbox.Filter{}); err != nil || len(rows) != 0 {
		t.Errorf("the ledger has %d rows, %v", len(rows), err)
	}
	if code, out, _ := tocsin("recipient", "test", "h500", "-c", conf, "--format", "table"); code != 4 || !strings.HasPrefix(out, "STEP        RESULT        TOOK  DETAIL\nconfig      ok ") {
		t.Errorf("as a table: %d\n%s", code, out)
	}

	// Ctrl-C while a server does not answer.
	ctx, cancel := context.WithCancel(t.Context())
	o := app.TestOptions{Listing: app.Listing{Streams: app.Streams{Out: cancelAt{cancel, "payload"}, Err: io.Discard}, Config: conf}, Timeout: time.Hour, LogLevel: "warn"}
	if err := app.TestRecipient(ctx, o, "hang"); err == nil || app.ExitCode(err) != 1 || !strings.Contains(err.Error(), "was stopped") {
		t.Errorf("a test that was stopped ends with %v", err)
	}
}

// cancelAt cancels when a text is written.
type cancelAt struct {
	cancel context.CancelFunc
	text   string
}

func (c cancelAt) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(c.text)) {
		c.cancel()
	}
	return len(b), nil
}
