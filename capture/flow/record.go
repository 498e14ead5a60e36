// Package flow holds the flow table and the host table, and the records they hand out: blocks of flow records in
// columns, and host records. It knows packets only as decode gives them and protocols only as dissect names them; it
// raises no alerts and does no I/O.
package flow

import (
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
)

// BlockSize is the largest number of records in a Block.
const BlockSize = 1024

// Hook says at which moment of a flow's life its record was taken.
type Hook uint8

// The hooks. A flow is recorded once at Begin, at most once at Detected, when its protocol is first known by content, every
// 60 s of packet time at Periodic while it lasts, and once at End. A flow's records come in that order.
const (
	Begin Hook = iota
	Detected
	Periodic
	End
	numHooks
)

// HookSet is a set of hooks.
type HookSet uint8

// Hooks makes a set.
func Hooks(hs ...Hook) HookSet {
	var s HookSet
	for _, h := range hs {
		s |= 1 << h
	}
	return s
}

// Has reports whether h is in the set.
func (s HookSet) Has(h Hook) bool { return s&(1<<h) != 0 }

// Tunnel names the encapsulation a flow's packets came in; the innermost one where there are several.
type Tunnel = decode.Tunnel

// The tunnels.
const (
	NoTunnel = decode.NoTunnel
	GRE      = decode.GRE
	IPinIP   = decode.IPinIP
	VXLAN    = decode.VXLAN
	GTP      = decode.GTP
	CAPWAP   = decode.CAPWAP
	Teredo   = decode.Teredo
	L2TP     = decode.L2TP
	PPPoE    = decode.PPPoE
	ERSPAN   = decode.ERSPAN
	Geneve   = decode.Geneve
)

// Flags are facts about a flow that are not counters.
type Flags uint16

// The flags.
const (
	ClientLocal   Flags = 1 << iota // the client's address lies in a local network
	ServerLocal                     // the server's does
	SawSYN                          // the client's SYN was seen: the roles are certain
	Established                     // TCP: both sides acknowledged; else: packets in both directions
	Closed                          // TCP: FIN in both directions, or RST
	Evicted                         // ended early because the table was full
	Truncated                       // some packets were cut by the capture's snap length
	OpenAtEnd                       // still open when the capture ended
	ServerRefused                   // the server answered SYN with RST, or ICMP said port unreachable
	MulticastDest                   // the server's address is a multicast or broadcast address
)

// TCP flag bits as in the header (RFC 9293).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Block is a batch of flow records taken at one hook, in columns: record i is index i of every column, all of which are
// N long. A block is read-only and valid only until the sink's method returns; Meta and its contents stay valid and
// unchanged after an End record, and may still grow before it.
type Block struct {
	Hook Hook
	N    int

	ID         []uint64 // unique in a run, in order of the first packet
	L4         []uint8  // IP protocol number
	Client     []netip.Addr
	Server     []netip.Addr
	ClientPort []uint16 // for ICMP: the type and code as nDPI and NetFlow have none: 0
	ServerPort []uint16
	VLAN       []uint16 // innermost 802.1Q id, 0 without
	Tunnel     []Tunnel
	Flags      []Flags
	First      []int64 // packet time of the first and last packet, Unix nanoseconds
	Last       []int64
	Packets    [2][]uint64 // client to server, server to client
	Bytes      [2][]uint64 // layer 2 bytes on the wire, without FCS
	Payload    [2][]uint64 // bytes above layer 4
	TCPFlags   [2][]uint8  // all flags seen, ORed
	ICMPType   []uint8     // type and code of the first packet
	ICMPCode   []uint8

	Protocol   []dissect.Protocol // master protocol, such as TLS
	App        []dissect.Protocol // application above it, such as Google; Unknown if none
	Category   []dissect.Category
	Confidence []dissect.Confidence
	Risks      []dissect.Risks
	Meta       []*dissect.Meta // nil if nothing is known
}

// Host is what one host did since the last record of the same Period. Counters count that interval only; index 0 is
// what the host sent, index 1 what it received.
type Host struct {
	Addr  netip.Addr
	VLAN  uint16
	MAC   [6]byte // last one seen; zero if unknown
	Local bool
	Name  string // from DHCP if seen, where a host says its own name; may be empty
	First int64  // Unix nanoseconds, whole life
	Last  int64

	Packets, Bytes [2]uint64
	SYNs           [2]uint32 // TCP SYN without ACK
	SYNACKs        [2]uint32
	FINs           [2]uint32 // FIN of connections that were never established (a FIN scan)
	RSTs           [2]uint32
	ICMP           [2]uint32 // ICMP and ICMPv6 packets
	Flows          [2]uint32 // new flows as client and as server
	// HalfOpen are TCP flows with SYN but no answer, Unanswered UDP flows in one direction only: as client, as server.
	// They are counted when the flow is 10 s old or ends, whichever comes first.
	HalfOpen   [2]uint32
	Unanswered [2]uint32
	DNSFlows   uint32 // new DNS flows as client
	SNMPFlows  uint32
	// Distinct servers this host asked as a client in the interval, by protocol, and distinct names it asked for.
	DNSServers  uint32
	NTPServers  uint32
	SMTPServers uint32
	DomainNames uint32
	// Peers is the number of distinct addresses contacted as client; Ports of distinct server ports.
	Peers uint32
	Ports uint32
}

// Period is the length of a host record's interval.
type Period uint8

// The periods, by packet time.
const (
	Minute Period = iota
	FiveMinutes
	Hour
	Day
)

// HostBatch is the records of all hosts that were active in an interval. It is read-only and valid only until the
// sink's method returns.
type HostBatch struct {
	Period Period
	From   int64 // Unix nanoseconds
	To     int64 // exclusive
	Hosts  []Host
	// Last says that the capture ended: the interval may be shorter than its period.
	Last bool
}
