package api

import (
	"context"
	"time"
)

// Source is asked at each scrape. Its methods are called concurrently and must be quick.
type Source interface {
	// Recipients gives the figures of every recipient, removed ones included while deliveries of theirs are stored.
	Recipients(ctx context.Context) ([]Recipient, error)
	// Endpoints gives the figures of every configured endpoint.
	Endpoints(ctx context.Context) ([]Endpoint, error)
	// Plugins gives the figures of every plug-in in use.
	Plugins() []Plugin
	// Capture gives the figures of the capture, or of all captures since the start.
	Capture() Capture
}

// Recipient is what is known of one recipient.
type Recipient struct {
	Name, Endpoint string
	// Deliveries counts the ledger's rows by state; they go down when old ones are pruned.
	Deliveries map[string]int64
	// Matched and Filtered count alerts since the start: those that are for the recipient, and the others by the filter that
	// held them back; "no_engage" has the releases whose engage did not go there.
	Matched  uint64
	Filtered map[string]uint64
	// Dropped counts deliveries given up for want of room, by severity.
	Dropped map[string]uint64
	// Oldest is since when the oldest delivery waits; zero if none does.
	Oldest time.Time
}

// Endpoint is what is known of one endpoint.
type Endpoint struct {
	Name, Type string
	// Held tells that nothing is sent for now: the service asked for it, refuses, or fails. Broken says that a person has to
	// act.
	Held, Broken bool
}

// Plugin is what is known of the version of a plug-in that serves.
type Plugin struct {
	Name, Version string
	Generation    int
	OnTrial       bool
	// The counts are of this generation: they start again at zero when a new version takes over.
	Calls, GuestErrors, Traps, OutOfFuel, BadOutput, Waits, Discarded int64
	Time                                                              time.Duration
	Fuel                                                              int64
	Instances                                                         int64 // now
	MaxMemory                                                         int64 // bytes: the most that an instance had
}

// Capture is what was read.
type Capture struct {
	Packets, Bytes, Flows uint64
	// Drops counts packets that belong to no flow, by reason.
	Drops map[string]uint64
}
