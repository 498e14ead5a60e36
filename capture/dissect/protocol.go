package dissect

import (
	"fmt"
	"strconv"
	"strings"
)

// Unknown is the protocol of a flow that was not recognised.
const Unknown Protocol = 0

var protocolsByName = func() map[string]Protocol {
	m := make(map[string]Protocol, len(protocolTable))
	for i := range protocolTable {
		if n := protocolTable[i].name; n != "" {
			m[strings.ToLower(n)] = Protocol(i)
		}
	}
	return m
}()

func (p Protocol) info() *protoInfo {
	if int(p) < len(protocolTable) {
		return &protocolTable[p]
	}
	return &protocolTable[Unknown]
}

// String returns nDPI's label of the protocol, such as "TLS", or its number where it has none.
func (p Protocol) String() string {
	if n := p.info().name; n != "" && (p == Unknown || int(p) < len(protocolTable)) {
		return n
	}
	return strconv.Itoa(int(p))
}

// Category returns the category nDPI files the protocol under.
func (p Protocol) Category() Category { return p.info().category }

// Unsafe reports whether the protocol sends secrets or commands in clear although a safe successor exists.
func (p Protocol) Unsafe() bool { return p.info().unsafe }

// ParseProtocol reads a protocol's label in any case, such as "tls".
func ParseProtocol(s string) (Protocol, error) {
	if p, ok := protocolsByName[strings.ToLower(strings.TrimSpace(s))]; ok {
		return p, nil
	}
	return Unknown, fmt.Errorf("unknown protocol %q: use a label of nDPI such as TLS, DNS or BitTorrent", s)
}

// Protocols returns every protocol that has a label, by number.
func Protocols() []Protocol {
	ps := make([]Protocol, 0, len(protocolsByName))
	for i := range protocolTable {
		if protocolTable[i].name != "" {
			ps = append(ps, Protocol(i))
		}
	}
	return ps
}

// Label joins a master protocol and an application the way nDPI does: "TLS.Google", "TLS", "Google" or "Unknown".
func Label(master, app Protocol) string {
	switch {
	case app == Unknown || app == master:
		return master.String()
	case master == Unknown:
		return app.String()
	}
	return master.String() + "." + app.String()
}
