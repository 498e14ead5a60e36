package native

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
)

// expectation is a list of servers that are expected: addresses, networks and names. An empty list expects none, so
// every server is reported; that is what ntopng does, and it shows what to put on the list.
type expectation struct {
	addrs    []netip.Addr
	lookup   map[netip.Addr]bool // the same, once they are many
	networks []netip.Prefix
	names    []string // lower case; a name covers the names below it
}

func newExpectation(items []string) (*expectation, error) {
	e := &expectation{}
	for _, it := range items {
		s := strings.ToLower(strings.TrimSpace(it))
		if a, err := netip.ParseAddr(s); err == nil {
			e.addrs = append(e.addrs, a.Unmap())
		} else if n, err := netip.ParsePrefix(s); err == nil {
			e.networks = append(e.networks, n.Masked())
		} else if s != "" && !strings.ContainsAny(s, " /:,*") {
			e.names = append(e.names, strings.Trim(s, "."))
		} else {
			return nil, &ParamError{"items", fmt.Sprintf("%q is no address, network or host name: write it as 192.0.2.1, 192.0.2.0/24 or dns.example.org", it)}
		}
	}
	const few = 8 // up to here a walk is faster than a hash
	if len(e.addrs) > few {
		e.lookup = map[netip.Addr]bool{}
		for _, a := range e.addrs {
			e.lookup[a] = true
		}
	}
	return e, nil
}

func (e *expectation) addr(a netip.Addr) bool {
	if e.lookup != nil {
		if e.lookup[a] {
			return true
		}
	} else if slices.Contains(e.addrs, a) {
		return true
	}
	for _, n := range e.networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func (e *expectation) name(m *dissect.Meta) bool {
	if len(e.names) == 0 || m == nil || m.Hostname == "" {
		return false
	}
	for _, n := range e.names {
		if h := m.Hostname; h == n || strings.HasSuffix(h, n) && h[len(h)-len(n)-1] == '.' {
			return true
		}
	}
	return false
}

// unexpectedServer makes the definition that the checks of this family share: proto and secure are the protocol and its
// encrypted form, or twice the same. A server is unexpected if neither its address nor, where named is true, the name it
// was asked by is on the list. Broadcast and multicast addresses are no servers, and a port that was knocked at without a
// word is no use of a server.
func unexpectedServer(key string, id int, title, what string, named bool, proto, secure dissect.Protocol) FlowDef {
	return FlowDef{
		Info: Info{
			Key: key, Entity: alert.EntityFlow, AlertID: id, Category: alert.Security, Score: 100, Hooks: afterDetection,
			Title:  title,
			Text:   fmt.Sprintf("A client used a %s that is not on the list of expected ones. With an empty list every one is reported.", what),
			Advice: fmt.Sprintf("Add the server to the list if it is a %s of yours; else find out who made the client use it.", what),
			Params: []Param{{Name: "items", Kind: List, Text: "expected servers: addresses, networks or names", Default: []string(nil)}},
		},
		New: func(_ Env, a Args) (FlowCheck, error) {
			want, err := newExpectation(a.List("items"))
			if err != nil {
				return FlowCheck{}, err
			}
			return FlowCheck{
				Scan: func(b *flow.Block, mask []uint64, bit uint64) {
					for i, p := range b.Protocol[:b.N] {
						if p != proto && p != secure || b.Flags[i]&flow.MulticastDest != 0 || b.Payload[0][i]|b.Payload[1][i] == 0 {
							continue
						}
						if !want.addr(b.Server[i]) && (!named || !want.name(b.Meta[i])) {
							mask[i] |= bit
						}
					}
				},
				Say: func(r Rec) Words {
					w := Words{Message: fmt.Sprintf("%s uses %s, which is not an expected %s", r.Client(), r.Server(), what), Info: r.Fact()}
					if d := r.Meta().DNS; d != nil && d.Query != "" {
						w.Message = fmt.Sprintf("%s asked for %s at %s, which is not an expected %s", r.Client(), short(d.Query), r.Server(), what)
					}
					return w
				},
			}, nil
		},
	}
}
