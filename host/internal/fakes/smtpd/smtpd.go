// Package smtpd is a stand-in for a mail server on loopback, for tests: it holds its clients to RFC 5321 and the extensions that it
// offers, byte by byte, checks every mail against RFC 5322 and RFC 2045 to 2047, keeps what it took, and answers as servers do,
// also when told that all is not well. What a client does wrong is answered as the RFC says and kept as a fault, so that a test sees
// what a lenient server would overlook. It is no part of the program.
package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
)

// Limits of what it reads, in bytes with CRLF: RFC 5321 4.5.3.1.4 and 4.5.3.1.6, RFC 4954 4 (a line of AUTH).
const (
	maxCommand = 512
	maxAuth    = 12288
	maxLine    = 1000
	// maxSize is what SIZE announces where MaxSize is 0.
	maxSize = 10 << 20
)

// Mail is a mail that the server took.
type Mail struct {
	Message
	Conn int      // the connection it came on; they count from 1
	From string   // of the envelope
	To   []string // of the envelope, those that were taken
	User string   // who had logged in; empty if nobody
	TLS  bool     // came through TLS
	UTF8 bool     // MAIL asked for SMTPUTF8

	eightBit bool
}

// Command is what a client asks for: Answer sees it where the server would do it.
type Command struct {
	Conn int // the connection; they count from 1
	// Verb is GREETING (the connection itself), EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, END (the whole mail), RSET, NOOP or QUIT.
	Verb string
	// Arg is the client's name, the mechanism, or the address of MAIL and RCPT.
	Arg string
	// Mail is the transaction's so far, and at END the whole mail. It is not to be changed.
	Mail *Mail
}

// Reply is an answer other than the usual.
type Reply struct {
	Code int    // 0: none, the connection is closed without a word
	Text string // several lines make a reply of several lines
	// Close ends the connection behind the reply; after a Code of 354 it does so in the midst of the mail.
	Close bool
	// Take keeps a mail whatever the reply to END says, as a server does whose answer is lost.
	Take bool
	// Wait, if set, is waited for before the reply, or until the client or the server has had enough.
	Wait <-chan struct{}
}

// Server is a mail server. Set the fields, then Start it. It is safe for concurrent use once it is started.
type Server struct {
	Name string // what it calls itself, mail.example.org if empty
	// Certificate has it offer STARTTLS, or, with Implicit, speak TLS from the first byte.
	Certificate *tls.Certificate
	Implicit    bool
	// Users are passwords by user name. If there are any, only who has logged in may send, and, unless Clear is set, a log-in needs
	// TLS.
	Users map[string]string
	Clear bool
	// MaxSize is the most bytes of a mail, 10 MB if 0.
	MaxSize int
	// Without names extensions that it does not offer: PIPELINING, SIZE, 8BITMIME, SMTPUTF8, STARTTLS, AUTH. Mechanisms are those of
	// AUTH, PLAIN and LOGIN if empty.
	Without    []string
	Mechanisms []string
	// Answer, if set, is asked about each command that the server would do, and may give another reply than its own. It is called
	// by one goroutine for each connection.
	Answer func(c Command) *Reply

	listener net.Listener
	stop     chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex // mu guards what follows
	conns  int
	mails  []*Mail
	byID   map[string]*Mail
	faults []string
}

// Start listens on the loopback. Close ends it.
func (s *Server) Start() error {
	if s.Name == "" {
		s.Name = "mail.example.org"
	}
	if s.MaxSize == 0 {
		s.MaxSize = maxSize
	}
	if len(s.Mechanisms) == 0 {
		s.Mechanisms = []string{"PLAIN", "LOGIN"}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("smtpd: %w", err)
	}
	s.listener, s.stop = l, make(chan struct{})
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			s.wg.Go(func() { s.serve(conn) })
		}
	})
	return nil
}

// Port is where it listens, on 127.0.0.1.
func (s *Server) Port() int { return s.listener.Addr().(*net.TCPAddr).Port }

// Close ends all connections and waits for them.
func (s *Server) Close() error {
	err := s.listener.Close()
	close(s.stop)
	s.wg.Wait()
	return err
}

// Mails gives what was taken, in order.
func (s *Server) Mails() []*Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Faults gives what clients did that they may not, each with the number of its connection. None has a password in it.
func (s *Server) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

// Conns tells how many connections there were.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

func (s *Server) offers(extension string) bool { return !slices.Contains(s.Without, extension) }

// judge checks a mail and what it refers to. What is wrong with it is kept as faults, and makes an error.
func (s *Server) judge(m *Mail) error {
	faults := m.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range m.References {
		if s.byID[id] == nil {
			faults = append(faults, "the mail refers to <"+id+">, which never came here")
		}
	}
	if o := s.byID[m.ID]; o != nil && (o.Text != m.Text || o.HTML != m.HTML || o.Get("Subject") != m.Get("Subject")) {
		faults = append(faults, "two mails that differ have the Message-ID <"+m.ID+">")
	}
	for _, f := range faults {
		s.faults = append(s.faults, fmt.Sprintf("connection %d, END: %s", m.Conn, f))
	}
	if len(faults) > 0 {
		return errors.New(faults[0])
	}
	return nil
}

func (s *Server) keep(m *Mail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = append(s.mails, m)
	if s.byID == nil {
		s.byID = map[string]*Mail{}
	}
	s.byID[m.ID] = m
}
