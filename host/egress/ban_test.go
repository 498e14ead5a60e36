//go:build !windows

package egress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

func ban(action string, addresses ...string) *pdk.Request {
	return &pdk.Request{Deliveries: []string{"d"}, Ban: &pdk.BanRequest{Jail: "tocsin", Action: action, Addresses: addresses}}
}

// fakeClient is a fail2ban-client that writes its arguments to a file and behaves as told.
func fakeClient(t *testing.T, behaviour string) (path, log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	script(t, dir, "fail2ban-client", "#!/bin/sh\nprintf '%s\\n' \"$*\" >>"+log+"\n"+behaviour+"\n", 0o755)
	return filepath.Join(dir, "fail2ban-client"), log
}

func calls(t *testing.T, log string) string {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestBanAddresses checks which addresses reach fail2ban-client, and in which form.
func TestBanAddresses(t *testing.T) {
	path, log := fakeClient(t, "echo 1")
	x := newExecutor(t, Options{Fail2ban: path, Fail2banSocket: "/run/x.sock", NeverBan: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}})
	r := ban("ban",
		"192.0.2.7", "::ffff:192.0.2.8", "192.0.2.7", "2001:DB8:0::7", // fine, the third a repeat
		"not-an-ip", "1.2.3.4; rm", "-h", "--", "", "192.0.2.7/24", "1.2.3", "0x7f.1", "010.0.0.1", "fe80::1%eth0",
		"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1",
		"255.255.255.255", "203.0.113.9", "::ffff:203.0.113.9", "2001:db8:1::5", "198.51.100.1", "10.9.8.7",
	)
	r.Ban.NeverBan = []string{"198.51.100.1", "10.0.0.0/8"}
	resp, terr := x.Do(t.Context(), r, Policy{Ban: true})
	if terr != nil || resp.Status != 0 {
		t.Fatal(resp, terr)
	}
	if got, want := calls(t, log), "-s /run/x.sock set tocsin banip 192.0.2.7 192.0.2.8 2001:db8::7"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if len(resp.Parts) != len(r.Ban.Addresses) {
		t.Fatalf("%d parts for %d addresses", len(resp.Parts), len(r.Ban.Addresses))
	}
	reasons := map[string]string{
		"not-an-ip": `"not-an-ip" is no IP address`, "-h": `"-h" is no IP address`, "fe80::1%eth0": "has a zone", "127.0.0.1": "127.0.0.1 is a loopback address, which is never banned",
		"::ffff:127.0.0.1": "127.0.0.1 is a loopback", "64:ff9b::127.0.0.1": "127.0.0.1 is a loopback", "0.1.2.3": "unspecified", "224.0.0.1": "multicast", "169.254.1.1": "link-local",
		"255.255.255.255": "the broadcast address", "203.0.113.9": "in 203.0.113.0/24 (never_ban of tocsin.toml)", "::ffff:203.0.113.9": "203.0.113.0/24",
		"198.51.100.1": "in 198.51.100.1/32 (never_ban of the recipient)", "10.9.8.7": "in 10.0.0.0/8 (never_ban of the recipient)",
	}
	for i, p := range resp.Parts {
		if p.Name != r.Ban.Addresses[i] || p.OK != (i < 4) || p.OK != (p.Message == "") || !strings.Contains(p.Message, reasons[p.Name]) {
			t.Errorf("part %d: %+v", i, p)
		}
	}
	// To lift a ban of one of them can only help.
	if resp, terr := x.Do(t.Context(), ban("unban", "127.0.0.1", "no"), Policy{Ban: true}); terr != nil || !resp.Parts[0].OK || resp.Parts[1].OK {
		t.Errorf("got %+v, %+v", resp, terr)
	}
}

// TestOwnAddressesAreNotBanned has the real addresses and gateways of the machine that runs the test.
func TestOwnAddressesAreNotBanned(t *testing.T) {
	path, log := fakeClient(t, "echo 1")
	x := newExecutor(t, Options{Fail2ban: path})
	n, err := x.neverBan(&pdk.BanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := net.InterfaceAddrs()
	if err != nil || len(own) == 0 || len(n.own) != len(own) {
		t.Fatalf("%v, %v, %v", own, n.own, err)
	}
	var list []string
	for _, a := range slices.Concat(n.own, n.gateways, n.broadcast) {
		list = append(list, a.String())
	}
	resp, terr := x.Do(t.Context(), ban("ban", list...), Policy{Ban: true})
	if terr != nil || resp.Status != exitUsage || calls(t, log) != "" {
		t.Fatalf("got %+v, %+v, fail2ban-client was called with %q", resp, terr, calls(t, log))
	}
	for _, p := range resp.Parts {
		if p.OK || !strings.Contains(p.Message, "never banned") {
			t.Errorf("part %+v", p)
		}
	}
}

func TestGateways(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the sample is of a little-endian machine")
	}
	route := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n" +
		"eth1\t0000000A\tFE0210AC\t0003\t0\t0\t0\t000000FF\t0\t0\t0\n" + "broken\nx y zz 0003\n"
	if got := fmt.Sprint(gateways4([]byte(route))); got != "[192.168.1.1 172.16.2.254]" {
		t.Errorf("got %s", got)
	}
	route6 := "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n" +
		"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n" + "x\n"
	if got := fmt.Sprint(gateways6([]byte(route6))); got != "[2001:db8::1]" {
		t.Errorf("got %s", got)
	}
	n := never{gateways: gateways4([]byte(route))}
	if err := n.check(netip.MustParseAddr("192.168.1.1")); err == nil || !strings.Contains(err.Error(), "a gateway of this machine") {
		t.Errorf("got %v", err)
	}
}

func TestBanRefusals(t *testing.T) {
	path, log := fakeClient(t, "echo 1")
	sec := NewSecrets()
	holder := sec.Add("pw", canary)
	for _, c := range []struct {
		name   string
		r      *pdk.Request
		client string
		policy Policy
		want   string
	}{
		{"no grant", ban("ban", "192.0.2.7"), path, Policy{Exec: true}, "denied: this endpoint may not ban addresses: the manifest must ask for it with [ban]"},
		{"action", ban("unbanip", "192.0.2.7"), path, Policy{Ban: true}, `invalid: the action "unbanip" is none of ban, unban and verify`},
		{"jail", &pdk.Request{Ban: &pdk.BanRequest{Jail: "--str2sec", Action: "ban"}}, path, Policy{Ban: true}, `invalid: "--str2sec" is not the name of a jail`},
		{"jail of verify", &pdk.Request{Ban: &pdk.BanRequest{Jail: "a b", Action: "verify"}}, path, Policy{Ban: true}, `invalid: "a b" is not the name of a jail`},
		{"secret", ban("ban", holder), path, Policy{Ban: true, Secrets: sec}, "invalid: a request to ban holds a secret's placeholder"},
		{"many", ban("ban", make([]string, 1001)...), path, Policy{Ban: true}, "invalid: there are 1001 addresses; at most 1000"},
		{"never_ban", &pdk.Request{Ban: &pdk.BanRequest{Jail: "j", Action: "ban", Addresses: []string{"192.0.2.7"}, NeverBan: []string{"192.0.2.0/33"}}}, path, Policy{Ban: true}, `denied: never_ban[0]: "192.0.2.0/33" is neither an address nor a network`},
		{"no fail2ban", ban("ban", "192.0.2.7"), filepath.Join(filepath.Dir(path), "none"), Policy{Ban: true}, "start: " + filepath.Join(filepath.Dir(path), "none") + " cannot be run (there is no such file): install fail2ban, or set fail2ban"},
		{"two kinds", &pdk.Request{Ban: &pdk.BanRequest{}, Exec: &pdk.ExecRequest{}}, path, Policy{Ban: true}, "invalid: a request must have exactly one of"},
	} {
		resp, terr := newExecutor(t, Options{Fail2ban: c.client}).Do(t.Context(), c.r, c.policy)
		if terr == nil || !strings.HasPrefix(terr.Stage+": "+terr.Message, c.want) {
			t.Errorf("%s: got %+v, %+v, want %s", c.name, resp, terr, c.want)
		}
	}
	if got := calls(t, log); got != "" {
		t.Errorf("fail2ban-client was called with %q", got)
	}
}

func TestFail2banReason(t *testing.T) {
	const log = "2026-11-21 22:08:45,390 fail2ban                [338]: ERROR   "
	for _, c := range []struct{ stdout, stderr, reason, problem string }{
		{"Sorry but the jail 'nojail' does not exist\n", log + "NOK: ('nojail',)\n", "Sorry but the jail 'nojail' does not exist", "no_jail"},
		{"", log + "Failed to access socket path: /run/x. Is fail2ban running?\n", "Failed to access socket path: /run/x. Is fail2ban running?", "no_server"},
		{"", log + "[[Errno 111] Connection refused] Unable to contact server. Is it running?\n", "[[Errno 111] Connection refused] Unable to contact server. Is it running?", "no_server"},
		{"", log + "Permission denied to socket: /run/x, (you must be root)\n", "Permission denied to socket: /run/x, (you must be root)", "no_permission"},
		{"", "", "fail2ban-client gave no reason", ""},
	} {
		if reason, problem := fail2banReason(c.stdout, c.stderr); reason != c.reason || problem != c.problem {
			t.Errorf("got %q, %q, want %q, %q", reason, problem, c.reason, c.problem)
		}
	}
}

func TestBanTimeout(t *testing.T) {
	path, _ := fakeClient(t, "sleep 60 & wait")
	start := time.Now()
	_, terr := newExecutor(t, Options{Fail2ban: path}).Do(t.Context(), ban("ban", "192.0.2.7"), Policy{Ban: true, Timeout: 200 * time.Millisecond})
	if terr == nil || terr.Stage != StageTimeout || terr.Ambiguous || time.Since(start) > 50*time.Second {
		t.Errorf("got %+v after %s", terr, time.Since(start))
	}
}

// TestFail2ban has the real thing: a server of its own with a private socket, and a jail whose action writes to a file.
func TestFail2ban(t *testing.T) {
	server, err := exec.LookPath("fail2ban-server")
	if err != nil {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal("fail2ban-server is not installed, and TOCSIN_SERVERS=required")
		}
		t.Skip("fail2ban-server is not installed: apt-get install fail2ban")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("etc/fail2ban.conf", "[Definition]\nloglevel = INFO\nlogtarget = DIR/log\nsyslogsocket = auto\nsocket = DIR/sock\npidfile = DIR/pid\ndbfile = None\ndbpurgeage = 1d\nallowipv6 = true\n")
	file("etc/jail.conf", "[DEFAULT]\nbantime = 600\nbackend = polling\nusedns = no\n[tocsin]\nenabled = true\nfilter = tocsin\nlogpath = DIR/in.log\naction = tocsin\n")
	file("etc/filter.d/tocsin.conf", "[Definition]\nfailregex = ^never <HOST>$\n")
	file("etc/action.d/tocsin.conf", "[Definition]\nactionstart =\nactionstop =\nactioncheck =\nactionban = echo ban <ip> >>DIR/done\nactionunban = echo unban <ip> >>DIR/done\n")
	file("in.log", "")
	done := file("done", "")
	sock := filepath.Join(dir, "sock")
	cmd := exec.CommandContext(t.Context(), server, "-f", "-c", filepath.Join(dir, "etc"), "-s", sock, "-p", filepath.Join(dir, "pid"), "start")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })

	x := newExecutor(t, Options{Fail2banSocket: sock})
	do := func(r *pdk.Request) *pdk.Response {
		t.Helper()
		resp, terr := x.Do(t.Context(), r, Policy{Ban: true, Timeout: 30 * time.Second})
		if terr != nil {
			t.Fatal(terr)
		}
		return resp
	}
	for until := time.Now().Add(time.Minute); ; {
		if resp := do(ban("verify")); resp.Status == 0 && strings.Contains(resp.Body, "Status for the jail: tocsin") {
			break
		} else if time.Now().After(until) {
			t.Fatalf("the server does not come up: %+v", resp)
		}
	}
	for _, c := range []struct {
		name   string
		r      *pdk.Request
		status int
		body   string // or the problem
		parts  string
	}{
		{"ban", ban("ban", "192.0.2.7", "2001:db8::7"), 0, "2", "192.0.2.7 true 0, 2001:db8::7 true 0"},
		{"again, with one that is new", ban("ban", "192.0.2.7", "192.0.2.8"), 0, "1", "192.0.2.7 true 0, 192.0.2.8 true 0"},
		{"again", ban("ban", "192.0.2.7"), 0, "0", "192.0.2.7 true 0"},
		{"hostile", ban("ban", "not-an-ip", "1.2.3.4; touch DIR/owned", "-h", "::ffff:127.0.0.1", "192.0.2.9"), 0, "1", "not-an-ip false 0, 1.2.3.4; touch DIR/owned false 0, -h false 0, ::ffff:127.0.0.1 false 0, 192.0.2.9 true 0"},
		{"unban", ban("unban", "192.0.2.7"), 0, "1", "192.0.2.7 true 0"},
		{"unban again", ban("unban", "192.0.2.7"), 0, "0", "192.0.2.7 true 0"},
		{"missing jail", &pdk.Request{Ban: &pdk.BanRequest{Jail: "nojail", Action: "ban", Addresses: []string{"192.0.2.7"}}}, 255, "no_jail", "192.0.2.7 false 0"},
		{"verify a missing jail", &pdk.Request{Ban: &pdk.BanRequest{Jail: "nojail", Action: "verify"}}, 255, "no_jail", ""},
		{"verify", ban("verify"), 0, "192.0.2.8 192.0.2.9", ""},
	} {
		resp := do(c.r)
		got := resp.Body
		if c.status != 0 {
			got = resp.Headers["problem"]
		}
		if resp.Status != c.status || got != c.body && !(c.name == "verify" && strings.Contains(got, "192.0.2.8") && strings.Contains(got, "192.0.2.9")) || partsText(resp.Parts) != c.parts {
			t.Errorf("%s: got %+v", c.name, resp)
		}
		if c.name == "missing jail" && resp.Parts[0].Message != "Sorry but the jail 'nojail' does not exist" {
			t.Errorf("%s: %+v", c.name, resp.Parts)
		}
	}
	b, err := os.ReadFile(done)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(strings.ReplaceAll(string(b), " ", "="))
	slices.Sort(lines)
	if got := strings.Join(lines, " "); got != "ban=192.0.2.7 ban=192.0.2.8 ban=192.0.2.9 ban=2001:db8::7 unban=192.0.2.7" {
		t.Errorf("the jail's action did %s", got)
	}

	_ = cmd.Process.Kill()
	<-ended
	resp := do(ban("ban", "192.0.2.7"))
	if resp.Status != 255 || resp.Headers["problem"] != "no_server" || resp.Parts[0].OK || !strings.HasPrefix(resp.Parts[0].Message, "the fail2ban server does not answer; does it run") {
		t.Errorf("without a server: got %+v", resp)
	}
}

// FuzzFail2ban feeds hostile text to what reads the client's output, and to what reads addresses and routes.
func FuzzFail2ban(f *testing.F) {
	f.Add("Sorry but the jail 'x' does not exist\n", "2026-11-21 22:08:45,390 fail2ban                [338]: ERROR   NOK: ('nojail',)\n")
	f.Add("", "2026-11-21 22:08:46,452 fail2ban                [391]: ERROR   Failed to access socket path: none.sock. Is fail2ban running?\n")
	f.Add("::ffff:127.0.0.1", "eth0\t00000000\t0101A8C0\t0003\n")
	f.Fuzz(func(t *testing.T, a, b string) {
		reason, problem := fail2banReason(a, b)
		if reason == "" || len(reason) > maxPartMessage || !slices.Contains([]string{"", "no_jail", "no_server", "no_permission"}, problem) {
			t.Fatalf("got %q, %q", reason, problem)
		}
		for _, g := range slices.Concat(gateways4([]byte(b)), gateways6([]byte(b))) {
			if !g.IsValid() {
				t.Fatal("a gateway that is no address")
			}
		}
		if addr, err := banAddress(a); err == nil {
			again, err := netip.ParseAddr(addr.String())
			if err != nil || again != addr || addr.Is4In6() || strings.ContainsAny(addr.String(), " -;%") {
				t.Fatalf("%q became %q", a, addr)
			}
		}
	})
}
