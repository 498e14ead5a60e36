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

	done bool
}

// Done reports whether the flow needs no more payload: further packets need not be given.
func (s *State) Done() bool { return s.done }

// Dissector recognises protocols. One serves a shard of flows; it is not safe for concurrent use.
type Dissector struct{}

// New makes a dissector.
func New() *Dissector { return &Dissector{} }

// Packet reads one packet with payload and reports whether the result in s changed. It never fails: bytes that fit no
// protocol leave the flow Unknown, broken ones of a known protocol raise a risk.
func (d *Dissector) Packet(s *State, p *Packet) (changed bool) { return false }

// Finish completes the result at a flow's end: a protocol guessed by port where content told nothing, the protocols
// below ports such as ICMP, and the risks that only a whole flow shows.
func (d *Dissector) Finish(s *State, e *FlowEnd) {}

// Recycle returns the flow's buffers to the dissector. Meta stays alive; s must not be given to Packet again.
func (d *Dissector) Recycle(s *State) {}
