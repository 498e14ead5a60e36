package app

import (
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestPreviewOfEachKind wants every part of a request shown, no secret, and nothing that a terminal would obey.
func TestPreviewOfEachKind(t *testing.T) {
	s := egress.NewSecrets()
	h := s.Add("password", "C4n4ry-secret")
	out := &pdk.RenderOutput{
		Requests: []pdk.Request{
			{HTTP: &pdk.HTTPRequest{Method: "PUT", URL: "https://a.example/" + h, Headers: []pdk.Header{{Name: "user-agent", Value: "me"}}, Body: `{"a":["` + h + `"]}`}, Note: "n\x1b[31m"},
			{HTTP: &pdk.HTTPRequest{Method: "POST", URL: "https://a.example/", Body: "{\"a\":1}\n{\"b\":2}\n", Basic: &pdk.Basic{User: "u", Password: h}}},
			{SMTP: &pdk.SMTPRequest{
				Host: "mail.example", Port: 587, User: "u", Password: h, From: "a@example.org", To: []string{"b@example.org", "c@example.org"}, Subject: "s\r\nX: 1",
				Text: "plain", HTML: "<p>C4n4ry-secret</p>", Attachments: []pdk.Attachment{{Name: "a.csv", Type: "text/csv", Data: []byte("abc")}},
			}},
			{Syslog: &pdk.SyslogRequest{Network: "tcp", Host: "log.example", Messages: []pdk.SyslogMessage{
				{
					Facility: 16, Severity: 4, Time: 1718000000123, Hostname: "h", AppName: "tocsin", ProcID: "1", MsgID: "m", Text: "text\nof two lines",
					Data: []pdk.SDElement{{ID: "x@1", Params: []pdk.Header{{Name: "k", Value: `a"b]`}}}},
				},
			}}},
			{Syslog: &pdk.SyslogRequest{Network: "local", Messages: []pdk.SyslogMessage{{Facility: 99}}}},
			{Exec: &pdk.ExecRequest{Script: "a.sh", Args: []string{"b c", "\x00"}, Stdin: "{\"a\":1}\n", TimeoutMS: 1500}},
			{Ban: &pdk.BanRequest{Jail: "sshd", Action: "ban", Addresses: []string{"192.0.2.7"}, NeverBan: []string{"198.51.100.0/24"}}},
		},
		Rejected: []pdk.Verdict{{Outcome: pdk.Skipped, Reason: "not " + h}},
	}
	got := preview(out, "a test", s.Redact, false)
	for _, want := range []string{
		"for a test it would send:\n\n  PUT https://a.example/‹secret:password›\n  user-agent: me\n\n  {\n    \"a\": [\n      \"‹secret:password›\"\n    ]\n  }\n  note: n�[31m\n",
		"  User-Agent: tocsin\n  Authorization: Basic, in base64: u:‹secret:password›\n\n  {\"a\":1}\n  {\"b\":2}\n",
		"  mail through mail.example:587 (starttls)\n  log-in: u, ‹secret:password›\n  From: a@example.org\n  To: b@example.org, c@example.org\n",
		"  Subject: s��X: 1\n  Message-ID: made from the delivery's id\n",
		"\n  part: text/plain\n\n  plain\n\n  part: text/html\n\n  <p>‹secret:password›</p>\n\n  attachment: a.csv, text/csv, 3 B\n",
		"  syslog, 1 messages to tcp log.example\n  framing: octets\n\n  79 <132>1 2024-06-10T06:13:20.123Z h tocsin 1 m [x@1 k=\"a\\\"b\\]\"] text of two lines\n",
		"  syslog, 1 messages to the machine's own socket\n  cannot be sent: syslog message 1",
		"  script a.sh\n  argument 1: \"b c\"\n  argument 2: \"\\x00\"\n  time limit: 1.5s\n  standard input: 8 B\n\n  {\n    \"a\": 1\n  }\n",
		"  fail2ban jail sshd: ban 192.0.2.7\n  never: 198.51.100.0/24\n",
		"  no request: skipped not ‹secret:password›\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(got, "C4n4ry") || strings.Contains(got, h) || strings.ContainsAny(got, "\x00\x1b\r") {
		t.Error("a secret, or a control character, is shown")
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestFailedStep wants the step named that a person has to look at.
func TestFailedStep(t *testing.T) {
	for _, c := range []struct {
		kind   string
		probe  int // which request of a probe; -1: a message
		o      pdk.Outcome
		status int
		want   string
	}{
		{"http", -1, pdk.Delivered, 200, ""},
		{"http", -1, pdk.Duplicate, 409, ""},
		{"http", -1, pdk.EndpointBroken, 401, stepAuth},
		{"http", -1, pdk.EndpointBroken, 403, stepPermission},
		{"http", -1, pdk.EndpointBroken, 301, stepPost},
		{"http", -1, pdk.EndpointBroken, 410, stepPost},
		{"http", -1, pdk.Retry, 400, stepPermission},
		{"http", -1, pdk.Retry, 429, stepPost},
		{"http", -1, pdk.Retry, 503, stepPost},
		{"http", -1, pdk.BadPayload, 400, stepPayload},
		{"http", -1, pdk.Rejected, 413, stepPayload},
		{"http", -1, pdk.BadPayload, 404, stepPost},
		{"smtp", -1, pdk.EndpointBroken, 535, stepAuth},
		{"smtp", -1, pdk.Rejected, 550, stepPermission},
		{"smtp", -1, pdk.Retry, 451, stepPost},
		{"smtp", -1, pdk.Rejected, 554, stepPayload},
		{"exec", -1, pdk.Rejected, 1, stepPost},
		{"exec", -1, pdk.Retry, 75, stepPost},
		{"ban", -1, pdk.Rejected, 255, stepPost},
		{"http", 0, pdk.Delivered, 200, ""},
		{"http", 0, pdk.EndpointBroken, 404, stepAuth},
		{"http", 1, pdk.Retry, 400, stepPermission},
		{"http", 1, pdk.EndpointBroken, 401, stepAuth},
		{"http", 1, pdk.Retry, 502, stepPost},
		{"smtp", 0, pdk.EndpointBroken, 535, stepAuth},
		{"exec", 0, pdk.Rejected, 1, stepStart},
	} {
		got := ""
		if c.probe < 0 {
			got = messageStep(c.kind, c.o, c.status)
		} else {
			_, got = probeStep(c.kind, c.probe, c.o, c.status)
		}
		if got != c.want {
			t.Errorf("%s, probe %d, %s %d: %q, want %q", c.kind, c.probe, c.o, c.status, got, c.want)
		}
	}
	for _, c := range [][3]string{
		{"dns", "", stepDNS},
		{"connect", "connect", "connect"},
		{"tls", "", "tls"},
		{"timeout", "tls", "tls"},
		{"timeout", "answer", stepPost},
		{"timeout", "", stepPost},
		{"read", "answer", stepPost},
		{"send", "send", stepPost},
		{"denied", "", stepPermission},
		{"invalid", "", stepPayload},
		{"start", "", stepStart},
		{"auth", "", stepAuth},
		{"made-up", "", stepPost},
	} {
		if got := lostStep(c[0], c[1]); got != c[2] {
			t.Errorf("lost at %s, reached %q: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

const stepDNS = egress.StepDNS
