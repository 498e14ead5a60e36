package dissect

import (
	"strings"
	"sync"
)

// verdict is what a probe says of a packet.
type verdict uint8

const (
	no   verdict = iota
	more         // it looks like it, but only more bytes can tell
	yes
)

// probe recognises one protocol. Adding a protocol means adding a file with its probes and naming them in allProbes.
type probe struct {
	proto Protocol
	l4    uint8  // l4TCP, l4UDP, or 0 for both
	first string // the bytes a first payload byte may be; empty for any
	// ports are those the probe is tried on, for formats too weak to stand alone; nil for all.
	ports []uint16
	// hint are the ports where this probe is asked first.
	hint []uint16
	// partial says that a flow that ended while match asked for more bytes is this protocol all the same.
	partial bool
	// match looks at c.b and does not change the flow, except that it may set the protocol before it says yes.
	match func(c *ctx) verdict
	// read is given the bytes from the first matching packet on, and returns how many of c.b it consumed; the rest of a
	// TCP direction is offered again with what follows. It calls c.done at the end. nil means that recognition is all.
	read func(c *ctx) int
}

// probeList is the probes of one layer 4 protocol in the order they are asked. Those that need a port are kept by port, so
// that a packet meets few of them.
type probeList struct {
	probes  []probe
	byFirst [256][]uint16       // without those that need a port
	byPort  map[uint16][]uint16 // those that do
	hasPort [1 << 16 / 64]uint64
	hints   [1 << 16]uint8 // port -> 1 + index of the probe to ask first
}

// hint returns 1 + the index of the probe to ask first, or 0.
func (l *probeList) hint(p *Packet) uint16 {
	if h := l.hints[p.ServerPort]; h != 0 {
		return uint16(h)
	}
	return uint16(l.hints[p.ClientPort])
}

// onPort returns the probes of a port, or nil.
func (l *probeList) onPort(port uint16) []uint16 {
	if l.hasPort[port>>6]>>(port&63)&1 == 0 {
		return nil
	}
	return l.byPort[port]
}

// begins reports whether a payload may begin with x.
func (p *probe) begins(x byte) bool { return p.first == "" || strings.IndexByte(p.first, x) >= 0 }

func (l *probeList) add(p probe) {
	i := uint16(len(l.probes))
	l.probes = append(l.probes, p)
	for _, port := range p.ports {
		if n := len(l.byPort[port]); n == 0 || l.byPort[port][n-1] != i {
			l.byPort[port] = append(l.byPort[port], i)
			l.hasPort[port>>6] |= 1 << (port & 63)
		}
	}
	if p.ports == nil {
		for x := range 256 {
			if p.begins(byte(x)) {
				l.byFirst[x] = append(l.byFirst[x], i)
			}
		}
	}
	for _, port := range p.hint {
		if l.hints[port] == 0 && i < 255 {
			l.hints[port] = uint8(i + 1)
		}
	}
}

// shared is the probes of TCP and UDP, built once and then only read.
var shared = sync.OnceValue(buildRegistry)

type probeRegistry struct {
	tcp, udp probeList
	tls      uint16 // 1 + index of TLS among the probes of TCP
}

func buildRegistry() *probeRegistry {
	r := &probeRegistry{}
	r.tcp.byPort, r.udp.byPort = map[uint16][]uint16{}, map[uint16][]uint16{}
	for _, group := range allProbes() {
		for _, p := range group {
			if p.l4 != l4UDP {
				r.tcp.add(p)
				if p.proto == ProtoTLS {
					r.tls = uint16(len(r.tcp.probes))
				}
			}
			if p.l4 != l4TCP {
				r.udp.add(p)
			}
		}
	}
	return r
}

// magic makes a probe for a protocol whose first payload begins with one of the given strings.
func magic(p Protocol, l4 uint8, starts ...string) probe {
	var first []byte
	for _, s := range starts {
		first = append(first, s[0])
	}
	return probe{proto: p, l4: l4, first: string(first), match: func(c *ctx) verdict {
		for _, s := range starts {
			if prefix(c.b, s) {
				return yes
			}
		}
		return no
	}}
}

// test makes a probe from a condition on the payload; ports may be nil.
func test(p Protocol, l4 uint8, ports []uint16, ok func(b []byte) bool) probe {
	return begin("", p, l4, ports, ok)
}

// begin is test for a protocol whose first payload byte is one of first.
func begin(first string, p Protocol, l4 uint8, ports []uint16, ok func(b []byte) bool) probe {
	return probe{proto: p, l4: l4, first: first, ports: ports, match: func(c *ctx) verdict {
		if ok(c.b) {
			return yes
		}
		return no
	}}
}

// allProbes lists the probes in the order they are asked: strong formats before weak ones.
func allProbes() [][]probe {
	return [][]probe{
		dnsProbes, tlsProbes, httpProbes, quicProbes, dtlsProbes, sshProbes, localProbes, voipProbes, loginProbes, p2pProbes, vpnProbes, dataProbes, remoteProbes,
		infraProbes, scadaProbes, serviceProbes,
	}
}
