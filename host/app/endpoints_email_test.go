package app

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/smtpd"
)

const (
	mailUser   = "night"
	mailSecret = "s3cret-of-the-night"
)

// mailing starts a stand-in for a mail server. In the end nothing may have been wrong with what it was sent.
func mailing(t testing.TB, s *smtpd.Server) *smtpd.Server {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range s.Faults() {
			t.Error(f)
		}
	})
	return s
}

// mailParams are an endpoint's for a server, with STARTTLS and a log-in if more does not say otherwise.
func mailParams(s *smtpd.Server, more string) string {
	p := fmt.Sprintf(`smtp_server = "127.0.0.1", smtp_port = %d, email_sender = "Tocsin <alerts@example.org>"`, s.Port())
	if s.Users != nil && !strings.Contains(more, "smtp_username") {
		p += fmt.Sprintf(`, smtp_username = %q, smtp_password = %q`, mailUser, mailSecret)
	}
	if more != "" {
		p += ", " + more
	}
	return p
}

// TestMails sends alerts through the real module to a strict stand-in, with STARTTLS and a log-in: one that begins and ends, several
// at once, and one that is hostile and long.
func TestMails(t *testing.T) {
	s := mailing(t, &smtpd.Server{Certificate: trustedCertificate(t), Users: map[string]string{mailUser: mailSecret}})
	b := newRoom(t, "email", mailParams(s, ""), `email_recipient = ['"Night, shift" <night@example.org>', "Tag <tag@example.org>"], cc = ["day@example.org"]`).start()
	at := time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)
	begin, end := scanAt(alert.Engage, at), scanAt(alert.Release, at.Add(time.Minute))
	first := b.send("ops", begin)[begin.ID]
	rows := b.send("ops", end)
	mails := s.Mails()
	if len(mails) != 2 {
		t.Fatalf("%d mails", len(mails))
	}
	m, ended := mails[0], mails[1]
	if first.State != alert.Accepted || first.ProviderID != m.ID || rows[end.ID].ProviderID != ended.ID || first.Reason != "" {
		t.Errorf("the ledger has %+v", first)
	}
	if !slices.Equal(m.To, []string{"night@example.org", "tag@example.org", "day@example.org"}) || !m.TLS || m.User != mailUser || len(m.References) > 0 {
		t.Errorf("the first came as %+v", m)
	}
	for name, want := range map[string]string{
		"From": `"Tocsin" <alerts@example.org>`, "To": `"Night, shift" <night@example.org>, "Tag" <tag@example.org>`, "Cc": "<day@example.org>",
		"Auto-Submitted": "auto-generated", "Subject": "[Error] Scan – 192.0.2.7",
	} {
		if got := m.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	const want = "🟠 Error · Started · score 100\nScan\nA scan.\nHost: 192.0.2.7 (attacker) · VLAN 3\nValue: measured 412, limit 256\nWhen: 2026-03-14 03:00:00 UTC\n"
	if !strings.HasPrefix(m.Text, want) || !strings.Contains(m.HTML, "<code>192.0.2.7</code>") {
		t.Errorf("the text is\n%s\nwant\n%s", m.Text, want)
	}
	if !slices.Equal(ended.References, []string{m.ID}) || !slices.Equal(ended.InReplyTo, []string{m.ID}) || ended.Get("Subject") != "[Error · Ended] Scan – 192.0.2.7" ||
		!strings.Contains(ended.Text, "lasted 1 min") {
		t.Errorf("the end refers to %v and says\n%s", ended.References, ended.Text)
	}

	evil := flowAt(1, at)
	evil.Title, evil.Severity = "x\r\nBcc: day@example.org\u202e =?utf-8?q?=0A?= "+strings.Repeat("ü", 300), alert.Emergency
	evil.Message = "<script>@everyone*_[\r\n.\r\n..\r\n\u202e" + strings.Repeat("🚨&<\x00", 30_000)
	evil.Flow.Hostname, evil.Advice = strings.Repeat("h", 100_000), "\n.\nFrom here on </td>&lt;"
	b.send("ops", flowAt(2, at), evil, flowAt(3, at))
	mails = s.Mails()[2:]
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m = mails[0]
	if got := m.Get("Subject"); !strings.HasPrefix(got, "[Emergency] x Bcc: day@example.org =?utf-8?q?=0A?= ü") || !strings.HasSuffix(got, " (+2)") {
		t.Errorf("the subject is %q", got)
	}
	if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML+m.Text, "\u202e") || len(m.HTML) > 100_000 || strings.Count(m.HTML, `class="card"`) != 4 {
		t.Errorf("the HTML has %d bytes and %d cards", len(m.HTML), strings.Count(m.HTML, `class="card"`))
	}
	if strings.Count(m.Text, "[Error] TLS certificate expired") != 2 || !strings.Contains(m.Text, "<script>@everyone*_[") {
		t.Errorf("the text is\n%.2000s", m.Text)
	}
}

// TestMailSamples sends every sample alert in both languages through TLS from the first byte, to a server that takes a mailbox beyond
// ASCII. The test of a recipient tells what is wrong and sends nothing then.
func TestMailSamples(t *testing.T) {
	s := mailing(t, &smtpd.Server{
		Certificate: trustedCertificate(t), Implicit: true, Users: map[string]string{mailUser: mailSecret}, Mechanisms: []string{"LOGIN"},
		Answer: func(c smtpd.Command) *smtpd.Reply {
			if c.Verb == "RCPT" && strings.HasPrefix(c.Arg, "nobody@") {
				return &smtpd.Reply{Code: 550, Text: "5.1.1 there is\nno such user"}
			}
			return nil
		},
	})
	b := newRoom(t, "email", mailParams(s, `tls = "tls"`), `email_recipient = ["nächte@bücher.example"]`,
		recipientTOML("partly", "email", `email_recipient = ["day@example.org", "nobody@example.org"]`),
		endpointTOML("wrong", "email", mailParams(s, `tls = "tls", smtp_username = "night", smtp_password = "wrong-password"`)),
		recipientTOML("wrong", "wrong", `email_recipient = ["day@example.org"]`))
	n := b.samples(mailSecret)
	mails := s.Mails()
	if len(mails) != n {
		t.Errorf("%d mails of %d", len(mails), n)
	}
	for _, m := range mails {
		if m.To[0] != "nächte@xn--bcher-kva.example" || !m.UTF8 || !strings.Contains(m.Get("Subject"), "Test:") {
			t.Errorf("to %q, %s", m.To, m.Get("Subject"))
		}
	}
	for recipient, want := range map[string]string{"partly": "not for nobody@example.org (550 5.1.1 there is", "wrong": "check smtp_username and smtp_password"} {
		said, err := b.try(recipient, "")
		if err == nil || !strings.Contains(said, want) || strings.Contains(said, "wrong-password") || strings.Contains(said, mailSecret) {
			t.Errorf("%s: %v\n%s", recipient, err, said)
		}
	}
	if len(s.Mails()) != n {
		t.Error("a test that fails sent a mail")
	}
}

// A mailCase is a server that answers as it should not, and what becomes of an alert there.
type mailCase struct {
	s          smtpd.Server
	at         string // the command that is answered with reply, to the address, if one is named, and so many times, if a number is
	to         string
	times      int32
	reply      smtpd.Reply
	params     string
	recipients string // night@example.org if empty

	state    alert.State
	broken   bool // the endpoint is held for the reason, and the alert waits
	attempts int
	reason   string
	mails    int
}

// TestMailAnswers has servers that do not answer as wanted, each with an endpoint of its own, and wants the right end of a delivery to
// each in the ledger.
func TestMailAnswers(t *testing.T) {
	cert, users := trustedCertificate(t), map[string]string{mailUser: mailSecret}
	free := make(chan struct{})
	const ok, dead, waits = alert.Accepted, alert.Dead, alert.Queued
	two := `"day@example.org", "nobody@example.org"`
	greylisted := smtpd.Reply{Code: 450, Text: "4.7.1 greylisted, try again"}
	cases := map[string]*mailCase{
		"busy":              {at: "GREETING", times: 1, reply: smtpd.Reply{Code: 421, Text: "4.3.2 too many connections"}, state: ok, attempts: 2, mails: 1},
		"no-service":        {at: "GREETING", reply: smtpd.Reply{Code: 554, Text: "5.3.2 no service for you"}, broken: true, state: waits, reason: "answered 554 (greeting): 5.3.2 no service for you"},
		"closing":           {at: "MAIL", times: 1, reply: smtpd.Reply{Code: 421, Text: "4.3.2 going down"}, state: ok, attempts: 2, mails: 1},
		"hangs-up":          {at: "EHLO", times: 1, reply: smtpd.Reply{}, state: ok, attempts: 2, mails: 1},
		"wrong-password":    {s: smtpd.Server{Certificate: cert, Users: users}, params: `smtp_username = "night", smtp_password = "wrong-password"`, broken: true, state: waits, reason: "535 (auth): 5.7.8 authentication credentials invalid; check smtp_username"},
		"app-password":      {s: smtpd.Server{Certificate: cert, Users: users}, at: "AUTH", reply: smtpd.Reply{Code: 534, Text: "5.7.9 application-specific password required"}, broken: true, state: waits, reason: "some providers want a password for apps"},
		"auth-later":        {s: smtpd.Server{Certificate: cert, Users: users}, at: "AUTH", times: 1, reply: smtpd.Reply{Code: 454, Text: "4.7.0 temporary failure"}, state: ok, attempts: 2, mails: 1},
		"no-log-in":         {s: smtpd.Server{Certificate: cert, Users: users}, params: `smtp_username = ""`, broken: true, state: waits, reason: "530 (mail): 5.7.0 authentication required; the server wants a log-in"},
		"in-clear":          {s: smtpd.Server{Certificate: cert, Users: users}, params: `tls = "none", smtp_username = ""`, broken: true, state: waits, reason: "530 (mail)"},
		"no-starttls":       {params: `tls = "starttls"`, state: waits, reason: "does not offer STARTTLS"},
		"refused-sender":    {at: "MAIL", reply: smtpd.Reply{Code: 550, Text: "5.7.1 sender refused"}, broken: true, state: waits, reason: "may this server send for email_sender?"},
		"no-space":          {at: "MAIL", times: 1, reply: smtpd.Reply{Code: 452, Text: "4.3.1 no space"}, state: ok, attempts: 2, mails: 1},
		"greylisted":        {at: "RCPT", times: 1, reply: greylisted, state: ok, attempts: 2, mails: 1},
		"nobody":            {at: "RCPT", reply: smtpd.Reply{Code: 550, Text: "5.1.1 no such user"}, state: dead, attempts: 1, reason: "550 (rcpt): 5.1.1 no such user; check email_recipient and cc"},
		"one-of-two":        {at: "RCPT", to: "nobody@example.org", reply: smtpd.Reply{Code: 550, Text: "5.1.1 no such user"}, recipients: two, state: ok, attempts: 1, reason: "not for nobody@example.org (550 5.1.1 no such user)", mails: 1},
		"one-of-two-later":  {at: "RCPT", to: "nobody@example.org", times: 1, reply: greylisted, recipients: two, state: ok, attempts: 2, mails: 2},
		"one-of-two-never":  {at: "RCPT", to: "nobody@example.org", reply: greylisted, recipients: two, state: ok, attempts: 2, reason: "not for nobody@example.org (450 4.7.1", mails: 2},
		"data-refused":      {at: "DATA", reply: smtpd.Reply{Code: 554, Text: "5.5.1 no valid recipients"}, state: dead, attempts: 1, reason: "554 (data)"},
		"data-later":        {at: "DATA", times: 1, reply: smtpd.Reply{Code: 451, Text: "4.3.0 local error"}, state: ok, attempts: 2, mails: 1},
		"cut-in-data":       {at: "DATA", times: 1, reply: smtpd.Reply{Code: 354, Text: "go", Close: true}, state: ok, attempts: 2, mails: 1},
		"full":              {at: "END", times: 1, reply: smtpd.Reply{Code: 452, Text: "4.2.2 mailbox full"}, state: ok, attempts: 2, mails: 1},
		"lost-answer":       {at: "END", times: 1, reply: smtpd.Reply{Take: true}, state: ok, attempts: 2, mails: 2},
		"spam":              {at: "END", reply: smtpd.Reply{Code: 554, Text: "5.7.1 looks like spam"}, state: dead, attempts: 2, reason: "554 (end): 5.7.1 looks like spam"},
		"no-html":           {at: "END", times: 1, reply: smtpd.Reply{Code: 552, Text: "5.2.3 too large"}, state: ok, attempts: 2, mails: 1},
		"small":             {s: smtpd.Server{MaxSize: 3000}, state: ok, attempts: 2, mails: 1},
		"old":               {s: smtpd.Server{Without: []string{"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8"}}, state: ok, attempts: 1, mails: 1},
		"slow":              {at: "END", times: 1, reply: smtpd.Reply{Code: 250, Text: "2.0.0 at last", Wait: free}, state: ok, mails: 1}, // or more, where it takes minutes until "busy" is through
		"no-mail-server":    {at: "GREETING", reply: smtpd.Reply{Code: 302, Text: "elsewhere"}, state: waits, reason: "is it a mail server?"},
		"international":     {s: smtpd.Server{Without: []string{"SMTPUTF8"}}, recipients: `"day@example.org", "nächte@example.org"`, state: ok, attempts: 1, reason: "not for nächte@example.org (553 5.6.7", mails: 1},
		"untrusted":         {params: `tls = "tls"`, state: waits, reason: "certificate"},
		"nothing-but-plain": {s: smtpd.Server{Certificate: cert, Users: users, Mechanisms: []string{"XOAUTH2"}}, broken: true, state: waits, reason: "no log-in that tocsin can use"},
	}
	var text []string
	for name, c := range cases {
		if name == "untrusted" {
			other, _, err := newCertificate()
			if err != nil {
				t.Fatal(err)
			}
			c.s.Certificate, c.s.Implicit = other, true
		}
		var asked atomic.Int32
		c.s.Answer = func(cmd smtpd.Command) *smtpd.Reply {
			if cmd.Verb != c.at || c.to != "" && cmd.Arg != c.to || c.times > 0 && asked.Add(1) > c.times {
				return nil
			}
			return &c.reply
		}
		s := mailing(t, &c.s)
		params := mailParams(s, c.params)
		if c.s.Certificate == nil && c.params == "" {
			params += `, tls = "none"`
		}
		if c.recipients == "" {
			c.recipients = `"night@example.org"`
		}
		text = append(text, endpointTOML(name, "email", params), recipientTOML(name, name, "email_recipient = ["+c.recipients+"]"))
	}
	b := newBed(t, text...).start()
	b.raise(flowAt(1, time.Now()))
	b.settled("busy", alert.Accepted, 1) // although another server keeps its client waiting
	close(free)
	wrong := func() (out []string) {
		holds, err := b.store.Holds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range cases {
			r, broken := b.rows(name)[0], false
			for _, h := range holds {
				if h.Endpoint == name && h.Broken {
					r.Reason, broken = h.Reason, true
				}
			}
			if r.State != c.state || broken != c.broken || !strings.Contains(r.Reason, c.reason) || c.reason == "" && r.Reason != "" ||
				c.state != waits && c.attempts > 0 && r.Attempts != c.attempts || strings.Contains(r.Reason, "wrong-password") {
				out = append(out, fmt.Sprintf("%s is %v after %d attempts, broken %v: %s", name, r.State, r.Attempts, broken, r.Reason))
			}
		}
		return out
	}
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(wrong(), "\n"))
		}
	}()
	waitFor(t, "each delivery's end", func() bool { return len(wrong()) == 0 })
	for name, c := range cases {
		mails := c.s.Mails()
		if len(mails) != c.mails && (name != "slow" || len(mails) == 0) {
			t.Errorf("%s has %d mails, want %d", name, len(mails), c.mails)
		}
		for _, m := range mails {
			if m.ID != mails[0].ID || (m.HTML == "") != (name == "no-html" || name == "small") {
				t.Errorf("%s: %s has %d bytes of HTML, and the first is %s", name, m.ID, len(m.HTML), mails[0].ID)
			}
		}
	}
}
