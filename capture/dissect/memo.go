package dissect

// memo remembers a small answer for strings that come again and again. It forgets the older half when it is full.
type memo[T any] struct{ young, old map[string]T }

const maxMemo = 4096 // answers in each half

func (m *memo[T]) init() { m.young, m.old = map[string]T{}, map[string]T{} }

// get returns the answer for s, which f works out the first time.
func (m *memo[T]) get(s string, f func(string) T) T {
	if v, ok := m.young[s]; ok {
		return v
	}
	v, ok := m.old[s]
	if !ok {
		v = f(s)
	}
	if len(m.young) >= maxMemo {
		m.young, m.old = make(map[string]T), m.young
	}
	m.young[s] = v
	return v
}

// hostFacts is what a host name alone tells.
type hostFacts struct {
	domain
	numeric   bool
	generated bool
	punycode  bool
}

// agentFacts is what a user agent alone tells.
type agentFacts struct {
	bad     string // what is wrong with it
	crawler bool
}
