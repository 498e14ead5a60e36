package egress

import (
	"crypto/x509"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/fakes/smtpd"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestMailManners wants sessions that end before their time to be as RFC 5321 has them, too: nothing out of order, and QUIT at the
// end.
func TestMailManners(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	now := time.Now()
	cert := ca.leaf(t, now.Add(-time.Hour), now.Add(time.Hour), false, "127.0.0.1")
	users := map[string]string{"ops": "secret"}
	login := func(m *pdk.SMTPRequest) { m.TLS, m.User, m.Password = "starttls", "ops", "secret" }
	refuse := func(verb string, r smtpd.Reply) func(smtpd.Command) *smtpd.Reply {
		return func(c smtpd.Command) *smtpd.Reply {
			if c.Verb != verb {
				return nil
			}
			return &r
		}
	}
	for name, c := range map[string]struct {
		s    *smtpd.Server
		req  func(m *pdk.SMTPRequest)
		want string // of the phase and the status, or of the error
	}{
		"a mail":            {&smtpd.Server{Certificate: &cert, Users: users}, login, "end 250"},
		"a test":            {&smtpd.Server{Certificate: &cert, Users: users}, func(m *pdk.SMTPRequest) { login(m); m.Verify = true }, "end 250"},
		"wrong PLAIN":       {&smtpd.Server{Certificate: &cert, Users: users}, func(m *pdk.SMTPRequest) { login(m); m.Password = "x" }, "auth 535"},
		"wrong LOGIN":       {&smtpd.Server{Certificate: &cert, Users: users, Mechanisms: []string{"LOGIN"}}, func(m *pdk.SMTPRequest) { login(m); m.Password = "x" }, "auth 535"},
		"log-in refused":    {&smtpd.Server{Certificate: &cert, Users: users, Answer: refuse("AUTH", smtpd.Reply{Code: 454, Text: "4.7.0 later"})}, login, "auth 454"},
		"no usable log-in":  {&smtpd.Server{Certificate: &cert, Users: users, Mechanisms: []string{"XOAUTH2"}}, login, "no log-in that tocsin can use"},
		"no log-in":         {&smtpd.Server{Certificate: &cert}, login, "offers no log-in"},
		"no STARTTLS":       {&smtpd.Server{}, login, "does not offer STARTTLS"},
		"STARTTLS refused":  {&smtpd.Server{Certificate: &cert, Answer: refuse("STARTTLS", smtpd.Reply{Code: 454, Text: "4.7.0 not now"})}, login, "starttls 454"},
		"recipient refused": {&smtpd.Server{Answer: refuse("RCPT", smtpd.Reply{Code: 550, Text: "5.1.1 nobody"})}, func(*pdk.SMTPRequest) {}, "rcpt 550"},
		"mail refused":      {&smtpd.Server{Answer: refuse("END", smtpd.Reply{Code: 554, Text: "5.6.0 no"})}, func(*pdk.SMTPRequest) {}, "end 554"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.s.Start(); err != nil {
				t.Fatal(err)
			}
			s := &mailServer{host: "127.0.0.1", port: c.s.Port()}
			r := s.letterTo("night@example.org")
			c.req(r.SMTP)
			resp, terr := newExecutor(t, Options{RootCAs: pool}).Do(t.Context(), r, s.policy(t))
			got := ""
			if terr != nil {
				got = terr.Message
			} else {
				got = resp.Headers["phase"] + " " + strconv.Itoa(resp.Status)
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if err := c.s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, f := range c.s.Faults() {
				t.Error(f)
			}
		})
	}
}
