package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	stdmail "net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tocsin-net/tocsin/pdk"
)

func TestMail(t *testing.T) {
	s := serveMail(t, &mailServer{}, nil, false)
	r := s.letterTo("one@example.org", "Two <two@example.org>")
	m := r.SMTP
	m.Cc = []string{"ONE@example.org", "three@example.org"}
	m.Subject = "Certificate expired: Zürich\r\nBcc: evil@example.org\x00 " + strings.Repeat("wörd ", 60)
	m.From = "\"Tocsin\r\nBcc: evil@example.org\" <alerts@example.org>"
	m.References = []string{"alert-7@tocsin.example", "alert-8@tocsin.example"}
	m.Headers = []pdk.Header{{Name: "X-Severity", Value: "error\r\nX-Evil: 1"}, {Name: "Reply-To", Value: "noc@example.org"}}
	m.Text = "Line one\n.\n..two\r\nlone \r return, é and a long one: " + strings.Repeat("0123456789", 200) + "\n\x00\x01"
	m.HTML = "<b>Line</b>\n"
	m.Attachments = []pdk.Attachment{{Name: "../../etc/\"pass\r\nwd\".csv", Type: "text/csv", Data: []byte("a,b\r\n.\r\n\x00\xff")}, {Data: []byte("x")}}
	resp, terr := newExecutor(t, Options{}).Do(t.Context(), r, s.policy(t))
	if terr != nil {
		t.Fatal(terr)
	}
	if resp.Status != 250 || resp.Headers["phase"] != "end" || resp.Headers["message-id"] != "0192f0c1-a000-7000-8000-000000000001@example.org" {
		t.Errorf("got %+v", resp)
	}
	if got := partsText(resp.Parts); got != "one@example.org true 250, two@example.org true 250, three@example.org true 250" {
		t.Errorf("parts: %s", got)
	}
	all := s.got()
	if len(all) != 1 || all[0].from != "alerts@example.org" || !slices.Equal(all[0].to, []string{"one@example.org", "two@example.org", "three@example.org"}) || all[0].utf8 {
		t.Fatalf("got %+v", all)
	}
	for n, l := range strings.SplitAfter(all[0].body, "\n") {
		if len(l) > 1000 || !isASCII(l) || strings.Contains(strings.TrimSuffix(l, "\r\n"), "\r") || l != "" && !strings.HasSuffix(l, "\r\n") {
			t.Errorf("line %d does not suit a mail: %q", n+1, l)
		}
	}
	msg, err := stdmail.ReadMessage(strings.NewReader(all[0].body))
	if err != nil {
		t.Fatal(err)
	}
	h := msg.Header
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != strings.TrimSpace("Certificate expired: Zürich Bcc: evil@example.org "+strings.Repeat("wörd ", 60)) {
		t.Errorf("subject %q, %v", subject, err)
	}
	for name, want := range map[string]string{
		"Message-Id": "<0192f0c1-a000-7000-8000-000000000001@example.org>", "References": "<alert-7@tocsin.example> <alert-8@tocsin.example>",
		"Auto-Submitted": "auto-generated", "Mime-Version": "1.0", "Bcc": "", "X-Evil": "", "X-Severity": "error X-Evil: 1",
		"Reply-To": "noc@example.org", "X-Mailer": "tocsin",
	} {
		if h.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, h.Get(name), want)
		}
	}
	if d, err := h.Date(); err != nil || time.Since(d) > time.Minute || time.Since(d) < -time.Minute {
		t.Errorf("date %v, %v", d, err)
	}
	if from, err := h.AddressList("From"); err != nil || len(from) != 1 || from[0].Address != "alerts@example.org" {
		t.Errorf("from %v, %v", from, err)
	}
	if cc, err := h.AddressList("Cc"); err != nil || len(cc) != 1 || cc[0].Address != "three@example.org" {
		t.Errorf("cc %v, %v", cc, err)
	}
	parts := leaves(t, h.Get("Content-Type"), h.Get("Content-Transfer-Encoding"), msg.Body)
	want := []string{
		"text/plain|" + strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n").Replace(m.Text), "text/html|<b>Line</b>\r\n",
		"text/csv|a,b\r\n.\r\n\x00\xff", "application/octet-stream|x",
	}
	if !slices.Equal(parts, want) {
		t.Errorf("parts\n got %q\nwant %q", parts, want)
	}
}

// leaves reads all parts of a mail that hold no others.
func leaves(t *testing.T, contentType, encoding string, r io.Reader) []string {
	t.Helper()
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(contentType, err)
	}
	if !strings.HasPrefix(typ, "multipart/") {
		if encoding == "base64" {
			r = base64.NewDecoder(base64.StdEncoding, r)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return []string{typ + "|" + string(b)}
	}
	var out []string
	for mr := multipart.NewReader(r, params["boundary"]); ; {
		p, err := mr.NextPart() // decodes quoted-printable by itself
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(p.FileName(), "/\\\r\n") {
			t.Errorf("file name %q", p.FileName())
		}
		out = append(out, leaves(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)...)
	}
}

func partsText(parts []pdk.Part) string {
	var out []string
	for _, p := range parts {
		out = append(out, fmt.Sprintf("%s %v %d", p.Name, p.OK, p.Status))
	}
	return strings.Join(out, ", ")
}

// TestMailReplies has a reply of each kind at each phase.
func TestMailReplies(t *testing.T) {
	const hello = "250-mail.example\n250-SIZE 20000\n250 AUTH PLAIN"
	ready := line{reply: "220 mail.example"}
	ehlo := line{want: "EHLO", reply: hello}
	for _, c := range []struct {
		name   string
		greet  line
		lines  []line
		change func(m *pdk.SMTPRequest)
		want   string // status, phase, body, parts; or stage, ambiguity, message
	}{
		{"greeting 4xx", line{reply: "421 4.3.2 busy", then: func(net.Conn) {}}, nil, nil, "421 greeting 4.3.2 busy [a@example.org false 421, b@example.org false 421, c@example.org false 421]"},
		{"greeting 5xx", line{reply: "554-no\n554 5.7.1 not you"}, nil, nil, "554 greeting no\n5.7.1 not you [a@"},
		{"EHLO and HELO refused", ready, []line{{want: "EHLO", reply: "502 no"}, {want: "HELO", reply: "550 no"}}, nil, "502 hello no [a@"},
		{"HELO only", ready, []line{{want: "EHLO", reply: "502 no"}}, nil, "250 end ok [a@example.org true 250, b@example.org true 250, c@example.org true 250]"},
		{"AUTH refused", ready, []line{ehlo, {want: "AUTH", reply: "535 5.7.8 wrong"}}, login, "535 auth 5.7.8 wrong [a@example.org false 535"},
		{"AUTH later", ready, []line{ehlo, {want: "AUTH", reply: "454 4.7.0 later"}}, login, "454 auth 4.7.0 later"},
		{"AUTH taken", ready, []line{ehlo, {want: "AUTH", reply: "235 2.7.0 in"}}, login, "250 end ok"},
		{"MAIL 4xx", ready, []line{{want: "MAIL", reply: "452 4.3.1 full"}}, nil, "452 mail 4.3.1 full [a@example.org false 452"},
		{"MAIL 5xx", ready, []line{{want: "MAIL", reply: "550 5.7.1 sender"}}, nil, "550 mail 5.7.1 sender [a@example.org false 550"},
		{"one bad recipient", ready, []line{{want: "RCPT TO:<b@", reply: "550 5.1.1 no such user"}}, nil, "250 end ok [a@example.org true 250, b@example.org false 550, c@example.org true 250]"},
		{"one grey recipient", ready, []line{{want: "RCPT TO:<b@", reply: "451 4.7.1 grey"}}, nil, "250 end ok [a@example.org true 250, b@example.org false 451, c@example.org true 250]"},
		{"all bad, one for now", ready, []line{{want: "RCPT TO:<b@", reply: "451 4.7.1 grey"}, {want: "RCPT", reply: "550 5.1.1 no"}}, nil, "451 rcpt 4.7.1 grey [a@example.org false 550, b@example.org false 451, c@example.org false 550]"},
		{"all bad", ready, []line{{want: "RCPT", reply: "550 5.1.1 no"}}, nil, "550 rcpt 5.1.1 no [a@example.org false 550, b@"},
		{"closing at the second", ready, []line{{want: "RCPT TO:<b@", reply: "421 4.3.2 bye", then: func(net.Conn) {}}}, nil, "421 rcpt 4.3.2 bye [a@example.org false 421, b@example.org false 421, c@example.org false 421]"},
		{"251 for a recipient", ready, []line{{want: "RCPT", reply: "251 will forward"}}, nil, "250 end ok [a@example.org true 250"},
		{"DATA refused", ready, []line{{want: "DATA", reply: "554 5.5.1 no"}}, nil, "554 data 5.5.1 no [a@example.org false 554"},
		{"end 4xx", ready, []line{{want: ".", reply: "451 4.3.0 later"}}, nil, "451 end 4.3.0 later [a@example.org false 451"},
		{"end 5xx", ready, []line{{want: ".", reply: "554 5.6.0 spam"}}, nil, "554 end 5.6.0 spam [a@example.org false 554"},
		{"too large by SIZE", ready, []line{ehlo}, func(m *pdk.SMTPRequest) { m.Text = strings.Repeat("long\n", 8000) }, "552 mail 5.3.4 the mail has "},
		{"international sender", ready, nil, func(m *pdk.SMTPRequest) { m.From = "tücke@exämple.org" }, "553 mail 5.6.7 the server takes no sender"},
		{"international recipient", ready, nil, func(m *pdk.SMTPRequest) { m.To[1] = "bjørn@exämple.org" }, "250 end ok [bjørn@exämple.org false 553, a@example.org true 250, c@example.org true 250]"},
		{"verify", ready, []line{{want: "DATA", reply: "554 not meant"}, {want: "RCPT TO:<b@", reply: "550 no"}, {want: "RSET", reply: "250 2.0.0 flushed"}}, verify, "250 end 2.0.0 flushed [a@example.org true 250, b@example.org false 550, c@example.org true 250]"},
		{"verify without recipients", ready, []line{{want: "RCPT", reply: "554 not meant"}}, func(m *pdk.SMTPRequest) { verify(m); m.To = nil }, "250 end ok []"},

		{"2xx in the wrong place", ready, []line{{want: "MAIL", reply: "220 again"}}, nil, "read false 127.0.0.1:PORT answered 220 where that makes no sense (phase mail)"},
		{"no greeting", line{then: func(net.Conn) {}}, nil, nil, "read false 127.0.0.1:PORT closed the connection without a greeting"},
		{"3xx at the end", ready, []line{{want: ".", reply: "354 more", then: func(net.Conn) {}}}, nil, "read true 127.0.0.1:PORT answered 354 where that makes no sense (phase end)"},
		{"greeting and gone", line{reply: "220 x", then: func(net.Conn) {}}, nil, nil, "false 127.0.0.1:PORT closed the connection"},
		{"HTTP", line{reply: "HTTP/1.1 400 Bad Request"}, nil, nil, "read false 127.0.0.1:PORT does not speak SMTP as it should"},
		{"garbage before the reply", ready, []line{{want: "MAIL", reply: "\x00\xff garbage\n250 ok\n250 ok\n250 ok"}}, nil, "read false 127.0.0.1:PORT does not speak SMTP as it should"},
		{"endless greeting", line{then: func(c net.Conn) { endless(c, "220-hello") }}, nil, nil, "read false 127.0.0.1:PORT sent more than 262144 bytes of replies"},
		{"endless line", line{then: func(c net.Conn) { endless(c, "") }}, nil, nil, "read false 127.0.0.1:PORT sent more than 262144 bytes of replies"},
		{"closed after MAIL", ready, []line{{want: "RCPT", then: hangUp}}, nil, "false 127.0.0.1:PORT closed the connection"},
		{"closed before the dot", ready, []line{{want: "DATA", reply: "354 go", then: hangUp}}, func(m *pdk.SMTPRequest) { m.Text = strings.Repeat("long line of text\n", 400_000) }, "send false 127.0.0.1:PORT closed the connection"},
		{"closed after the dot", ready, []line{{want: ".", then: hangUp}}, nil, "read true 127.0.0.1:PORT closed the connection"},
		{"silent greeting", line{then: silence}, nil, nil, "timeout false 127.0.0.1:PORT did not answer within 5s (phase greeting); nothing was sent"},
		{"silent after MAIL", ready, []line{{want: "MAIL", then: silence}}, nil, "timeout false 127.0.0.1:PORT did not answer within 5s (phase mail); nothing was sent"},
		{"silent after the dot", ready, []line{{want: ".", then: silence}}, nil, "timeout true 127.0.0.1:PORT did not answer within 5s (phase end); it may have taken the mail all the same"},
		{"silent after RSET", ready, []line{{want: "RSET", then: silence}}, verify, "timeout false 127.0.0.1:PORT did not answer within 5s (phase end)"},
		{"STARTTLS not offered", ready, nil, func(m *pdk.SMTPRequest) { m.TLS = "" }, "tls false 127.0.0.1:PORT does not offer STARTTLS; set tls to"},
		{"STARTTLS refused", ready, []line{{want: "EHLO", reply: "250-x\n250 STARTTLS"}, {want: "STARTTLS", reply: "454 4.7.0 no certificate"}}, func(m *pdk.SMTPRequest) { m.TLS = "starttls" }, "454 starttls 4.7.0 no certificate"},
		{"STARTTLS and no handshake", ready, []line{{want: "EHLO", reply: "250-x\n250 STARTTLS"}, {want: "STARTTLS", reply: "220 go", then: hangUp}}, func(m *pdk.SMTPRequest) { m.TLS = "starttls" }, "tls false 127.0.0.1:PORT"},
		{"commands before the handshake", ready, []line{{want: "EHLO", reply: "250-x\n250 STARTTLS"}, {want: "STARTTLS", reply: "220 go\n250 AUTH PLAIN", then: silence}}, func(m *pdk.SMTPRequest) { m.TLS = "starttls" }, "tls false 127.0.0.1:PORT sent more than its answer to STARTTLS"},
		{"TLS wanted, plain spoken", ready, nil, func(m *pdk.SMTPRequest) { m.TLS = "tls" }, "tls false 127.0.0.1:PORT does not speak TLS from the first byte; set tls to starttls"},
		{"no AUTH", ready, nil, login, "auth false 127.0.0.1:PORT offers no log-in (AUTH); many servers offer it after TLS only"},
		{"unknown AUTH", ready, []line{{want: "EHLO", reply: "250-x\n250 AUTH GSSAPI XOAUTH2"}}, login, "auth false 127.0.0.1:PORT offers no log-in that tocsin can use (GSSAPI XOAUTH2)"},
		{"bad challenge", ready, []line{{want: "EHLO", reply: "250-x\n250 AUTH CRAM-MD5"}, {want: "AUTH", reply: "334 !!!"}}, login, "auth false the log-in to 127.0.0.1:PORT failed (CRAM-MD5): illegal base64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serveScript(t, c.greet, c.lines...)
			r := s.letterTo("a@example.org", "b@example.org", "c@example.org")
			if c.change != nil {
				c.change(r.SMTP)
			}
			p := s.policy(t)
			if strings.HasPrefix(c.want, "timeout") || strings.HasPrefix(c.name, "commands") {
				p.Timeout = 5 * time.Second // time for what comes before the silence, on a busy machine too
			}
			resp, terr := newExecutor(t, Options{}).Do(t.Context(), r, p)
			got := ""
			if terr != nil {
				got = fmt.Sprintf("%s %v %s", terr.Stage, terr.Ambiguous, terr.Message)
				if want := strings.ReplaceAll(c.want, "PORT", fmt.Sprint(s.port)); strings.HasPrefix(want, "false ") {
					_, got, _ = strings.Cut(got, " ") // how a reset shows depends on the moment
				}
			} else {
				got = fmt.Sprintf("%d %s %s [%s]", resp.Status, resp.Headers["phase"], resp.Body, partsText(resp.Parts))
			}
			if want := strings.ReplaceAll(c.want, "PORT", fmt.Sprint(s.port)); !strings.HasPrefix(got, want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// TestMailTimeLimits: a phase that takes too long is told with the limit that it had.
func TestMailTimeLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase        string
		own, session time.Duration
		ended        bool // the session is
		want         string
	}{
		{phaseStartTLS, handshakeTimeout, 5 * time.Minute, false, "did not answer within 10s (phase starttls); nothing was sent"},
		{phaseMail, commandTime, 5 * time.Minute, false, "did not answer within 1m0s (phase mail); nothing was sent"},
		{phaseStartTLS, handshakeTimeout, 3 * time.Second, false, "did not answer within 3s (phase starttls)"},
		{phaseMail, commandTime, 15 * time.Second, false, "did not answer within 15s (phase mail)"},
		{phaseMail, commandTime, 5 * time.Minute, true, "did not answer within 5m0s (phase mail)"},
		{phaseData, 5 * time.Minute, 5 * time.Minute, false, "did not answer within 5m0s (phase data)"},
	} {
		conn, other := net.Pipe()
		defer conn.Close()
		defer other.Close()
		s := &mailSession{p: &Policy{Timeout: c.session}, at: "mail.example:25", letter: &letter{req: &pdk.SMTPRequest{}}, conn: &replyConn{Conn: conn}}
		ctx, cancel := context.WithTimeout(t.Context(), c.session)
		s.begin(ctx, c.phase, c.own)
		cancel()
		if ctx = context.WithoutCancel(ctx); c.ended {
			ctx, cancel = context.WithTimeout(ctx, 0)
			defer cancel()
		}
		if e := s.failed(ctx, os.ErrDeadlineExceeded); e.Stage != StageTimeout || !strings.Contains(e.Message, c.want) {
			t.Errorf("got %s: %s; want %s", e.Stage, e.Message, c.want)
		}
	}
}

func login(m *pdk.SMTPRequest)  { m.User, m.Password = "ops", "pass" }
func verify(m *pdk.SMTPRequest) { m.Verify = true }

func endless(c net.Conn, text string) {
	b := []byte(strings.Repeat("x", 4000))
	if text != "" {
		b = []byte(strings.Repeat(text+"\r\n", 400))
	}
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func TestMailLogin(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	now := time.Now()
	good := ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), false, "127.0.0.1", "localhost")
	expired := ca.leaf(t, now.Add(-2*time.Hour), now.Add(-time.Hour), false, "127.0.0.1")
	other := ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), false, "mail.example")
	self := ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), true, "127.0.0.1")
	for _, c := range []struct {
		name     string
		cert     *tls.Certificate
		mode     string
		mechs    []string
		password string
		want     string // the users seen, or the error
	}{
		{"starttls, PLAIN", &good, "starttls", []string{"PLAIN"}, canary, "PLAIN ops"},
		{"starttls by default, LOGIN", &good, "", []string{"LOGIN"}, canary, "LOGIN ops"},
		{"tls, SCRAM before all", &good, "tls", []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"}, canary, "SCRAM-SHA-256 ops"},
		{"none, CRAM-MD5", nil, "none", []string{"CRAM-MD5"}, canary, "CRAM-MD5 ops"},
		{"none, PLAIN to loopback", nil, "none", []string{"PLAIN"}, canary, "PLAIN ops"},
		{"wrong password, PLAIN", &good, "tls", []string{"PLAIN"}, "nope-nope", "535 auth"},
		{"wrong password, LOGIN", &good, "tls", []string{"LOGIN"}, "nope-nope", "535 auth"},
		{"wrong password, CRAM-MD5", &good, "tls", []string{"CRAM-MD5"}, "nope-nope", "535 auth"},
		{"wrong password, SCRAM", &good, "tls", []string{"SCRAM-SHA-256"}, "nope-nope", "535 auth"},
		{"greedy SCRAM", &good, "tls", []string{"SCRAM-SHA-1"}, canary, `auth: the log-in to HERE failed (SCRAM-SHA-1): the server asks for "2000000000" iterations`},
		{"expired", &expired, "starttls", nil, "", "tls: HERE has a certificate that expired on"},
		{"expired, implicit", &expired, "tls", nil, "", "tls: HERE has a certificate that expired on"},
		{"another name", &other, "starttls", nil, "", "tls: HERE has a certificate for another name"},
		{"self-signed", &self, "tls", nil, "", "tls: HERE has a self-signed certificate"},
		{"self-signed, starttls", &self, "starttls", nil, "", "tls: HERE has a self-signed certificate"},
		{"starttls to implicit", &good, "wrong", nil, "", "timeout: HERE did not answer within 5s (phase greeting)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serveMail(t, &mailServer{mechanisms: c.mechs}, c.cert, c.mode == "tls" || c.mode == "wrong")
			r := s.letterTo("a@example.org")
			r.SMTP.TLS = c.mode
			sec := NewSecrets()
			p := s.policy(t)
			p.Secrets, p.Trace = sec, new(Trace)
			if c.mode == "wrong" {
				r.SMTP.TLS, p.Timeout = "starttls", 5*time.Second
			}
			if c.password != "" {
				r.SMTP.User, r.SMTP.Password = "ops", sec.Add("smtp_password", c.password)
			}
			resp, terr := newExecutor(t, Options{RootCAs: pool}).Do(t.Context(), r, p)
			here := net.JoinHostPort(s.host, fmt.Sprint(s.port))
			switch {
			case terr != nil:
				if got := terr.Stage + ": " + terr.Message; !strings.HasPrefix(got, strings.ReplaceAll(c.want, "HERE", here)) || terr.Ambiguous {
					t.Errorf("got %s, want %s", got, c.want)
				}
			case resp.Status != 250:
				if got := fmt.Sprintf("%d %s", resp.Status, resp.Headers["phase"]); got != c.want {
					t.Errorf("got %s, want %s: %s", got, c.want, resp.Body)
				}
			default:
				s.mu.Lock()
				defer s.mu.Unlock()
				if strings.Join(s.users, ",") != c.want || len(s.mails) != 1 || s.mails[0].tls != (c.cert != nil) {
					t.Errorf("users %q, mails %+v, want %q", s.users, s.mails, c.want)
				}
			}
		})
	}
}

// TestPasswordInClear has a server that is not this machine, as far as its address tells, and that wants the password in
// clear text.
func TestPasswordInClear(t *testing.T) {
	s := mailSession{user: "ops", password: "pass", mode: "none", at: "192.0.2.7:25"}
	here, there := net.Pipe()
	defer here.Close()
	go runScript(there, line{reply: "220 x"}, []line{{want: "EHLO", reply: "250-x\n250 AUTH LOGIN PLAIN"}})
	s.conn, s.letter, s.p = &replyConn{Conn: here, left: maxReplies}, &letter{req: &pdk.SMTPRequest{}}, &Policy{}
	if err := s.greet(t.Context(), addressed{s.conn}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.chooseAuth(addressed{s.conn}); err == nil || !strings.Contains(err.Error(), "in clear text only") {
		t.Errorf("got %v", err)
	}
	s.mode = "starttls" // by then there is TLS, or there is no session
	if a, err := s.chooseAuth(addressed{s.conn}); err != nil || a == nil || s.mechanism != "PLAIN" {
		t.Errorf("got %v, %v, %s", a, err, s.mechanism)
	}
}

type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 25} }
func (addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }

func TestMailTrace(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	cert := ca.leaf(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), false, "localhost")
	s := serveMail(t, &mailServer{mechanisms: []string{"PLAIN"}}, &cert, false)
	r := s.letterTo("a@example.org")
	sec := NewSecrets()
	r.SMTP.Host, r.SMTP.TLS, r.SMTP.User, r.SMTP.Password = "localhost", "starttls", "ops", sec.Add("pw", canary)
	p := Policy{Grants: []Grant{{Scheme: "smtp", Host: "localhost", Typed: true}}, Secrets: sec, Trace: new(Trace)}
	if _, terr := newExecutor(t, Options{RootCAs: pool}).Do(t.Context(), r, p); terr != nil {
		t.Fatal(terr)
	}
	var names []string
	for _, st := range p.Trace.Steps() {
		if st.Name == StepConnect && st.Err != "" {
			continue // localhost may be ::1 first
		}
		names = append(names, st.Name)
		if st.Err != "" || st.Took < 0 {
			t.Errorf("step %+v", st)
		}
		if want := map[string]string{"tls": "TLS 1.3, localhost, until", "auth": "PLAIN", "answer": "250 in phase end"}[st.Name]; !strings.HasPrefix(st.Detail, want) {
			t.Errorf("step %+v", st)
		}
	}
	if got := strings.Join(names, " "); got != "dns connect tls auth send answer" {
		t.Errorf("steps: %s", got)
	}
}

func TestInternationalMail(t *testing.T) {
	s := serveMail(t, &mailServer{Server: &smtp.Server{EnableSMTPUTF8: true}}, nil, false)
	r := s.letterTo("bjørn@exämple.org", `"odd local> SIZE=1"@example.org`)
	resp, terr := newExecutor(t, Options{}).Do(t.Context(), r, s.policy(t))
	if terr != nil || resp.Status != 250 {
		t.Fatal(resp, terr)
	}
	all := s.got()
	if len(all) != 1 || !all[0].utf8 || all[0].to[0] != "bjørn@xn--exmple-cua.org" || len(all[0].to) != 2 || !strings.Contains(all[0].body, "bjørn@xn--exmple-cua.org") {
		t.Errorf("got %+v", all)
	}
	// A mail that does not need it does not ask for it: it would be refused further on its way.
	if _, terr := newExecutor(t, Options{}).Do(t.Context(), s.letterTo("Bjørn <b@exämple.org>"), s.policy(t)); terr != nil || s.got()[1].utf8 {
		t.Errorf("got %+v, %v", s.got(), terr)
	}
}

func TestBadMails(t *testing.T) {
	s := serveMail(t, &mailServer{}, nil, false)
	x := newExecutor(t, Options{MaxBody: 1 << 20})
	sec := NewSecrets()
	holder := sec.Add("pw", canary)
	for _, c := range []struct {
		name   string
		change func(m *pdk.SMTPRequest)
		want   string
	}{
		{"sender", func(m *pdk.SMTPRequest) { m.From = "nobody" }, `invalid: from: "nobody" is no mail address: write name@example.org`},
		{"recipient", func(m *pdk.SMTPRequest) { m.To = []string{"a@example.org", "b@example.org\r\nRCPT TO:<c@example.org>"} }, `invalid: to[1]: "b@example.org RCPT TO:<c@example.org>" is no mail address`},
		{"two in one", func(m *pdk.SMTPRequest) { m.Cc = []string{"a@example.org, b@example.org"} }, "invalid: cc[0]: "},
		{"none", func(m *pdk.SMTPRequest) { m.To = nil }, "invalid: the mail has no recipient"},
		{"many", func(m *pdk.SMTPRequest) {
			for i := range 101 {
				m.To = append(m.To, fmt.Sprintf("u%d@example.org", i))
			}
		}, "invalid: the mail has 102 recipients; at most 100"},
		{"long address", func(m *pdk.SMTPRequest) { m.To = []string{strings.Repeat("a", 250) + "@example.org"} }, "invalid: to[0]: "},
		{"mode", func(m *pdk.SMTPRequest) { m.TLS = "maybe" }, `invalid: tls is "maybe"; it is starttls, tls or none`},
		{"port", func(m *pdk.SMTPRequest) { m.Port = 70000 }, "invalid: the port 70000 is none"},
		{"Message-ID", func(m *pdk.SMTPRequest) { m.MessageID = "a@b>\r\nBcc: x" }, "invalid: "},
		{"References", func(m *pdk.SMTPRequest) { m.References = []string{"<a@b>"} }, `invalid: "<a@b>" is no Message-ID: write left@right, without brackets`},
		{"header name", func(m *pdk.SMTPRequest) { m.Headers = []pdk.Header{{Name: "X: y\r\nBcc", Value: "x"}} }, "invalid: "},
		{"host's header", func(m *pdk.SMTPRequest) { m.Headers = []pdk.Header{{Name: "bcc", Value: "x@example.org"}} }, "invalid: the header bcc is the host's own"},
		{"MIME header", func(m *pdk.SMTPRequest) { m.Headers = []pdk.Header{{Name: "Content-Type", Value: "text/html"}} }, "invalid: the header Content-Type is the host's own"},
		{"long word", func(m *pdk.SMTPRequest) {
			m.Headers = []pdk.Header{{Name: "X-A", Value: strings.Repeat("a", 1000)}}
		}, "invalid: the header X-A has a word of 1000 bytes"},
		{"media type", func(m *pdk.SMTPRequest) {
			m.Attachments = []pdk.Attachment{{Name: "x", Type: "text/csv\r\nX-Evil: 1"}}
		}, "invalid: attachments[0].type: "},
		{"too large", func(m *pdk.SMTPRequest) { m.Attachments = []pdk.Attachment{{Name: "x", Data: make([]byte, 1<<20)}} }, "invalid: the mail has 14"},
		{"secret in the text", func(m *pdk.SMTPRequest) { m.Text = "pw: " + holder }, "invalid: text holds a secret's placeholder"},
		{"secret in a header", func(m *pdk.SMTPRequest) { m.Headers = []pdk.Header{{Name: "X-A", Value: holder}} }, "invalid: headers holds a secret's placeholder"},
		{"secret in an attachment", func(m *pdk.SMTPRequest) { m.Attachments = []pdk.Attachment{{Data: []byte(holder)}} }, "invalid: attachments holds a secret's placeholder"},
		{"secret as a recipient", func(m *pdk.SMTPRequest) { m.To = []string{holder + "@example.org"} }, "invalid: to holds a secret's placeholder"},
		{"secret as the host", func(m *pdk.SMTPRequest) { m.Host = holder }, "invalid: host holds a secret's placeholder"},
		{"password alone", func(m *pdk.SMTPRequest) { m.Password = holder }, "denied: there is a password for 127.0.0.1:"},
		{"another host", func(m *pdk.SMTPRequest) { m.Host = "mail.example.org" }, "denied: smtp://mail.example.org:"},
		{"decimal host", func(m *pdk.SMTPRequest) { m.Host = "2130706433" }, "denied: "},
		{"cloud metadata", func(m *pdk.SMTPRequest) { m.Host, m.Port = "169.254.169.254", 25 }, "denied: 169.254.169.254:25: 169.254.169.254 is a cloud metadata address"},
		{"name of this machine", func(m *pdk.SMTPRequest) { m.Host = "rebind.example" }, "denied: rebind.example:"},
	} {
		r := s.letterTo("a@example.org")
		c.change(r.SMTP)
		p := s.policy(t)
		p.Secrets = sec
		p.Grants = append(p.Grants, Grant{Scheme: "smtp", Host: "169.254.169.254", Typed: true}, Grant{Scheme: "smtp", Host: "rebind.example", Typed: true})
		x.opt.Resolver = fakeDNS(t, map[string]string{"rebind.example.": "127.0.0.1"})
		resp, terr := x.Do(t.Context(), r, p)
		if terr == nil || !strings.HasPrefix(terr.Stage+": "+terr.Message, c.want) {
			t.Errorf("%s: got %+v, %+v, want %s", c.name, resp, terr, c.want)
		}
	}
	if got := s.got(); len(got) != 0 {
		t.Errorf("%d mails were sent", len(got))
	}
	// Without a grant for mail, one for the web does not do.
	p := Policy{Grants: []Grant{{Scheme: "https", Host: s.host, Port: s.port, Typed: true}}}
	if _, terr := x.Do(t.Context(), s.letterTo("a@example.org"), p); terr == nil || terr.Stage != StageDenied || !strings.Contains(terr.Message, `scheme = "smtp"`) {
		t.Errorf("got %+v", terr)
	}
}

// TestMailKeepsSecrets has a server that says everything back.
func TestMailKeepsSecrets(t *testing.T) {
	sec := NewSecrets()
	echo := canary + " " + base64.StdEncoding.EncodeToString([]byte("\x00ops\x00"+canary)) + " " + url.QueryEscape(canary)
	s := serveScript(t, line{reply: "220 x"}, line{want: "EHLO", reply: "250-x\n250 AUTH PLAIN"}, line{want: "AUTH", reply: "235 " + echo},
		line{want: "RCPT TO:<b@", reply: "550 " + echo}, line{want: ".", reply: "250 " + echo})
	r := s.letterTo("a@example.org", "b@example.org")
	r.SMTP.User, r.SMTP.Password = "ops", sec.Add("smtp_password", canary)
	p := s.policy(t)
	p.Secrets, p.Trace = sec, new(Trace)
	var log bytes.Buffer
	x := newExecutor(t, Options{Log: debugLog(&log)})
	resp, terr := x.Do(t.Context(), r, p)
	if terr != nil {
		t.Fatal(terr)
	}
	all := fmt.Sprintf("%+v %+v %s", resp, p.Trace.Steps(), log.String())
	if !strings.Contains(all, "‹secret:smtp_password›") {
		t.Errorf("nothing was redacted: %s", all)
	}
	for _, form := range []string{canary, "c4n4ry", base64.StdEncoding.EncodeToString([]byte("\x00ops\x00" + canary)), r.SMTP.Password} {
		if strings.Contains(all, form) {
			t.Errorf("%q is in %s", form, all)
		}
	}
}

func TestMailCancelled(t *testing.T) {
	reached := make(chan struct{})
	s := serveScript(t, line{reply: "220 x"}, line{want: "MAIL", then: func(c net.Conn) { close(reached); silence(c) }})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	p := s.policy(t)
	p.Timeout = time.Minute
	start := time.Now()
	_, terr := newExecutor(t, Options{}).Do(ctx, s.letterTo("a@example.org"), p)
	if terr == nil || terr.Ambiguous || !strings.Contains(terr.Message, "the session was stopped; nothing was sent") || time.Since(start) > 50*time.Second {
		t.Errorf("got %+v after %s", terr, time.Since(start))
	}
}

// FuzzMailServer lets the fuzzer be the mail server: whatever it sends, the session ends, and a mail counts as taken only if
// there was a reply to its end.
func FuzzMailServer(f *testing.F) {
	f.Add([]byte("220 x\r\n250-x\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n235 in\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n221 e\r\n"), true)
	f.Add([]byte("220-a\r\n220 b\r\n250 x\r\n250 a\r\n250 b\r\n354 c\r\n250 d\r\n"), false)
	f.Add([]byte("220 x\r\n250 AUTH SCRAM-SHA-1\r\n250 y\r\n334 \r\n334 cj0sczUsaT05OTk5OTk5OTk5\r\n"), true)
	f.Add([]byte("\xff\xfe 250\n\n\n99999999999 x\r\n-1 y\r\n"), false)
	f.Fuzz(func(t *testing.T, says []byte, auth bool) {
		here, there := net.Pipe()
		defer here.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			go func() { _, _ = io.Copy(io.Discard, there) }()
			_, _ = there.Write(says)
			_ = there.Close()
		}()
		r := (&mailServer{host: "127.0.0.1"}).letterTo("a@example.org")
		l, terr := newLetter(r, nil, "tocsin")
		if terr != nil {
			t.Fatal(terr)
		}
		s := &mailSession{x: newExecutor(t, Options{}), p: &Policy{Timeout: 5 * time.Second, MaxResponse: 1 << 10}, letter: l, host: "127.0.0.1", at: "127.0.0.1:25", mode: "none"}
		if auth {
			s.user, s.password = "ops", "password"
		}
		if s.mail, terr = s.write(l.to, l.cc); terr != nil {
			t.Fatal(terr)
		}
		s.conn = &replyConn{Conn: here, left: maxReplies}
		resp, terr := s.talk(t.Context(), addressed{s.conn})
		if (resp == nil) == (terr == nil) {
			t.Fatalf("got %+v, %+v", resp, terr)
		}
		if resp != nil && (resp.Status < 200 || resp.Parts[0].OK && !bytes.Contains(says, []byte("354"))) {
			t.Fatalf("got %+v", resp)
		}
		_ = here.Close()
		<-done
	})
}

func BenchmarkMail(b *testing.B) {
	s := serveMail(b, &mailServer{}, nil, false)
	x := newExecutor(b, Options{})
	p := s.policy(b)
	r := s.letterTo("a@example.org")
	r.SMTP.HTML = "<p>Something happened.</p>"
	b.ReportAllocs()
	for b.Loop() {
		if resp, terr := x.Do(b.Context(), r, p); terr != nil || resp.Status != 250 {
			b.Fatal(resp, terr)
		}
	}
}
