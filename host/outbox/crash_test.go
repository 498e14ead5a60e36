package outbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// childEnv makes the test binary the process that is killed: it stores and settles in the outbox named until then.
const childEnv = "TOCSIN_OUTBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := storeAndSettle(context.Background(), path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// storeAndSettle prints a line for each thing that is on disk by the outbox's word: "stored ID" for an alert, "sent ID"
// for a delivery. An alert's score is the number of its targets.
func storeAndSettle(ctx context.Context, path string) error {
	s, err := Open(ctx, path, Options{})
	if err != nil {
		return err
	}
	errs := make(chan error)
	for range 2 {
		go func() {
			for {
				var es []Entry
				for range 1 + rand.IntN(20) {
					a := flowAlert("x")
					targets := to("ops@hook", "net@hook", "chat@telegram")[:1+rand.IntN(3)]
					a.Score = len(targets)
					es = append(es, Entry{a, targets})
				}
				if err := s.Store(ctx, es); err != nil {
					errs <- err
					return
				}
				var b strings.Builder
				for _, e := range es {
					fmt.Fprintf(&b, "stored %s\n", e.Alert.ID)
				}
				os.Stdout.WriteString(b.String())
			}
		}()
	}
	for _, endpoint := range []string{"hook", "telegram"} {
		go func() {
			if endpoint == "hook" {
				if err := s.Ahead(ctx, endpoint, 10); err != nil {
					errs <- err
					return
				}
			}
			for {
				if err := sendSome(ctx, s, endpoint); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	return <-errs
}

func sendSome(ctx context.Context, s *Store, endpoint string) error {
	ds, err := s.Lease(ctx, endpoint, 10)
	if err != nil {
		return err
	}
	var vs []alert.Settlement
	var b strings.Builder
	for _, d := range ds {
		v := alert.Settlement{Delivery: d.ID, State: alert.Delivered, Took: time.Millisecond}
		if rand.IntN(4) == 0 {
			v.State, v.Reason = alert.Queued, "HTTP 500"
		} else {
			fmt.Fprintf(&b, "sent %s\n", d.ID)
		}
		vs = append(vs, v)
	}
	if err := s.Settle(ctx, vs); err != nil {
		return err
	}
	os.Stdout.WriteString(b.String())
	return nil
}

// A process killed at any moment loses nothing that was stored, and leaves nothing half done.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	path := filepath.Join(t.TempDir(), "o.db")
	stored, sent, recovered := map[alert.ID]bool{}, map[alert.ID]bool{}, 0
	for round := range rounds {
		acked := runAndKill(t, path, time.Duration(rand.IntN(60))*time.Millisecond, round == 0)
		for _, line := range acked {
			what, text, _ := strings.Cut(line, " ")
			id, err := alert.ParseID(text)
			ok(t, err)
			if what == "stored" {
				stored[id] = true
			} else {
				sent[id] = true
			}
		}
		s, err := Open(t.Context(), path, Options{})
		ok(t, err)
		consistent(t, s)
		if n := count(t, s, "SELECT count(*) FROM delivery WHERE state = 1"); n != 0 {
			t.Fatalf("round %d: %d leases left", round, n)
		}
		if n := count(t, s, `SELECT count(*) FROM alert a WHERE json_extract(CAST(a.json AS TEXT), '$.score') <>
			(SELECT count(*) FROM delivery d WHERE d.alert = a.seq)`); n != 0 {
			t.Fatalf("round %d: %d alerts without all their deliveries", round, n)
		}
		if n := count(t, s, `SELECT count(*) FROM delivery d WHERE d.attempts <> (SELECT count(*) FROM tried WHERE delivery = d.id)`); n != 0 {
			t.Fatalf("round %d: %d deliveries whose attempts are not all recorded", round, n)
		}
		missing(t, s, round, "SELECT id FROM alert", stored)
		missing(t, s, round, "SELECT id FROM delivery WHERE state = 2", sent)
		recovered = count(t, s, "SELECT count(*) FROM tried WHERE reason = 'tocsin ended during this attempt'")
		ok(t, s.Close())
	}
	if len(stored) == 0 || len(sent) == 0 {
		t.Fatalf("the child did nothing: %d stored, %d sent", len(stored), len(sent))
	}
	t.Logf("%d kills: %d alerts and %d deliveries confirmed, all there; %d leases recovered", rounds, len(stored), len(sent), recovered)
}

// missing checks that what the child was told to be on disk is there.
func missing(t *testing.T, s *Store, round int, query string, want map[alert.ID]bool) {
	t.Helper()
	have := map[alert.ID]bool{}
	rows, err := s.reader.QueryContext(t.Context(), query)
	ok(t, err)
	for rows.Next() {
		var id []byte
		ok(t, rows.Scan(&id))
		have[alert.ID(id)] = true
	}
	ok(t, errors.Join(rows.Err(), rows.Close()))
	for id := range want {
		if !have[id] {
			t.Fatalf("round %d: %s was confirmed but is not there (%s)", round, id, query)
		}
	}
}

// runAndKill runs the child, kills it some time after its first line and returns the whole lines it wrote.
func runAndKill(t *testing.T, path string, after time.Duration, intrude bool) []string {
	t.Helper()
	exe, err := os.Executable()
	ok(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	var once sync.Once
	killed := make(chan struct{})
	kill := func() {
		defer close(killed)
		if intrude {
			_, err := Open(t.Context(), path, Options{})
			if le, is := errors.AsType[*LockedError](err); !is || le.PID != cmd.Process.Pid {
				t.Errorf("opening it beside process %d gave %v", cmd.Process.Pid, err)
			}
		}
		time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	}
	var lines []string
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
		lines = append(lines, strings.TrimSpace(line))
		once.Do(func() { go kill() })
	}
	once.Do(func() { close(killed) })
	<-killed
	_ = cmd.Wait() // it was killed
	if len(lines) == 0 {
		t.Fatal("the child stored nothing")
	}
	return lines
}
