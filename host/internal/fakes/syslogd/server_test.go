package syslogd

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

const frame = "<34>1 - - - - - - hello"

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, network string, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial(network, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// TestFrames writes a stream and hangs up: what is whole is taken, and what is not is refused with the reason.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name, framing, stream string
		taken                 int
		want                  string // of the refusal
	}{
		{"two by octets", "octets", "23 " + frame + "23 " + frame, 2, ""},
		{"a bad one between", "octets", "23 " + frame + "1 x23 " + frame, 2, "PRI"},
		{"too short a count", "octets", "22 " + frame, 1, "MSG-LEN"},
		{"too long a count", "octets", "24 " + frame, 0, "after 23 of 24 bytes"},
		{"a leading zero", "octets", "023 " + frame, 0, "MSG-LEN"},
		{"no count", "octets", frame, 0, "MSG-LEN"},
		{"half a count", "octets", "23 " + frame + "2", 1, "MSG-LEN: the connection ended"},
		{"no space", "octets", "23" + frame, 0, "MSG-LEN"},
		{"over the bound", "octets", "200001 " + frame, 0, "over 200000"},
		{"a number without end", "octets", strings.Repeat("1", 100), 0, "MSG-LEN"},
		{"the longest", "octets", "200000 " + frame + strings.Repeat("x", MaxFrame-len(frame)), 1, ""},
		{"two lines", "lf", frame + "\n" + frame + "\n", 2, ""},
		{"a line without end", "lf", frame + "\n" + frame, 1, "after 23 bytes of a line"},
		{"an empty line", "lf", frame + "\n\n" + frame + "\n", 2, "PRI"},
		{"the end of lines of another system", "lf", frame + "\r\n", 0, "controls"},
		{"octets where lines are wanted", "lf", "23 " + frame + "\n", 0, "PRI"},
		{"a line too long", "lf", frame + strings.Repeat("x", MaxFrame) + "\n", 0, "over 200000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Config{Network: "tcp", Framing: c.framing, Format: "raw"})
			conn := dial(t, "tcp", s)
			write(t, conn, c.stream)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			refusals := 1
			if c.want == "" {
				refusals = 0
			}
			waitFor(t, "the frames", func() bool { return len(s.Messages()) >= c.taken && len(s.Refused()) >= refusals })
			if got := s.Refused(); len(s.Messages()) != c.taken || len(got) != refusals || refusals > 0 && !strings.Contains(got[0].Err.Error(), c.want) {
				t.Errorf("%d taken, refused %v", len(s.Messages()), got)
			}
		})
	}
}

func TestDatagrams(t *testing.T) {
	s := start(t, Config{Network: "udp", Format: "raw", Lose: func(n int) bool { return n == 2 }})
	c := dial(t, "udp", s)
	for _, f := range []string{frame + "1", frame + "2", frame + "3", frame + strings.Repeat("x", MaxDatagram), "no frame", frame + "\n"} {
		write(t, c, f)
	}
	waitFor(t, "the datagrams", func() bool { return len(s.Messages()) == 2 && s.Lost() == 1 && len(s.Refused()) == 3 })
	for i, want := range []string{"over 2048", "PRI", "controls"} {
		if got := s.Refused()[i].Err.Error(); !strings.Contains(got, want) {
			t.Errorf("refusal %d: %s, want %s", i, got, want)
		}
	}
}

func TestTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	s := start(t, Config{Network: "tls", TLS: web.TLS.Clone(), Framing: "octets", Format: "raw"})
	stranger := tls.Client(dial(t, "tcp", s), &tls.Config{ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	if err := stranger.HandshakeContext(t.Context()); err == nil {
		t.Error("a client that does not know the certificate takes it")
	}
	waitFor(t, "the failed handshake", func() bool { return len(s.Refused()) == 1 })
	known := web.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	known.ServerName = "127.0.0.1"
	c := tls.Client(dial(t, "tcp", s), known)
	write(t, c, "23 "+frame)
	waitFor(t, "the message", func() bool { return len(s.Messages()) == 1 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestVisits holds a connection back, and hangs up on another.
func TestVisits(t *testing.T) {
	hold := make(chan struct{})
	s := start(t, Config{Network: "tcp", Framing: "lf", Format: "raw", Visit: func(n int) Visit {
		if n == 1 {
			return Visit{Hold: hold}
		}
		return Visit{HangUp: 2}
	}})
	first := dial(t, "tcp", s)
	write(t, first, frame+"\n")
	waitFor(t, "the first connection", func() bool { return s.Visits() == 1 })
	second := dial(t, "tcp", s)
	write(t, second, frame+"\n"+frame+"\n"+frame+"\n")
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("the second connection is not closed")
	}
	if n := len(s.Messages()); n != 2 {
		t.Errorf("%d messages before the first connection is read", n)
	}
	close(hold)
	waitFor(t, "the first message", func() bool { return len(s.Messages()) == 3 })
	if m := s.Messages()[2]; m.Conn != 1 {
		t.Errorf("it came over connection %d", m.Conn)
	}
}

func TestStart(t *testing.T) {
	for _, cfg := range []Config{
		{Network: "udp", Format: "xml"},
		{Network: "tcp", Format: "raw"},
		{Network: "tcp", Framing: "lf", Format: "raw", TLS: &tls.Config{MinVersion: tls.VersionTLS12}},
		{Network: "tls", Framing: "lf", Format: "raw"},
	} {
		if s, err := Start(cfg, 0); err == nil {
			s.Close()
			t.Errorf("%+v is taken", cfg)
		}
	}
}
