package egress

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// syslogIdle is how long an unused connection is kept. Keep-alive probes find a peer that vanished in the meantime.
	syslogIdle = 5 * time.Minute
	// syslogUDPAge is how long a UDP socket keeps the address that its host's name had.
	syslogUDPAge = time.Minute
	// syslogSettle is how long a new connection's first messages wait for the peer to turn it away: a receiver that does
	// not want this client, or that has no service behind it, says so only after it took the first bytes.
	syslogSettle = 100 * time.Millisecond
	// syslogPatience bounds what a receiver, which has nothing to say, may send before its connection is dropped.
	syslogPatience = 64 << 10
	maxIdleSyslog  = 4 // for each receiver
)

var errTalksBack = errors.New("it sends data, which a syslog receiver does not do")

// syslogKey tells connections apart that must not stand for each other.
type syslogKey struct {
	network, address string
	framing          string
	open             bool // may reach a private address
}

// syslogConn is a connection or a connected datagram socket with a reader of its own, which notices that the peer is gone.
// One request uses it at a time.
type syslogConn struct {
	net.Conn
	raw    syscall.RawConn // of the socket below TLS; nil if there is none
	stream bool
	born   time.Time
	used   bool        // it carried messages of another request before
	spent  bool        // a request ended while it was writing, so its deadline may be set at any time
	idle   *time.Timer // mu of the pool guards it

	dead chan struct{} // closed by the reader
	why  error         // may be read once dead is closed
}

func newSyslogConn(c, socket net.Conn, stream bool) *syslogConn {
	s := &syslogConn{Conn: c, stream: stream, born: time.Now(), dead: make(chan struct{})}
	if sc, ok := socket.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	go s.listen()
	return s
}

// listen ends when the peer or this side closes the connection.
func (s *syslogConn) listen() {
	buf := make([]byte, 512)
	for total := 0; ; {
		n, err := s.Read(buf)
		if total += n; err == nil && total > syslogPatience {
			err = errTalksBack
		}
		if err != nil {
			s.why = err
			close(s.dead)
			s.Close()
			return
		}
	}
}

// gone gives the reason why the connection is known to be dead, or nil. It asks the socket, too, as the reader may not have
// been woken yet.
func (s *syslogConn) gone() error {
	select {
	case <-s.dead:
		return s.why
	default:
	}
	if s.raw == nil {
		return nil
	}
	return peek(s.raw, s.stream)
}

// reason gives the best explanation of a failed write: the reader may know more, such as the alert with which a TLS server
// ended the connection.
func (s *syslogConn) reason(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	t := time.NewTimer(syslogSettle)
	defer t.Stop()
	select {
	case <-s.dead:
		return s.why
	case <-t.C:
		return err
	}
}

// settle waits a little whether the peer turns a new connection away.
func (s *syslogConn) settle(ctx context.Context) error {
	t := time.NewTimer(syslogSettle)
	defer t.Stop()
	select {
	case <-s.dead:
		return s.why
	case <-ctx.Done():
		return nil // the messages are written
	case <-t.C:
		return s.gone()
	}
}

// write sends frames until ctx ends. It gives the number of frames that went whole, and the bytes of the next one that did.
func (s *syslogConn) write(ctx context.Context, f *syslogFrames) (whole, rest int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = s.SetWriteDeadline(time.Unix(1, 0)) })
	defer func() { s.spent = !stop() }()
	if !s.stream {
		for i := range f.ends {
			if _, err := s.Write(f.datagram(i)); err != nil {
				return i, 0, err
			}
		}
		return len(f.ends), 0, nil
	}
	n, err := s.Write(f.buf)
	if err == nil {
		return len(f.ends), 0, nil
	}
	for whole < len(f.ends) && f.ends[whole] <= n {
		whole++
	}
	if whole > 0 {
		n -= f.ends[whole-1]
	}
	return whole, n, err
}

// syslogFrames are framed messages, one after the other.
type syslogFrames struct {
	buf  []byte
	ends []int
	lf   bool // each ends in a line feed, which is for streams only
}

// datagram is one message as a datagram carries it.
func (f *syslogFrames) datagram(i int) []byte {
	from, to := 0, f.ends[i]
	if i > 0 {
		from = f.ends[i-1]
	}
	if f.lf {
		to--
	}
	return f.buf[from:to]
}

// syslogPool keeps connections between requests. Safe for concurrent use; the zero value is ready.
type syslogPool struct {
	mu     sync.Mutex // mu guards what follows
	kept   map[syslogKey][]*syslogConn
	closed bool
}

// get gives a connection that was kept and is not known to be dead, or nil.
func (p *syslogPool) get(k syslogKey) *syslogConn {
	for {
		p.mu.Lock()
		list := p.kept[k]
		if len(list) == 0 {
			p.mu.Unlock()
			return nil
		}
		c := list[len(list)-1]
		p.kept[k] = list[:len(list)-1]
		c.idle.Stop()
		p.mu.Unlock()
		if k.network == "udp" && time.Since(c.born) > syslogUDPAge || c.gone() != nil {
			c.Close()
			continue
		}
		return c
	}
}

// put keeps a connection for the next request.
func (p *syslogPool) put(k syslogKey, c *syslogConn) {
	c.used = true
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.spent || len(p.kept[k]) >= maxIdleSyslog {
		c.Close()
		return
	}
	if p.kept == nil {
		p.kept = map[syslogKey][]*syslogConn{}
	}
	p.kept[k] = append(p.kept[k], c)
	c.idle = time.AfterFunc(syslogIdle, func() { p.drop(k, c) })
}

// drop closes a connection that was not used for too long.
func (p *syslogPool) drop(k syslogKey, c *syslogConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.kept[k] {
		if o != c {
			continue
		}
		c.Close()
		if p.kept[k] = append(p.kept[k][:i], p.kept[k][i+1:]...); len(p.kept[k]) == 0 {
			delete(p.kept, k)
		}
		return
	}
}

// close drops what is kept; connections in use are closed when they come back.
func (p *syslogPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, list := range p.kept {
		for _, c := range list {
			c.idle.Stop()
			c.Close()
		}
	}
	p.kept = nil
}
