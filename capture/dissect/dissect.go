package dissect

import "net/netip"

// Packet is one packet with payload, as the flow table hands it over. Payload is only read, and only during the call.
type Packet struct {
	Payload []byte // what was captured above layer 4
	Wire    int    // payload length on the wire, at least len(Payload)
	Dir     uint8  // 0 client to server, 1 server to client
	L4      uint8  // IP protocol number

	ClientPort, ServerPort uint16
	Client, Server         netip.Addr

	Time     int64  // Unix nanoseconds
	Seq      uint32 // TCP sequence number of the first payload byte
	TCPFlags uint8
	Fragment bool // the packet came in IP fragments
}

// FlowEnd is what the flow table knows of a flow at its end. Index 0 is client to server, 1 server to client.
type FlowEnd struct {
	L4                     uint8
	ClientPort, ServerPort uint16
	Client, Server         netip.Addr
	Packets, Bytes         [2]uint64
	Payload                [2]uint64 // bytes above layer 4
	TCPFlags               [2]uint8  // all flags seen, ORed
	ICMPType, ICMPCode     uint8
}

// State is what a Dissector remembers of one flow. The zero value is ready. The exported fields are the result so far
// and are for reading only.
type State struct {
	Protocol   Protocol
	App        Protocol
	Category   Category
	Confidence Confidence
	Risks      Risks
	Meta       *Meta

	probe   uint16    // 1 + index of the probe that recognised the flow and reads on
	wait    [2]uint16 // the same for a probe that asked for more bytes of a direction
	found   bool      // probe is set
	done    bool
	opaque  bool      // the first payload of an unrecognised flow looks encrypted
	tries   uint8     // packets that no probe recognised
	packets uint16    // packets given since the flow was recognised
	seen    uint8     // bit a direction: next is valid
	cut     uint8     // bit a direction: bytes are missing, later ones are not read
	next    [2]uint32 // TCP: next sequence number expected
	streams [2]*stream
	x       *scratch
	time    int64 // of the last packet
}

// Limits of the work and memory one flow may ask for.
const (
	maxTries   = 12       // packets looked at before a flow is left Unknown
	maxPackets = 40       // packets read once the protocol is known
	maxStream  = 16 << 10 // bytes kept of a direction until they can be read
	maxString  = 512      // bytes of a string in Meta
)

// IP protocol numbers (IANA).
const (
	l4ICMP    = 1
	l4IGMP    = 2
	l4IPIP    = 4
	l4TCP     = 6
	l4EGP     = 8
	l4UDP     = 17
	l4GRE     = 47
	l4ESP     = 50
	l4AH      = 51
	l4ICMPv6  = 58
	l4OSPF    = 89
	l4PIM     = 103
	l4VRRP    = 112
	l4SCTP    = 132
	l4UDPLite = 136
)

// Done reports whether the flow needs no more payload: further packets need not be given.
func (s *State) Done() bool { return s.done }

// Dissector recognises protocols. One serves a shard of flows; it is not safe for concurrent use.
type Dissector struct {
	reg     *probeRegistry
	c       ctx
	strings interner
	certs   certCache
	hosts   memo[hostFacts]
	agents  memo[agentFacts]
	hello   hello  // the ClientHello being read
	fpbuf   []byte // for fingerprints
	quic    quicReader

	freeStreams []*stream
	freeScratch []*scratch
}

// New makes a dissector.
func New() *Dissector {
	d := &Dissector{reg: shared()}
	d.strings.init()
	d.certs.init()
	d.hosts.init()
	d.agents.init()
	return d
}

// ctx is what a probe or reader is given: one packet of one flow. There is one in each Dissector, used again for each
// packet.
type ctx struct {
	d       *Dissector
	s       *State
	p       *Packet
	b       []byte // UDP: the payload; TCP: the bytes in order that nothing has consumed yet
	dir     uint8
	last    bool // no bytes follow: read what is there
	changed bool
}

// Packet reads one packet with payload and reports whether the result in s changed. It never fails: bytes that fit no
// protocol leave the flow Unknown, broken ones of a known protocol raise a risk.
func (d *Dissector) Packet(s *State, p *Packet) (changed bool) {
	if s.done || len(p.Payload) == 0 {
		return false
	}
	c := &d.c
	c.d, c.s, c.p, c.dir, c.changed, c.last = d, s, p, p.Dir&1, false, false
	s.time = p.Time
	switch p.L4 {
	case l4TCP:
		d.tcp(c)
	case l4UDP, l4UDPLite:
		c.b = p.Payload
		if s.found {
			d.reg.udp.probes[s.probe-1].read(c)
			if s.packets++; s.packets >= maxPackets {
				s.done = true
			}
		} else {
			c.detect(&d.reg.udp)
		}
	default:
		s.done = true
	}
	changed = c.changed
	c.s, c.p, c.b = nil, nil, nil
	if s.done {
		d.release(s)
	}
	return changed
}

// detect runs the probes over c.b. On a find it hands the same bytes to the probe's reader.
func (c *ctx) detect(l *probeList) verdict {
	s := c.s
	if w := s.wait[c.dir]; w != 0 {
		switch v := l.probes[w-1].match(c); v {
		case yes:
			c.found(l, w-1)
			return yes
		case more:
			return more
		case no:
		}
		s.wait[c.dir] = 0
	}
	wait := uint16(0)
	h := l.hint(c.p)
	if h != 0 {
		switch l.probes[h-1].match(c) {
		case yes:
			c.found(l, h-1)
			return yes
		case more:
			wait = h
		case no:
		}
	}
	// Merge the probes for the first byte with those for the two ports, keeping their order.
	x := c.b[0]
	any, srv, cli := l.byFirst[x], l.onPort(c.p.ServerPort), l.onPort(c.p.ClientPort)
	for len(any)+len(srv)+len(cli) > 0 {
		i := ^uint16(0)
		if len(any) > 0 {
			i = any[0]
		}
		if len(srv) > 0 {
			i = min(i, srv[0])
		}
		if len(cli) > 0 {
			i = min(i, cli[0])
		}
		if len(any) > 0 && any[0] == i {
			any = any[1:]
		}
		if len(srv) > 0 && srv[0] == i {
			srv = srv[1:]
		}
		if len(cli) > 0 && cli[0] == i {
			cli = cli[1:]
		}
		pr := &l.probes[i]
		if i+1 == h || pr.ports != nil && !pr.begins(x) {
			continue
		}
		switch pr.match(c) {
		case yes:
			c.found(l, i)
			return yes
		case more:
			if wait == 0 {
				wait = i + 1
			}
		case no:
		}
	}
	if s.tries == 0 {
		c.firstMiss()
	}
	if s.tries++; s.tries >= maxTries {
		s.done = true
	} else if wait != 0 {
		s.wait[c.dir] = wait
		return more
	}
	return no
}

// found notes that probe i recognised the flow. A probe may have set a protocol of its own choice.
func (c *ctx) found(l *probeList, i uint16) {
	s, pr := c.s, &l.probes[i]
	if s.Confidence != ConfidenceDPI {
		c.protocol(pr.proto)
	}
	if pr.read == nil {
		s.done = true
		return
	}
	s.probe, s.found = i+1, true
	if c.p.L4 != l4TCP {
		pr.read(c)
	}
}

// become hands the rest of a TCP flow to the reader of TLS, as after STARTTLS. The protocol stays what it is.
func (c *ctx) becomeTLS() {
	c.s.probe, c.s.found, c.s.packets = c.d.reg.tls, true, 0
}

// protocol sets the master protocol.
func (c *ctx) protocol(p Protocol) {
	s := c.s
	s.Protocol, s.Confidence = p, ConfidenceDPI
	if s.App == p {
		s.App = Unknown
	}
	s.Category = categoryOf(p, s.App)
	c.changed = true
}

// app sets the application above the master protocol.
func (c *ctx) app(p Protocol) {
	s := c.s
	if p == Unknown || s.App == p || s.Protocol == p {
		return
	}
	s.App = p
	s.Category = categoryOf(s.Protocol, p)
	c.changed = true
}

// categoryOf is the application's category, except for DNS: looking up a name is not yet using the service.
func categoryOf(master, app Protocol) Category {
	if app == Unknown {
		return master.Category()
	}
	if master == ProtoDNS || master == ProtoMDNS || master == ProtoLLMNR || master == ProtoNetBIOS {
		return master.Category()
	}
	if c := app.Category(); c != CategoryNone {
		return c
	}
	return master.Category()
}

// meta returns the flow's metadata, made on first use. The caller is about to change it.
func (c *ctx) meta() *Meta {
	if c.s.Meta == nil {
		c.s.Meta = &Meta{}
	}
	c.changed = true
	return c.s.Meta
}

// risk raises r with a few words on why; the first words stay.
func (c *ctx) risk(r Risk, why string) {
	if c.s.Risks.Has(r) {
		return
	}
	c.s.addRisk(r, why)
	c.changed = true
}

func (s *State) addRisk(r Risk, why string) {
	if s.Risks.Has(r) {
		return
	}
	s.Risks |= 1 << r
	if why == "" {
		return
	}
	if s.Meta == nil {
		s.Meta = &Meta{}
	}
	if s.Meta.RiskInfo == nil {
		s.Meta.RiskInfo = make(map[Risk]string, 2)
	}
	s.Meta.RiskInfo[r] = why
}

// done says that the flow has told all there is to know.
func (c *ctx) done() { c.s.done = true }

// scratch returns the flow's working memory.
func (c *ctx) scratch() *scratch {
	if c.s.x == nil {
		d := c.d
		if n := len(d.freeScratch); n > 0 {
			c.s.x = d.freeScratch[n-1]
			d.freeScratch = d.freeScratch[:n-1]
		} else {
			c.s.x = &scratch{}
		}
	}
	return c.s.x
}

// maxFree is the number of buffers of each kind a dissector keeps for later flows.
const maxFree = 256

// release takes back a flow's buffers.
func (d *Dissector) release(s *State) {
	for i, st := range s.streams {
		if st != nil {
			d.putStream(st)
			s.streams[i] = nil
		}
	}
	if s.x != nil {
		x := s.x
		s.x = nil
		x.reset()
		if len(d.freeScratch) < maxFree {
			d.freeScratch = append(d.freeScratch, x)
		}
	}
}

// Recycle returns the flow's buffers to the dissector. Meta stays alive; s must not be given to Packet again.
func (d *Dissector) Recycle(s *State) {
	s.done = true
	d.release(s)
}
