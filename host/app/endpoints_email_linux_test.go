package app

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/outbox"
)

// mailPassword is that of every user of the mail server.
const mailPassword = "s3cret-of-the-night"

// mailServer is a postfix that wants STARTTLS and a log-in, which dovecot checks, and that delivers to dovecot. It knows
// night@, day@ and batch@example.org, and has no time for later@example.org.
type mailServer struct{ smtp, imap int }

func newMailServer(t *testing.T, trust string) *mailServer {
	t.Helper()
	if os.Getuid() != 0 {
		lacking(t, "postfix runs as root only")
	}
	dovecot, postfix := program(t, "dovecot"), program(t, "postfix")
	for _, path := range []string{"/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/imap", "/usr/lib/postfix/sbin/master"} {
		if _, err := os.Stat(path); err != nil {
			lacking(t, path+" is not installed")
		}
	}
	top := t.TempDir()
	if err := os.Chmod(filepath.Dir(top), 0o755); err != nil { //nolint:gosec // postfix and dovecot work as users of their own
		t.Fatal(err)
	}
	p := freePorts(t, 4)
	in := func(name string) string { return filepath.Join(top, name) }
	write := func(name, text string) {
		if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil { //nolint:gosec // postfix reads it as a user of its own
			t.Fatal(err)
		}
	}
	for name, owner := range map[string]string{".": "root", "boxes": "mail", "postfix": "root", "queue": "root", "data": "postfix"} {
		if err := os.MkdirAll(in(name), 0o755); err != nil { //nolint:gosec // as above
			t.Fatal(err)
		}
		if err := os.Chmod(in(name), 0o755); err != nil { //nolint:gosec // as above
			t.Fatal(err)
		}
		u, err := user.Lookup(owner)
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil || os.Chown(in(name), uid, gid) != nil {
			t.Fatalf("%s cannot be given to %s", in(name), owner)
		}
	}
	write("dovecot.conf", fmt.Sprintf(`
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = /dev/stderr
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %%n
mail_location = maildir:%[1]s/boxes/%%n
first_valid_uid = 1
passdb {
  driver = static
  args = password=%[2]s
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%[1]s/boxes/%%n allow_all_users=yes
}
service imap-login {
  chroot =
  inet_listener imap {
    address = 127.0.0.1
    port = %[3]d
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[4]d
  }
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = %[5]d
  }
}
`, top, mailPassword, p[1], p[2], p[3]))
	serve(t, top, nil, p[1:], dovecot, "-F", "-c", in("dovecot.conf"))
	write("postfix/main.cf", fmt.Sprintf(`
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.org
mydestination =
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{night@example.org=x, day@example.org=x, batch@example.org=x, later@example.org=x}
virtual_transport = lmtp:inet:127.0.0.1:%[2]d
smtpd_tls_cert_file = %[3]s/cert.pem
smtpd_tls_key_file = %[3]s/key.pem
smtpd_tls_security_level = encrypt
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:%[4]d
smtpd_recipient_restrictions = check_recipient_access inline:{{later@example.org = 451 4.7.1 Greylisted}}, permit_sasl_authenticated, reject
`, top, p[2], trust, p[3]))
	write("postfix/master.cf", fmt.Sprintf(`
127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, p[0]))
	if out, err := exec.CommandContext(t.Context(), postfix, "-c", in("postfix"), "check").CombinedOutput(); err != nil { // makes the queue's folders
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		if log, err := os.ReadFile(in("maillog")); t.Failed() {
			t.Logf("postfix said, %v:\n%s", err, log)
		}
	})
	serve(t, top, nil, p[:1], "/usr/lib/postfix/sbin/master", "-c", in("postfix"), "-d")
	return &mailServer{smtp: p[0], imap: p[1]}
}

// inbox waits until a user has n mails and reads them by IMAP (RFC 3501).
func (s *mailServer) inbox(t *testing.T, user string, n int) []*mail.Message {
	t.Helper()
	var out []*mail.Message
	waitFor(t, fmt.Sprintf("%d mails for %s", n, user), func() bool {
		out = s.fetch(t, user)
		return len(out) >= n
	})
	if len(out) != n {
		t.Errorf("%s has %d mails, want %d", user, len(out), n)
	}
	return out
}

func (s *mailServer) fetch(t *testing.T, user string) (out []*mail.Message) {
	t.Helper()
	c, err := textproto.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.imap))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	read := func() string {
		line, err := c.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	if hello := read(); !strings.HasPrefix(hello, "* OK") {
		t.Fatal(hello)
	}
	for i, command := range []string{"LOGIN " + user + " " + mailPassword, "SELECT INBOX", "FETCH 1:* (BODY.PEEK[])", "LOGOUT"} {
		tag := "a" + strconv.Itoa(i)
		if err := c.PrintfLine("%s %s", tag, command); err != nil {
			t.Fatal(err)
		}
		for {
			line := read()
			if size, ok := strings.CutSuffix(line, "}"); ok { // a literal
				n, err := strconv.Atoi(size[strings.LastIndexByte(size, '{')+1:])
				if err != nil {
					t.Fatal(line)
				}
				b := make([]byte, n)
				if _, err := io.ReadFull(c.R, b); err != nil {
					t.Fatal(err)
				}
				m, err := mail.ReadMessage(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, m)
			}
			if rest, ok := strings.CutPrefix(line, tag+" "); ok {
				if strings.HasPrefix(command, "FETCH") && !strings.HasPrefix(rest, "OK") {
					return nil // the mailbox is empty
				}
				if !strings.HasPrefix(rest, "OK") {
					t.Fatalf("%s: %s", command, line)
				}
				break
			}
		}
	}
	return out
}

// bodies gives the two parts of a mail.
func bodies(t *testing.T, m *mail.Message) (text, html string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("the mail is %q, %v", m.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []struct {
		kind string
		to   *string
	}{{"text/plain", &text}, {"text/html", &html}} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("Content-Type"); !strings.HasPrefix(got, want.kind+"; charset=UTF-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Errorf("a part is %v, want %s", p.Header, want.kind)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		*want.to = strings.ReplaceAll(string(b), "\r\n", "\n")
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Errorf("there is a third part: %v", err)
	}
	return text, html
}

func header(t *testing.T, m *mail.Message, name string) string {
	t.Helper()
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEmail sends alerts through the real module and ledger to postfix, with STARTTLS and a log-in, and reads them by IMAP
// from dovecot.
func TestEmail(t *testing.T) {
	trust, ok := trusted(t)
	if !ok {
		return
	}
	s := newMailServer(t, trust)
	login := fmt.Sprintf("smtp_server = \"127.0.0.1\", smtp_port = %d, email_sender = \"Tocsin <alerts@example.org>\", smtp_username = \"night\", smtp_password = %q", s.smtp, mailPassword)
	b := newBed(t,
		endpointTOML("night", "email", login), recipientTOML("night", "night", `email_recipient = ["Night shift <night@example.org>"], cc = ["day@example.org"]`),
		endpointTOML("partly", "email", login), recipientTOML("partly", "partly", `email_recipient = ["day@example.org", "nobody@example.org"]`),
		endpointTOML("batch", "email", login), recipientTOML("batch", "batch", `email_recipient = ["batch@example.org"]`),
		endpointTOML("wrong", "email", strings.Replace(login, mailPassword, "wrong-password", 1)), recipientTOML("wrong", "wrong", `email_recipient = ["night@example.org"]`),
		endpointTOML("later", "email", login), recipientTOML("later", "later", `email_recipient = ["later@example.org"]`),
	).start()
	for _, c := range []struct {
		recipient, step string // step: that fails; empty: all is well
		want            string
	}{
		{"night", "", "Does it take every recipient?"},
		{"wrong", "auth", "check smtp_username and smtp_password"},
		{"partly", "permission", "not for nobody@example.org (550"},
		{"later", "permission", "Greylisted"},
	} {
		said, err := b.try(c.recipient, "")
		if (err == nil) != (c.step == "") || !strings.Contains(said, c.want) || c.step != "" && !strings.Contains(said, `"step":"`+c.step+`","result":"failed"`) ||
			strings.Contains(said, "wrong-password") || strings.Contains(said, mailPassword) {
			t.Errorf("%s: %v\n%s", c.recipient, err, said)
		}
	}
	// What a test sends is the message of its last step alone.
	if m := s.inbox(t, "night", 1)[0]; !strings.Contains(header(t, m, "Subject"), "Test: ") {
		t.Errorf("the test's mail is %q", header(t, m, "Subject"))
	}
	day := len(s.inbox(t, "day", 1))

	// only sends alerts to one recipient and gives what the ledger says of each.
	only := func(recipient string, alerts ...*alert.Alert) (reasons []string) {
		var entries []outbox.Entry
		for _, al := range alerts {
			to := slices.DeleteFunc(b.router.Route(al, time.Now()), func(x alert.Target) bool { return x.Recipient != recipient })
			entries = append(entries, outbox.Entry{Alert: al, Targets: to})
		}
		if err := b.store.Store(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		for _, al := range alerts {
			waitFor(t, "a mail for "+recipient, func() bool {
				rows, err := b.store.List(t.Context(), outbox.Filter{Alert: al.ID})
				if err != nil || len(rows) != 1 || rows[0].State == alert.Dead {
					t.Fatalf("%s: %+v, %v", recipient, rows, err)
				}
				if rows[0].State != alert.Accepted {
					return false
				}
				reasons = append(reasons, rows[0].Reason)
				return true
			})
		}
		return reasons
	}
	at := time.Date(2026, 3, 7, 9, 5, 1, 0, time.UTC)
	start, end := scan(alert.Engage, "k"), scan(alert.Release, "k")
	start.Time, end.Time, end.Engaged, end.Message = at, at.Add(5*time.Minute), at, "No scan any more."
	start.Score, start.Advice = 100, "Find out what runs on the host."
	only("night", start)
	only("night", end)
	mails := s.inbox(t, "night", 3)[1:]
	s.inbox(t, "day", day+2)
	first, second := mails[0], mails[1]
	for name, want := range map[string]string{
		"From": `"Tocsin" <alerts@example.org>`, "To": `"Night shift" <night@example.org>`, "Cc": "<day@example.org>", "Auto-Submitted": "auto-generated",
		"Subject": "[Error] Scan – 192.0.2.7",
	} {
		if got := header(t, first, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	id := first.Header.Get("Message-Id")
	if !strings.HasSuffix(id, "@example.org>") || first.Header.Get("References") != "" || second.Header.Get("References") != id || second.Header.Get("In-Reply-To") != id {
		t.Errorf("the mail %s is followed by one with References %q and In-Reply-To %q", id, second.Header.Get("References"), second.Header.Get("In-Reply-To"))
	}
	if got := header(t, second, "Subject"); got != "[Error · Ended] Scan – 192.0.2.7" {
		t.Errorf("the end's subject is %q", got)
	}
	if r := strings.Join(first.Header["Received"], " "); !strings.Contains(r, "ESMTPSA") {
		t.Errorf("without TLS or log-in: %s", r)
	}
	text, html := bodies(t, first)
	const wantText = "🟠 Error · Started · score 100\nScan\nA scan.\nHost: 192.0.2.7 (attacker) · VLAN 3\nWhen: 2026-03-07 09:05:01 UTC\n\n💡 What to do: Find out what runs on the host.\n"
	if !strings.HasPrefix(text, wantText) {
		t.Errorf("the text is\n%s\nwant\n%s", text, wantText)
	}
	if !strings.HasPrefix(html, "<!DOCTYPE html>") || !strings.HasSuffix(strings.TrimSpace(html), "</html>") || !strings.Contains(html, "<code>192.0.2.7</code>") {
		t.Errorf("the HTML is\n%s", html)
	}
	if text, _ := bodies(t, second); !strings.Contains(text, "lasted 5 min") {
		t.Errorf("the end's text is\n%s", text)
	}

	// Several at once are one mail, and hostile text stays text.
	evil := benchAlert(1)
	evil.Title, evil.Message = "x\r\nBcc: day@example.org", "<script>alert(1)</script>\r\n.\r\n\u202e"+strings.Repeat("🚨&<", 30_000)
	evil.Severity = alert.Emergency
	only("batch", benchAlert(2), evil, benchAlert(3))
	m := s.inbox(t, "batch", 1)[0]
	text, html = bodies(t, m)
	if got := header(t, m, "Subject"); !strings.HasPrefix(got, "[Emergency] x Bcc: day@example.org – ") || !strings.HasSuffix(got, " (+2)") || m.Header.Get("Bcc") != "" {
		t.Errorf("the subject is %q", got)
	}
	if strings.Contains(html, "<script") || strings.Contains(html, "\u202e") || len(html) > 100_000 || strings.Count(html, `class="card"`) != 4 {
		t.Errorf("the HTML has %d bytes and %d cards", len(html), strings.Count(html, `class="card"`))
	}
	if strings.Count(text, "[Error] TLS certificate expired") != 2 || !strings.Contains(text, "<script>alert(1)</script>") {
		t.Errorf("the text is\n%.2000s", text)
	}

	// One recipient of two is refused for good: the other has the mail, and the ledger says who has not.
	if said := only("partly", benchAlert(4)); len(said) != 1 || !strings.Contains(said[0], "not for nobody@example.org (550") {
		t.Errorf("the ledger says %q", said)
	}
	s.inbox(t, "day", day+3)
}
