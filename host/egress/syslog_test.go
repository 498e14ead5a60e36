package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/tocsin-net/tocsin/pdk"
)

// syslogTo makes a request of n messages, for the deliveries d0, d1 ..., to an address on loopback.
func syslogTo(network, address string, n int) (*pdk.Request, Policy) {
	r := &pdk.Request{Syslog: &pdk.SyslogRequest{Network: network}}
	var p Policy
	if network == "local" {
		p.LocalSyslog = true
	} else {
		ap := netip.MustParseAddrPort(address)
		r.Syslog.Host, r.Syslog.Port = ap.Addr().String(), int(ap.Port())
		p.Grants = []Grant{{Scheme: "syslog", Host: r.Syslog.Host, Port: int(ap.Port()), Typed: true}}
	}
	for i := range n {
		d := "d" + strconv.Itoa(i)
		r.Deliveries = append(r.Deliveries, d)
		r.Syslog.Messages = append(r.Syslog.Messages, pdk.SyslogMessage{
			Delivery: d, Facility: 16, Severity: 4, Time: 1_800_000_000_123, AppName: "tocsin", Text: "message " + strconv.Itoa(i),
		})
	}
	return r, p
}

func listenTCP(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// accept hands every connection to f.
func accept(l net.Listener, f func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c)
		}
	}()
}

// readOctets reads one message framed by its length.
func readOctets(r *bufio.Reader) (string, error) {
	text, err := r.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return string(b), err
}

// next waits for a message that a receiver got.
func next(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case s := <-got:
		return s
	case <-time.After(time.Minute):
		t.Fatal("no message arrived")
		return ""
	}
}

// wantMessages reads n messages of RFC 5424 and compares their texts.
func wantMessages(t *testing.T, got <-chan string, n int) {
	t.Helper()
	for i := range n {
		raw := next(t, got)
		m, err := rfc5424.NewParser().Parse([]byte(raw))
		if err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		if text := *m.(*rfc5424.SyslogMessage).Message; text != "message "+strconv.Itoa(i) {
			t.Errorf("message %d is %q", i, text)
		}
	}
}

func wantWritten(t *testing.T, resp *pdk.Response, terr *pdk.TransportError, n int) {
	t.Helper()
	if terr != nil || resp.Status != 0 || len(resp.Parts) != n {
		t.Fatalf("got %+v, %+v", resp, terr)
	}
	for i, p := range resp.Parts {
		if p != (pdk.Part{Name: "d" + strconv.Itoa(i), OK: true}) {
			t.Errorf("part %d: %+v", i, p)
		}
	}
}

func TestSyslogUDP(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	from := make(chan string, 100)
	go func() {
		buf := make([]byte, 65536)
		for {
			n, a, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			got <- string(buf[:n])
			from <- a.String()
		}
	}()
	x := newExecutor(t, Options{})
	r, p := syslogTo("udp", pc.LocalAddr().String(), 3)
	p.Trace = new(Trace)
	resp, terr := x.Do(t.Context(), r, p)
	wantWritten(t, resp, terr, 3)
	wantMessages(t, got, 3)
	if s := p.Trace.Steps(); len(s) != 2 || s[0].Name != StepConnect || s[1].Name != StepSend || s[1].Took < syslogSettle {
		t.Errorf("steps: %+v", s)
	}
	r.Syslog.Messages[1].Text = strings.Repeat("ä", 3000)
	resp, terr = x.Do(t.Context(), r, p)
	if terr != nil || resp.Parts[0].Message != "" || resp.Parts[1].Message != "cut to fit into 2048 bytes" {
		t.Fatalf("got %+v, %+v", resp, terr)
	}
	next(t, got)
	if s := next(t, got); len(s) > maxSyslogUDP || len(s) < maxSyslogUDP-1 || !strings.HasSuffix(s, "ä...") {
		t.Errorf("got %d bytes ending in %q", len(s), s[len(s)-10:])
	}
	next(t, got)
	first := <-from
	for range 5 {
		if f := <-from; f != first {
			t.Errorf("the socket was not kept: %s and %s", first, f)
		}
	}
	pc.Close()
	x = newExecutor(t, Options{})
	one, p := syslogTo("udp", pc.LocalAddr().String(), 1)
	_, terr = x.Do(t.Context(), one, p)
	if terr == nil || terr.Stage != StageConnect || terr.Ambiguous || !strings.Contains(terr.Message, "nothing listens on the UDP port") {
		t.Errorf("got %+v", terr)
	}
	// Of several messages one was refused; which, nobody says.
	_, terr = x.Do(t.Context(), r, p)
	if terr == nil || terr.Stage != StageConnect || terr.Ambiguous && len(terr.Parts) != 3 {
		t.Errorf("got %+v", terr)
	}
}

func TestSyslogTCP(t *testing.T) {
	for _, framing := range []string{"", "octets", "lf"} {
		l := listenTCP(t)
		got := make(chan string, 100)
		conns := make(chan net.Conn, 100)
		accept(l, func(c net.Conn) {
			conns <- c
			b := bufio.NewReader(c)
			for {
				var s string
				var err error
				if framing == "lf" {
					s, err = b.ReadString('\n')
					s = strings.TrimSuffix(s, "\n")
				} else {
					s, err = readOctets(b)
				}
				if err != nil {
					return
				}
				got <- s
			}
		})
		x := newExecutor(t, Options{})
		r, p := syslogTo("tcp", l.Addr().String(), 3)
		r.Syslog.Framing = framing
		for range 3 {
			resp, terr := x.Do(t.Context(), r, p)
			wantWritten(t, resp, terr, 3)
			wantMessages(t, got, 3)
		}
		if len(conns) != 1 {
			t.Errorf("%s: %d connections for three requests", framing, len(conns))
		}
		// The receiver closes, and later resets, the connection that was kept: the next request gets another, and nothing of
		// it goes into the dead one.
		for _, reset := range []bool{false, true} {
			c := (<-conns).(*net.TCPConn)
			if reset {
				_ = c.SetLinger(0)
			}
			c.Close()
			resp, terr := x.Do(t.Context(), r, p)
			wantWritten(t, resp, terr, 3)
			wantMessages(t, got, 3)
		}
		l.Close()
		(<-conns).Close()
		_, terr := x.Do(t.Context(), r, p)
		if terr == nil || terr.Stage != StageConnect || terr.Ambiguous || !strings.Contains(terr.Message, "refused the connection") {
			t.Errorf("%s: got %+v", framing, terr)
		}
	}
}

// TestSyslogBrokenStreams wants the truth about each message when a connection breaks.
func TestSyslogBrokenStreams(t *testing.T) {
	const many = 100 // more than the kernel's buffers hold
	t.Run("turned away", func(t *testing.T) {
		l := listenTCP(t)
		accept(l, func(c net.Conn) { c.Close() })
		r, p := syslogTo("tcp", l.Addr().String(), 2)
		_, terr := newExecutor(t, Options{}).Do(t.Context(), r, p)
		if terr == nil || terr.Stage != StageSend || !strings.Contains(terr.Message, "closed it at once") && !strings.Contains(terr.Message, "connection broke") {
			t.Errorf("got %+v", terr)
		}
	})
	t.Run("does not read", func(t *testing.T) {
		l := listenTCP(t)
		release := make(chan struct{})
		accept(l, func(c net.Conn) { <-release; c.Close() })
		t.Cleanup(func() { close(release) })
		r, p := syslogTo("tcp", l.Addr().String(), many)
		for i := range r.Syslog.Messages {
			r.Syslog.Messages[i].Text = strings.Repeat("x", maxSyslogStream-100)
		}
		p.Timeout = 5 * time.Second
		_, terr := newExecutor(t, Options{MaxBody: 64 << 20}).Do(t.Context(), r, p)
		if terr == nil || terr.Stage != StageTimeout || !terr.Ambiguous || !strings.Contains(terr.Message, "within 5s") || len(terr.Parts) != many {
			t.Fatalf("got %+v", terr)
		}
		doubt := 0
		for i, part := range terr.Parts {
			if part.OK || part.Name != "d"+strconv.Itoa(i) || part.Ambiguous && doubt != i {
				t.Fatalf("part %d: %+v", i, part)
			}
			if part.Ambiguous {
				doubt++
			}
		}
		if doubt == 0 || doubt == many || !strings.Contains(terr.Message, fmt.Sprintf("first %d of %d", doubt, many)) {
			t.Errorf("%d in doubt: %s", doubt, terr.Message)
		}
	})
	t.Run("resets halfway", func(t *testing.T) {
		l := listenTCP(t)
		const taken = 10
		accept(l, func(c net.Conn) {
			b := bufio.NewReader(c)
			for range taken {
				_, _ = readOctets(b)
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		})
		r, p := syslogTo("tcp", l.Addr().String(), many)
		for i := range r.Syslog.Messages {
			r.Syslog.Messages[i].Text = strings.Repeat("x", maxSyslogStream-100)
		}
		_, terr := newExecutor(t, Options{MaxBody: 64 << 20}).Do(t.Context(), r, p)
		if terr == nil || terr.Stage != StageSend || !terr.Ambiguous || len(terr.Parts) != many || !strings.Contains(terr.Message, "connection broke") {
			t.Fatalf("got %+v", terr)
		}
		for i := range taken {
			if !terr.Parts[i].Ambiguous {
				t.Errorf("part %d was taken, but is told as not sent", i)
			}
		}
		if last := terr.Parts[many-1]; last.Ambiguous || last.Message != "not sent" {
			t.Errorf("last: %+v", last)
		}
	})
	t.Run("talks", func(t *testing.T) {
		l := listenTCP(t)
		accept(l, func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		})
		r, p := syslogTo("tcp", l.Addr().String(), 1)
		_, terr := newExecutor(t, Options{}).Do(t.Context(), r, p)
		if terr == nil || !terr.Ambiguous || !strings.Contains(terr.Message, "sends data") {
			t.Errorf("got %+v", terr)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		l := listenTCP(t)
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		accept(l, func(c net.Conn) { cancel(); <-release; c.Close() })
		t.Cleanup(func() { close(release) })
		r, p := syslogTo("tcp", l.Addr().String(), many)
		for i := range r.Syslog.Messages {
			r.Syslog.Messages[i].Text = strings.Repeat("x", maxSyslogStream-100)
		}
		_, terr := newExecutor(t, Options{MaxBody: 64 << 20}).Do(ctx, r, p)
		if terr == nil || terr.Stage == StageTimeout || !strings.Contains(terr.Message, "stopped") {
			t.Errorf("got %+v", terr)
		}
	})
}

func TestSyslogTLS(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	past, soon := time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	good := ca.leaf(t, past, soon, false, "127.0.0.1")
	got := make(chan string, 100)
	server := func(c *tls.Config) string {
		l := tls.NewListener(listenTCP(t), c)
		accept(l, func(c net.Conn) {
			defer c.Close()
			b := bufio.NewReader(c)
			for {
				s, err := readOctets(b)
				if err != nil {
					return
				}
				got <- s
			}
		})
		return l.Addr().String()
	}
	cert := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	plain := listenTCP(t)
	accept(plain, func(c net.Conn) { _, _ = io.WriteString(c, "hello, this is no TLS\n"); c.Close() })
	mutual := cert(good)
	mutual.ClientAuth = tls.RequireAnyClientCert
	closes := cert(good)
	x := newExecutor(t, Options{RootCAs: pool})

	at := server(cert(good))
	r, p := syslogTo("tls", at, 3)
	p.Trace = new(Trace)
	for range 2 {
		resp, terr := x.Do(t.Context(), r, p)
		wantWritten(t, resp, terr, 3)
		wantMessages(t, got, 3)
	}
	var steps []string
	for _, s := range p.Trace.Steps() {
		steps = append(steps, s.Name)
		if s.Err != "" || s.Name == StepTLS && !strings.Contains(s.Detail, "TLS 1.3, 127.0.0.1, until ") {
			t.Errorf("step %+v", s)
		}
	}
	if s := strings.Join(steps, " "); s != "connect tls send send" {
		t.Errorf("steps: %s", s)
	}
	for _, c := range []struct{ name, at, says string }{
		{"expired", server(cert(ca.leaf(t, past, time.Now().Add(-time.Hour), false, "127.0.0.1"))), "expired on"},
		{"self-signed", server(cert(ca.leaf(t, past, soon, true, "127.0.0.1"))), "self-signed"},
		{"wrong name", server(cert(ca.leaf(t, past, soon, false, "logs.example"))), "logs.example"},
		{"wants a certificate", server(mutual), "client certificate"},
		{"no TLS", plain.Addr().String(), "does not speak TLS"},
		{"old version", server(func() *tls.Config { closes.MaxVersion = tls.VersionTLS11; return closes }()), "TLS"},
	} {
		r, p := syslogTo("tls", c.at, 1)
		_, terr := x.Do(t.Context(), r, p)
		if terr == nil || terr.Stage != StageTLS || terr.Ambiguous || !strings.Contains(terr.Message, c.says) {
			t.Errorf("%s: got %+v", c.name, terr)
		}
	}
	if len(got) != 0 {
		t.Errorf("%d messages went to a server that was not to be trusted", len(got))
	}
}

func TestSyslogLocal(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no local syslog socket")
	}
	for _, network := range []string{"unixgram", "unix"} {
		path := filepath.Join(t.TempDir(), "log")
		got := make(chan string, 100)
		var stop func()
		if network == "unix" {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			accept(l, func(c net.Conn) {
				for s := bufio.NewScanner(c); s.Scan(); {
					got <- s.Text()
				}
			})
			stop = func() { l.Close() }
		} else {
			pc, err := net.ListenPacket("unixgram", path)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				buf := make([]byte, 65536)
				for {
					n, _, err := pc.ReadFrom(buf)
					if err != nil {
						return
					}
					got <- string(buf[:n])
				}
			}()
			stop = func() { pc.Close() }
		}
		t.Cleanup(stop)
		x := newExecutor(t, Options{SyslogSocket: path})
		r, p := syslogTo("local", "", 3)
		resp, terr := x.Do(t.Context(), r, p)
		wantWritten(t, resp, terr, 3)
		wantMessages(t, got, 3)
		r.Syslog.Format = formatRFC3164
		resp, terr = x.Do(t.Context(), r, p)
		wantWritten(t, resp, terr, 3)
		for i := range 3 {
			_, pid := syslogSelf()
			if s := next(t, got); !strings.HasSuffix(s, " tocsin["+pid+"]: message "+strconv.Itoa(i)) {
				t.Errorf("got %q", s)
			}
		}
		if _, terr := x.Do(t.Context(), r, Policy{}); terr == nil || terr.Stage != StageDenied || !strings.Contains(terr.Message, "[syslog]") {
			t.Errorf("without a grant: %+v", terr)
		}
		if network == "unixgram" {
			stop() // leaves the file, which nobody listens on
			_, terr = x.Do(t.Context(), r, p)
			if terr == nil || terr.Stage != StageConnect || terr.Ambiguous || !strings.Contains(terr.Message, "start a syslog service") {
				t.Errorf("after the end: %+v", terr)
			}
		}
	}
	r, p := syslogTo("local", "", 1)
	_, terr := newExecutor(t, Options{SyslogSocket: filepath.Join(t.TempDir(), "none")}).Do(t.Context(), r, p)
	if terr == nil || terr.Stage != StageConnect || terr.Ambiguous || !strings.Contains(terr.Message, "syslog_socket") {
		t.Errorf("missing: %+v", terr)
	}
}

func TestSyslogRequestsAreChecked(t *testing.T) {
	l := listenTCP(t)
	accept(l, func(c net.Conn) { t.Error("a connection arrived"); c.Close() })
	ap := netip.MustParseAddrPort(l.Addr().String())
	port := int(ap.Port())
	x := newExecutor(t, Options{Resolver: fakeDNS(t, map[string]string{"rebind.example.": "127.0.0.1"}), MaxBody: 1000})
	grant := func(host string, typed bool) []Grant { return []Grant{{Scheme: "syslog", Host: host, Typed: typed}} }
	for name, c := range map[string]struct {
		change      func(*pdk.SyslogRequest)
		grants      []Grant
		stage, says string
	}{
		"no grant":        {func(*pdk.SyslogRequest) {}, nil, StageDenied, "none is granted"},
		"http grant":      {func(*pdk.SyslogRequest) {}, []Grant{{Scheme: "http", Host: "127.0.0.1", Port: port, Typed: true}}, StageDenied, "not among"},
		"other port":      {func(*pdk.SyslogRequest) {}, []Grant{{Scheme: "syslog", Host: "127.0.0.1", Port: port + 1, Typed: true}}, StageDenied, "not among"},
		"private":         {func(*pdk.SyslogRequest) {}, grant("127.0.0.1", false), StageDenied, "loopback"},
		"private by name": {func(r *pdk.SyslogRequest) { r.Host = "rebind.example" }, grant("rebind.example", true), StageDenied, "loopback"},
		"UDP, too":        {func(r *pdk.SyslogRequest) { r.Host, r.Network = "rebind.example", "udp" }, grant("rebind.example", true), StageDenied, "loopback"},
		"unknown name":    {func(r *pdk.SyslogRequest) { r.Host = "none.example" }, grant("none.example", true), StageDNS, "no such host"},
		"decimal address": {func(r *pdk.SyslogRequest) { r.Host = "2130706433" }, grant("2130706433", true), StageDenied, "neither a host name"},
		"metadata":        {func(r *pdk.SyslogRequest) { r.Host = "169.254.169.254" }, grant("169.254.169.254", true), StageDenied, "metadata"},
		"broadcast":       {func(r *pdk.SyslogRequest) { r.Host, r.Network = "255.255.255.255", "udp" }, grant("255.255.255.255", false), StageDenied, "reserved"},
		"network":         {func(r *pdk.SyslogRequest) { r.Network = "relp" }, grant("127.0.0.1", true), StageInvalid, "relp"},
		"format":          {func(r *pdk.SyslogRequest) { r.Format = "gelf" }, grant("127.0.0.1", true), StageInvalid, "gelf"},
		"framing":         {func(r *pdk.SyslogRequest) { r.Framing = "nul" }, grant("127.0.0.1", true), StageInvalid, "nul"},
		"port":            {func(r *pdk.SyslogRequest) { r.Port = 70000 }, grant("127.0.0.1", true), StageInvalid, "70000"},
		"local and host":  {func(r *pdk.SyslogRequest) { r.Network = "local" }, nil, StageInvalid, "leave host and port out"},
		"message":         {func(r *pdk.SyslogRequest) { r.Messages[1].Severity = 9 }, grant("127.0.0.1", true), StageInvalid, "message 2, for the delivery d1: severity 9"},
		"too much":        {func(r *pdk.SyslogRequest) { r.Messages[1].Text = strings.Repeat("x", 1000) }, grant("127.0.0.1", true), StageInvalid, "more than 1000 bytes"},
	} {
		r, _ := syslogTo("tcp", l.Addr().String(), 2)
		c.change(r.Syslog)
		_, terr := x.Do(t.Context(), r, Policy{Grants: c.grants})
		if terr == nil || terr.Stage != c.stage || terr.Ambiguous || !strings.Contains(terr.Message, c.says) {
			t.Errorf("%s: got %+v", name, terr)
		}
	}
}

// TestSyslogParallel shares one executor, as all endpoints do, and keeps no more connections than it may.
func TestSyslogParallel(t *testing.T) {
	l := listenTCP(t)
	got := make(chan string, 10_000)
	accept(l, func(c net.Conn) {
		for b := bufio.NewReader(c); ; {
			s, err := readOctets(b)
			if err != nil {
				return
			}
			got <- s
		}
	})
	x := newExecutor(t, Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				r, p := syslogTo("tcp", l.Addr().String(), 5)
				if _, terr := x.Do(t.Context(), r, p); terr != nil {
					t.Error(terr)
				}
			}
		})
	}
	wg.Wait()
	for range 8 * 10 * 5 {
		next(t, got)
	}
	x.syslogs.mu.Lock()
	defer x.syslogs.mu.Unlock()
	for k, list := range x.syslogs.kept {
		if len(list) > maxIdleSyslog {
			t.Errorf("%d connections to %s are kept", len(list), k.address)
		}
	}
}

func BenchmarkSyslog(b *testing.B) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pc.Close() })
	l := listenTCP(b)
	accept(l, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, c := range []struct{ network, at string }{{"udp", pc.LocalAddr().String()}, {"tcp", l.Addr().String()}} {
		for _, n := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", c.network, n), func(b *testing.B) {
				x := newExecutor(b, Options{})
				r, p := syslogTo(c.network, c.at, n)
				if _, terr := x.Do(b.Context(), r, p); terr != nil { // without the wait of a new connection
					b.Fatal(terr)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, terr := x.Do(b.Context(), r, p); terr != nil {
						b.Fatal(terr)
					}
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}
