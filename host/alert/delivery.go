package alert

import (
	"encoding/json"
	"time"
)

// State is where a delivery stands.
type State uint8

// The states. A delivery starts queued, is leased while it is being sent, and ends in one of the others; a leased one
// whose process died is queued again.
const (
	Queued    State = iota // waiting for its time
	Leased                 // being sent
	Delivered              // the service confirmed it
	Accepted               // the service took it, without confirming that it arrived
	Duplicate              // the service had it already: a success
	Dead                   // given up; see the reason
	Skipped                // not sent because the recipient's parameters say so, or a digest that did not arrive; see the reason
	Digested               // a digest was sent in its place; see the reason
	Silenced               // not sent because the recipient got the same a short while ago, or was muted or in maintenance; see the reason
)

var states = names{"queued", "leased", "delivered", "accepted", "duplicate", "dead", "skipped", "digested", "silenced"}

func (s State) String() string { return states.name(int(s)) }

// ParseState reads a state's name in any case.
func ParseState(s string) (State, error) {
	i, err := states.parse("delivery state", s)
	return State(i), err
}

// Target is where an alert shall go: a recipient, and the endpoint it belongs to.
type Target struct {
	Recipient, Endpoint string
	// Follow, on a release, sends it only if its engage went there: filters that change with time cannot tell.
	Follow bool
	// Silence is what the recipient's silence window takes for the same alert; empty if it has no window.
	Silence string
}

// Delivery is one alert on its way to one recipient.
type Delivery struct {
	ID ID // the idempotency key: the same over all attempts
	Target
	Alert json.RawMessage // the alert's JSON as stored
	// Created is when it was queued; after a retry by hand, when that was. Its age counts from here.
	Created    time.Time
	Attempt    int    // of this lease, from 1; from 1 again after a retry by hand
	Plain      bool   // plain text is asked for, after a bad_payload verdict
	ProviderID string // on a release: the provider id of the engage's delivery to the same recipient
}

// Settlement ends a lease.
type Settlement struct {
	Delivery ID
	// State is Queued for another attempt, or a final state; never Leased.
	State      State
	NotBefore  time.Time // of the next attempt, for Queued
	Plain      bool      // ask for plain text next time
	Uncounted  bool      // the attempt never began (drain, endpoint on hold): it does not count
	Reason     string    // one line without secrets
	ProviderID string
	Status     int // HTTP status or exit code; 0 if there was none
	Took       time.Duration
	// Ambiguous says that the service may have taken it although the attempt failed: a later success is marked as a
	// possible duplicate.
	Ambiguous bool
	// Idempotent says that the service drops repeats of a delivery id: a success is no possible duplicate then, whatever
	// became of earlier attempts.
	Idempotent bool
}

// Hold stops an endpoint: a rate limit, an outage, or a configuration that the service refuses.
type Hold struct {
	Endpoint string
	Until    time.Time
	Broken   bool // the configuration is at fault: a person has to act; it is tried again at Until all the same
	Reason   string
}
