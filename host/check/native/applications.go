package native

import (
	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
)

// applications is a set of protocols that users list by name.
type applications map[dissect.Protocol]bool

func newApplications(items []string) (applications, error) {
	if len(items) == 0 {
		return nil, nil
	}
	s := applications{}
	for _, it := range items {
		p, err := dissect.ParseProtocol(it)
		if err != nil {
			return nil, &ParamError{"items", err.Error()}
		}
		s[p] = true
	}
	return s, nil
}

// have reports whether record i is of one of them.
func (s applications) have(b *flow.Block, i int) bool {
	return len(s) > 0 && (s[b.Protocol[i]] || s[b.App[i]] && b.App[i] != dissect.Unknown)
}
