package app

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/tocsin-net/tocsin/host/config"
)

// Some services take every message and show it later, or not at all: their success says nothing. A plug-in for such a service says
// so in its manifest ([features] confirm). A test message then shows a code, and whoever reads it gives it back.

// confirmation is what is known of whether messages to a recipient arrive. It lies in a file of its own in data_dir, beside a ledger
// that a running service holds. Another configuration of the endpoint or of the recipient makes it void.
type confirmation struct {
	Recipient string    `json:"recipient"`
	Setup     string    `json:"setup"`              // a hash of the parameters, as they stand in the configuration
	Code      string    `json:"code,omitempty"`     // what the last test message shows, until it came back
	Sent      time.Time `json:"sent,omitzero"`      // when that message was taken
	Confirmed time.Time `json:"confirmed,omitzero"` // when a code came back last

	file string
}

// readConfirmation gives what is known of a recipient, by its index in the configuration: nothing, if there is no file.
func readConfirmation(cfg *config.Config, rc int) (*confirmation, error) {
	r := &cfg.Recipients[rc]
	setup := []any{r.Endpoint, r.Parameters}
	for i := range cfg.Endpoints {
		if e := &cfg.Endpoints[i]; e.Name == r.Endpoint {
			setup = append(setup, e.Type, e.Parameters)
		}
	}
	b, err := json.Marshal(setup)
	if err != nil {
		return nil, err
	}
	fresh := &confirmation{
		Recipient: r.Name, Setup: digestOf(b),
		file: filepath.Join(cfg.DataDir, "confirmed", digestOf([]byte(r.Name))[:16]+".json"),
	}
	b, err = os.ReadFile(fresh.file)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err != nil {
		return nil, err
	}
	c := &confirmation{file: fresh.file}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it, and test the recipient %q again: %w", c.file, r.Name, err)
	}
	if c.Setup != fresh.Setup || c.Recipient != fresh.Recipient {
		return fresh, nil
	}
	return c, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (c *confirmation) save() error {
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	return replaceFile(c.file, append(appendJSON(nil, c), '\n'))
}

// ready makes sure that a code can be recorded, before a message shows one: a record with a code is written beside, and removed.
func (c *confirmation) ready() error {
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	try := *c
	try.Code, try.Sent = "0000", thisSecond()
	f, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return err
	}
	_, err = f.Write(appendJSON(nil, &try))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// back takes a code that somebody gives back, and tells whether it is the last test message's.
func (c *confirmation) back(code string) (bool, error) {
	if c.Code == "" || strings.Join(strings.Fields(code), "") != c.Code {
		return false, nil
	}
	c.Code, c.Confirmed = "", thisSecond()
	return true, c.save()
}

// note says in words what is known; empty if no test message was ever sent.
func (c *confirmation) note() string {
	switch {
	case c.Code != "":
		text := fmt.Sprintf("the code of the test message of %s has not come back", local(c.Sent))
		if !c.Confirmed.IsZero() {
			text += "; an earlier one did on " + local(c.Confirmed)
		}
		return text
	case !c.Confirmed.IsZero():
		return "a test message arrived: its code came back on " + local(c.Confirmed)
	}
	return ""
}

// newCode makes a code of four digits: short enough to type, and no secret.
func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(10_000))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%04d", n), nil
}

func thisSecond() time.Time { return time.Now().UTC().Truncate(time.Second) }

// answerLimit is how long a person may take to type a code. --timeout is the service's: a message may take minutes to be shown.
const answerLimit = 10 * time.Minute

// asker asks a person one thing and gives the line that is typed; io.EOF for none.
type asker func(ctx context.Context, question string) (string, error)

// asker is nil if there is nobody to ask: standard input is no terminal.
func (o *TestOptions) asker() asker {
	f, ok := o.In.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	in := bufio.NewReader(f)
	return func(ctx context.Context, question string) (string, error) {
		type answer struct {
			line string
			err  error
		}
		done := make(chan answer, 1)
		_, _ = fmt.Fprint(o.Err, question)
		go func() { // a terminal is read to the end of a line, whatever happens meanwhile
			line, err := in.ReadString('\n')
			done <- answer{strings.TrimSpace(line), err}
		}()
		select {
		case <-ctx.Done():
			_, _ = fmt.Fprintln(o.Err)
			return "", ctx.Err()
		case a := <-done:
			return a.line, a.err
		}
	}
}

// confirm records that a test message was taken which shows s.code, and asks whoever started the test for that code. Without an
// answer until answerLimit it stays open whether the message arrived.
func (s *tester) confirm(ctx context.Context, c *confirmation, ask asker) error {
	c.Code, c.Sent = s.code, thisSecond()
	if err := c.save(); err != nil {
		return err
	}
	later := func() {
		s.row(testRow{
			Step: stepConfirm, Result: resultSkipped, Of: testMessage,
			Detail: fmt.Sprintf("the service does not tell whether it arrived; it shows a code: tocsin recipient test %s --code CODE", c.Recipient),
		}, 0)
	}
	if ask == nil {
		later()
		return nil
	}
	start, question := time.Now(), "The service does not tell whether the message arrived. The code that it shows (empty: nothing came): "
	asking, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	for range 3 {
		code, err := ask(asking, question)
		if errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			later()
			return nil
		}
		if err != nil {
			return err
		}
		if code == "" {
			c.Confirmed = time.Time{}
			s.fail(stepConfirm, testMessage, "the service took it, and it did not arrive", time.Since(start))
			return c.save()
		}
		switch same, err := c.back(code); {
		case err != nil:
			return err
		case same:
			s.row(testRow{Step: stepConfirm, Of: testMessage, Detail: "it arrived"}, time.Since(start))
			return nil
		}
		question = "This message shows another code. Its code: "
	}
	s.fail(stepConfirm, testMessage, "another code came back", time.Since(start))
	return nil
}

// giveBack is a test with --code: nothing is sent.
func (o *TestOptions) giveBack(cfg *config.Config, of string, rc int) (err error) {
	c, err := readConfirmation(cfg, rc)
	if err != nil {
		return err
	}
	if c.Code == "" {
		text := fmt.Sprintf("no code is waited for: tocsin recipient test %s sends a message that shows one, where the service does not tell whether it arrives", c.Recipient)
		if !c.Confirmed.IsZero() {
			text += "; the last one came back on " + local(c.Confirmed)
		}
		return usage("%s", text)
	}
	w, err := o.writer(testColumns, paintTest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	same, err := c.back(o.Code)
	switch {
	case err != nil:
		return err
	case !same:
		const detail = "another code came back; the newest test message shows the right one"
		writeRow(w, testRow{Step: stepConfirm, Result: resultFailed, Of: testMessage, Detail: detail}, 0)
		return &TestError{Of: of, Step: stepConfirm, Reason: detail}
	}
	writeRow(w, testRow{Step: stepConfirm, Result: resultOK, Of: testMessage, Detail: "it arrived"}, 0)
	return nil
}
