package decode

import "slices"

// Bounds of the fragment table. They hold whatever the capture says; what falls out is counted as lost.
const (
	maxDatagrams = 1024
	maxHeld      = 8 << 20 // bytes over all datagrams
	maxParts     = 256     // fragments of one datagram
	maxDatagram  = 65535
	fragmentLife = 30e9 // nanoseconds of packet time (RFC 791 suggests 15 s, RFC 8200 60 s)
)

// fragment is one fragment as its IP header describes it.
type fragment struct {
	id     uint32
	proto  uint8
	more   bool
	offset int
	data   []byte
	wire   int
}

type fragKey struct {
	src, dst Addr
	id       uint32
	vlan     uint16
	proto    uint8
	v6       bool
}

// datagram is one that is being put together.
type datagram struct {
	key        fragKey
	born       int64
	parts      [][2]int // begin and end of what is there, sorted, apart from each other
	buf        []byte
	total      int  // length of the whole, -1 until the last fragment is there
	spoiled    bool // overlapping or cut: the ports still serve, the payload never will
	cut        bool // spoiled by the snap length, so that the beginning can be believed
	begun      bool // the first fragment is there
	tunnel     bool // a tunnel: held until it is whole, then the inner packet counts
	packets    uint32
	bytes      uint64 // with packets and payload, what was held and is not yet counted in a flow
	payload    int
	first      Packet // ports and flags of the first fragment
	prev, next *datagram
}

type fragments struct {
	byKey          map[fragKey]*datagram
	oldest, newest *datagram
	free           []*datagram
	held           int
	done           []*datagram // handed out by the last call, their buffers still in use
}

func newFragments() fragments { return fragments{byKey: make(map[fragKey]*datagram)} }

// fragment takes one fragment. Each counts in the flow that the first one's ports name; the datagram's payload comes whole
// with the fragment that completes it.
func (d *Decoder) fragment(out *Packet, f fragment, depth int) result {
	t := &d.frags
	for t.oldest != nil && (d.now-t.oldest.born > fragmentLife || len(t.byKey) > maxDatagrams || t.held > maxHeld) {
		d.lose(t.oldest)
	}
	if len(f.data) == 0 || f.offset+f.wire > maxDatagram {
		return d.fail(BadIP)
	}
	key := fragKey{out.Src, out.Dst, f.id, out.VLAN, f.proto, out.V6}
	g := t.byKey[key]
	if g == nil {
		g = t.add(key, d.now)
	}
	if !g.spoiled {
		t.store(g, f)
	}
	if f.offset == 0 && !g.begun {
		if !d.header(out, f.proto, f.data, f.wire) {
			return d.fail(ShortL4)
		}
		g.begun = true
		g.first = *out
		g.first.Payload = nil
		switch f.proto {
		case IPv4, IPv6, GREL4, MPLS:
			g.tunnel = !g.spoiled
		case UDP:
			g.tunnel = !g.spoiled && tunnelPort(out.DstPort, out.SrcPort)
		}
	}
	whole := g.whole()
	if !g.begun || g.tunnel && !whole && !g.spoiled {
		g.packets += out.Packets
		g.bytes += out.Bytes
		g.payload += f.wire
		return held
	}
	out.Packets += g.packets
	out.Bytes += g.bytes
	early := g.payload
	g.packets, g.bytes, g.payload = 0, 0, 0
	if !whole {
		out.L4, out.SrcPort, out.DstPort = g.first.L4, g.first.SrcPort, g.first.DstPort
		out.ICMPType, out.ICMPCode = g.first.ICMPType, g.first.ICMPCode
		if f.offset == 0 {
			out.TCPFlags, out.Seq = g.first.TCPFlags, g.first.Seq
		}
		out.Truncated = f.wire > len(f.data)
		out.PayloadLen = f.wire
		if f.offset == 0 {
			out.PayloadLen = g.first.PayloadLen + early
		}
		if f.offset != 0 || !g.cut { // the beginning of a cut datagram is all there will be
			out.Payload = nil
		}
		return found
	}
	t.remove(g)
	t.done = append(t.done, g)
	r := d.transport(out, f.proto, g.buf[:g.total], g.total, depth)
	if r == failed { // the caller counts one
		d.Drops[LostFragment] += uint64(out.Packets - 1)
	}
	if r == found && !g.tunnel {
		if f.offset != 0 { // flags and length were counted with their own fragments
			out.TCPFlags = 0
			out.PayloadLen = f.wire
		} else {
			out.PayloadLen = g.first.PayloadLen + early
		}
	}
	return r
}

// store puts a fragment's bytes in their place. An overlap spoils the datagram (RFC 5722, RFC 1858); an exact repetition
// does not.
func (t *fragments) store(g *datagram, f fragment) {
	begin, end := f.offset, f.offset+len(f.data)
	if f.wire > len(f.data) {
		g.spoiled, g.cut = true, true
		return
	}
	if len(g.parts) >= maxParts || f.more && f.wire%8 != 0 {
		g.spoiled = true
		return
	}
	i, same := slices.BinarySearchFunc(g.parts, begin, func(p [2]int, b int) int { return p[0] - b })
	if same && g.parts[i][1] == end {
		return
	}
	overlaps := same || i > 0 && g.parts[i-1][1] > begin || i < len(g.parts) && g.parts[i][0] < end
	beyond := g.total >= 0 && (end > g.total || !f.more && end != g.total)
	if !f.more && len(g.parts) > 0 && g.parts[len(g.parts)-1][1] > end {
		beyond = true
	}
	if overlaps || beyond {
		g.spoiled = true
		return
	}
	if !f.more {
		g.total = end
	}
	g.parts = slices.Insert(g.parts, i, [2]int{begin, end})
	if end > len(g.buf) {
		t.held += end - len(g.buf)
		g.buf = slices.Grow(g.buf, end-len(g.buf))[:end]
	}
	copy(g.buf[begin:end], f.data)
}

// whole reports whether nothing is missing.
func (g *datagram) whole() bool {
	if g.spoiled || g.total < 0 {
		return false
	}
	at := 0
	for _, p := range g.parts {
		if p[0] != at {
			return false
		}
		at = p[1]
	}
	return at == g.total
}

func (t *fragments) add(key fragKey, now int64) *datagram {
	var g *datagram
	if n := len(t.free); n > 0 {
		g = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		g = new(datagram)
	}
	*g = datagram{key: key, born: now, total: -1, parts: g.parts[:0], buf: g.buf[:0], prev: t.newest}
	if t.newest != nil {
		t.newest.next = g
	} else {
		t.oldest = g
	}
	t.newest = g
	t.byKey[key] = g
	return g
}

func (t *fragments) remove(g *datagram) {
	delete(t.byKey, g.key)
	t.held -= len(g.buf)
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		t.oldest = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		t.newest = g.prev
	}
	g.prev, g.next = nil, nil
}

// release takes back what the last call handed out.
func (t *fragments) release() {
	if len(t.done) == 0 {
		return
	}
	for _, g := range t.done {
		t.recycle(g)
	}
	t.done = t.done[:0]
}

func (t *fragments) recycle(g *datagram) {
	if len(t.free) < 64 {
		t.free = append(t.free, g)
	}
}

// lose gives up a datagram.
func (d *Decoder) lose(g *datagram) {
	d.Drops[LostFragment] += uint64(g.packets)
	d.frags.remove(g)
	d.frags.recycle(g)
}
