package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/internal/fakes/msteams"
)

// shownCode is the code that the last card of a fake shows, in its title and below.
func shownCode(t *testing.T, fake *msteams.Server) string {
	t.Helper()
	cards := fake.Taken()
	if len(cards) == 0 {
		t.Fatal("no card was sent")
	}
	text := strings.Join(cards[len(cards)-1].Lines, "\n")
	m := regexp.MustCompile(`Test (\d{4}): `).FindStringSubmatch(text)
	if m == nil || !strings.Contains(text, "Its code is "+m[1]+". ") {
		t.Fatalf("the card shows no code:\n%s", text)
	}
	return m[1]
}

// another is a code that is not c.
func another(c string) string {
	if c == "0000" {
		return "0001"
	}
	return "0000"
}

// TestConfirm sends a test message through a plug-in whose manifest asks for a confirmation, to a stand-in that takes everything, and
// gives the code back: the wrong one, the right one, and once more.
func TestConfirm(t *testing.T) {
	fake := &msteams.Server{}
	b := teamsRoom(t, fake)
	giveBack := func(code string) (string, error) {
		var out bytes.Buffer
		o := b.testing("", &out)
		o.Code = code
		err := TestRecipient(t.Context(), o, "ops")
		return out.String(), err
	}
	shows := func(want string) {
		t.Helper()
		var out bytes.Buffer
		l := b.testing("", &out).Listing
		l.Format = ""
		if err := ShowRecipient(t.Context(), l, "ops"); err != nil || !strings.Contains(out.String(), want) || want == "" && strings.Contains(out.String(), "confirmed ") {
			t.Errorf("%v: recipient show does not say %q:\n%s", err, want, out.String())
		}
	}
	shows("")
	if _, err := giveBack("1234"); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "no code is waited for") {
		t.Errorf("a code without a test: %v", err)
	}
	out, err := b.try("ops", "")
	if err != nil || !strings.Contains(out, `"step":"confirm","result":"skipped"`) || !strings.Contains(out, "tocsin recipient test ops --code CODE") {
		t.Fatalf("%v\n%s", err, out)
	}
	shows("has not come back")
	var list bytes.Buffer
	if err := ListEndpoints(t.Context(), b.testing("", &list).Listing); err != nil || !strings.Contains(list.String(), "ops: the code of the test message of ") {
		t.Errorf("%v: endpoint list says\n%s", err, list.String())
	}
	code := shownCode(t, fake)
	if out, err := giveBack(another(code)); ExitCode(err) != ExitUndeliverd || !strings.Contains(out, `"result":"failed"`) {
		t.Errorf("the wrong code: %v\n%s", err, out)
	}
	if out, err := giveBack(" " + code[:2] + " " + code[2:] + "\n"); err != nil || !strings.Contains(out, `"step":"confirm","result":"ok"`) {
		t.Errorf("the right code: %v\n%s", err, out)
	}
	list.Reset()
	if err := ListRecipients(t.Context(), b.testing("", &list).Listing); err != nil || !strings.Contains(list.String(), `"confirmed":"`) {
		t.Errorf("%v: recipient list says\n%s", err, list.String())
	}
	if n := len(fake.Taken()); n != 1 {
		t.Errorf("%d cards: a code that comes back sends nothing", n)
	}
	shows("its code came back on ")
	rs, err := recipientStates(t.Context(), b.cfg, nil)
	if err != nil || rs[0].Confirmed.IsZero() || rs[0].Unconfirmed || time.Since(rs[0].Confirmed) > time.Hour {
		t.Errorf("%v, %+v", err, rs)
	}
	if _, err := giveBack(code); ExitCode(err) != ExitUsage || !strings.Contains(err.Error(), "the last one came back on") {
		t.Errorf("the same code again: %v", err)
	}

	// Another address was never tried.
	raw, err := os.ReadFile(b.cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.cfg.File, bytes.Replace(raw, []byte(teamsSig), []byte(strings.ToUpper(teamsSig)), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("")
	if err := os.WriteFile(b.cfg.File, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	shows("its code came back on ")
	files, err := filepath.Glob(filepath.Join(b.cfg.DataDir, "confirmed", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || strings.Contains(string(text), teamsSig) {
		t.Errorf("%v: the file holds a secret:\n%s", err, text)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("")
	if _, err := giveBack(code); err == nil || !strings.Contains(err.Error(), "is damaged: remove it") {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestConfirmReady sends no message whose code cannot be recorded.
func TestConfirmReady(t *testing.T) {
	fake := &msteams.Server{}
	b := teamsRoom(t, fake)
	known, err := readConfirmation(b.cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(known.file)
	for _, c := range []struct {
		name, want string
		spoil      func() error
	}{
		{"a damaged record", "is damaged: remove it", func() error {
			return errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(known.file, []byte("{"), 0o600))
		}},
		{"a record that cannot be read", known.file, func() error { return os.MkdirAll(known.file, 0o700) }},
		{"no folder", dir, func() error { return os.WriteFile(dir, nil, 0o600) }},
		{"a folder that cannot be made", dir, func() error { return os.Symlink("nowhere", dir) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Dir(dir), 0o700), c.spoil()); err != nil {
				t.Fatal(err)
			}
			out, err := b.try("ops", "")
			if ExitCode(err) != ExitFailed || !strings.Contains(err.Error(), "nothing was sent, as its code cannot be recorded: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\n%s", err, out)
			}
			if n := len(fake.Taken()); n != 0 {
				t.Errorf("%d cards were sent", n)
			}
		})
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := b.try("ops", ""); err != nil || len(fake.Taken()) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v: the record alone is wanted", files, err)
	}
}

// TestConfirmWaits has nobody answer at a terminal: the message stays unconfirmed, and a command that is stopped stops at once.
func TestConfirmWaits(t *testing.T) {
	for _, stop := range []bool{false, true} {
		cfg := config.Default(t.TempDir())
		cfg.Recipients = []config.Recipient{{Name: "ops", Endpoint: "teams"}}
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			o := TestOptions{Listing: Listing{Streams: Streams{Out: &out, Err: io.Discard}, Format: "jsonl"}}
			w, err := o.writer(testColumns, nil)
			if err != nil {
				t.Fatal(err)
			}
			known, err := readConfirmation(cfg, 0)
			if err != nil {
				t.Fatal(err)
			}
			s := &tester{target: &target{live: &live{secrets: egress.NewSecrets()}}, w: w, of: `recipient "ops"`, code: "4821"}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if stop {
				time.AfterFunc(time.Minute, cancel)
			}
			start := time.Now()
			err = s.confirm(ctx, known, func(ctx context.Context, _ string) (string, error) {
				<-ctx.Done()
				return "", ctx.Err()
			})
			took, want := time.Since(start), answerLimit
			if stop {
				want = time.Minute
			}
			if took != want || errors.Is(err, context.Canceled) != stop || !stop && err != nil || s.failed != nil {
				t.Errorf("%v after %s, %v", err, took, s.failed)
			}
			if !stop && !strings.Contains(out.String(), `"step":"confirm","result":"skipped"`) {
				t.Errorf("it prints %s", out.String())
			}
			if got, err := readConfirmation(cfg, 0); err != nil || got.Code != "4821" || !got.Confirmed.IsZero() {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestConfirmAsks has somebody at a terminal answer.
func TestConfirmAsks(t *testing.T) {
	var out bytes.Buffer
	o := TestOptions{Listing: Listing{Streams: Streams{In: strings.NewReader("1"), Out: &out, Err: io.Discard}, Format: "jsonl"}}
	if o.asker() != nil {
		t.Error("what is no terminal is asked")
	}
	stopped := errors.New("stopped")
	for _, c := range []struct {
		name            string
		answers         []string // "" ends a line at once, "EOF" and "stop" are no answer
		ok, fails, gone bool     // gone: it is known not to arrive
	}{
		{"right", []string{"4821"}, true, false, false},
		{"with spaces, at the second try", []string{"4812", " 48 21 "}, true, false, false},
		{"nothing came", []string{""}, false, true, true},
		{"three wrong ones", []string{"1", "2", "3", "4821"}, false, true, false},
		{"no answer", []string{"EOF"}, false, false, false},
		{"stopped", []string{"1", "stop"}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			out.Reset()
			cfg := config.Default(t.TempDir())
			cfg.Recipients = []config.Recipient{{Name: "ops", Endpoint: "teams"}}
			w, err := o.writer(testColumns, nil)
			if err != nil {
				t.Fatal(err)
			}
			known, err := readConfirmation(cfg, 0)
			if err != nil {
				t.Fatal(err)
			}
			before := thisSecond().Add(-time.Hour)
			known.Confirmed = before
			s := &tester{target: &target{live: &live{secrets: egress.NewSecrets()}}, w: w, of: `recipient "ops"`, code: "4821"}
			left := c.answers
			err = s.confirm(t.Context(), known, func(_ context.Context, question string) (string, error) {
				answer := left[0]
				left = left[1:]
				switch {
				case answer == "EOF":
					return "", io.EOF
				case answer == "stop":
					return "", stopped
				case question == "":
					t.Error("nothing is asked")
				}
				return answer, nil
			})
			if errors.Is(err, stopped) != strings.Contains(c.name, "stopped") || (s.failed != nil) != c.fails {
				t.Errorf("%v, %v\n%s", err, s.failed, out.String())
			}
			got, err := readConfirmation(cfg, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got.Confirmed.After(before) != c.ok || got.Confirmed.IsZero() != c.gone || (got.Code == "") != c.ok || got.Sent.IsZero() {
				t.Errorf("%+v", got)
			}
		})
	}
}
