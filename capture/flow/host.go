package flow

import (
	"cmp"
	"slices"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
)

// lengths of the periods in nanoseconds.
var periodLength = [numPeriods]int64{Minute: 60e9, FiveMinutes: 300e9, Hour: 3600e9, Day: 86400e9}

const numPeriods = Day + 1

// counts are a host's additive counters over one interval; the fields mean what those of Host mean.
type counts struct {
	packets, bytes       [2]uint64
	syns, synacks        [2]uint32
	fins, rsts, icmp     [2]uint32
	flows                [2]uint32
	halfOpen, unanswered [2]uint32
	dnsFlows, snmpFlows  uint32
}

func (c *counts) add(o *counts) {
	for d := range 2 {
		c.packets[d] += o.packets[d]
		c.bytes[d] += o.bytes[d]
		c.syns[d] += o.syns[d]
		c.synacks[d] += o.synacks[d]
		c.fins[d] += o.fins[d]
		c.rsts[d] += o.rsts[d]
		c.icmp[d] += o.icmp[d]
		c.flows[d] += o.flows[d]
		c.halfOpen[d] += o.halfOpen[d]
		c.unanswered[d] += o.unanswered[d]
	}
	c.dnsFlows += o.dnsFlows
	c.snmpFlows += o.snmpFlows
}

// What a host's distinct counters count.
const (
	dnsServers = iota
	ntpServers
	smtpServers
	domainNames
	peers
	ports
	numDistinct
)

// interval is what a host did in one interval of one period.
type interval struct {
	counts
	distinct [numDistinct]*distinct
}

// take adds a minute and keeps its distinct counters, which nobody else may hold on to.
func (v *interval) take(c *counts, ds *[numDistinct]*distinct) {
	v.counts.add(c)
	for i, d := range ds {
		switch {
		case d == nil:
		case v.distinct[i] == nil:
			v.distinct[i] = d
		default:
			v.distinct[i].merge(d)
		}
	}
}

// hostHot is what every packet of a host touches.
type hostHot struct {
	counts
	last   int64
	mac    [6]byte
	active bool // in the list of the current minute
}

// host is the rest.
type host struct {
	key     hostKey
	local   bool
	free    bool
	refs    int32 // flows that count for it
	first   int64
	name    string
	minute  [numDistinct]*distinct
	periods [numPeriods]*interval // sums of past minutes, for the longer periods the sink wants; never for Minute
}

// hostTable counts by host. The current minute stands in the hosts themselves; at its end it is added to the longer
// periods.
type hostTable struct {
	wanted  [numPeriods]bool
	longest Period // of the wanted ones
	max     int
	byAddr  map[hostKey]uint32
	hots    slab[hostHot]
	hosts   slab[host]
	active  []uint32 // hosts of the current minute
	lost    uint64   // hosts that found no room
	names   map[[6]byte]string

	started bool
	from    [numPeriods]int64
	batch   HostBatch
	order   []uint32 // of the batch, by address
}

type hostKey struct {
	addr decode.Addr
	vlan uint16
	v6   bool
}

// compare orders IPv4 before IPv6, then by address and VLAN.
func (k *hostKey) compare(o *hostKey) int {
	if k.v6 != o.v6 {
		if o.v6 {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(k.addr.Hi, o.addr.Hi), cmp.Compare(k.addr.Lo, o.addr.Lo), cmp.Compare(k.vlan, o.vlan))
}

// unspecified4 is 0.0.0.0, which a host without an address calls itself.
var unspecified4 = decode.Addr{Lo: 0xffff << 32}

// maxNames bounds the host names that are kept by MAC until the address is known.
const maxNames = 1 << 16

func newHostTable(ps []Period, limit int) *hostTable {
	t := &hostTable{max: limit, byAddr: make(map[hostKey]uint32), names: make(map[[6]byte]string)}
	for _, p := range ps {
		if p < numPeriods {
			t.wanted[p] = true
			t.longest = max(t.longest, p)
		}
	}
	return t
}

func (t *hostTable) used() int { return len(t.byAddr) }

// get finds or makes the host, none if there is no room.
func (t *hostTable) get(k hostKey, local bool, now int64) uint32 {
	if i, ok := t.byAddr[k]; ok {
		return i
	}
	if len(t.byAddr) >= t.max {
		t.lost++
		return none
	}
	i := t.hosts.take()
	if t.hots.n < t.hosts.n {
		t.hots.take()
	}
	*t.hots.at(i) = hostHot{}
	*t.hosts.at(i) = host{key: k, local: local, first: now}
	t.byAddr[k] = i
	return i
}

// begin ties a new flow to its hosts.
func (t *hostTable) begin(h *hot, now int64) {
	c := h.client()
	ci := t.get(hostKey{h.key.addr(c), h.key.vlan(), h.key.v6()}, h.flags&ClientLocal != 0, now)
	si := t.get(hostKey{h.key.addr(c ^ 1), h.key.vlan(), h.key.v6()}, h.flags&ServerLocal != 0, now)
	h.hosts[c], h.hosts[c^1] = ci, si
	if ci != none {
		t.touch(ci, now).flows[0]++
		x := t.hosts.at(ci)
		x.refs++
		a := h.key.addr(c ^ 1)
		x.observe(peers, mix(a.Hi^mix(a.Lo)))
		if port := h.key.port(c ^ 1); port != 0 {
			x.observe(ports, mix(uint64(port)|1<<32))
		}
	}
	if si != none {
		t.touch(si, now).flows[1]++
		t.hosts.at(si).refs++
	}
}

func (x *host) observe(what int, value uint64) {
	if x.minute[what] == nil {
		x.minute[what] = &distinct{}
	}
	x.minute[what].add(value)
}

// touch makes a host part of the current minute.
func (t *hostTable) touch(i uint32, now int64) *hostHot {
	x := t.hots.at(i)
	if !x.active {
		x.active = true
		t.active = append(t.active, i)
	}
	x.last = max(x.last, now)
	return x
}

// packet counts a packet for sender and receiver.
func (t *hostTable) packet(h *hot, side uint8, p *decode.Packet, now int64) {
	for d, i := range [2]uint32{h.hosts[side], h.hosts[side^1]} {
		if i == none {
			continue
		}
		x := t.touch(i, now)
		x.packets[d] += uint64(p.Packets)
		x.bytes[d] += p.Bytes
		switch p.L4 {
		case decode.TCP:
			if f := p.TCPFlags; f&(SYN|FIN|RST) != 0 {
				switch {
				case f&(SYN|ACK) == SYN:
					x.syns[d]++
				case f&SYN != 0:
					x.synacks[d]++
				}
				if f&FIN != 0 && h.flags&Established == 0 {
					x.fins[d]++
				}
				if f&RST != 0 {
					x.rsts[d]++
				}
			}
		case decode.ICMP, decode.ICMPv6:
			x.icmp[d] += p.Packets
		}
		if d == 0 && p.HasMAC && p.SrcMAC != x.mac {
			x.mac = p.SrcMAC
			if host := t.hosts.at(i); host.name == "" && len(t.names) > 0 {
				host.name = t.names[p.SrcMAC]
			}
		}
	}
}

// swap follows an exchange of client and server; what was counted for the wrong side while the minute lasts is put right.
func (t *hostTable) swap(h *hot) {
	c := h.client()
	for d, i := range [2]uint32{h.hosts[c], h.hosts[c^1]} { // d is the new role
		if i == none {
			continue
		}
		if x := t.hots.at(i); x.flows[d^1] > 0 {
			x.flows[d^1]--
			x.flows[d]++
		}
	}
}

// learn counts what the dissector found out, for the client.
func (t *hostTable) learn(h *hot, s *dissect.State) {
	c := h.client()
	i := h.hosts[c]
	if i == none {
		return
	}
	x := t.touch(i, h.last)
	server := h.key.addr(c ^ 1)
	value := mix(server.Hi ^ mix(server.Lo))
	host := t.hosts.at(i)
	first := h.bits&detected == 0
	switch s.Protocol {
	case dissect.ProtoDNS:
		if first {
			x.dnsFlows++
			host.observe(dnsServers, value)
		}
		if s.Meta != nil && s.Meta.DNS != nil && s.Meta.DNS.Query != "" {
			host.observe(domainNames, mixString(s.Meta.DNS.Query))
		}
	case dissect.ProtoNTP:
		if first {
			host.observe(ntpServers, value)
		}
	case dissect.ProtoSMTP, dissect.ProtoSMTPS:
		if first {
			host.observe(smtpServers, value)
		}
	case dissect.ProtoSNMP:
		if first {
			x.snmpFlows++
		}
	case dissect.ProtoDHCP:
		if s.Meta != nil && s.Meta.DHCP != nil && s.Meta.DHCP.Hostname != "" {
			t.name(x, host, s.Meta.DHCP)
		}
	default: // says nothing of hosts
	}
}

// name keeps the name that a host tells of itself. The one who speaks is known by the hardware address in the message: it
// may have no address yet, or a relay or the server may speak for it.
func (t *hostTable) name(x *hostHot, h *host, d *dissect.DHCP) {
	if d.ClientMAC == ([6]byte{}) {
		return
	}
	if d.ClientMAC == x.mac && h.key.addr != unspecified4 && h.key.addr != (decode.Addr{}) {
		h.name = d.Hostname
	}
	if _, known := t.names[d.ClientMAC]; known || len(t.names) < maxNames {
		t.names[d.ClientMAC] = d.Hostname
	}
}

// judge counts a flow as half-open or unanswered if it is. Multicast is never answered and does not count.
func (t *hostTable) judge(h *hot, now int64) {
	h.bits |= judged
	c := h.client()
	tcp := h.key.l4() == decode.TCP
	switch {
	case tcp && (h.tcpFlags[c]&SYN == 0 || h.packets[c^1] > 0):
		return
	case !tcp && (h.key.l4() != decode.UDP || h.packets[c^1] > 0 || h.flags&MulticastDest != 0):
		return
	}
	for d, i := range [2]uint32{h.hosts[c], h.hosts[c^1]} {
		if i == none {
			continue
		}
		x := t.touch(i, h.last)
		if tcp {
			x.halfOpen[d]++
		} else {
			x.unanswered[d]++
		}
	}
}

// end unties a flow.
func (t *hostTable) end(h *hot) {
	for _, i := range h.hosts {
		if i != none {
			t.hosts.at(i).refs--
		}
	}
}

// due reports whether an interval ends at or before now.
func (t *hostTable) due(now int64) bool {
	if !t.started {
		t.started = true
		for p := range t.from {
			t.from[p] = now
		}
		return false
	}
	return now >= t.from[Minute]+periodLength[Minute] || now < t.from[Minute]-timeWarp
}

// rotate ends the intervals that are over. muted says that the sink takes nothing more.
func (t *hostTable) rotate(now int64, sink Sink, muted bool) error {
	warp := now < t.from[Minute]-timeWarp // the clock was set back: what was counted stays, the intervals begin anew
	var first error
	for p := range numPeriods {
		over := now >= t.from[p]+periodLength[p]
		if over && t.wanted[p] {
			if err := t.hand(p, t.from[p]+periodLength[p], false, sink, muted || first != nil); err != nil {
				first = err
			}
		}
		if p == Minute && over {
			t.roll()
		}
		if warp {
			t.from[p] = now
		} else {
			t.from[p] += (now - t.from[p]) / periodLength[p] * periodLength[p]
		}
	}
	t.sweep()
	return first
}

// finish hands out what the last intervals hold.
func (t *hostTable) finish(now int64, sink Sink, muted bool) error {
	var first error
	for p := range numPeriods {
		if t.wanted[p] {
			end := min(now+1, t.from[p]+periodLength[p])
			if err := t.hand(p, max(end, t.from[p]), true, sink, muted || first != nil); err != nil {
				first = err
			}
		}
		if p == Minute {
			t.roll()
		}
	}
	return first
}

// roll adds the minute to the longer periods the sink wants and clears it.
func (t *hostTable) roll() {
	for _, i := range t.active {
		x, h := t.hots.at(i), t.hosts.at(i)
		own := h.minute // the last period takes the counters themselves, the others copies
		for p := FiveMinutes; p < numPeriods; p++ {
			if !t.wanted[p] {
				continue
			}
			if h.periods[p] == nil {
				h.periods[p] = &interval{}
			}
			ds := own
			if p != t.longest {
				for k, d := range ds {
					ds[k] = d.clone()
				}
			}
			h.periods[p].take(&x.counts, &ds)
		}
		x.counts, x.active = counts{}, false
		h.minute = [numDistinct]*distinct{}
	}
	t.active = t.active[:0]
}

// hand makes the batch of one period, by address, and gives it to the sink.
func (t *hostTable) hand(p Period, to int64, last bool, sink Sink, muted bool) error {
	order := t.order[:0]
	if p == Minute {
		order = append(order, t.active...)
	} else {
		for i := range t.hosts.n {
			if t.hosts.at(i).periods[p] != nil {
				order = append(order, i)
			}
		}
	}
	slices.SortFunc(order, func(i, j uint32) int { return t.hosts.at(i).key.compare(&t.hosts.at(j).key) })
	t.order = order
	b := &t.batch
	*b = HostBatch{Period: p, From: t.from[p], To: to, Hosts: slices.Grow(b.Hosts[:0], len(order)), Last: last}
	for _, i := range order {
		x, h := t.hots.at(i), t.hosts.at(i)
		if p == Minute {
			b.Hosts = append(b.Hosts, makeHost(x, h, &x.counts, &h.minute))
		} else {
			v := h.periods[p]
			h.periods[p] = nil
			b.Hosts = append(b.Hosts, makeHost(x, h, &v.counts, &v.distinct))
		}
	}
	if muted {
		return nil
	}
	return sink.Hosts(b)
}

func makeHost(x *hostHot, h *host, c *counts, ds *[numDistinct]*distinct) Host {
	return Host{
		Addr: h.key.addr.Netip(h.key.v6), VLAN: h.key.vlan, MAC: x.mac, Local: h.local, Name: h.name, First: h.first, Last: x.last,
		Packets: c.packets, Bytes: c.bytes, SYNs: c.syns, SYNACKs: c.synacks, FINs: c.fins, RSTs: c.rsts, ICMP: c.icmp,
		Flows: c.flows, HalfOpen: c.halfOpen, Unanswered: c.unanswered, DNSFlows: c.dnsFlows, SNMPFlows: c.snmpFlows,
		DNSServers: ds[dnsServers].count(), NTPServers: ds[ntpServers].count(), SMTPServers: ds[smtpServers].count(),
		DomainNames: ds[domainNames].count(), Peers: ds[peers].count(), Ports: ds[ports].count(),
	}
}

// sweep frees hosts without flows that no interval needs. When the table is nearly full, what longer periods still hold
// of such hosts is given up for the sake of new ones.
func (t *hostTable) sweep() {
	full := len(t.byAddr) > t.max/4*3
	for i := range t.hosts.n {
		h := t.hosts.at(i)
		if h.free || h.refs > 0 || t.hots.at(i).active || !full && h.periods != ([numPeriods]*interval{}) {
			continue
		}
		if h.periods != ([numPeriods]*interval{}) {
			t.lost++
		}
		delete(t.byAddr, h.key)
		*h = host{free: true}
		t.hosts.give(i)
	}
}
