//go:build !windows

package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// TestShellScripts runs real scripts through the plug-in, the ledger and the executor: each behaves in its own way, and the
// ledger says what became of its alert.
func TestShellScripts(t *testing.T) {
	cases := []struct {
		script  string
		timeout int // seconds; those that end do so on a busy machine, too
		want    alert.State
		reason  string
	}{
		{"ok.sh", 60, alert.Delivered, ""},
		{"again.sh", 60, alert.Delivered, ""},
		{"fails.sh", 60, alert.Dead, "exit code 3: the firewall said no"},
		{"hangs.sh", 1, alert.Dead, "1s"},
		{"loud.sh", 60, alert.Delivered, ""},
		// The configuration is at fault: the alert waits until a person has acted.
		{"missing.sh", 60, alert.Queued, "missing.sh"},
		{"plain.sh", 60, alert.Queued, "executable"},
		{"link.sh", 60, alert.Queued, "link.sh"},
	}
	var text string
	for _, c := range cases {
		text += endpointTOML(c.script, "shell", fmt.Sprintf("shell_script = %q", c.script)) +
			recipientTOML(c.script, c.script, fmt.Sprintf("shell_script_options = [\"--to\", \"$(id); `id`\"], timeout = %d", c.timeout))
	}
	b := newBed(t, text)
	dir := filepath.Dir(b.cfg.File)
	scripts := filepath.Join(dir, "scripts")
	if err := os.MkdirAll(scripts, 0o755); err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(dir, "seen")
	outside := filepath.Join(dir, "outside.sh")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, "echo outside >>"+seen+".outside", 0o755)
	write(filepath.Join(scripts, "ok.sh"), `cat >`+seen+`; printf '%s\n' "$@" >`+seen+`.args`, 0o755)
	write(filepath.Join(scripts, "again.sh"), `cat >/dev/null; [ -e `+seen+`.again ] && exit 0; : >`+seen+`.again; exit 75`, 0o755)
	write(filepath.Join(scripts, "fails.sh"), "cat >/dev/null; echo 'the firewall said no' >&2; exit 3", 0o755)
	write(filepath.Join(scripts, "hangs.sh"), "sleep 600 & sleep 600", 0o755)
	write(filepath.Join(scripts, "loud.sh"), "cat >/dev/null; head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2", 0o755)
	write(filepath.Join(scripts, "plain.sh"), "exit 0", 0o644)
	if err := os.Symlink(outside, filepath.Join(scripts, "link.sh")); err != nil {
		t.Fatal(err)
	}

	b.start()
	al := &alert.Alert{
		ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "A test with ' and \" and $(id).", Flow: &alert.Flow{L4: "TCP"},
	}
	b.raise(al)
	for _, c := range cases {
		row := b.settled(c.script, c.want, 1)[0]
		if c.want == alert.Queued {
			row.Reason = b.held(c.script, "").Reason // the attempt does not count: the endpoint tells why
			b.settled(c.script, c.want, 1)
		}
		if !strings.Contains(row.Reason, c.reason) {
			t.Errorf("%s: the ledger says %q, want it to say %q", c.script, row.Reason, c.reason)
		}
	}
	var got struct{ Message string }
	if b, err := os.ReadFile(seen); err != nil || json.Unmarshal(b, &got) != nil || got.Message != al.Message {
		t.Errorf("standard input was %q, %v", b, err)
	}
	if b, err := os.ReadFile(seen + ".args"); err != nil || string(b) != "--to\n$(id); `id`\n" {
		t.Errorf("the arguments were %q, %v: no shell may read them", b, err)
	}
	if _, err := os.Stat(seen + ".outside"); err == nil {
		t.Error("a script outside of the folder was run")
	}
}

// BenchmarkDeliverShell starts a shell, with a script that reads the alert, for each.
func BenchmarkDeliverShell(b *testing.B) {
	bed := newRoom(b, "shell", `shell_script = "read.sh"`, "")
	scripts := filepath.Join(filepath.Dir(bed.cfg.File), "scripts")
	if err := os.MkdirAll(scripts, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(scripts, "read.sh"), []byte("#!/bin/sh\nread -r alert\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	benchDeliver(b, bed)
}
