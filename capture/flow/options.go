package flow

import "net/netip"

// Sink takes what a table hands out. Its methods are called from the goroutine that feeds the table.
type Sink interface {
	// Hooks and Periods say what the sink wants; they are asked once, before the first packet.
	Hooks() HookSet
	Periods() []Period
	// Flows and Hosts take a batch, which is valid until they return. An error ends the run.
	Flows(*Block) error
	Hosts(*HostBatch) error
}

// Options set a table's bounds.
type Options struct {
	// Local are the local networks; without them no address is local.
	Local []netip.Prefix
	// MaxFlows bounds the flows held at a time, MaxHosts the hosts; 0 means the default.
	MaxFlows, MaxHosts int
	// HeadersOnly leaves payloads alone: every protocol stays Unknown.
	HeadersOnly bool
}

// The default bounds: about 0.4 GB of flows and 0.2 GB of hosts when full.
const (
	DefaultMaxFlows = 1 << 20
	DefaultMaxHosts = 1 << 19
)

// Stats count what a table did.
type Stats struct {
	Flows      uint64 // begun
	Evicted    uint64 // ended early because the table was full
	LostHosts  uint64 // times a flow's host was not counted because the host table was full
	OpenFlows  int    // held now
	OpenHosts  int
	Detections uint64 // flows whose protocol was recognised by content
}
