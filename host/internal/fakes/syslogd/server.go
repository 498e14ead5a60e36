// Package syslogd is a stand-in for a syslog receiver on loopback, for tests: over UDP (RFC 5426), TCP (RFC 6587) or TLS (RFC 5425) it
// takes messages of RFC 5424 or RFC 3164 as strictly as these say, looks whether they hold what the format promises, and keeps what
// it refuses with the reason. It answers nothing, as no receiver does; it may lose datagrams, read slowly and hang up. It is no part
// of the program.
package syslogd

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
	"sync"
)

// The sizes of a message in bytes: what RFC 5424 section 6.1 recommends receivers to take, and rsyslog's bound for a frame.
const (
	MaxDatagram = 2048
	MaxFrame    = 200_000
)

// facility is that of all formats: system daemons.
const facility = 3

// Config is what a receiver takes.
type Config struct {
	// Network is udp, tcp or tls; TLS is its side for the last.
	Network string
	TLS     *tls.Config
	// Framing is octets or lf, for tcp and tls.
	Framing string
	// Format is text, text_rfc5424, json, ecs or checkmk; with "raw" any message of RFC 5424 is taken.
	Format string
	// Lose, if set, tells of the n-th datagram, from 1, whether the network loses it.
	Lose func(n int) bool
	// Visit, if set, tells how the n-th connection, from 1, is treated.
	Visit func(n int) Visit
}

// Visit is how one connection is treated.
type Visit struct {
	// Hold, if set, is waited for before anything is read.
	Hold <-chan struct{}
	// HangUp, if not 0, resets the connection after so many messages.
	HangUp int
}

// Refusal is a frame that was not taken, and why.
type Refusal struct {
	Frame string
	Err   error
}

// Server is a receiver. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	packet net.PacketConn
	listen net.Listener
	port   int
	ended  chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex // mu guards what follows
	conns    map[net.Conn]bool
	visits   int
	lost     int
	messages []*Message
	refused  []Refusal
}

// Start listens on a port of the loopback; a port of 0 is any that is free. The receiver ends with Close.
func Start(cfg Config, port int) (*Server, error) {
	s := &Server{cfg: cfg, conns: map[net.Conn]bool{}, ended: make(chan struct{})}
	if _, ok := formats[cfg.Format]; !ok && cfg.Format != "raw" {
		return nil, fmt.Errorf("format %q is unknown", cfg.Format)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var err error
	if cfg.Network == "udp" {
		if s.packet, err = net.ListenPacket("udp", address); err != nil {
			return nil, err
		}
		s.port = s.packet.LocalAddr().(*net.UDPAddr).Port
		s.wg.Go(s.datagrams)
		return s, nil
	}
	if cfg.Framing != "octets" && cfg.Framing != "lf" || (cfg.Network == "tls") != (cfg.TLS != nil) {
		return nil, fmt.Errorf("want framing octets or lf, and TLS with the network tls alone, got %q and %q", cfg.Framing, cfg.Network)
	}
	if s.listen, err = net.Listen("tcp", address); err != nil {
		return nil, err
	}
	s.port = s.listen.Addr().(*net.TCPAddr).Port
	s.wg.Go(s.accept)
	return s, nil
}

// Port is where the receiver listens.
func (s *Server) Port() int { return s.port }

// Close ends the receiver and its connections, and waits for both.
func (s *Server) Close() {
	close(s.ended)
	if s.packet != nil {
		_ = s.packet.Close()
	} else {
		_ = s.listen.Close()
	}
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Messages gives what was taken so far, in order.
func (s *Server) Messages() []*Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Refused gives what was not taken so far, in order.
func (s *Server) Refused() []Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.refused)
}

// Visits counts the connections so far, and Lost the datagrams that were lost.
func (s *Server) Visits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.visits
}

// Lost counts the datagrams that the network lost so far.
func (s *Server) Lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// take reads one frame, and keeps it or says why not.
func (s *Server) take(frame string, conn int) {
	m, err := Read(s.cfg.Format, frame)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refused = append(s.refused, Refusal{frame, err})
		return
	}
	m.Conn = conn
	s.messages = append(s.messages, m)
}

func (s *Server) refuse(frame string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = append(s.refused, Refusal{frame, err})
}

// Read reads a message of a format; see Config. An error says what of it is against the format, or the RFC under it.
func Read(name, frame string) (*Message, error) {
	f := formats[name]
	parse := Parse5424
	if f.bsd {
		parse = Parse3164
	}
	m, err := parse(frame)
	if err != nil || f.check == nil {
		return m, err
	}
	if m.Facility != facility {
		return nil, fmt.Errorf("the facility is %d, want %d", m.Facility, facility)
	}
	return m, f.check(m)
}

func (s *Server) datagrams() {
	buf := make([]byte, 64<<10)
	for n := 1; ; n++ {
		size, _, err := s.packet.ReadFrom(buf)
		if err != nil {
			return
		}
		frame := string(buf[:size])
		switch {
		case s.cfg.Lose != nil && s.cfg.Lose(n):
			s.mu.Lock()
			s.lost++
			s.mu.Unlock()
		case size > MaxDatagram:
			s.refuse(frame, fmt.Errorf("a datagram of %d bytes is over %d", size, MaxDatagram))
		default:
			s.take(frame, 0)
		}
	}
}

func (s *Server) accept() {
	for {
		c, err := s.listen.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		select {
		case <-s.ended: // Close has closed those it saw
			s.mu.Unlock()
			_ = c.Close()
			continue
		default:
		}
		s.visits++
		n := s.visits
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(c, n)
			_ = c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

// serve reads the frames of one connection.
func (s *Server) serve(c net.Conn, n int) {
	var v Visit
	if s.cfg.Visit != nil {
		v = s.cfg.Visit(n)
	}
	tcp, _ := c.(*net.TCPConn)
	if v.HangUp != 0 {
		_ = tcp.SetReadBuffer(4096) // so that the sender gets stuck soon
	}
	if v.Hold != nil {
		select {
		case <-v.Hold:
		case <-s.ended:
			return
		}
	}
	stream := c
	if s.cfg.TLS != nil {
		stream = tls.Server(c, s.cfg.TLS)
	}
	r := bufio.NewReaderSize(stream, 4096)
	next := octetFrame
	if s.cfg.Framing == "lf" {
		next = lineFrame
	}
	for i := 1; ; i++ {
		frame, err := next(r)
		if err != nil {
			if !errors.Is(err, errEnd) && !errors.Is(err, net.ErrClosed) {
				s.refuse(frame, err)
			}
			return
		}
		s.take(frame, n)
		if i == v.HangUp {
			_ = tcp.SetLinger(0) // a reset, whatever was not read
			return
		}
	}
}

// errEnd is the end of a stream between two frames.
var errEnd = errors.New("the connection ended")

// octetFrame reads a frame by octet counting, RFC 6587 section 3.4.1: MSG-LEN is a number without leading zeros, then a space.
func octetFrame(r *bufio.Reader) (string, error) {
	var count strings.Builder
	for {
		b, err := r.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && count.Len() > 0:
			return count.String(), errors.New("MSG-LEN: the connection ended within it")
		case errors.Is(err, io.EOF):
			return "", errEnd
		case err != nil:
			return "", err
		case b == ' ' && count.Len() > 0:
			n, err := strconv.Atoi(count.String())
			if err != nil || n > MaxFrame {
				return "", fmt.Errorf("MSG-LEN: %s is over %d", count.String(), MaxFrame)
			}
			frame := make([]byte, n)
			if got, err := io.ReadFull(r, frame); err != nil {
				return string(frame[:got]), fmt.Errorf("the connection ended after %d of %d bytes of a frame: %w", got, n, err)
			}
			return string(frame), nil
		case b < '0' || b > '9' || b == '0' && count.Len() == 0 || count.Len() > 6:
			return "", fmt.Errorf("MSG-LEN: %q behind %q: want a number without leading zeros, and a space", b, count.String())
		}
		count.WriteByte(b)
	}
}

// lineFrame reads a frame that ends in a line feed, RFC 6587 section 3.4.2.
func lineFrame(r *bufio.Reader) (string, error) {
	var frame []byte
	for {
		part, err := r.ReadSlice('\n')
		frame = append(frame, part...)
		switch {
		case len(frame) > MaxFrame+1:
			return string(frame), fmt.Errorf("a line is over %d bytes", MaxFrame)
		case err == nil:
			return string(frame[:len(frame)-1]), nil
		case errors.Is(err, io.EOF) && len(frame) == 0:
			return "", errEnd
		case !errors.Is(err, bufio.ErrBufferFull):
			return string(frame), fmt.Errorf("the connection ended after %d bytes of a line: %w", len(frame), err)
		}
	}
}
