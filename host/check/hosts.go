package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check/native"
)

type hostSlot struct {
	info *native.Info
	feed native.Feed
	native.HostCheck
}

// condition names what a host check found: which check, of which host, in which role.
type condition struct {
	slot   int
	host   hostKey
	victim bool
}

// engagement is a condition that holds.
type engagement struct {
	since int64 // Unix nanoseconds of packet time
	host  alert.Host
	batch uint64 // the last one it held in
}

// streak counts the batches in a row in which a check's measure was too high.
type streak struct {
	batch uint64
	n     int
}

// Hosts runs the host checks over the records of an interval. A condition engages when it is found for the first time,
// and is released in the first interval in which it is not. The last interval of a capture may be too short to show a
// condition that still holds, so it only engages; Close ends what is left. Hosts returns no error; the result is there to
// make Engine a sink of records.
func (e *Engine) Hosts(b *flow.HostBatch) error {
	e.batches++
	e.now = max(e.now, b.To)
	length := native.PeriodLength(b.Period)
	act := native.Activity{Seconds: length.Seconds(), Span: spanOf(b, length)}
	for i := range b.Hosts {
		h := &b.Hosts[i]
		act.Host, act.Score, act.RemoteFlows = h, [2]int{}, 0
		if len(e.fed) > 0 {
			f := e.fed[hostKey{h.Addr, h.VLAN}]
			act.Score, act.RemoteFlows = f.score, f.remote
		}
		for k := range e.hosts {
			s := &e.hosts[k]
			if s.info.Period != b.Period {
				continue
			}
			if v, victim := s.measure(&act); v > s.Threshold {
				e.holds(condition{k, hostKey{h.Addr, h.VLAN}, victim}, &act, v, b.To)
			}
		}
	}
	if !b.Last {
		e.releaseOver(b)
	}
	if b.Period == flow.Minute {
		clear(e.fed)
		for c, s := range e.streaks {
			if s.batch != e.batches {
				delete(e.streaks, c)
			}
		}
	}
	return nil
}

// measure gives what the host does if that is too much, else what is done to it.
func (s *hostSlot) measure(a *native.Activity) (v float64, victim bool) {
	if s.Did != nil {
		v = s.Did(a)
	}
	if s.Suffered != nil && v <= s.Threshold {
		return s.Suffered(a), true
	}
	return v, false
}

// holds notes that a condition holds, and raises an alert if it did not before.
func (e *Engine) holds(c condition, a *native.Activity, v float64, at int64) {
	if g := e.engaged[c]; g != nil {
		g.batch = e.batches
		return
	}
	s := &e.hosts[c.slot]
	if s.Streak > 1 {
		n := e.streaks[c].n + 1
		e.streaks[c] = streak{e.batches, n}
		if n < s.Streak {
			return
		}
	}
	g := &engagement{since: at, batch: e.batches, host: alert.Host{
		IP: a.Addr, VLAN: a.VLAN, MAC: mac(a.MAC), Name: a.Name, Local: a.Local,
		Attacker: !c.victim, Victim: c.victim, Value: v, Threshold: s.Threshold,
	}}
	e.engaged[c] = g
	al := e.alert(s.info, at)
	al.Action, al.Key, al.Host = alert.Engage, e.key(c), new(alert.Host)
	*al.Host = g.host
	al.Message = s.Say(a, v, c.victim)
	e.emit(al)
}

// releaseOver ends the conditions of the batch's period that no longer hold.
func (e *Engine) releaseOver(b *flow.HostBatch) {
	over := e.ending(func(c condition, g *engagement) bool {
		return e.hosts[c.slot].info.Period == b.Period && g.batch != e.batches
	})
	if len(over) == 0 {
		return
	}
	now := map[hostKey]int{} // where the hosts concerned stand in the batch
	for _, c := range over {
		now[c.host] = -1
	}
	for i := range b.Hosts {
		k := hostKey{b.Hosts[i].Addr, b.Hosts[i].VLAN}
		if _, ok := now[k]; ok {
			now[k] = i
		}
	}
	for _, c := range over {
		s, v := &e.hosts[c.slot], 0.0
		if i := now[c.host]; i >= 0 {
			f := e.fed[c.host]
			a := native.Activity{Host: &b.Hosts[i], Seconds: native.PeriodLength(b.Period).Seconds(), Score: f.score, RemoteFlows: f.remote}
			if f := s.Did; !c.victim && f != nil {
				v = f(&a)
			} else if f := s.Suffered; c.victim && f != nil {
				v = f(&a)
			}
		}
		e.release(c, b.To, v, fmt.Sprintf("%s is below the limit again: %s %s (limit %s)", name(&e.engaged[c].host), number(v), s.Unit,
			number(s.Threshold)))
	}
}

// Close ends every condition that still holds, because nobody watches any more. The engine takes no records afterwards.
func (e *Engine) Close() {
	for _, c := range e.ending(func(condition, *engagement) bool { return true }) {
		g := e.engaged[c]
		e.release(c, e.now, g.host.Value, fmt.Sprintf("%s is no longer watched; the last value was %s %s (limit %s)", name(&g.host),
			number(g.host.Value), e.hosts[c.slot].Unit, number(g.host.Threshold)))
	}
}

// ending lists the conditions that f selects, by key, so that alerts come in the same order each time.
func (e *Engine) ending(f func(condition, *engagement) bool) []condition {
	var l []condition
	for c, g := range e.engaged {
		if f(c, g) {
			l = append(l, c)
		}
	}
	slices.SortFunc(l, func(a, b condition) int {
		if d := a.host.addr.Compare(b.host.addr); d != 0 {
			return d
		}
		return strings.Compare(e.key(a), e.key(b))
	})
	return l
}

func (e *Engine) release(c condition, at int64, v float64, message string) {
	g := e.engaged[c]
	delete(e.engaged, c)
	a := e.alert(e.hosts[c.slot].info, at)
	a.Action, a.Key, a.Engaged, a.Advice, a.Message = alert.Release, e.key(c), unix(g.since), "", message
	h := g.host
	h.Value = v
	a.Host = &h
	e.emit(a)
}

// key names a condition the same way each time it occurs: "host/syn_scan/192.0.2.7/attacker".
func (e *Engine) key(c condition) string {
	k := e.hosts[c.slot].info.Key + "/" + c.host.addr.String()
	if c.host.vlan != 0 {
		k += "@" + strconv.Itoa(int(c.host.vlan))
	}
	if c.victim {
		return k + "/victim"
	}
	return k + "/attacker"
}

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func mac(m [6]byte) string {
	if m == [6]byte{} {
		return ""
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func name(h *alert.Host) string {
	if h.Name != "" {
		return h.Name + " (" + h.IP.String() + ")"
	}
	return h.IP.String()
}

// number writes a measure with at most one decimal.
func number(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// spanOf says over which time a batch measured: the nominal period, or less at the end of a capture.
func spanOf(b *flow.HostBatch, length time.Duration) string {
	d := time.Duration(b.To - b.From)
	if b.Last && d > 0 && d < length*9/10 {
		if d < time.Second {
			return "in less than a second"
		}
		return fmt.Sprintf("in %.0f s", d.Seconds())
	}
	switch b.Period {
	case flow.Minute:
		return "in a minute"
	case flow.FiveMinutes:
		return "in 5 minutes"
	case flow.Hour:
		return "in an hour"
	case flow.Day:
	}
	return "in a day"
}
