package smtpd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// errGone ends a session.
var errGone = errors.New("the connection is over")

// session is one connection. It is used by one goroutine.
type session struct {
	s    *Server
	n    int
	conn net.Conn
	r    *bufio.Reader

	verb    string // being done
	secure  bool
	hello   string // what the client called itself, since the last STARTTLS
	plain   bool   // it said HELO: there are no extensions
	user    string
	mail    *Mail // the transaction, nil if there is none
	data    bool  // a mail follows
	faults  int
	excused bool // the server has told it off or kept it waiting: it may leave without QUIT
}

// A step is what a command that was checked comes to.
type step struct {
	reply Reply
	arg   string      // for Answer
	do    func()      // changes the session, if the answer is yes; before it is given
	then  func() bool // what follows the answer; false ends the session
}

func (s *Server) serve(conn net.Conn) {
	s.mu.Lock()
	s.conns++
	c := &session{s: s, n: s.conns, conn: conn}
	s.mu.Unlock()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-s.stop:
		case <-over:
		}
		_ = conn.Close()
	}()
	if s.Implicit {
		if !c.handshake() {
			return
		}
	} else {
		c.r = bufio.NewReaderSize(conn, maxAuth)
	}
	c.verb = "GREETING"
	err := c.answer(step{reply: Reply{Code: 220, Text: s.Name + " ESMTP ready"}})
	for err == nil {
		err = c.next()
	}
}

// fault keeps what the client may not do.
func (c *session) fault(format string, args ...any) {
	c.faults++
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.faults = append(c.s.faults, fmt.Sprintf("connection %d, %s: ", c.n, c.verb)+fmt.Sprintf(format, args...))
}

// no is the step of a command that breaks the rules.
func (c *session) no(code int, format string, args ...any) step {
	c.fault(format, args...)
	return step{reply: Reply{Code: code, Text: fmt.Sprintf(format, args...)}}
}

func refuse(code int, text string) step { return step{reply: Reply{Code: code, Text: text}} }

func (c *session) handshake() bool {
	t := tls.Server(c.conn, &tls.Config{Certificates: []tls.Certificate{*c.s.Certificate}, MinVersion: tls.VersionTLS12})
	if err := t.Handshake(); err != nil {
		return false // the client's to say
	}
	c.conn, c.r, c.secure = t, bufio.NewReaderSize(t, maxAuth), true
	return true
}

// line reads a line without its CRLF, of at most so many bytes with it; of a longer one it gives the beginning. A line ends in CRLF, and
// has neither of the two by itself (RFC 5321 2.3.8).
func (c *session) line(limit int) (string, error) {
	b, err := c.r.ReadSlice('\n')
	text, n := string(b), len(b)
	for errors.Is(err, bufio.ErrBufferFull) {
		b, err = c.r.ReadSlice('\n')
		n += len(b)
	}
	switch {
	case err != nil && n > 0 && !c.excused:
		c.fault("the connection ends within a line")
		return "", errGone
	case err != nil:
		return "", err
	case n > limit:
		c.fault("a line of %d bytes; at most %d are allowed", n, limit)
		return text[:min(limit, len(text))], errTooLong
	}
	text, ok := strings.CutSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if !ok || strings.ContainsAny(text, "\r\x00") {
		c.fault("a CR or LF that stands alone, or a NUL")
	}
	return text, nil
}

var errTooLong = errors.New("a line is too long")

// next reads a command and does it.
func (c *session) next() error {
	c.verb = "command"
	line, err := c.line(maxAuth)
	if err != nil && !errors.Is(err, errTooLong) {
		if !c.excused {
			c.fault("the client left without QUIT")
		}
		return errGone
	}
	verb, arg, _ := strings.Cut(line, " ")
	c.verb = strings.ToUpper(verb)
	limit := map[string]int{"AUTH": maxAuth, "MAIL": maxCommand + 36, "RCPT": maxCommand}[c.verb] // RFC 1870, 6152, 6531
	if limit == 0 {
		limit = maxCommand
	}
	f, known := commands[c.verb]
	if !known {
		c.verb = "command"
	}
	switch {
	case len(line)+2 > limit || err != nil:
		return c.answer(c.no(500, "5.5.2 a line of more than %d bytes", limit))
	case !known:
		return c.answer(c.no(500, "5.5.1 the command %.20q is none", verb))
	case c.r.Buffered() > 0 && (c.plain || c.hello == "" || !c.s.offers("PIPELINING")):
		c.fault("another command came before this one was answered, without PIPELINING")
	case c.r.Buffered() > 0 && !slices.Contains([]string{"MAIL", "RCPT", "RSET"}, c.verb): // RFC 2920 3.1
		c.fault("it has to be the last of a group of commands")
	}
	if strings.HasSuffix(line, " ") {
		c.fault("a space ends the line")
	}
	if err := c.answer(f(c, arg)); err != nil || !c.data {
		return err
	}
	c.data = false
	return c.read()
}

// answer replies to a command, as Answer wants it or as the server would, and then does it.
func (c *session) answer(st step) error {
	r := st.reply
	if r.Code < 400 && c.s.Answer != nil {
		if other := c.s.Answer(Command{Conn: c.n, Verb: c.verb, Arg: st.arg, Mail: c.mail}); other != nil {
			r = *other
			c.excused = c.excused || r.Close || r.Wait != nil || r.Code == 421 || r.Code == 0 ||
				c.verb == "GREETING" && r.Code != 220 // most clients say nothing then, although they should
		}
	}
	yes := r.Code >= 200 && r.Code < 400
	if st.do != nil && (yes || r.Take) {
		st.do()
	}
	if r.Wait != nil {
		select {
		case <-r.Wait:
		case <-c.s.stop:
			return errGone
		}
	}
	if r.Code != 0 {
		if err := c.say(r); err != nil {
			return err
		}
	}
	if r.Code == 0 || r.Code == 421 || r.Close || c.verb == "QUIT" && yes {
		_ = c.conn.Close()
		return errGone
	}
	if yes && st.then != nil && !st.then() {
		return errGone
	}
	return nil
}

func (c *session) say(r Reply) error {
	lines := strings.Split(r.Text, "\n")
	var b strings.Builder
	for i, l := range lines {
		sign := "-"
		if i == len(lines)-1 {
			sign = " "
		}
		b.WriteString(strconv.Itoa(r.Code) + sign + l + "\r\n")
	}
	_, err := io.WriteString(c.conn, b.String())
	return err
}

// read reads a mail up to its final dot (RFC 5321 4.5.2), and has it checked.
func (c *session) read() error {
	var raw []byte
	m, size, before := c.mail, 0, c.faults
	defer func() { c.mail = nil }()
	for {
		line, err := c.line(maxLine)
		if err != nil && !errors.Is(err, errTooLong) {
			if !c.excused {
				c.fault("the connection ends within the mail")
			}
			return errGone
		}
		if line == "." {
			break
		}
		if rest, dot := strings.CutPrefix(line, "."); dot {
			if !strings.HasPrefix(rest, ".") {
				c.fault("a line begins with a dot that is not doubled")
			}
			line = rest
		}
		if size += len(line) + 2; size <= c.s.MaxSize {
			raw = append(append(raw, line...), '\r', '\n')
		}
	}
	c.verb, m.Raw = "END", raw
	if size > c.s.MaxSize {
		return c.answer(refuse(552, "5.3.4 the mail is larger than this server takes"))
	}
	if err := c.s.judge(m); err != nil {
		return c.answer(refuse(554, "5.6.0 "+err.Error()))
	}
	if c.faults > before {
		return c.answer(refuse(554, "5.6.0 the lines of the mail are not as they should be"))
	}
	return c.answer(step{reply: Reply{Code: 250, Text: fmt.Sprintf("2.0.0 taken, %d bytes", size)}, do: func() { c.s.keep(m) }})
}
