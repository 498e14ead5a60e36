//go:build !windows

package app

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// fail2banServer starts a real fail2ban-server of its own, with the jail that the plug-in's guide describes and an action that writes
// what it does to a file. It gives the server's socket and what the action has done so far.
func fail2banServer(t testing.TB) (sock string, done func() string) {
	t.Helper()
	server, err := exec.LookPath("fail2ban-server")
	if err != nil {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal("fail2ban-server is not installed, and TOCSIN_SERVERS=required")
		}
		t.Skip("fail2ban-server is not installed: apt-get install fail2ban")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"etc/fail2ban.conf": "[Definition]\nloglevel = INFO\nlogtarget = DIR/log\nsyslogsocket = auto\nsocket = DIR/sock\npidfile = DIR/pid\n" +
			"dbfile = None\ndbpurgeage = 1d\nallowipv6 = true\n",
		"etc/jail.conf":            "[DEFAULT]\nusedns = no\naction = record\n",
		"etc/jail.d/tocsin.conf":   "[tocsin]\nenabled = true\nfilter = tocsin\nbackend = polling\nlogpath = DIR/fail2ban.log\nbantime = 1h\n",
		"etc/filter.d/tocsin.conf": "[Definition]\nfailregex = ^tocsin bans <HOST>$\n",
		"etc/action.d/record.conf": "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban = echo ban <ip> >>DIR/done\nactionunban = echo unban <ip> >>DIR/done\n",
		"fail2ban.log":             "", "done": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sock = filepath.Join(dir, "sock")
	cmd := exec.CommandContext(t.Context(), server, "-f", "-c", filepath.Join(dir, "etc"), "-s", sock, "-p", filepath.Join(dir, "pid"), "start")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	until := time.Now().Add(time.Minute)
	for exec.CommandContext(t.Context(), "fail2ban-client", "-s", sock, "status", "tocsin").Run() != nil {
		if time.Now().After(until) {
			t.Fatal("fail2ban does not come up")
		}
	}
	return sock, func() string {
		b, err := os.ReadFile(filepath.Join(dir, "done"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ", ")
	}
}

// attacker is a host alert about an attacker.
func attacker(action alert.Action, ip string, local bool) *alert.Alert {
	a := scan(action, "host/syn_scan|"+ip)
	a.Host.IP, a.Host.Local = netip.MustParseAddr(ip), local
	if action == alert.Release {
		a.Engaged = a.Time.Add(-time.Minute)
	}
	return a
}

// TestFail2ban bans and unbans attackers by a real fail2ban, through the real module: whom it must not ban it leaves alone, a test bans
// nobody, and a jail that is missing holds the endpoint.
func TestFail2ban(t *testing.T) {
	sock, done := fail2banServer(t)
	b := newBed(t, fmt.Sprintf("[egress]\nfail2ban_socket = %q\n", sock), endpointTOML("wall", "fail2ban", ""), endpointTOML("typo", "fail2ban", ""),
		recipientTOML("unbans", "wall", `fail2ban_jail = "tocsin", unban_on_release = true, never_ban = ["198.51.100.0/24"]`),
		recipientTOML("nojail", "typo", `fail2ban_jail = "tocsinn"`, `minimum_severity = "emergency"`)).start()
	first, again := attacker(alert.Engage, "192.0.2.7", false), attacker(alert.Store, "192.0.2.7", false)
	six, local, spared := attacker(alert.Store, "2001:db8::bad", false), attacker(alert.Engage, "192.0.2.8", true), attacker(alert.Engage, "198.51.100.1", false)
	own, none := attacker(alert.Engage, "127.0.0.1", false), attacker(alert.Store, "192.0.2.9", false)
	none.Host.Attacker = false
	rows := b.send("unbans", first)
	maps.Copy(rows, b.send("unbans", again, six, local, spared, own, none))
	if got := done(); got != "ban 192.0.2.7, ban 2001:db8::bad" {
		t.Errorf("fail2ban did %q", got)
	}
	end := attacker(alert.Release, "192.0.2.7", false)
	rows[end.ID] = b.send("unbans", end)[end.ID]
	if got := done(); got != "ban 192.0.2.7, ban 2001:db8::bad, unban 192.0.2.7" {
		t.Errorf("fail2ban did %q", got)
	}
	for _, c := range []struct {
		what   string
		a      *alert.Alert
		state  alert.State
		reason string
	}{
		{"new", first, alert.Delivered, ""},
		{"in one request with a new one", again, alert.Delivered, ""},
		{"IPv6", six, alert.Delivered, ""},
		{"local", local, alert.Skipped, "is a local host"},
		{"never_ban", spared, alert.Skipped, "is in never_ban (198.51.100.0/24)"},
		{"this machine", own, alert.Dead, "127.0.0.1 is a loopback address, which is never banned"},
		{"no attacker", none, alert.Skipped, "names no attacker"},
		{"release", end, alert.Delivered, ""},
	} {
		if r := rows[c.a.ID]; r.State != c.state || !strings.Contains(r.Reason, c.reason) {
			t.Errorf("%s: got %+v", c.what, r)
		}
	}

	before := done()
	if out, err := b.try("unbans", "host, starts"); err != nil || done() != before {
		t.Errorf("a test: %v, fail2ban did %q\n%s", err, done(), out)
	}
	if out, err := b.try("nojail", "host, starts"); err == nil || !strings.Contains(out, "Sorry but the jail 'tocsinn' does not exist; check fail2ban_jail") {
		t.Errorf("a test of a jail that is missing: %v\n%s", err, out)
	}
	worst := attacker(alert.Store, "203.0.113.9", false)
	worst.Severity = alert.Emergency
	b.send("unbans", worst)
	b.held("typo", "check fail2ban_jail")
	if holds, err := b.store.Holds(t.Context()); err != nil || len(holds) != 1 {
		t.Errorf("held: %+v, %v", holds, err)
	}
}

// BenchmarkDeliverFail2ban has a real fail2ban, with an action that starts a shell for each address.
func BenchmarkDeliverFail2ban(b *testing.B) {
	sock, _ := fail2banServer(b)
	benchDeliver(b, newRoom(b, "fail2ban", "", `fail2ban_jail = "tocsin"`, fmt.Sprintf("[egress]\nfail2ban_socket = %q\n", sock)))
}
