package egress

import (
	"bufio"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/tocsin-net/tocsin/pdk"
)

// mailServer is a mail server on loopback that keeps what it is given. The functions, if set, decide.
type mailServer struct {
	*smtp.Server
	host string
	port int

	mechanisms []string
	mail       func(from string, o *smtp.MailOptions) error
	rcpt       func(to string) error
	data       func(mail []byte) error

	mu    sync.Mutex // mu guards what follows
	mails []received
	users []string
}

type received struct {
	from string
	to   []string
	utf8 bool
	body string
	tls  bool
}

func (s *mailServer) got() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// serveMail starts the server. With a certificate it offers STARTTLS, or speaks TLS from the first byte.
func serveMail(t testing.TB, s *mailServer, cert *tls.Certificate, implicit bool) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.host, s.port = "127.0.0.1", l.Addr().(*net.TCPAddr).Port
	own := s.Server
	s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &mailBackend{s: s, c: c}, nil
	}))
	s.Domain, s.AllowInsecureAuth, s.ErrorLog = "mail.example", true, nopLogger{}
	if own != nil {
		s.EnableSMTPUTF8, s.MaxMessageBytes = own.EnableSMTPUTF8, own.MaxMessageBytes
	}
	if cert != nil {
		c := &tls.Config{Certificates: []tls.Certificate{*cert}}
		if implicit {
			l = tls.NewListener(l, c)
		} else {
			s.TLSConfig = c
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return s
}

type nopLogger struct{}

func (nopLogger) Printf(string, ...any) {}
func (nopLogger) Println(...any)        {}

type mailBackend struct {
	s *mailServer
	c *smtp.Conn
	m received
}

func (b *mailBackend) AuthMechanisms() []string { return b.s.mechanisms }

func (b *mailBackend) Auth(mech string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "ops" || password != canary {
			return smtp.ErrAuthFailed
		}
		b.s.mu.Lock()
		defer b.s.mu.Unlock()
		b.s.users = append(b.s.users, mech+" "+user)
		return nil
	}
	switch mech {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
	case "LOGIN":
		return &loginServer{check: check}, nil
	case "CRAM-MD5":
		return &cramServer{check: check}, nil
	case "SCRAM-SHA-256":
		return &scramServer{iterations: 4096, check: check}, nil
	case "SCRAM-SHA-1":
		return &scramServer{iterations: 2_000_000_000, check: check}, nil // greedy
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (b *mailBackend) Reset() {
	b.m = received{}
}
func (b *mailBackend) Logout() error { return nil }

func (b *mailBackend) Mail(from string, o *smtp.MailOptions) error {
	if b.s.mail != nil {
		if err := b.s.mail(from, o); err != nil {
			return err
		}
	}
	_, secure := b.c.TLSConnectionState()
	b.m = received{from: from, utf8: o.UTF8, tls: secure}
	return nil
}

func (b *mailBackend) Rcpt(to string, _ *smtp.RcptOptions) error {
	if b.s.rcpt != nil {
		if err := b.s.rcpt(to); err != nil {
			return err
		}
	}
	b.m.to = append(b.m.to, to)
	return nil
}

func (b *mailBackend) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if b.s.data != nil {
		if err := b.s.data(body); err != nil {
			return err
		}
	}
	b.m.body = string(body)
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.mails = append(b.s.mails, b.m)
	return nil
}

type loginServer struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// cramServer is CRAM-MD5 (RFC 2195).
type cramServer struct {
	check     func(user, password string) error
	challenge []byte
}

func (c *cramServer) Next(response []byte) ([]byte, bool, error) {
	if c.challenge == nil {
		c.challenge = []byte("<1896.697170952@mail.example>")
		return c.challenge, false, nil
	}
	user, digest, _ := strings.Cut(string(response), " ")
	h := hmac.New(md5.New, []byte(canary))
	h.Write(c.challenge)
	password := ""
	if fmt.Sprintf("%x", h.Sum(nil)) == digest {
		password = canary
	}
	return nil, true, c.check(user, password)
}

// scramServer is SCRAM-SHA-256 (RFC 7677).
type scramServer struct {
	check       func(user, password string) error
	iterations  int
	bare, first string
	user        string
	step        int
}

func (s *scramServer) Next(response []byte) ([]byte, bool, error) {
	s.step++
	switch s.step {
	case 1:
		return []byte{}, false, nil
	case 2:
		_, s.bare, _ = strings.Cut(string(response), ",,")
		user, nonce, ok := strings.Cut(s.bare, ",r=")
		if !ok {
			return nil, true, errors.New("no nonce")
		}
		s.user = strings.TrimPrefix(user, "n=")
		s.first = fmt.Sprintf("r=%sserver,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte("salt-of-16-bytes")), s.iterations)
		return []byte(s.first), false, nil
	case 3:
		final, proof, _ := strings.Cut(string(response), ",p=")
		salted, err := pbkdf2.Key(sha256.New, canary, []byte("salt-of-16-bytes"), s.iterations, 32)
		if err != nil {
			return nil, true, err
		}
		mac := func(key []byte, msg string) []byte {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(msg))
			return h.Sum(nil)
		}
		auth := s.bare + "," + s.first + "," + final
		key := mac(salted, "Client Key")
		stored := sha256.Sum256(key)
		sig := mac(stored[:], auth)
		for i := range key {
			key[i] ^= sig[i]
		}
		if base64.StdEncoding.EncodeToString(key) != proof {
			return nil, true, smtp.ErrAuthFailed
		}
		return []byte("v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), auth))), false, nil
	}
	return nil, true, s.check(s.user, canary)
}

// line is what a scripted server does when a command begins with want: it answers with reply and then, if then is set, does
// that and closes. A reply may have several lines.
type line struct {
	want, reply string
	then        func(c net.Conn)
}

// serveScript is a server that knows its lines and nothing else: commands that are in none get the answer 250 ok. The greeting
// is the first line.
func serveScript(t testing.TB, greeting line, lines ...line) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				go func() { <-stop; c.Close() }()
				runScript(c, greeting, lines)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(stop)
		wg.Wait()
	})
	return &mailServer{host: "127.0.0.1", port: l.Addr().(*net.TCPAddr).Port}
}

func runScript(c net.Conn, greeting line, lines []line) {
	say := func(l line) bool {
		if l.reply != "" {
			if _, err := io.WriteString(c, strings.ReplaceAll(l.reply, "\n", "\r\n")+"\r\n"); err != nil {
				return false
			}
		}
		if l.then != nil {
			l.then(c)
			return false
		}
		return true
	}
	if !say(greeting) {
		return
	}
	r, data := bufio.NewReader(c), false
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return
		}
		text = strings.TrimRight(text, "\r\n")
		if data && text != "." {
			continue
		}
		answer := line{reply: "250 ok"}
		switch {
		case text == "QUIT":
			answer = line{reply: "221 bye", then: func(net.Conn) {}}
		case text == "DATA":
			answer = line{reply: "354 go"}
		}
		for _, l := range lines {
			if strings.HasPrefix(strings.ToUpper(text), strings.ToUpper(l.want)) {
				answer = l
				break
			}
		}
		data = strings.HasPrefix(answer.reply, "354")
		if !say(answer) {
			return
		}
	}
}

// hangUp closes the connection the hard way.
func hangUp(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// silence keeps the connection and says nothing until the other side goes.
func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func (s *mailServer) policy(t testing.TB) Policy {
	t.Helper()
	return Policy{Grants: []Grant{{Scheme: "smtp", Host: s.host, Typed: true}}, Timeout: time.Minute}
}

// letterTo is a plain mail through a server.
func (s *mailServer) letterTo(to ...string) *pdk.Request {
	return &pdk.Request{
		Deliveries: []string{"0192f0c1-a000-7000-8000-000000000001"},
		SMTP: &pdk.SMTPRequest{
			Host: s.host, Port: s.port, TLS: "none", From: "Tocsin <alerts@example.org>", To: to, Subject: "An alert", Text: "Something happened.\n",
		},
	}
}

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
