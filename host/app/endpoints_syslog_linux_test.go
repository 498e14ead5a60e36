package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/tocsin-net/tocsin/host/alert"
)

// A syslogWay is one format over one transport. Its name is also the name of the sender, by which its messages are known.
type syslogWay struct{ protocol, format string }

func (w syslogWay) String() string { return w.protocol + "-" + w.format }

var syslogWays = []syslogWay{
	{"udp", "text"},
	{"tcp", "text"},
	{"tls", "text"},
	{"tls", "text_rfc5424"},
	{"udp", "json"},
	{"tcp", "json"},
	{"tcp", "ecs"},
	{"tls", "ecs"},
	{"udp", "checkmk"},
	{"tcp", "checkmk"},
	{"local", "text"},
	{"local", "json"},
}

// syslogThrough sends alerts in every way through the real module and the real ledger to a server, which writes what it
// understood to a file, and compares.
func syslogThrough(t *testing.T, out, socket string, port func(syslogWay) int) {
	text := []string{fmt.Sprintf("[egress]\nsyslog_socket = %q\n", socket)}
	for _, w := range syslogWays {
		p := fmt.Sprintf("syslog_alert_format = %q, syslog_app_name = %q", w.format, w)
		if w.protocol != "local" {
			p += fmt.Sprintf(", syslog_host = \"127.0.0.1\", syslog_protocol = %q, syslog_port = %d", w.protocol, port(w))
		}
		text = append(text, endpointTOML(w.String(), "syslog", p), recipientTOML(w.String(), w.String(), ""))
	}
	b := newBed(t, text...).start()
	alerts := syslogAlerts()
	b.raise(alerts...)
	for _, r := range b.ended("") {
		if r.State != alert.Accepted {
			t.Errorf("%s: %v, %s; what was written is accepted and never delivered", r.Recipient, r.State, r.Reason)
		}
	}
	got := map[string][]*rfc5424.SyslogMessage{}
	waitFor(t, "the messages", func() bool {
		all, err := os.ReadFile(out)
		if err != nil || bytes.Count(all, []byte("\n")) < len(alerts)*len(syslogWays) {
			return false
		}
		for line := range strings.Lines(string(all)) {
			m, err := rfc5424.NewParser().Parse([]byte(strings.TrimSuffix(line, "\n")))
			if err != nil {
				t.Fatalf("%v: %q", err, line)
			}
			s := m.(*rfc5424.SyslogMessage)
			got[*s.Appname] = append(got[*s.Appname], s)
		}
		return true
	})
	for _, w := range syslogWays {
		list := got[w.String()]
		if len(list) != len(alerts) {
			t.Errorf("%s: %d messages, want %d", w, len(list), len(alerts))
			continue
		}
		// A release waits for what became of its engage, so the order is that of the alerts' times.
		slices.SortStableFunc(list, func(a, b *rfc5424.SyslogMessage) int { return a.Timestamp.Compare(*b.Timestamp) })
		for i, m := range list {
			compareSyslog(t, w, alerts[i], m)
		}
	}
	for _, way := range []string{"tls-text_rfc5424", "local-text"} {
		if said, err := b.try(way, ""); err != nil || !strings.Contains(said, "Can the receiver be reached?") {
			t.Errorf("%s: %v\n%s", way, err, said)
		}
	}
}

func compareSyslog(t *testing.T, w syslogWay, a *alert.Alert, m *rfc5424.SyslogMessage) {
	t.Helper()
	text := ""
	if m.Message != nil {
		text = strings.TrimPrefix(strings.TrimPrefix(*m.Message, " "), "\ufeff")
	}
	evil := strings.HasPrefix(a.Title, "x]")
	if want := uint8(3*8 + 3); *m.Priority != want {
		t.Errorf("%s: the priority is %d, want %d", w, *m.Priority, want)
	}
	entity, action := map[alert.Entity]string{alert.EntityHost: "Host", alert.EntityFlow: "Flow"}[a.Entity],
		map[alert.Action]string{alert.Engage: "Engaged", alert.Release: "Released", alert.Store: "Stored"}[a.Action]
	line := fmt.Sprintf("[%s][Error][%s][%s][%s][%s] %s", a.Time.Format("2006-01-02T15:04:05.000000Z07:00"), a.Title, entity, a.EntityValue(), action, a.Message)
	switch w.format {
	case "json", "ecs":
		var v struct {
			EntityValue string `json:"entity_value"`
			Tstamp      int64
			Severity    string
			Message     string
			AlertKey    int    `json:"alert_key"`
			At          string `json:"@timestamp"`
			Event       struct{ Category []string }
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v in %.200q", w, err, text)
		}
		if !evil && v.Message != a.Message || w.format == "json" && (v.EntityValue != a.EntityValue() || v.Tstamp != a.Time.Unix() || v.Severity != "error" || v.AlertKey != a.AlertID) ||
			w.format == "ecs" && (len(v.Event.Category) == 0 || !strings.HasPrefix(v.At, a.Time.Format("2006-01-02T15:04:05"))) {
			t.Errorf("%s: %s", w, text)
		}
	default:
		if evil {
			if !strings.Contains(text, "[Error][x)(Released) <13>1][Flow][") || w.protocol == "tcp" && len(text) < 8000 {
				t.Errorf("%s: %d bytes: %.200q", w, len(text), text)
			}
		} else if text != line {
			t.Errorf("%s: %q, want %q", w, text, line)
		}
	}
	if m.StructuredData == nil {
		m.StructuredData = &map[string]map[string]string{}
	}
	sd := *m.StructuredData
	switch {
	case w.format == "checkmk" && (sd["Checkmk@18662"]["sl"] != "5" || sd["Checkmk@18662"]["severity"] != "Error" || sd["Checkmk@18662"]["comment"] == "" || sd["Checkmk@18662"]["ipaddress"] == ""):
		t.Errorf("%s: %v", w, sd)
	case w.format == "text_rfc5424" && (sd["tocsin@32473"]["check"] != a.Check || sd["tocsin@32473"]["action"] != a.Action.String()):
		t.Errorf("%s: %v", w, sd)
	}
	if w.format == "text" { // RFC 3164 names no zone
		if m.Timestamp.Local().Format(time.Stamp) != a.Time.Local().Format(time.Stamp) {
			t.Errorf("%s: the time is %v", w, m.Timestamp)
		}
	} else if w.protocol != "local" && !m.Timestamp.Equal(a.Time) {
		t.Errorf("%s: the time is %v", w, m.Timestamp)
	}
}

func TestSyslogRsyslog(t *testing.T) {
	path := program(t, "rsyslogd")
	if found, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"); len(found) == 0 {
		lacking(t, "rsyslog's module for TLS (rsyslog-gnutls) is not installed")
	}
	trust, ok := trusted(t)
	if !ok {
		return
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	p := freePorts(t, 3)
	conf := fmt.Sprintf(`
global(workDirectory=%q maxMessageSize="256k" defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q
  defaultNetstreamDriverKeyFile=%q parser.escapeControlCharactersOnReceive="off")
module(load="imudp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imptcp")
module(load="imuxsock" sysSock.use="off")
input(type="imudp" address="127.0.0.1" port="%d")
input(type="imptcp" address="127.0.0.1" port="%d")
input(type="imtcp" address="127.0.0.1" port="%d")
input(type="imuxsock" socket=%q ignoreTimestamp="off" useSysTimestamp="off")
template(name="line" type="string" string="<%%PRI%%>1 %%TIMESTAMP:::date-rfc3339%% %%HOSTNAME%% %%APP-NAME%% %%PROCID%% %%MSGID%% %%STRUCTURED-DATA%% %%msg%%\n")
action(type="omfile" file=%q template="line")
`, dir, filepath.Join(trust, "ca.pem"), filepath.Join(trust, "cert.pem"), filepath.Join(trust, "key.pem"), p[0], p[1], p[2], in("log"), in("out"))
	if err := os.WriteFile(in("rsyslog.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, nil, p[1:], path, "-n", "-f", in("rsyslog.conf"), "-i", in("pid"))
	syslogThrough(t, in("out"), in("log"), func(w syslogWay) int { return map[string]int{"udp": p[0], "tcp": p[1], "tls": p[2]}[w.protocol] })
}

func TestSyslogSyslogNG(t *testing.T) {
	path, err := exec.LookPath("syslog-ng")
	var env, args []string
	if err != nil { // beside rsyslog it cannot be installed, only unpacked: see .ci/servers
		cache, cerr := os.UserCacheDir()
		if cerr != nil {
			t.Fatal(cerr)
		}
		root := filepath.Join(cache, "tocsin", "servers", "syslog-ng", "usr")
		if path, err = exec.LookPath(filepath.Join(root, "sbin", "syslog-ng")); err != nil {
			lacking(t, "syslog-ng is not installed")
		}
		modules, _ := filepath.Glob(filepath.Join(root, "lib", "syslog-ng", "[0-9]*"))
		if len(modules) == 0 {
			t.Fatalf("%s has no modules", root)
		}
		env, args = []string{"LD_LIBRARY_PATH=" + filepath.Join(root, "lib", "syslog-ng")}, []string{"--module-path", modules[0]}
	}
	trust, ok := trusted(t)
	if !ok {
		return
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	p := freePorts(t, 6)
	tls := fmt.Sprintf("tls(key-file(%q) cert-file(%q) peer-verify(optional-untrusted))", filepath.Join(trust, "key.pem"), filepath.Join(trust, "cert.pem"))
	conf := fmt.Sprintf(`@version: 3.38
options { keep-hostname(yes); use-dns(no); log-msg-size(262144); stats-freq(0); flush-lines(1); frac-digits(3); };
source s {
  network(ip("127.0.0.1") port(%d) transport("udp"));
  syslog(ip("127.0.0.1") port(%d) transport("udp"));
  network(ip("127.0.0.1") port(%d) transport("tcp"));
  syslog(ip("127.0.0.1") port(%d) transport("tcp"));
  network(ip("127.0.0.1") port(%d) transport("tls") %s);
  syslog(ip("127.0.0.1") port(%d) transport("tls") %s);
  unix-dgram(%q);
};
destination d { file(%q flags(syslog-protocol)); };
log { source(s); destination(d); };
`, p[0], p[1], p[2], p[3], p[4], tls, p[5], tls, in("log"), in("out"))
	if err := os.WriteFile(in("syslog-ng.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, env, p[2:], path, append(args, "-F", "--no-caps", "-f", in("syslog-ng.conf"), "-R", in("persist"), "-p", in("pid"), "-c", in("control"))...)
	syslogThrough(t, in("out"), in("log"), func(w syslogWay) int {
		i := map[string]int{"udp": 0, "tcp": 2, "tls": 4}[w.protocol]
		if w.format != "text" {
			i++
		}
		return p[i]
	})
}
