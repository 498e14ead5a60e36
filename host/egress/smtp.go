package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// maxReplies bounds all that a mail server may send in a session, TLS included.
	maxReplies = 256 << 10
	// maxPartMessage bounds a recipient's part of it, in bytes.
	maxPartMessage = 512
	// quitTime is how long a server may take for its goodbye, when the result is known already.
	quitTime = time.Second
	// commandTime bounds the greeting and each command but the last; RFC 5321 4.5.3.2 allows 5 minutes, which is for relays
	// with nobody waiting.
	commandTime = time.Minute
)

// The phases of a session, as Response.Headers has them; see pdk.SMTPRequest.
const (
	phaseGreeting = "greeting"
	phaseHello    = "hello"
	phaseStartTLS = "starttls"
	phaseAuth     = "auth"
	phaseMail     = "mail"
	phaseRcpt     = "rcpt"
	phaseData     = "data"
	phaseEnd      = "end"
)

// doSMTP sends one mail, or tries all but that. The connection is the mail's own and goes past the proxy, which knows HTTP
// only.
func (x *Executor) doSMTP(ctx context.Context, r *pdk.Request, p *Policy) (*pdk.Response, *pdk.TransportError) {
	m := r.SMTP
	l, terr := newLetter(r, p.Secrets, x.opt.UserAgent)
	if terr != nil {
		return nil, terr
	}
	s := &mailSession{x: x, p: p, letter: l, host: foldHost(strings.TrimSuffix(strings.TrimPrefix(m.Host, "["), "]")), mode: m.TLS}
	port := m.Port
	switch s.mode {
	case "", "starttls":
		s.mode, port = "starttls", orPort(port, 587)
	case "tls":
		port = orPort(port, 465)
	case "none":
		port = orPort(port, 25)
	default:
		return nil, invalid("tls is %q; it is starttls, tls or none", pdk.TruncateBytes(m.TLS, 40))
	}
	if port < 1 || port > 65535 {
		return nil, invalid("the port %d is none: it goes from 1 to 65535", port)
	}
	if err := checkHost(s.host); err != nil {
		return nil, denied("%v", err)
	}
	s.at = net.JoinHostPort(s.host, strconv.Itoa(port))
	grant, ok := p.match("smtp", s.host, port)
	if !ok {
		return nil, denied("smtp://%s is not among the hosts this endpoint may reach (%s): the manifest must ask for it with [[net]] scheme = \"smtp\", and tocsin plugin grant must allow it",
			s.at, grantList(p.Grants))
	}
	s.user, s.password = p.Secrets.Replace(m.User), p.Secrets.Replace(m.Password)
	if s.user == "" && s.password != "" {
		return nil, denied("there is a password for %s but no user: set both, or none", s.at)
	}
	if s.mail, terr = s.write(l.to, l.cc); terr != nil {
		return nil, terr
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	start := time.Now()
	resp, terr := s.run(ctx, grant)
	if terr != nil {
		x.opt.Log.DebugContext(ctx, "mail not sent", "to", s.at, "stage", terr.Stage, "took", time.Since(start))
		return nil, terr
	}
	x.opt.Log.DebugContext(ctx, "mail session done", "to", s.at, "phase", s.phase, "status", resp.Status, "took", time.Since(start))
	return resp, nil
}

func orPort(port, other int) int {
	if port == 0 {
		return other
	}
	return port
}

// stageError is a transport error on its way through functions that return errors.
type stageError struct{ terr *pdk.TransportError }

func (e *stageError) Error() string { return e.terr.Message }

func stage(name, format string, args ...any) error {
	return &stageError{&pdk.TransportError{Stage: name, Message: fmt.Sprintf(format, args...)}}
}

// mailSession is one connection to a mail server. It is used by one goroutine.
type mailSession struct {
	x              *Executor
	p              *Policy
	letter         *letter
	mail           []byte // as it is sent
	host, at, mode string // at is host:port
	user, password string
	conn           *replyConn
	c              *smtp.Client

	phase     string
	since     time.Time     // when the phase began
	limit     time.Duration // of the phase, or of the session if that ends before
	mechanism string
	parts     []pdk.Part // the recipients so far
	accepted  int        // how many of them the server took
}

func (s *mailSession) write(to, cc []mailbox) ([]byte, *pdk.TransportError) {
	b, err := s.letter.bytes(to, cc)
	switch {
	case err != nil:
		return nil, invalid("the mail cannot be written: %v", err)
	case int64(len(b)) > s.x.opt.MaxBody:
		return nil, invalid("the mail has %d bytes; at most %d are sent", len(b), s.x.opt.MaxBody)
	}
	return b, nil
}

// run is the whole session.
func (s *mailSession) run(ctx context.Context, g Grant) (*pdk.Response, *pdk.TransportError) {
	tr := &tracer{steps: s.p.Trace}
	raw, err := s.x.dial(ctx, "tcp", s.at, g.openPrivate(), tr)
	if err != nil {
		return nil, explain(err, tr, s.at, s.p.Timeout)
	}
	s.conn = &replyConn{Conn: raw, left: maxReplies}
	defer s.conn.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })() // whatever is under way then fails at once
	var conn net.Conn = s.conn
	if s.mode == "tls" {
		t := tls.Client(conn, s.tlsConfig())
		if err := tr.handshake(ctx, t); err != nil {
			return nil, s.tlsFailed(ctx, err)
		}
		conn = t
	}
	return s.talk(ctx, conn)
}

// talk goes through the phases of a session on a connection.
func (s *mailSession) talk(ctx context.Context, conn net.Conn) (*pdk.Response, *pdk.TransportError) {
	var err error
	for _, step := range []func(context.Context, net.Conn) error{s.greet, s.startTLS, s.auth, s.envelope, s.send} {
		if err = step(ctx, conn); err != nil {
			break
		}
	}
	return s.result(ctx, err)
}

func (s *mailSession) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: s.x.opt.RootCAs, ServerName: s.host, MinVersion: tls.VersionTLS12}
}

// begin enters a phase and bounds it.
func (s *mailSession) begin(ctx context.Context, phase string, limit time.Duration) {
	s.phase = phase
	s.since = time.Now()
	s.limit = limit
	until := s.since.Add(limit)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until, s.limit = end, s.p.Timeout
	}
	_ = s.conn.SetDeadline(until) // fails on a closed connection only, which the next read tells
}

func (s *mailSession) greet(ctx context.Context, conn net.Conn) error {
	s.begin(ctx, phaseGreeting, commandTime)
	var err error
	if s.c, err = smtp.NewClient(conn, s.host); err != nil {
		return err
	}
	s.begin(ctx, phaseHello, commandTime)
	return s.c.Hello(helloName(conn.LocalAddr()))
}

func (s *mailSession) startTLS(ctx context.Context, _ net.Conn) error {
	if s.mode != "starttls" {
		return nil
	}
	if ok, _ := s.c.Extension("STARTTLS"); !ok {
		err := stage(StageTLS, "%s does not offer STARTTLS; set tls to tls if it speaks TLS from the first byte (port 465), or to none if the way there is safe", s.at)
		s.p.Trace.Step(StepTLS, "", 0, err)
		s.quit()
		return err
	}
	s.begin(ctx, phaseStartTLS, handshakeTimeout)
	plainText, start := s.c.Text, time.Now()
	err := s.c.StartTLS(s.tlsConfig())
	state, begun := s.c.TLSConnectionState()
	var reply *textproto.Error
	switch {
	case !begun || errors.As(err, &reply):
	case plainText.R.Buffered() > 0: // someone on the way put commands or replies before the handshake (CVE-2011-0411)
		err = stage(StageTLS, "%s sent more than its answer to STARTTLS before the handshake; someone on the way may be meddling", s.at)
	case err != nil && !state.HandshakeComplete:
		err = &stageError{s.tlsFailed(ctx, err)}
	}
	if begun {
		detail, failure := "", err
		if state.HandshakeComplete {
			detail = tlsDetail(state)
		}
		s.p.Trace.Step(StepTLS, detail, time.Since(start), failure)
	}
	return err
}

// envelope names sender and recipients. Of these some may be refused.
func (s *mailSession) envelope(ctx context.Context, _ net.Conn) error {
	l := s.letter
	utf8OK, _ := s.c.Extension("SMTPUTF8")
	utf8Needed := l.from.international()
	if l.from.international() && !utf8OK {
		s.phase = phaseMail
		return &textproto.Error{Code: 553, Msg: "5.6.7 the server takes no sender address beyond ASCII (it does not offer SMTPUTF8)"}
	}
	keep := func(list []mailbox) (out []mailbox) {
		for _, box := range list {
			if box.international() && !utf8OK {
				s.parts = append(s.parts, pdk.Part{Name: box.given, Status: 553, Message: "5.6.7 the server takes no address beyond ASCII (it does not offer SMTPUTF8)"})
				continue
			}
			utf8Needed = utf8Needed || box.international()
			out = append(out, box)
		}
		return out
	}
	to, cc := keep(l.to), keep(l.cc)
	if len(s.parts) > 0 && len(to)+len(cc) > 0 { // the refused stand in no header, which would not be ASCII
		var terr *pdk.TransportError
		if s.mail, terr = s.write(to, cc); terr != nil {
			return &stageError{terr}
		}
	}
	if _, text := s.c.Extension("SIZE"); text != "" {
		if most, err := strconv.ParseInt(text, 10, 64); err == nil && most > 0 && int64(len(s.mail)) > most {
			s.phase = phaseMail
			return &textproto.Error{Code: 552, Msg: fmt.Sprintf("5.3.4 the mail has %d bytes, and the server takes %d at most (it says so with SIZE)", len(s.mail), most)}
		}
	}
	s.c.SkipSMTPUTF8(!utf8Needed)
	s.begin(ctx, phaseMail, commandTime)
	if err := s.c.Mail(l.from.path()); err != nil {
		return err
	}
	for _, box := range slices.Concat(to, cc) {
		s.begin(ctx, phaseRcpt, commandTime)
		err := s.c.Rcpt(box.path())
		var reply *textproto.Error
		if err != nil && (!errors.As(err, &reply) || reply.Code == 421) { // 421: the server closes
			return err
		}
		part := pdk.Part{Name: box.given, OK: err == nil, Status: 250}
		if err == nil {
			s.accepted++
		} else {
			part.Status, part.Message = reply.Code, s.partMessage(reply)
		}
		s.parts = append(s.parts, part)
	}
	if s.accepted == 0 && len(s.parts) > 0 {
		s.phase = phaseRcpt
		// One that is refused for now is worth another try, which the others join.
		why := s.parts[max(0, slices.IndexFunc(s.parts, func(p pdk.Part) bool { return p.Status/100 == 4 }))]
		return &textproto.Error{Code: why.Status, Msg: why.Message}
	}
	return nil
}

// send hands the mail over, or ends the transaction without it.
func (s *mailSession) send(ctx context.Context, _ net.Conn) error {
	if s.letter.req.Verify {
		s.begin(ctx, phaseEnd, commandTime)
		id, err := s.c.Text.Cmd("RSET")
		if err != nil {
			return err
		}
		s.c.Text.StartResponse(id)
		defer s.c.Text.EndResponse(id)
		return s.taken(s.c.Text.ReadResponse(250))
	}
	s.begin(ctx, phaseData, commandTime)
	start := time.Now()
	w, err := s.c.Data()
	if err == nil {
		s.begin(ctx, phaseData, s.p.Timeout)
		_, err = w.Write(s.mail)
	}
	s.p.Trace.Step(StepSend, fmt.Sprintf("%d bytes to %d recipients", len(s.mail), s.accepted), time.Since(start), err)
	if err != nil {
		return err
	}
	s.begin(ctx, phaseEnd, s.p.Timeout)
	err = w.Close() // the final dot, and the reply
	text := ""
	if d, ok := w.(*smtp.DataCloser); ok {
		text = d.ServerResponse()
	}
	return s.taken(250, text, err)
}

// taken keeps the last reply in the form of an error, as the others come.
func (s *mailSession) taken(code int, text string, err error) error {
	if err == nil {
		err = &textproto.Error{Code: code, Msg: text}
	}
	return err
}

// result turns the reply or the error that ended the session into what classify is given.
func (s *mailSession) result(ctx context.Context, err error) (*pdk.Response, *pdk.TransportError) {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return nil, s.failed(ctx, err)
	}
	if reply.Code != 421 {
		s.quit()
	}
	good := s.phase == phaseEnd && reply.Code/100 == 2
	if reply.Code < 400 && !good {
		return nil, &pdk.TransportError{
			Stage: StageRead, Ambiguous: s.phase == phaseEnd && !s.letter.req.Verify,
			Message: fmt.Sprintf("%s answered %d where that makes no sense (phase %s); is it a mail server?", s.at, reply.Code, s.phase),
		}
	}
	done := map[string]bool{}
	because := func(name string) pdk.Part {
		return pdk.Part{Name: name, Status: reply.Code, Message: s.partMessage(reply)}
	}
	for i, p := range s.parts {
		done[p.Name] = true
		if p.OK && !good {
			s.parts[i] = because(p.Name)
		}
	}
	for _, box := range slices.Concat(s.letter.to, s.letter.cc) {
		if !done[box.given] {
			s.parts = append(s.parts, because(box.given))
		}
	}
	s.p.Trace.Step(StepAnswer, fmt.Sprintf("%d in phase %s", reply.Code, s.phase), time.Since(s.since), nil)
	out := &pdk.Response{
		Status: reply.Code, Body: reply.Msg, Parts: s.parts,
		Headers: map[string]string{"phase": s.phase, "message-id": s.letter.messageID},
	}
	if int64(len(out.Body)) > s.p.MaxResponse {
		out.Body, out.Truncated = out.Body[:s.p.MaxResponse], true
	}
	return out, nil
}

// partMessage is a reply's text for a recipient's part. It is cut when no secret is in it any more, as half of one would not
// be found.
func (s *mailSession) partMessage(reply *textproto.Error) string {
	return pdk.TruncateBytes(s.p.Secrets.Redact(reply.Msg), maxPartMessage)
}

// quit says goodbye. What comes of it changes nothing any more.
func (s *mailSession) quit() {
	if s.c == nil {
		return
	}
	_ = s.conn.SetDeadline(time.Now().Add(quitTime))
	_ = s.c.Quit()
}

// failed says why there was no reply.
func (s *mailSession) failed(ctx context.Context, err error) *pdk.TransportError {
	if se, ok := errors.AsType[*stageError](err); ok {
		return se.terr
	}
	s.p.Trace.Step(StepAnswer, "phase "+s.phase, time.Since(s.since), err)
	out := &pdk.TransportError{Stage: StageRead}
	// The last bytes of the mail are the final dot: if it was written, the server may have taken the mail.
	out.Ambiguous = s.phase == phaseEnd && !s.letter.req.Verify && !s.conn.writeFailed.Load()
	maybe := "; nothing was sent"
	if out.Ambiguous {
		maybe = "; it may have taken the mail all the same"
	}
	var protocol textproto.ProtocolError
	switch {
	case s.conn.overrun.Load():
		out.Message = fmt.Sprintf("%s sent more than %d bytes of replies; is it a mail server?", s.at, maxReplies)
	case errors.Is(ctx.Err(), context.Canceled):
		out.Message = s.at + ": the session was stopped" + maybe
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		out.Stage = StageTimeout
		limit := s.limit
		if ctx.Err() != nil {
			limit = s.p.Timeout
		}
		out.Message = fmt.Sprintf("%s did not answer within %s (phase %s)%s", s.at, limit, s.phase, maybe)
	case errors.As(err, &protocol):
		out.Message = fmt.Sprintf("%s does not speak SMTP as it should (%s, phase %s); is the port right?%s", s.at, plain(err), s.phase, maybe)
	case s.phase == phaseGreeting && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)):
		out.Message = s.at + " closed the connection without a greeting; is it a mail server, does it want TLS from the first byte, or does it refuse this machine?"
	default:
		if s.conn.writeFailed.Load() {
			out.Stage = StageSend
		}
		out.Message = fmt.Sprintf("%s closed the connection (%s, phase %s)%s", s.at, plain(err), s.phase, maybe)
	}
	return out
}

func (s *mailSession) tlsFailed(ctx context.Context, err error) *pdk.TransportError {
	out := &pdk.TransportError{Stage: StageTLS}
	var record tls.RecordHeaderError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		out.Stage, out.Message = StageRead, s.at+": the session was stopped; nothing was sent"
	case ctx.Err() != nil, isTimeout(err):
		out.Stage, out.Message = StageTimeout, timeoutMessage(s.at, StageTLS, s.p.Timeout)
	case errors.As(err, &record) && s.mode == "tls":
		out.Message = s.at + " does not speak TLS from the first byte; set tls to starttls, or is the port wrong?"
	default:
		out.Message = tlsMessage(err, s.at)
	}
	return out
}

// helloName is what EHLO says: this machine's full name, or else its address (RFC 5321 4.1.4).
func helloName(local net.Addr) string {
	if name, err := os.Hostname(); err == nil {
		name = foldHost(name)
		if strings.Contains(name, ".") && checkHost(name) == nil {
			return name
		}
	}
	ap, err := netip.ParseAddrPort(local.String())
	switch a := ap.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "localhost"
	case a.Is4():
		return "[" + a.String() + "]"
	default:
		return "[IPv6:" + a.String() + "]"
	}
}

// replyConn bounds what the server may send, and remembers whether everything could be written.
type replyConn struct {
	net.Conn
	left                 int64 // used by the reader alone
	overrun, writeFailed atomic.Bool
}

var errTooManyReplies = errors.New("too many bytes of replies")

func (c *replyConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		c.overrun.Store(true)
		return 0, errTooManyReplies
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *replyConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.writeFailed.Store(true)
	}
	return n, err
}
