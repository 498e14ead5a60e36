//go:build !windows

package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/tocsin-net/tocsin/pdk"
)

// receiver is a real syslog server that writes what it understood of each message in the form of RFC 5424 to a file.
type receiver struct {
	dir                       string
	udp, octets, lf, bsd, tls int // ports; bsd takes RFC 3164 over UDP
	socket                    string
	cas                       *x509.CertPool
	read                      int // lines of the file that were read
}

// missing skips a test for want of a server, or fails it where servers are required.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TOCSIN_SERVERS") == "required" {
		t.Fatal(what + ": run .ci/servers")
	}
	t.Skip(what + ": .ci/servers installs it on Debian")
}

// newReceiver makes a folder with a key and a certificate, and picks free ports.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{dir: t.TempDir(), cas: x509.NewCertPool()}
	ca := newAuthority(t)
	r.cas.AddCert(ca.cert)
	leaf := ca.leaf(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), false, "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
		"cert.pem": {Type: "CERTIFICATE", Bytes: leaf.Certificate[0]},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		r.write(t, name, string(pem.EncodeToMemory(b)))
	}
	r.socket = filepath.Join(r.dir, "log")
	var hold []net.Listener
	for _, p := range []*int{&r.udp, &r.octets, &r.lf, &r.bsd, &r.tls} {
		l := listenTCP(t)
		hold = append(hold, l)
		*p = l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range hold {
		l.Close()
	}
	return r
}

func (r *receiver) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the server until the test ends, and waits until it listens.
func (r *receiver) start(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.dir, append(os.Environ(), env...), &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); ; {
		up := true
		for _, port := range []int{r.octets, r.tls} {
			c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
			if err != nil {
				up = false
				break
			}
			c.Close()
		}
		if _, err := os.Stat(r.socket); up && err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", name, out.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen:\n%s", name, out.String())
		}
	}
}

// lines waits for n further messages in the server's file.
func (r *receiver) lines(t *testing.T, n int) []*rfc5424.SyslogMessage {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		b, err := os.ReadFile(filepath.Join(r.dir, "out"))
		var all []string
		if err == nil && bytes.HasSuffix(b, []byte("\n")) {
			all = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		}
		if len(all) >= r.read+n {
			var out []*rfc5424.SyslogMessage
			for _, line := range all[r.read:] {
				m, err := rfc5424.NewParser().Parse([]byte(line))
				if err != nil {
					t.Fatalf("%v: %q", err, line)
				}
				out = append(out, m.(*rfc5424.SyslogMessage))
			}
			r.read = len(all)
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages were written: %q", max(0, len(all)-r.read), n, all)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// all sends the same messages in every way, and compares what the server made of them.
func (r *receiver) all(t *testing.T) {
	text := "Gefährdet: \"<1>\" \\ ] 100 % of it\n<13>1 not another message"
	clean := strings.ReplaceAll(text, "\n", " ")
	data := []pdk.SDElement{
		{ID: "Checkmk@18662", Params: []pdk.Header{{Name: "sl", Value: "30"}, {Name: "comment", Value: `a "b" \ [c] ü`}}},
		{ID: "tocsin@32473", Params: []pdk.Header{{Name: "check", Value: "flow/x"}}},
	}
	x := newExecutor(t, Options{RootCAs: r.cas, SyslogSocket: r.socket})
	at := time.Date(2026, 3, 7, 9, 5, 1, 123_000_000, time.UTC)
	for _, c := range []struct {
		name, network, framing, format string
		port                           int
		long                           bool
	}{
		{"udp", "udp", "", "", r.udp, false},
		{"tcp, octets", "tcp", "octets", "", r.octets, true},
		{"tcp, lf", "tcp", "lf", "", r.lf, true},
		{"tls", "tls", "", "", r.tls, true},
		{"udp, rfc3164", "udp", "", formatRFC3164, r.bsd, false},
		{"local, rfc3164", "local", "", formatRFC3164, 0, false},
	} {
		q := &pdk.SyslogRequest{Network: c.network, Framing: c.framing, Format: c.format, Port: c.port}
		p := Policy{LocalSyslog: true, Grants: []Grant{{Scheme: "syslog", Host: "127.0.0.1", Typed: true}}}
		if c.port != 0 {
			q.Host = "127.0.0.1"
		}
		const n = 20
		for i := range n {
			q.Messages = append(q.Messages, pdk.SyslogMessage{
				Delivery: "d" + strconv.Itoa(i), Facility: 16, Severity: i % 8, Time: at.UnixMilli(), Hostname: "probe-" + strconv.Itoa(i),
				AppName: "tocsin", ProcID: strconv.Itoa(1000 + i), MsgID: "alert", Data: data, Text: text,
			})
		}
		if c.long {
			q.Messages[n-1].Text = strings.Repeat("x", 100_000)
		}
		for round := range 2 { // the second goes over the connection that was kept
			resp, terr := x.Do(t.Context(), &pdk.Request{Syslog: q}, p)
			wantWritten(t, resp, terr, n)
			got := r.lines(t, n)
			if len(got) != n {
				t.Errorf("%s: %d messages for %d", c.name, len(got), n)
			}
			for i, m := range got[:min(n, len(got))] {
				want := clean
				if c.long && i == n-1 {
					want = q.Messages[i].Text
				}
				text := strings.TrimPrefix(strings.TrimPrefix(value(m.Message), " "), bom)
				if text != want {
					t.Errorf("%s, round %d, message %d: %.100q, want %.100q", c.name, round, i, text, want)
				}
				if int(*m.Priority) != 128+i%8 || value(m.Appname) != "tocsin" || value(m.ProcID) != strconv.Itoa(1000+i) {
					t.Errorf("%s: message %d: %d %s %s", c.name, i, *m.Priority, value(m.Appname), value(m.ProcID))
				}
				if c.format == formatRFC3164 {
					if m.Timestamp.Local().Format("Jan _2 15:04:05") != at.Local().Format("Jan _2 15:04:05") {
						t.Errorf("%s: time %v", c.name, m.Timestamp)
					}
					if c.network != "local" && value(m.Hostname) != "probe-"+strconv.Itoa(i) {
						t.Errorf("%s: host %s", c.name, value(m.Hostname))
					}
					continue
				}
				if !m.Timestamp.Equal(at) || value(m.Hostname) != "probe-"+strconv.Itoa(i) || value(m.MsgID) != "alert" {
					t.Errorf("%s: message %d: %v %s %s", c.name, i, m.Timestamp, value(m.Hostname), value(m.MsgID))
				}
				if m.StructuredData == nil || (*m.StructuredData)["Checkmk@18662"]["comment"] != data[0].Params[1].Value || (*m.StructuredData)["tocsin@32473"]["check"] != "flow/x" {
					t.Errorf("%s: message %d: data %v", c.name, i, m.StructuredData)
				}
			}
		}
	}
}

func value(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

func TestRsyslog(t *testing.T) {
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/rsyslogd"); err != nil {
			missing(t, "rsyslogd is not installed")
		}
	}
	if found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"); len(found) == 0 {
		missing(t, "rsyslog's module for TLS (rsyslog-gnutls) is not installed")
	}
	r := newReceiver(t)
	r.write(t, "rsyslog.conf", fmt.Sprintf(`
global(workDirectory=%q maxMessageSize="256k" defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q
  defaultNetstreamDriverKeyFile=%q parser.escapeControlCharactersOnReceive="off")
module(load="imudp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imptcp")
module(load="imuxsock" sysSock.use="off")
input(type="imudp" address="127.0.0.1" port="%d")
input(type="imudp" address="127.0.0.1" port="%d")
input(type="imptcp" address="127.0.0.1" port="%d")
input(type="imptcp" address="127.0.0.1" port="%d")
input(type="imtcp" address="127.0.0.1" port="%d")
input(type="imuxsock" socket=%q ignoreTimestamp="off" useSysTimestamp="off")
template(name="line" type="string" string="<%%PRI%%>1 %%TIMESTAMP:::date-rfc3339%% %%HOSTNAME%% %%APP-NAME%% %%PROCID%% %%MSGID%% %%STRUCTURED-DATA%% %%msg%%\n")
action(type="omfile" file=%q template="line")
`, r.dir, filepath.Join(r.dir, "ca.pem"), filepath.Join(r.dir, "cert.pem"), filepath.Join(r.dir, "key.pem"), r.udp, r.bsd, r.octets, r.lf, r.tls, r.socket, filepath.Join(r.dir, "out")))
	r.start(t, nil, path, "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	r.all(t)
}

func TestSyslogNG(t *testing.T) {
	path, err := exec.LookPath("syslog-ng")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/syslog-ng")
	}
	var env, args []string
	if err != nil { // beside rsyslog it cannot be installed, only unpacked: see .ci/servers
		cache, cerr := os.UserCacheDir()
		if cerr != nil {
			t.Fatal(cerr)
		}
		root := filepath.Join(cache, "tocsin", "servers", "syslog-ng", "usr")
		if path, err = exec.LookPath(filepath.Join(root, "sbin", "syslog-ng")); err != nil {
			missing(t, "syslog-ng is not installed")
		}
		modules, _ := filepath.Glob(filepath.Join(root, "lib", "syslog-ng", "[0-9]*"))
		if len(modules) == 0 {
			t.Fatalf("%s has no modules", root)
		}
		env, args = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "lib", "syslog-ng")}, []string{"--module-path", modules[0]}
	}
	ver := exec.CommandContext(t.Context(), path, append(args, "--version")...)
	ver.Env = append(os.Environ(), env...)
	out, err := ver.CombinedOutput()
	_, config, ok := strings.Cut(string(out), "Config version: ")
	if err != nil || !ok {
		t.Fatalf("syslog-ng --version: %v\n%s", err, out)
	}
	config, _, _ = strings.Cut(config, "\n")
	r := newReceiver(t)
	r.write(t, "syslog-ng.conf", fmt.Sprintf(`@version: %s
options { keep-hostname(yes); use-dns(no); log-msg-size(262144); stats-freq(0); flush-lines(1); frac-digits(3); };
source s {
  syslog(ip("127.0.0.1") port(%d) transport("udp"));
  syslog(ip("127.0.0.1") port(%d) transport("tcp"));
  network(ip("127.0.0.1") port(%d) transport("tcp") flags(syslog-protocol));
  network(ip("127.0.0.1") port(%d) transport("udp"));
  syslog(ip("127.0.0.1") port(%d) transport("tls") tls(key-file(%q) cert-file(%q) peer-verify(optional-untrusted)));
  unix-dgram(%q);
};
destination d { file(%q flags(syslog-protocol)); };
log { source(s); destination(d); };
`, config, r.udp, r.octets, r.lf, r.bsd, r.tls, filepath.Join(r.dir, "key.pem"), filepath.Join(r.dir, "cert.pem"), r.socket, filepath.Join(r.dir, "out")))
	in := func(name string) string { return filepath.Join(r.dir, name) }
	r.start(t, env, path, append(args, "-F", "--no-caps", "-f", in("syslog-ng.conf"), "-R", in("persist"), "-p", in("pid"), "-c", in("control"))...)
	r.all(t)
}
