package app

import (
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/syslogd"
)

// syslogAlerts are an engage, a release, a flow, and one that is hostile and far too long for a datagram.
func syslogAlerts() []*alert.Alert {
	at := time.Date(2026, 3, 7, 9, 5, 1, 0, time.UTC)
	start, end, flow, evil := scan(alert.Engage, "k"), scan(alert.Release, "k"), benchAlert(1), benchAlert(2)
	start.Time, end.Time, flow.Time, evil.Time = at, at.Add(time.Minute), at.Add(2*time.Minute), at.Add(3*time.Minute)
	end.Engaged, end.Message = at, "No scan any more."
	evil.Title = "x][Released]\u202e <13>1"
	evil.Message = strings.Repeat("\"\r\n<13>1 - - \\ ] 🚨", 5000)
	return []*alert.Alert{start, end, flow, evil}
}

// receiving starts a receiver that ends with the test; port 0 is any.
func receiving(t testing.TB, cfg syslogd.Config, port int) *syslogd.Server {
	t.Helper()
	s, err := syslogd.Start(cfg, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// writingTo are an endpoint's parameters for a receiver.
func writingTo(cfg syslogd.Config, port int) string {
	return fmt.Sprintf("syslog_host = \"127.0.0.1\", syslog_port = %d, syslog_protocol = %q, syslog_alert_format = %q", port, cfg.Network, cfg.Format)
}

// arrived waits until a receiver has so many messages, and wants none refused.
func arrived(t *testing.T, s *syslogd.Server, n int) []*syslogd.Message {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d messages", n), func() bool { return len(s.Messages()) >= n || len(s.Refused()) > 0 })
	for _, r := range s.Refused() {
		t.Errorf("refused: %v: %.300q", r.Err, r.Frame)
	}
	return s.Messages()
}

// syslogReceivers has a service write alerts in every format over some networks, each to a strict receiver of its own.
func syslogReceivers(t *testing.T, cert *tls.Config, networks ...string) {
	var cfgs []syslogd.Config
	var text []string
	receivers := map[string]*syslogd.Server{}
	for _, network := range networks {
		for _, format := range []string{"text", "text_rfc5424", "json", "ecs", "checkmk"} {
			cfg := syslogd.Config{Network: network, Format: format, Framing: "octets", TLS: cert}
			if format == "text" {
				cfg.Framing = "lf"
			}
			name := network + "-" + format
			receivers[name] = receiving(t, cfg, 0)
			cfgs = append(cfgs, cfg)
			text = append(text, endpointTOML(name, "syslog", writingTo(cfg, receivers[name].Port())), recipientTOML(name, name, ""))
		}
	}
	b := newBed(t, text...).start()
	alerts := syslogAlerts()
	b.raise(alerts...)
	for _, cfg := range cfgs {
		name := cfg.Network + "-" + cfg.Format
		b.settled(name, alert.Accepted, len(alerts)) // written; no receiver tells that it has anything
		got := arrived(t, receivers[name], len(alerts))
		if len(got) != len(alerts) {
			t.Errorf("%s: %d messages for %d alerts", name, len(got), len(alerts))
		}
		for _, a := range alerts {
			said := a.Message[:min(len(a.Message), 20)]
			if strings.HasPrefix(a.Title, "x]") {
				said = "<13>1 - - "
			}
			n := 0
			for _, m := range got {
				if strings.Contains(m.Text, said) && (m.Time.Year() == 0 || m.Time.Equal(a.Time)) {
					n++
				}
			}
			if want := 1; n != want && (cfg.Format != "text" || n < want) { // the time in text has no year, and the message may be in others
				t.Errorf("%s: %d messages say %q", name, n, said)
			}
		}
	}
	// The test of a recipient connects, and then sends a message that says it is one.
	name := cfgs[len(cfgs)-1].Network + "-json"
	said, err := b.try(name, "host, starts")
	if err != nil || !strings.Contains(said, "Can the receiver be reached?") {
		t.Errorf("%v\n%s", err, said)
	}
	if got := arrived(t, receivers[name], len(alerts)+1); !strings.Contains(got[len(got)-1].Text, `"test":true`) {
		t.Errorf("the test message: %s", got[len(got)-1].Text)
	}
}

func TestSyslog(t *testing.T) { syslogReceivers(t, nil, "udp", "tcp") }

// TestSyslogTLS writes every format to a receiver whose certificate this machine trusts, and nothing to one that has it under another
// name.
func TestSyslogTLS(t *testing.T) {
	cert := &tls.Config{Certificates: []tls.Certificate{*trustedCertificate(t)}, MinVersion: tls.VersionTLS12}
	syslogReceivers(t, cert, "tls")
	cfg := syslogd.Config{Network: "tls", TLS: cert, Format: "json", Framing: "octets"}
	s := receiving(t, cfg, 0)
	b := newRoom(t, "syslog", strings.Replace(writingTo(cfg, s.Port()), "127.0.0.1", "localhost", 1), "")
	if said, err := b.try("ops", "host, starts"); err == nil || !strings.Contains(said, "certificate for another name") {
		t.Errorf("%v\n%s", err, said)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("%d messages were written", len(got))
	}
}

// TestSyslogLost loses every other datagram: nobody can tell, so nothing is ever called delivered, and nothing is sent twice.
func TestSyslogLost(t *testing.T) {
	cfg := syslogd.Config{Network: "udp", Format: "json", Lose: func(n int) bool { return n%2 == 0 }}
	s := receiving(t, cfg, 0)
	b := newRoom(t, "syslog", writingTo(cfg, s.Port()), "").start()
	for id, r := range b.send("ops", manyLong(20, 100)...) {
		if r.State != alert.Accepted || r.Attempts != 1 {
			t.Errorf("%s: %v after %d attempts, %s", id, r.State, r.Attempts, r.Reason)
		}
	}
	arrived(t, s, 10)
	waitFor(t, "the lost ones", func() bool { return s.Lost() == 10 })
}

// manyLong are alerts with messages of so many bytes, each of which says its number.
func manyLong(n, size int) []*alert.Alert {
	out := make([]*alert.Alert, n)
	for i := range out {
		out[i] = benchAlert(i)
		out[i].Message = fmt.Sprintf("number %d, %s", i, strings.Repeat("x", size))
	}
	return out
}

// numbers counts how often each alert of manyLong is among messages.
func numbers(t *testing.T, n int, messages []*syslogd.Message) []int {
	t.Helper()
	out := make([]int, n)
	for _, m := range messages {
		var i int
		_, tail, ok := strings.Cut(m.Text, "number ")
		if _, err := fmt.Sscanf(tail, "%d,", &i); err != nil || !ok || i >= n {
			t.Fatalf("whose is %.200q", m.Text)
		}
		out[i]++
	}
	return out
}

// TestSyslogSlow has a receiver that reads nothing for a while: everything arrives once, when it does.
func TestSyslogSlow(t *testing.T) {
	const n = 250
	hold := make(chan struct{})
	cfg := syslogd.Config{Network: "tcp", Format: "text_rfc5424", Framing: "octets", Visit: func(int) syslogd.Visit { return syslogd.Visit{Hold: hold} }}
	s := receiving(t, cfg, 0)
	b := newRoom(t, "syslog", writingTo(cfg, s.Port()), "").start()
	b.raise(manyLong(n, 8000)...)
	waitFor(t, "the connection", func() bool { return s.Visits() > 0 })
	if got := len(s.Messages()); got != 0 {
		t.Errorf("%d messages were read too early", got)
	}
	close(hold)
	for _, r := range b.settled("ops", alert.Accepted, n) {
		if r.Attempts != 1 {
			t.Errorf("%d attempts: %s", r.Attempts, r.Reason)
		}
	}
	for i, times := range numbers(t, n, arrived(t, s, n)) {
		if times != 1 {
			t.Errorf("number %d came %d times", i, times)
		}
	}
}

// TestSyslogHangsUp has a receiver end a connection in the middle of a batch: what may be lost is written again, and the ledger says
// that it may be there twice.
func TestSyslogHangsUp(t *testing.T) {
	const n = 100
	cfg := syslogd.Config{Network: "tcp", Format: "json", Framing: "octets", Visit: func(v int) (out syslogd.Visit) {
		if v == 1 {
			out.HangUp = 3
		}
		return out
	}}
	s := receiving(t, cfg, 0)
	b := newRoom(t, "syslog", writingTo(cfg, s.Port()), "").start()
	b.raise(manyLong(n, 35_000)...) // more than the system takes before the receiver does
	again := 0
	for _, r := range b.settled("ops", alert.Accepted, n) {
		if r.Attempts > 1 && r.PossibleDuplicate {
			again++
		}
	}
	waitFor(t, "every alert", func() bool { return !slices.Contains(numbers(t, n, s.Messages()), 0) })
	first := 0
	for _, m := range arrived(t, s, n) {
		if m.Conn == 1 {
			first++
		}
	}
	if first != 3 || again < first || s.Visits() < 2 {
		t.Errorf("%d messages over the first of %d connections, %d alerts may be there twice", first, s.Visits(), again)
	}
}

// TestSyslogAway has no receiver at first: alerts wait, and go when there is one.
func TestSyslogAway(t *testing.T) {
	cfg := syslogd.Config{Network: "tcp", Format: "text", Framing: "lf"}
	away, err := syslogd.Start(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	b := newRoom(t, "syslog", writingTo(cfg, away.Port()), "").start()
	b.raise(manyLong(3, 10)...)
	waitFor(t, "a reason", func() bool {
		rows := b.rows("ops")
		return len(rows) == 3 && strings.Contains(rows[0].Reason, "is the service running")
	})
	back := receiving(t, cfg, away.Port())
	arrived(t, back, 3)
	b.settled("ops", alert.Accepted, 3)
}

// TestSyslogCertificate writes nothing to a receiver with a certificate that this machine does not trust, nor to one without TLS.
func TestSyslogCertificate(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	for _, c := range []struct {
		name string
		cfg  syslogd.Config
		want string
	}{
		{"a stranger's certificate", syslogd.Config{Network: "tls", TLS: web.TLS.Clone(), Format: "json", Framing: "octets"}, "certificate"},
		{"no TLS", syslogd.Config{Network: "tcp", Format: "json", Framing: "octets"}, "TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := receiving(t, c.cfg, 0)
			c.cfg.Network = "tls"
			b := newRoom(t, "syslog", writingTo(c.cfg, s.Port()), "").start()
			b.raise(manyLong(2, 10)...)
			waitFor(t, "a reason", func() bool {
				rows := b.rows("ops")
				return len(rows) == 2 && strings.Contains(rows[0].Reason, c.want)
			})
			for _, r := range b.rows("ops") {
				if r.State != alert.Queued && r.State != alert.Leased {
					t.Errorf("%v: %s", r.State, r.Reason)
				}
			}
			if said, err := b.try("ops", "host, starts"); err == nil || !strings.Contains(said, c.want) {
				t.Errorf("the test: %v\n%s", err, said)
			}
			waitFor(t, "the receiver to see it", func() bool { return len(s.Refused()) > 0 })
			if got := s.Messages(); len(got) != 0 {
				t.Errorf("%d messages were written", len(got))
			}
		})
	}
}
