package flow

import (
	"cmp"
	"slices"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
)

// Timeouts in nanoseconds of packet time.
const (
	timeoutNew         = 60e9  // TCP before both sides acknowledged
	timeoutEstablished = 600e9 // TCP after that
	timeoutClosed      = 60e9  // TCP after RST or both FINs: late packets still belong to the flow
	timeoutOneWay      = 30e9  // other protocols, one direction only
	timeoutTwoWay      = 300e9 // other protocols
	periodicEvery      = 60e9
	answerWithin       = 10e9   // a flow without answer so long is counted as such
	timeWarp           = 3600e9 // a step back in time by more than this sets the clock back
)

// hot is the part of a flow's record that every packet touches: 128 bytes without pointers.
type hot struct {
	key         key
	last, first int64
	packets     [2]uint64 // by side of the key, not by direction, so that client and server can change places
	bytes       [2]uint64
	payload     [2]uint64
	cold        uint32    // index of the dissection state plus one, 0 without
	hosts       [2]uint32 // indexes of the hosts a and b, none without
	flags       Flags
	tcpFlags    [2]uint8
	icmpType    uint8
	icmpCode    uint8
	tunnel      Tunnel
	bits        uint8
	hash        uint32
}

// Bits of hot.bits.
const (
	clientB  = 1 << iota // the client is side b
	sated                // the dissector wants no more payload
	ackedA               // side a acknowledged without resetting
	ackedB               // side b did
	judged               // HalfOpen or Unanswered was counted if it applied
	detected             // the Detected record was made
	half                 // in the list of half-open flows
	live                 // in use
)

func (h *hot) client() uint8 { return h.bits & clientB }

// Table holds the flows and hosts of one shard. It is not safe for concurrent use.
type Table struct {
	sink  Sink
	o     Options
	hooks HookSet
	err   error // the sink's first error; nothing is handed out after it
	stats Stats

	seeds              seeds
	index              index
	hots               slab[hot]
	lives              slab[life] // same indexes as hots
	colds              slab[dissect.State]
	halfHead, halfTail uint32
	hand               uint32 // where eviction looked last
	wheel              wheel
	next               int64 // packet time of the next turn of the wheel
	clock              int64 // latest packet time
	started            bool

	dissector *dissect.Dissector
	packet    dissect.Packet
	guess     dissect.State // for flows that never had payload
	hosts     *hostTable    // nil unless the sink wants host records
	blocks    [numHooks]*block
}

// New makes a table that hands its records to sink.
func New(o Options, sink Sink) *Table {
	if o.MaxFlows <= 0 {
		o.MaxFlows = DefaultMaxFlows
	}
	if o.MaxHosts <= 0 {
		o.MaxHosts = DefaultMaxHosts
	}
	t := &Table{sink: sink, o: o, hooks: sink.Hooks(), seeds: newSeeds(), index: newIndex(), halfHead: none, halfTail: none}
	if !o.HeadersOnly {
		t.dissector = dissect.New()
	}
	for h := range numHooks {
		if t.hooks.Has(h) {
			t.blocks[h] = newBlock(h)
		}
	}
	if ps := sink.Periods(); len(ps) > 0 {
		t.hosts = newHostTable(ps, o.MaxHosts)
	}
	return t
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.OpenFlows = t.hots.used()
	if t.hosts != nil {
		s.LostHosts, s.OpenHosts = t.hosts.lost, t.hosts.used()
	}
	return s
}

// Err returns the sink's first error.
func (t *Table) Err() error { return t.err }

// Packet counts a packet seen at packet time now.
func (t *Table) Packet(p *decode.Packet, now int64) {
	if now >= t.next || now < t.clock-timeWarp {
		t.advance(now)
	}
	t.clock = max(t.clock, now)
	sport, dport := p.SrcPort, p.DstPort
	k, side := makeKey(p.Src, p.Dst, sport, dport, p.VLAN, p.L4, p.V6)
	hash := t.seeds.hash(&k)
	i := t.find(&k, hash)
	var h *hot
	if i != none {
		h = t.hots.at(i)
		if p.TCPFlags&(SYN|ACK) == SYN && h.flags&Closed != 0 && p.L4 == decode.TCP {
			t.end(i, 0, true) // the ports are used again
			i = none
		}
	}
	if i == none {
		i = t.begin(&k, hash, side, p, now)
		h = t.hots.at(i)
	}
	h.last = max(h.last, now)
	h.packets[side] += uint64(p.Packets)
	h.bytes[side] += p.Bytes
	h.payload[side] += uint64(p.PayloadLen)
	if p.Truncated {
		h.flags |= Truncated
	}
	if p.L4 == decode.TCP {
		t.tcp(i, h, side, p.TCPFlags)
	} else if h.flags&Established == 0 && h.packets[side^1] > 0 {
		h.flags |= Established
		t.opened(i, h)
	}
	if t.hosts != nil {
		t.hosts.packet(h, side, p, now)
	}
	if len(p.Payload) > 0 && h.bits&sated == 0 {
		t.dissect(i, h, side, p, now)
	}
	if p.L4 == decode.ICMP || p.L4 == decode.ICMPv6 {
		t.refusal(p)
	}
}

func (t *Table) find(k *key, hash uint32) uint32 {
	x := &t.index
	for p := hash & x.mask; ; p = (p + 1) & x.mask {
		s := x.slots[p]
		if s == 0 {
			return none
		}
		if uint32(s>>32) == hash && t.hots.at(uint32(s)-1).key.equal(k) {
			return uint32(s) - 1
		}
	}
}

// begin makes the record of a new flow from its first packet.
func (t *Table) begin(k *key, hash uint32, side uint8, p *decode.Packet, now int64) uint32 {
	if t.hots.used() >= t.o.MaxFlows {
		t.evict()
	}
	i := t.hots.take()
	if t.lives.n < t.hots.n { // the two slabs go in step, and only the first keeps a free list
		t.lives.take()
	}
	h, l := t.hots.at(i), t.lives.at(i)
	*h = hot{
		key: *k, first: now, last: now, hash: hash, tunnel: p.Tunnel, icmpType: p.ICMPType, icmpCode: p.ICMPCode,
		hosts: [2]uint32{none, none}, bits: live | half,
	}
	if t.dissector == nil {
		h.bits |= sated
	}
	client := side
	if serverSpeaks(p) {
		client ^= 1
	}
	h.bits |= client & clientB
	src, dst := k.addr(client).Netip(k.v6()), k.addr(client^1).Netip(k.v6())
	h.flags |= t.locality(src, dst)
	if isMulticast(dst) || p.HasMAC && client == side && p.DstMAC[0]&1 != 0 {
		h.flags |= MulticastDest
	}
	t.stats.Flows++
	*l = life{id: t.stats.Flows, periodic: now + periodicEvery}
	t.index.insert(hash, i)
	t.addHalf(i, l)
	t.schedule(i, l, t.due(h, l)/1e9)
	if t.hosts != nil {
		t.hosts.begin(h, now)
	}
	t.record(Begin, i, h, l)
	return i
}

// opened takes a flow off the list of half-open ones.
func (t *Table) opened(i uint32, h *hot) {
	if h.bits&half != 0 {
		h.bits &^= half
		t.removeHalf(t.lives.at(i))
	}
}

// dissect hands a payload to the dissector.
func (t *Table) dissect(i uint32, h *hot, side uint8, p *decode.Packet, now int64) {
	if h.cold == 0 {
		h.cold = t.colds.take() + 1
	}
	s := t.colds.at(h.cold - 1)
	client := h.client()
	q := &t.packet
	q.Payload, q.Wire, q.Dir, q.L4 = p.Payload, max(p.WholeLen, len(p.Payload)), side^client, p.L4
	q.Client, q.Server = h.key.addr(client).Netip(p.V6), h.key.addr(client^1).Netip(p.V6)
	q.ClientPort, q.ServerPort = h.key.port(client), h.key.port(client^1)
	q.Time, q.Seq, q.TCPFlags, q.Fragment = now, p.Seq, p.TCPFlags, p.WholeLen != p.PayloadLen
	if p.TCPFlags&SYN != 0 {
		q.Seq++ // data in a SYN (RFC 7413) follows the SYN's own number
	}
	changed := t.dissector.Packet(s, q)
	q.Payload = nil
	if s.Done() {
		h.bits |= sated
	}
	if !changed || s.Protocol == dissect.Unknown {
		return
	}
	if t.hosts != nil {
		t.hosts.learn(h, s)
	}
	if h.bits&detected == 0 {
		h.bits |= detected
		t.stats.Detections++
		t.record(Detected, i, h, t.lives.at(i))
	}
}

// timeout is how long the flow may be silent.
func timeout(h *hot) int64 {
	switch {
	case h.key.l4() == decode.TCP && h.flags&Closed != 0:
		return timeoutClosed
	case h.key.l4() == decode.TCP && h.flags&Established != 0:
		return timeoutEstablished
	case h.key.l4() == decode.TCP:
		return timeoutNew
	case h.flags&Established != 0:
		return timeoutTwoWay
	}
	return timeoutOneWay
}

// due is the packet time at which the flow needs to be looked at next.
func (t *Table) due(h *hot, l *life) int64 {
	at := h.last + timeout(h)
	if t.hooks.Has(Periodic) {
		at = min(at, l.periodic)
	}
	if t.hosts != nil && h.bits&judged == 0 {
		at = min(at, h.first+answerWithin)
	}
	return at + 1e9 - 1
}

// fire looks at a flow whose timer ran out; it hangs in no slot.
func (t *Table) fire(i uint32, l *life, second int64) {
	h := t.hots.at(i)
	now := second * 1e9
	idle := now - h.last
	if idle >= timeout(h) || idle < -timeWarp {
		t.end(i, 0, false)
		return
	}
	if t.hosts != nil && h.bits&judged == 0 && now-h.first >= answerWithin {
		t.hosts.judge(h, now)
	}
	if t.hooks.Has(Periodic) && now >= l.periodic {
		l.periodic = max(l.periodic+periodicEvery, now+1)
		t.record(Periodic, i, h, l)
	}
	t.schedule(i, l, t.due(h, l)/1e9)
}

// evict ends one flow to make room: the oldest half-open one, or of a few others the one that was silent longest.
func (t *Table) evict() {
	t.stats.Evicted++
	if t.halfHead != none {
		t.end(t.halfHead, Evicted, true)
		return
	}
	victim := none
	for seen := 0; seen < 32; {
		t.hand++
		if t.hand >= t.hots.n {
			t.hand = 0
		}
		h := t.hots.at(t.hand)
		if h.bits&live == 0 {
			continue
		}
		if victim == none || h.last < t.hots.at(victim).last {
			victim = t.hand
		}
		seen++
	}
	t.end(victim, Evicted, true)
}

// end hands out a flow's last record and frees it. hanging says that it hangs in a slot of the wheel.
func (t *Table) end(i uint32, why Flags, hanging bool) {
	h, l := t.hots.at(i), t.lives.at(i)
	h.flags |= why
	if t.hosts != nil && h.bits&judged == 0 {
		t.hosts.judge(h, max(t.clock, h.last))
	}
	s := &t.guess
	if h.cold != 0 {
		s = t.colds.at(h.cold - 1)
	} else {
		t.guess = dissect.State{}
	}
	if t.dissector != nil {
		t.finish(h, s)
	}
	if b := t.blocks[End]; b != nil {
		b.add(h, l, s)
		if b.N == BlockSize {
			t.flush(End)
		}
	}
	if h.cold != 0 {
		t.dissector.Recycle(s)
		*s = dissect.State{}
		t.colds.give(h.cold - 1)
	}
	if t.hosts != nil {
		t.hosts.end(h)
	}
	if hanging {
		t.unschedule(l)
	}
	if h.bits&half != 0 {
		t.removeHalf(l)
	}
	t.index.remove(h.hash, i)
	h.bits = 0
	t.hots.give(i)
}

// finish lets the dissector draw its last conclusions.
func (t *Table) finish(h *hot, s *dissect.State) {
	c := h.client()
	v6 := h.key.v6()
	before := s.Protocol
	t.dissector.Finish(s, &dissect.FlowEnd{
		L4: h.key.l4(), ClientPort: h.key.port(c), ServerPort: h.key.port(c ^ 1),
		Client: h.key.addr(c).Netip(v6), Server: h.key.addr(c ^ 1).Netip(v6),
		Packets: byDirection(h.packets, c), Bytes: byDirection(h.bytes, c), Payload: byDirection(h.payload, c),
		TCPFlags: byDirection(h.tcpFlags, c), ICMPType: h.icmpType, ICMPCode: h.icmpCode,
	})
	if t.hosts != nil && before == dissect.Unknown && s.Protocol != dissect.Unknown {
		t.hosts.learn(h, s)
	}
}

// byDirection turns a pair by side into one by direction.
func byDirection[T any](v [2]T, client uint8) [2]T {
	if client != 0 {
		v[0], v[1] = v[1], v[0]
	}
	return v
}

// record adds a record to the block of a hook, if the sink wants it.
func (t *Table) record(hook Hook, i uint32, h *hot, l *life) {
	b := t.blocks[hook]
	if b == nil {
		return
	}
	s := &t.guess
	if h.cold != 0 {
		s = t.colds.at(h.cold - 1)
	} else {
		t.guess = dissect.State{}
	}
	b.add(h, l, s)
	if b.N == BlockSize {
		t.flush(hook)
	}
}

// flush hands out the blocks up to the given hook, so that a flow's beginning comes before its end.
func (t *Table) flush(last Hook) {
	for _, b := range t.blocks[:last+1] {
		if b == nil || b.N == 0 {
			continue
		}
		if t.err == nil {
			b.cut()
			t.err = t.sink.Flows(&b.Block)
		}
		b.reset()
	}
}

// Flush hands out what is recorded but not yet handed out, so that a quiet network does not delay it.
func (t *Table) Flush() error {
	t.flush(End)
	return t.err
}

// advance moves the clock to now and does what is due.
func (t *Table) advance(now int64) {
	if !t.started {
		t.started = true
		t.clock = now
		t.wheel.init(now / 1e9)
	}
	if now < t.clock-timeWarp {
		t.clock = now
	}
	if t.hosts != nil && t.hosts.due(now) {
		t.flush(End)
		t.err = cmp.Or(t.err, t.hosts.rotate(now, t.sink, t.err != nil))
	}
	t.turn(now)
	t.next = (now/1e9 + 1) * 1e9
}

// Finish ends every flow, in order of the first packet, and hands out the last records of hosts.
func (t *Table) Finish() error {
	open := make([]uint32, 0, t.hots.used())
	for i := range t.hots.n {
		if t.hots.at(i).bits&live != 0 {
			open = append(open, i)
		}
	}
	slices.SortFunc(open, func(a, b uint32) int { return cmp.Compare(t.lives.at(a).id, t.lives.at(b).id) })
	for _, i := range open {
		t.end(i, OpenAtEnd, true)
	}
	t.flush(End)
	if t.hosts != nil {
		t.err = cmp.Or(t.err, t.hosts.finish(t.clock, t.sink, t.err != nil))
	}
	return t.err
}
