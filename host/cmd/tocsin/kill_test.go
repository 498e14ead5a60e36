package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin/build"
)

const demoCapture = "../../../capture/testdata/demo.pcap"

// receiver counts the alerts that arrive at it, by id.
type receiver struct {
	mu   sync.Mutex // mu guards what follows
	seen map[string]int
	fail int // every fail-th request is answered 500
	n    int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var msg struct {
		Alerts []struct {
			ID string `json:"id"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(req.Body).Decode(&msg); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if r.fail > 0 && r.n%r.fail == 0 {
		http.Error(w, "try again", http.StatusInternalServerError)
		return
	}
	for _, a := range msg.Alerts {
		r.seen[a.ID]++
	}
}

// service is a folder with a configuration that delivers everything to one webhook.
type service struct {
	dir  string
	sink *receiver
}

func newService(t *testing.T, fail int) *service {
	t.Helper()
	t.Setenv("TOCSIN_CACHE", compiled(t))
	s := &service{dir: t.TempDir(), sink: &receiver{seen: map[string]int{}, fail: fail}}
	srv := httptest.NewServer(s.sink)
	t.Cleanup(srv.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(s.dir, "plugins.d"), 0o755))
	must(os.WriteFile(filepath.Join(s.dir, "plugins.d", "webhook.wasm"), build.ForTest(t, "webhook").Wasm, 0o644))
	must(os.WriteFile(filepath.Join(s.dir, "tocsin.toml"), fmt.Appendf(nil, `
[checks]
enable = ["host/syn_scan", "host/scan_detection", "host/dns_contacts", "flow/unexpected_dns"]
disable = ["flow/ndpi_unidirectional_traffic", "flow/ndpi_tcp_issues", "flow/tcp_no_data_exchanged", "flow/tcp_connection_refused", "flow/tcp_connection_failed", "flow/low_goodput"]
[[endpoint]]
name = "hook"
type = "webhook"
parameters = { webhook_url = "%s/" }
[[recipient]]
name = "all"
endpoint = "hook"
`, srv.URL), 0o600))
	// A capture without packets lets a run deliver what is left and end.
	must(os.WriteFile(filepath.Join(s.dir, "nothing.pcap"), []byte(
		"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x00"), 0o600))
	return s
}

// command is this test binary as tocsin.
func (s *service) command(ctx context.Context, args ...string) *exec.Cmd {
	exe, err := exec.LookPath("tocsin") // testscript.Main put it there
	if err != nil {
		exe = os.Args[0]
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Dir = s.dir
	return cmd
}

// row is a delivery as `tocsin deliveries list` prints it.
type row struct {
	State    string `json:"state"`
	Possible bool   `json:"possible_duplicate"`
	Alert    struct {
		ID string `json:"id"`
	} `json:"alert"`
}

// ledger lists the deliveries by state.
func (s *service) ledger(t *testing.T) map[string][]row {
	t.Helper()
	out, err := s.command(t.Context(), "deliveries", "list", "--limit", "0", "--format", "jsonl").Output()
	if err != nil {
		t.Fatalf("deliveries list: %v", err)
	}
	byState := map[string][]row{}
	for line := range bytes.Lines(out) {
		var d row
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		byState[d.State] = append(byState[d.State], d)
	}
	return byState
}

var kills = flag.Int("kills", defaultKills, "how often TestKilledRunLosesNothing kills a run")

// TestKilledRunLosesNothing kills the process 200 times (15 under the race detector, which slows each start) at random
// moments while it reads, stores and delivers. In the end every alert that was stored has arrived, and what arrived twice is
// marked as a possible duplicate.
func TestKilledRunLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("kills 200 processes: left out with -short")
	}
	capture, err := filepath.Abs(demoCapture)
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, 7)
	start := time.Now()
	if out, err := s.command(t.Context(), "run", "-r", capture, "--log-format", "text").CombinedOutput(); err != nil {
		t.Fatalf("an undisturbed run: %v\n%s", err, out)
	}
	whole := time.Since(start) // compiles the plug-in; later runs take it from the cache
	start = time.Now()
	if out, err := s.command(t.Context(), "run", "-r", capture, "--log-format", "text").CombinedOutput(); err != nil {
		t.Fatalf("an undisturbed run: %v\n%s", err, out)
	}
	whole = min(whole, time.Since(start))
	killed := 0
	for range *kills {
		cmd := s.command(t.Context(), "run", "-r", capture)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(rand.N(whole), func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			killed++
		}
		timer.Stop()
	}
	if out, err := s.command(t.Context(), "run", "-r", "nothing.pcap", "--wait", "2m", "--log-format", "text").CombinedOutput(); err != nil {
		t.Fatalf("the last run: %v\n%s", err, out)
	}
	byState := s.ledger(t)
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	lost, twice, marked := 0, 0, 0
	for _, d := range byState["delivered"] {
		switch n := s.sink.seen[d.Alert.ID]; {
		case n == 0:
			lost++
		case n > 1 && !d.Possible:
			t.Errorf("alert %s arrived %d times, and its delivery is not marked as a possible duplicate", d.Alert.ID, n)
		case n > 1:
			twice++
		}
		if d.Possible {
			marked++
		}
	}
	t.Logf("%d of %d runs were killed; %d alerts stored, %d arrived, %d of them more than once, %d are marked as possible duplicates",
		killed, *kills, len(byState["delivered"]), len(s.sink.seen), twice, marked)
	if killed < *kills/2 {
		t.Errorf("only %d of %d runs were killed before they ended: the test shows little", killed, *kills)
	}
	for state, ds := range byState {
		if state != "delivered" {
			t.Errorf("%d deliveries are %s in the end", len(ds), state)
		}
	}
	if lost > 0 || len(byState["delivered"]) == 0 {
		t.Errorf("%d of %d stored alerts never arrived", lost, len(byState["delivered"]))
	}
}

// TestTermDrains stops a service with SIGTERM while it delivers: it exits with 0, and what it had not sent is queued, not
// lost and not leased.
func TestTermDrains(t *testing.T) {
	s := newService(t, 0)
	capture, err := filepath.Abs(demoCapture)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run"}, {"run", "-r", capture}} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := s.command(ctx, append(args, "--log-format", "text")...)
		var stderr lockedBuffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(stderr.String(), "started") && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v after SIGTERM, want exit code 0\n%s", args, err, stderr.String())
		}
	}
	if n := len(s.ledger(t)["leased"]); n > 0 {
		t.Errorf("%d deliveries are still leased", n)
	}
	if out, err := s.command(t.Context(), "run", "-r", "nothing.pcap").CombinedOutput(); err != nil {
		t.Fatalf("the last run: %v\n%s", err, out)
	}
	for state, ids := range s.ledger(t) {
		if state != "delivered" {
			t.Errorf("%d deliveries are %s in the end", len(ids), state)
		}
	}
}

// lockedBuffer is a buffer that a process writes and a test reads.
type lockedBuffer struct {
	mu sync.Mutex // mu guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
