package route

import (
	"strconv"

	"github.com/tocsin-net/tocsin/host/alert"
)

// SilencePart is something that two alerts share if a silence window takes them for the same.
type SilencePart uint8

// The parts.
const (
	SameCheck  SilencePart = iota // raised by the same check
	SameEntity                    // about the same flow (without ports), host, or other thing
)

func (p SilencePart) String() string { return name(silenceParts, int(p)) }

var silenceParts = []string{"check", "entity"}

// ParseSilencePart reads a part's name in any case.
func ParseSilencePart(s string) (SilencePart, error) {
	i, err := parse("part of a silence key", silenceParts, s)
	return SilencePart(i), err
}

// silenceKey names what a silence window takes for the same alert. A flow is its two addresses and its VLAN: with the
// ports hardly two would be the same.
func silenceKey(a *alert.Alert, parts uint64) string {
	b := make([]byte, 0, 128)
	if parts>>SameCheck&1 != 0 {
		b = append(b, a.Check...)
	}
	if parts>>SameEntity&1 == 0 {
		return string(b)
	}
	b = append(b, '\t')
	b = append(b, a.Entity.String()...)
	b = append(b, '\t')
	switch {
	case a.Flow != nil:
		b = a.Flow.Client.AppendTo(b)
		b = append(b, '\t')
		b = a.Flow.Server.AppendTo(b)
		b = appendVLAN(b, a.Flow.VLAN)
	case a.Host != nil:
		b = a.Host.IP.AppendTo(b)
		b = appendVLAN(b, a.Host.VLAN)
	default:
		b = append(b, a.EntityValue()...)
	}
	return string(b)
}

func appendVLAN(b []byte, vlan uint16) []byte {
	if vlan == 0 {
		return b
	}
	return strconv.AppendUint(append(b, "\tvlan "...), uint64(vlan), 10)
}
