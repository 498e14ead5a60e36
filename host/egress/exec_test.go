//go:build !windows

package egress

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

func script(t *testing.T, dir, name, content string, mode os.FileMode) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

func TestScripts(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "scripts")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOCSIN_SECRET_IN_ENV", "s3cret-env")
	script(t, dir, "echo.sh", "#!/bin/sh\nprintf '%s|' \"$@\"\ncat\nenv >&2\n", 0o755)
	script(t, dir, "exit75.sh", "#!/bin/sh\necho later >&2\nexit 75\n", 0o755)
	script(t, dir, "deaf.sh", "#!/bin/sh\nexit 0\n", 0o755)
	script(t, dir, "loud.sh", "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\nhead -c 3000000 /dev/zero | tr '\\0' y >&2\n", 0o755)
	script(t, dir, "self.sh", "#!/bin/sh\nkill -TERM $$\n", 0o755)
	script(t, dir, "daemon.sh", "#!/bin/sh\nsleep 30 &\necho started\n", 0o755)
	script(t, dir, "plain.txt", "#!/bin/sh\n", 0o644)
	script(t, dir, "writable.sh", "#!/bin/sh\n", 0o757)
	script(t, dir, "noline.sh", "echo hello\n", 0o755)
	script(t, dir, "nointerp.sh", "#!/no/such/interpreter\n", 0o755)
	script(t, top, "outside.sh", "#!/bin/sh\necho escaped\n", 0o755)
	for link, to := range map[string]string{"out.sh": "../outside.sh", "abs.sh": filepath.Join(top, "outside.sh"), "in.sh": "exit75.sh"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	x := newExecutor(t, Options{ScriptsDir: dir, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	sec := NewSecrets()
	h := sec.Add("token", canary)
	p := Policy{Exec: true, Secrets: sec, Timeout: time.Minute, MaxResponse: 1000}
	run := func(r pdk.ExecRequest, p Policy) (*pdk.Response, *pdk.TransportError) {
		t.Helper()
		return x.Do(t.Context(), &pdk.Request{Exec: &r}, p)
	}

	hostile := []string{"; rm -rf /", "$(id)", "`id`", "a b", "", "--x", "*", "'\"\\"}
	big := p
	big.MaxResponse = 0
	resp, terr := run(pdk.ExecRequest{Script: "echo.sh", Args: hostile, Stdin: `{"key":"` + h + `"}`}, big)
	if terr != nil {
		t.Fatal(terr)
	}
	if want := strings.Join(hostile, "|") + `|{"key":"‹secret:token›"}`; resp.Status != 0 || resp.Body != want {
		t.Errorf("got %+v, want %s", resp, want)
	}
	if strings.Contains(resp.Stderr, "s3cret-env") || !strings.Contains(resp.Stderr, "PATH=") {
		t.Errorf("environment: %s", resp.Stderr)
	}

	for _, c := range []struct {
		script string
		status int
		body   string
	}{{"exit75.sh", 75, ""}, {"in.sh", 75, ""}, {"deaf.sh", 0, ""}, {"self.sh", 128 + int(syscall.SIGTERM), ""}, {"daemon.sh", 0, "started\n"}} {
		resp, terr := run(pdk.ExecRequest{Script: c.script, Stdin: strings.Repeat("x", 1<<20)}, p)
		if terr != nil || resp.Status != c.status || resp.Body != c.body {
			t.Errorf("%s: got %+v, %+v", c.script, resp, terr)
		}
	}
	if resp, terr := run(pdk.ExecRequest{Script: "loud.sh"}, p); terr != nil || len(resp.Body) != 1000 || len(resp.Stderr) != 1000 || !resp.Truncated {
		t.Errorf("loud: %+v %+v", resp, terr)
	}

	for _, c := range []struct {
		r           pdk.ExecRequest
		stage, says string
	}{
		{pdk.ExecRequest{Script: "missing.sh"}, StageStart, "no script missing.sh"},
		{pdk.ExecRequest{Script: ""}, StageStart, "not the name of a script"},
		{pdk.ExecRequest{Script: ".."}, StageStart, "not the name of a script"},
		{pdk.ExecRequest{Script: "../outside.sh"}, StageStart, "not the name of a script"},
		{pdk.ExecRequest{Script: "/bin/sh"}, StageStart, "not the name of a script"},
		{pdk.ExecRequest{Script: "a\\b"}, StageStart, "not the name of a script"},
		{pdk.ExecRequest{Script: "out.sh"}, StageStart, "leads out of the scripts folder"},
		{pdk.ExecRequest{Script: "abs.sh"}, StageStart, "leads out of the scripts folder"},
		{pdk.ExecRequest{Script: "folder"}, StageStart, "not a regular file"},
		{pdk.ExecRequest{Script: "plain.txt"}, StageStart, "chmod +x"},
		{pdk.ExecRequest{Script: "writable.sh"}, StageStart, "chmod o-w"},
		{pdk.ExecRequest{Script: "noline.sh"}, StageStart, "#!/bin/sh"},
		{pdk.ExecRequest{Script: "nointerp.sh"}, StageStart, "interpreter"},
		{pdk.ExecRequest{Script: "echo.sh", Args: []string{"a\x00b"}}, StageInvalid, "NUL"},
		{pdk.ExecRequest{Script: "echo.sh", Args: make([]string, 300)}, StageInvalid, "300 arguments"},
		{pdk.ExecRequest{Script: "echo.sh", Args: []string{h}}, StageDenied, "standard input"},
	} {
		_, terr := run(c.r, p)
		if terr == nil || terr.Stage != c.stage || terr.Ambiguous || !strings.Contains(terr.Message, c.says) {
			t.Errorf("%+v: got %+v", c.r.Script, terr)
		}
	}
	// Who may write to the folder can replace a script after it was looked at: that must not be everyone.
	if err := os.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	if _, terr := run(pdk.ExecRequest{Script: "echo.sh"}, p); terr == nil || terr.Stage != StageStart || !strings.Contains(terr.Message, "folder "+dir+" may be changed by every user") {
		t.Errorf("folder of all users: %+v", terr)
	}
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	if _, terr := run(pdk.ExecRequest{Script: "echo.sh"}, Policy{}); terr == nil || terr.Stage != StageDenied {
		t.Errorf("without a grant: %+v", terr)
	}
	none := newExecutor(t, Options{})
	if _, terr := none.Do(t.Context(), &pdk.Request{Exec: &pdk.ExecRequest{Script: "echo.sh"}}, p); terr == nil || terr.Stage != StageStart || !strings.Contains(terr.Message, "scripts folder") {
		t.Errorf("without a folder: %+v", terr)
	}
	if strings.Contains(log.String(), "c4n4ry") {
		t.Errorf("a secret is in the log: %s", log.String())
	}
}

// TestScriptTimeout wants the script killed when its time is up.
func TestScriptTimeout(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "slow.sh", "#!/bin/sh\nsleep 60 &\nwait\n", 0o755)
	x := newExecutor(t, Options{ScriptsDir: dir})
	start := time.Now()
	_, terr := x.Do(t.Context(), &pdk.Request{Exec: &pdk.ExecRequest{Script: "slow.sh", TimeoutMS: 200}}, Policy{Exec: true})
	if terr == nil || terr.Stage != StageTimeout || !terr.Ambiguous || !strings.Contains(terr.Message, "still running after 200ms") {
		t.Errorf("got %+v", terr)
	}
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("took %s", took)
	}
}

// zombie reports whether a process ended and waits for a parent that may not come, as in a container without an init.
func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

// TestScriptCancelled wants the script killed with what it started, in the way that one is whose time is up.
func TestScriptCancelled(t *testing.T) {
	dir := t.TempDir()
	started := filepath.Join(dir, "pid")
	// The process noted is a grandchild: what the script's child started.
	script(t, dir, "slow.sh", "#!/bin/sh\ncd "+dir+"\n(sleep 60 & echo $! >new; mv new pid; wait) &\nwait\n", 0o755)
	x := newExecutor(t, Options{ScriptsDir: dir})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(started); err == nil {
				cancel()
			}
			<-time.After(time.Millisecond)
		}
	}()
	_, terr := x.Do(ctx, &pdk.Request{Exec: &pdk.ExecRequest{Script: "slow.sh"}}, Policy{Exec: true, Timeout: time.Minute})
	if terr == nil || terr.Stage != StageRead || !terr.Ambiguous || !strings.Contains(terr.Message, "stopped") {
		t.Errorf("got %+v", terr)
	}
	b, err := os.ReadFile(started)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil && !zombie(pid); {
		if time.Now().After(deadline) {
			t.Fatal("the script's child is still running")
		}
		<-time.After(5 * time.Millisecond)
	}
}
