package dissect

import (
	"net/netip"
	"sync"
)

// portGuess maps server ports to the protocol they are registered for.
type portGuess struct{ tcp, udp map[uint16]Protocol }

var guesses = sync.OnceValue(func() *portGuess {
	g := &portGuess{tcp: map[uint16]Protocol{}, udp: map[uint16]Protocol{}}
	put := func(m map[uint16]Protocol, ports []uint16, p Protocol) {
		for _, n := range ports {
			if _, ok := m[n]; !ok {
				m[n] = p
			}
		}
	}
	for i := range protocolTable {
		put(g.tcp, protocolTable[i].tcp, Protocol(i))
		put(g.udp, protocolTable[i].udp, Protocol(i))
	}
	return g
})

// guess finds a protocol by port: the server's, or else the client's.
func guess(l4 uint8, server, client uint16) Protocol {
	g := guesses()
	m := g.tcp
	switch l4 {
	case l4TCP:
	case l4UDP, l4UDPLite:
		m = g.udp
	default:
		return Unknown
	}
	if p, ok := m[server]; ok {
		return p
	}
	return m[client]
}

// Finish completes the result at a flow's end: what was still waiting for bytes is read, a protocol is guessed by port
// where content told nothing, the protocols below ports such as ICMP are named, and the risks that only a whole flow
// shows are raised.
func (d *Dissector) Finish(s *State, e *FlowEnd) {
	d.flush(s, e)
	if s.Protocol == Unknown {
		if p := byL4(e.L4); p != Unknown {
			s.Protocol, s.Confidence = p, ConfidenceDPI
		} else if p := guess(e.L4, e.ServerPort, e.ClientPort); p != Unknown {
			s.Protocol, s.Confidence = p, ConfidenceGuess
		}
		s.Category = categoryOf(s.Protocol, s.App)
	}
	if m := s.Meta; m != nil && m.TLS != nil {
		s.tlsRisks(e.L4 == l4UDP)
	}
	if s.opaque && s.Confidence != ConfidenceDPI && s.Protocol != ProtoEthereum { // which is random by design
		s.addRisk(RiskFullyEncrypted, "no protocol, random bytes")
	}
	s.flowRisks(e)
	s.done = true
	d.release(s)
}

// flush reads what a flow left behind when it ended too early.
func (d *Dissector) flush(s *State, e *FlowEnd) {
	if s.done || e.L4 != l4TCP {
		return
	}
	for dir := uint8(0); dir < 2 && !s.done; dir++ {
		var b []byte
		if st := s.streams[dir]; st != nil {
			b = st.buf
		}
		if w := s.wait[dir]; !s.found && w != 0 && d.reg.tcp.probes[w-1].partial {
			s.probe, s.found = w, true
			p := d.reg.tcp.probes[w-1].proto
			s.Protocol, s.Confidence, s.Category = p, ConfidenceDPI, p.Category()
		}
		if !s.found || len(b) == 0 {
			continue
		}
		read := d.reg.tcp.probes[s.probe-1].read
		if read == nil {
			continue
		}
		c := &d.c
		p := Packet{
			Payload: b, Wire: len(b), Dir: dir, L4: e.L4, ClientPort: e.ClientPort, ServerPort: e.ServerPort,
			Client: e.Client, Server: e.Server, Time: s.time,
		}
		*c = ctx{d: d, s: s, p: &p, b: b, dir: dir, last: true}
		read(c)
		c.s, c.p, c.b = nil, nil, nil
	}
}

// byL4 names the protocols that have no ports.
func byL4(l4 uint8) Protocol {
	switch l4 {
	case l4ICMP:
		return ProtoICMP
	case l4IGMP:
		return ProtoIGMP
	case l4ICMPv6:
		return ProtoICMPv6
	case l4ESP, l4AH:
		return ProtoIPSec
	case l4GRE:
		return ProtoGRE
	case l4IPIP:
		return ProtoIPinIP
	case l4EGP:
		return ProtoEGP
	case l4OSPF:
		return ProtoOSPF
	case l4PIM:
		return ProtoPIM
	case l4VRRP:
		return ProtoVRRP
	case l4SCTP:
		return ProtoSCTP
	}
	return Unknown
}

// remoteControl are the protocols and applications by which somebody else works on a desktop.
func remoteControl(p Protocol) bool {
	return p.Category() == CategoryRemoteAccess && p != ProtoSSH && p != ProtoTelnet && p != ProtoRSH && p != ProtoVMware
}

const (
	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

// flowRisks raises what a whole flow shows.
func (s *State) flowRisks(e *FlowEnd) {
	dpi := s.Confidence == ConfidenceDPI
	if dpi && (s.Protocol.Unsafe() || s.App.Unsafe()) {
		s.addRisk(RiskUnsafeProtocol, "")
	}
	if dpi && (remoteControl(s.Protocol) || remoteControl(s.App)) {
		p := s.App
		if !remoteControl(p) {
			p = s.Protocol
		}
		s.addRisk(RiskDesktopSharing, p.String())
	}
	if dpi {
		s.portRisk(e)
	}
	if (e.Packets[0] == 0) != (e.Packets[1] == 0) && !broadcast(e.Server) && !broadcast(e.Client) && e.L4 != l4IGMP {
		if e.Packets[1] == 0 {
			s.addRisk(RiskUnidirectional, "no answer from the server")
		} else {
			s.addRisk(RiskUnidirectional, "nothing from the client")
		}
	}
	if e.L4 == l4TCP {
		s.tcpRisks(e)
	}
	if e.L4 == l4ICMP && (e.ICMPType > 18 && e.ICMPType < 30 || e.ICMPType > 43) {
		s.addRisk(RiskMalformedPacket, "ICMP type unknown")
	}
}

// portRisk compares the server's port with those of the protocol.
func (s *State) portRisk(e *FlowEnd) {
	in := s.Protocol.info()
	ports := in.tcp
	if e.L4 == l4UDP {
		ports = in.udp
	}
	if len(ports) == 0 || e.L4 != l4TCP && e.L4 != l4UDP {
		return
	}
	for _, n := range ports {
		if e.ServerPort == n || e.ClientPort == n {
			return
		}
	}
	s.addRisk(RiskNonStandardPort, "expected on port "+numberText(ports[0]))
}

func numberText(n uint16) string {
	var b [5]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}

// tcpRisks judges how a connection came up and ended.
func (s *State) tcpRisks(e *FlowEnd) {
	data := e.Payload[0] + e.Payload[1]
	c, v := e.TCPFlags[0], e.TCPFlags[1]
	switch {
	case (e.Packets[0] > 0 && c == 0 || e.Packets[1] > 0 && v == 0) && data == 0:
		s.addRisk(RiskTCPIssues, "NULL scan")
	case c&0x3f == 0x29 && e.Packets[0] > 0 && data == 0:
		s.addRisk(RiskTCPIssues, "XMAS scan")
	case data == 0 && v&tcpRST != 0 && v&tcpSYN == 0 && c&tcpSYN != 0:
		s.addRisk(RiskTCPIssues, "refused by the server")
	case data == 0 && c&tcpRST != 0 && v&tcpSYN == 0 && c&tcpSYN != 0:
		s.addRisk(RiskTCPIssues, "given up by the client")
	case data == 0 && c&tcpSYN != 0 && v&tcpSYN != 0 && (c|v)&tcpRST != 0 && c&tcpFIN == 0:
		s.addRisk(RiskTCPIssues, "reset before data")
		if c&tcpACK == 0 && c&tcpRST != 0 {
			s.addRisk(RiskProbing, "half a connection, then a reset")
		}
	}
}

// broadcast reports whether an address is for many.
func broadcast(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap()
	if a.IsMulticast() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		return b[3] == 255 || b == [4]byte{}
	}
	return false
}
