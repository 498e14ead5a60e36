package native

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
)

// Rec is one record of a block, for putting a finding into words.
type Rec struct {
	B *flow.Block
	I int
}

var noMeta dissect.Meta

// Meta is what was learned of the flow; never nil.
func (r Rec) Meta() *dissect.Meta {
	if m := r.B.Meta[r.I]; m != nil {
		return m
	}
	return &noMeta
}

// Client is the client's address.
func (r Rec) Client() string { return r.B.Client[r.I].String() }

// Server is the server's address, with the name it was asked by if that is known and is a name.
func (r Rec) Server() string {
	a := r.B.Server[r.I].String()
	m := r.Meta()
	if h := m.Hostname; h != "" && h != a && r.B.Protocol[r.I] != dissect.ProtoDNS && m.DHCP == nil {
		return h + " (" + a + ")"
	}
	return a
}

// Ends names both sides with their ports: "192.0.2.7 -> example.org (198.51.100.2), port 443".
func (r Rec) Ends() string {
	s := r.Client() + " -> " + r.Server()
	if p := r.B.ServerPort[r.I]; p != 0 {
		s += ", port " + strconv.Itoa(int(p))
	}
	return s
}

// Label is nDPI's label of the flow.
func (r Rec) Label() string { return dissect.Label(r.B.Protocol[r.I], r.B.App[r.I]) }

// Why is what the dissector noted about a risk; may be empty.
func (r Rec) Why(k dissect.Risk) string { return r.Meta().RiskInfo[k] }

// Duration is the time between the flow's first and last packet.
func (r Rec) Duration() time.Duration { return time.Duration(r.B.Last[r.I] - r.B.First[r.I]) }

// Fact is the one fact that best tells this flow from others: the URL, the name asked for, the certificate's subject.
func (r Rec) Fact() string {
	m := r.Meta()
	switch {
	case m.HTTP != nil && m.HTTP.URL != "":
		if m.HTTP.Host != "" && strings.HasPrefix(m.HTTP.URL, "/") {
			return m.HTTP.Host + m.HTTP.URL
		}
		return m.HTTP.URL
	case m.DNS != nil && m.DNS.Query != "":
		return m.DNS.Query
	case m.TLS != nil && m.TLS.Certificate != nil && m.TLS.Certificate.Subject != "":
		return m.TLS.Certificate.Subject
	}
	return m.Hostname
}

func (r Rec) certificate() *dissect.Certificate {
	if t := r.Meta().TLS; t != nil && t.Certificate != nil {
		return t.Certificate
	}
	return &dissect.Certificate{}
}

// certName is the certificate's shortest useful name.
func certName(c *dissect.Certificate) string {
	switch {
	case c.CommonName != "":
		return strconv.Quote(c.CommonName)
	case c.Subject != "":
		return strconv.Quote(c.Subject)
	case len(c.Names) > 0:
		return strconv.Quote(c.Names[0])
	}
	return "without a name"
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.DateOnly) }

// size writes a number of bytes the way people read it: 1.5 MB; 1 kB is 1024 bytes.
func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < 4 {
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTP"[u])
}

// span writes a duration in at most two units: 12 h 5 min.
func span(d time.Duration) string {
	if d > 0 && d < time.Second {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	d = d.Round(time.Second)
	h, m, s := int(d/time.Hour), int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case h > 0 && m > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case h > 0:
		return fmt.Sprintf("%d h", h)
	case m > 0 && s > 0:
		return fmt.Sprintf("%d min %d s", m, s)
	case m > 0:
		return fmt.Sprintf("%d min", m)
	}
	return fmt.Sprintf("%d s", s)
}

// count writes a number with its noun: "1 flow", "3 flows".
func count(v float64, one string) string {
	if v == 1 {
		return "1 " + one
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + " " + one + "s"
}

// isGroup reports whether a is a multicast or broadcast address rather than one host's.
func isGroup(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// IP protocol numbers (IANA).
const (
	tcp = 6
	udp = 17
)

// plain makes a Detail of a text that the dissector's own words would only repeat.
func plain(s string) func(Rec) string { return func(Rec) string { return s } }
