package egress

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/tocsin-net/tocsin/pdk"
)

// maxIterations bounds the work that a server may ask for with SCRAM; RFC 7677 names 4,096 as the least, and servers use up to
// some hundred thousand. A million takes about a second.
const maxIterations = 1_000_000

// auth logs in, if the request has a user.
func (s *mailSession) auth(ctx context.Context, conn net.Conn) error {
	if s.user == "" {
		return nil
	}
	a, err := s.chooseAuth(conn)
	if err != nil {
		s.p.Trace.Step(StepAuth, "", 0, err)
		s.quit()
		return err
	}
	s.begin(ctx, phaseAuth, commandTime)
	start := time.Now()
	err = s.exchange(a)
	s.p.Trace.Step(StepAuth, s.mechanism, time.Since(start), err)
	var reply *textproto.Error
	var protocol textproto.ProtocolError
	var network net.Error
	switch {
	case err == nil, errors.As(err, &reply), errors.As(err, &protocol), errors.As(err, &network), isClosed(err), ctx.Err() != nil, s.conn.overrun.Load():
		return err
	}
	s.quit()
	return stage(StageAuth, "the log-in to %s failed (%s): %s", s.at, s.mechanism, pdk.TruncateBytes(s.p.Secrets.Redact(err.Error()), 200))
}

// exchange is AUTH (RFC 4954). The mail library's own sends the "*" that cancels a log-in to servers that have refused it already,
// for which it is no command.
func (s *mailSession) exchange(a smtp.Auth) error {
	_, offered := s.c.Extension("AUTH")
	mechanism, response, err := a.Start(&smtp.ServerInfo{Name: s.host, TLS: s.mode != "none", Auth: strings.Fields(offered)})
	if err != nil {
		return err
	}
	line := "AUTH " + mechanism
	if len(response) > 0 {
		line += " " + base64.StdEncoding.EncodeToString(response)
	}
	for {
		code, text, err := s.command(line)
		if err != nil {
			return err
		}
		challenge := []byte(text)
		switch code {
		case 235:
			_, err = a.Next(challenge, false)
			return err
		case 334:
			challenge, err = base64.StdEncoding.DecodeString(text)
		default:
			return &textproto.Error{Code: code, Msg: text}
		}
		if err == nil {
			response, err = a.Next(challenge, true)
		}
		if err != nil {
			_, _, _ = s.command("*") // the reason is known
			return err
		}
		line = base64.StdEncoding.EncodeToString(response)
	}
}

// command sends a line and reads its reply.
func (s *mailSession) command(line string) (code int, text string, err error) {
	id, err := s.c.Text.Cmd("%s", line)
	if err != nil {
		return 0, "", err
	}
	s.c.Text.StartResponse(id)
	defer s.c.Text.EndResponse(id)
	return s.c.Text.ReadResponse(0)
}

// chooseAuth takes the best mechanism on offer. A password goes in clear text through TLS only, or to this very machine.
func (s *mailSession) chooseAuth(conn net.Conn) (smtp.Auth, error) {
	_, text := s.c.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(text))
	if len(offered) == 0 {
		hint := "does it want the log-in elsewhere, on port 587 or 465?"
		if s.mode == "none" {
			hint = "many servers offer it after TLS only: set tls to starttls or tls"
		}
		return nil, stage(StageAuth, "%s offers no log-in (AUTH); %s", s.at, hint)
	}
	safe := s.mode != "none" || isLoopback(conn.RemoteAddr())
	user, password := s.user, s.password
	var inClear bool
	for _, m := range []struct {
		name  string
		clear bool
		make  func() smtp.Auth
	}{
		{"SCRAM-SHA-256", false, func() smtp.Auth { return boundedAuth{smtp.ScramSHA256Auth(user, password)} }},
		{"SCRAM-SHA-1", false, func() smtp.Auth { return boundedAuth{smtp.ScramSHA1Auth(user, password)} }},
		{"PLAIN", true, func() smtp.Auth { return smtp.PlainAuth("", user, password, s.host, true) }},
		{"LOGIN", true, func() smtp.Auth { return smtp.LoginAuth(user, password, s.host, true) }},
		{"CRAM-MD5", false, func() smtp.Auth { return smtp.CRAMMD5Auth(user, password) }},
	} {
		switch {
		case !slices.Contains(offered, m.name):
		case m.clear && !safe:
			inClear = true
		default:
			s.mechanism = m.name
			return m.make(), nil
		}
	}
	if inClear {
		return nil, stage(StageAuth, "%s takes the password in clear text only, which everyone on the way could read: set tls to starttls or tls", s.at)
	}
	return nil, stage(StageAuth, "%s offers no log-in that tocsin can use (%s); it can SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN and CRAM-MD5",
		s.at, pdk.TruncateBytes(oneLine(strings.Join(offered, " ")), 100))
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func isLoopback(a net.Addr) bool {
	ap, err := netip.ParseAddrPort(a.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// boundedAuth refuses a SCRAM challenge that would keep this machine busy for long.
type boundedAuth struct{ smtp.Auth }

// Next implements smtp.Auth.
func (a boundedAuth) Next(fromServer []byte, more bool) ([]byte, error) {
	if more {
		for field := range bytes.SplitSeq(fromServer, []byte(",")) {
			if text, ok := bytes.CutPrefix(field, []byte("i=")); ok {
				if n, err := strconv.Atoi(string(text)); err != nil || n < 1 || n > maxIterations {
					return nil, fmt.Errorf("the server asks for %q iterations; from 1 to %d are done", pdk.TruncateBytes(string(text), 20), maxIterations)
				}
			}
		}
	}
	return a.Auth.Next(fromServer, more)
}
