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
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// TestShellScripts runs real scripts through the plug-in, the ledger and the executor: each behaves in its own way, and the
// ledger says what became of its alert.
func TestShellScripts(t *testing.T) {
	cfg := configured(t, "http://127.0.0.1:1")
	dir := filepath.Dir(cfg.File)
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

	cases := []struct {
		script string
		want   alert.State
		reason string
	}{
		{"ok.sh", alert.Delivered, ""},
		{"again.sh", alert.Delivered, ""},
		{"fails.sh", alert.Dead, "exit code 3: the firewall said no"},
		{"hangs.sh", alert.Dead, "1s"},
		{"loud.sh", alert.Delivered, ""},
		// The configuration is at fault: the alert waits until a person has acted.
		{"missing.sh", alert.Queued, "missing.sh"},
		{"plain.sh", alert.Queued, "executable"},
		{"link.sh", alert.Queued, "link.sh"},
	}
	text := ""
	for _, c := range cases {
		name := strings.TrimSuffix(c.script, ".sh")
		text += fmt.Sprintf("[[endpoint]]\nname = %q\ntype = \"shell\"\nparameters = { shell_script = %q }\n", name, c.script) +
			fmt.Sprintf("[[recipient]]\nname = %q\nendpoint = %q\nparameters = { shell_script_options = [\"--to\", \"$(id); `id`\"], timeout = 1 }\n", name, name)
	}
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, "shell.wasm"), build.ForTest(t, "shell").Wasm); err != nil {
		t.Fatal(err)
	}
	a := chatService(t, cfg)
	al := &alert.Alert{
		ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "A test with ' and \" and $(id).", Flow: &alert.Flow{L4: "TCP"},
	}
	raiseAll(t, a, al)
	for _, c := range cases {
		name := strings.TrimSuffix(c.script, ".sh")
		var row outbox.Row
		waitFor(t, c.script+" to be "+c.want.String(), func() bool {
			rows, err := a.store.List(t.Context(), outbox.Filter{Recipient: name})
			if err != nil || len(rows) != 1 {
				t.Fatal(rows, err)
			}
			row = rows[0]
			if c.want != alert.Queued {
				return row.State == c.want
			}
			holds, err := a.store.Holds(t.Context())
			for _, h := range holds {
				if h.Endpoint == name && h.Broken {
					row.Reason = h.Reason // the attempt does not count: the endpoint tells why
					return row.State == alert.Queued
				}
			}
			return err != nil
		})
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
