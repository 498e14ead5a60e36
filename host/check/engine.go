// Package check runs checks over the records of a capture and raises alerts: each finding about a flow once, each
// condition of a host when it begins and when it ends. The checks themselves stand in package native; where alerts go
// is not its business. It does no I/O.
package check

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check/native"
)

// Engine runs the enabled checks. It is not safe for concurrent use.
type Engine struct {
	emit  func(*alert.Alert)
	iface string

	wanted dissect.Risks // the risks that enabled checks look for
	risks  [64]*native.RiskDef
	flows  []flowSlot // the index is the check's bit in mask
	mask   []uint64
	seen   map[uint64]found // what was reported of flows that have not ended, by flow id
	hooks  flow.HookSet

	hosts   []hostSlot
	periods []flow.Period
	feeds   native.Feed
	fed     map[hostKey]feed // what flows told of hosts in this interval
	engaged map[condition]*engagement
	streaks map[condition]streak
	batches uint64
	// neighbours are the devices that hold an address, for network/ip_reassignment; nil while that is off.
	neighbours   map[hostKey][6]byte
	reassignment native.Info

	now int64 // the end of the last interval, Unix nanoseconds of packet time
}

type flowSlot struct {
	info *native.Info
	native.FlowCheck
}

// found is what was already reported of a flow: by risk, and by the bit of a check.
type found struct {
	risks  dissect.Risks
	checks uint64
}

// maxFlowChecks is the number of bits of a mask.
const maxFlowChecks = 64

// New makes an engine that calls emit, synchronously, with each alert. A check or parameter that does not exist, and a
// value that does not fit, is a *ConfigError; all of them are reported together.
func New(cfg Config, emit func(*alert.Alert)) (*Engine, error) {
	sel, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		emit: emit, iface: cfg.Interface, mask: make([]uint64, flow.BlockSize), seen: map[uint64]found{},
		fed: map[hostKey]feed{}, engaged: map[condition]*engagement{}, streaks: map[condition]streak{},
	}
	for i := range sel.risks {
		d := &sel.risks[i]
		e.wanted |= 1 << d.Risk
		e.risks[d.Risk] = d
		e.hooks |= d.Hooks
	}
	for i := range sel.flows {
		f := &sel.flows[i]
		e.flows = append(e.flows, *f)
		e.hooks |= f.info.Hooks
	}
	for _, h := range sel.hosts {
		e.hosts = append(e.hosts, h)
		e.feeds |= h.feed
		if !slices.Contains(e.periods, h.info.Period) {
			e.periods = append(e.periods, h.info.Period)
		}
	}
	if e.reassignment = native.IPReassignment(); sel.arp {
		e.neighbours = map[hostKey][6]byte{}
	}
	if e.feeds&native.RemoteAccess != 0 {
		e.hooks |= flow.Hooks(flow.Detected, flow.Periodic)
	}
	return e, nil
}

// Hooks says at which hooks the enabled checks want flow records.
func (e *Engine) Hooks() flow.HookSet { return e.hooks }

// Periods says for which periods the enabled checks want host records.
func (e *Engine) Periods() []flow.Period { return e.periods }

// Flows runs the flow checks over a block. It returns no error; the result is there to make Engine a sink of records.
func (e *Engine) Flows(b *flow.Block) error {
	if b.N > len(e.mask) {
		e.mask = make([]uint64, b.N)
	}
	mask := e.mask[:b.N]
	clear(mask)
	for k := range e.flows {
		if f := &e.flows[k]; f.info.Hooks.Has(b.Hook) {
			f.Scan(b, mask, 1<<k)
		}
	}
	wanted := e.wanted
	for i, r := range b.Risks[:b.N] {
		if r &= wanted; uint64(r)|mask[i] != 0 {
			e.report(b, i, r, mask[i])
		}
	}
	if e.feeds&native.RemoteAccess != 0 && (b.Hook == flow.Detected || b.Hook == flow.Periodic) {
		e.countRemote(b)
	}
	if b.Hook == flow.End && len(e.seen) > 0 {
		for _, id := range b.ID[:b.N] {
			delete(e.seen, id)
		}
	}
	return nil
}

// report raises the alerts of one record that were not raised before.
func (e *Engine) report(b *flow.Block, i int, risks dissect.Risks, checks uint64) {
	id := b.ID[i]
	had := e.seen[id]
	risks &^= had.risks
	checks &^= had.checks
	if risks == 0 && checks == 0 {
		return
	}
	if b.Hook != flow.End {
		e.seen[id] = found{had.risks | risks, had.checks | checks}
	}
	r := native.Rec{B: b, I: i}
	for m := uint64(risks); m != 0; m &= m - 1 {
		d := e.risks[bits.TrailingZeros64(m)]
		e.raiseFlow(r, &d.Info, sayRisk(d, r))
	}
	for m := checks; m != 0; m &= m - 1 {
		f := &e.flows[bits.TrailingZeros64(m)]
		e.raiseFlow(r, f.info, f.Say(r))
	}
}

// sayRisk puts a risk into words: with the check's own numbers and names if they are known, else with what the dissector
// noted.
func sayRisk(d *native.RiskDef, r native.Rec) native.Words {
	what := d.What
	if d.Detail != nil {
		if s := d.Detail(r); s != "" {
			what = s
		} else if why := r.Why(d.Risk); why != "" {
			what += " (" + why + ")"
		}
	} else if why := r.Why(d.Risk); why != "" {
		what += " (" + why + ")"
	}
	return native.Words{Message: r.Ends() + ": " + what, Info: r.Fact(), Attacker: d.Attacker, Victim: d.Victim}
}

func (e *Engine) raiseFlow(r native.Rec, info *native.Info, w native.Words) {
	b, i := r.B, r.I
	a := e.alert(info, b.Last[i])
	a.Message = w.Message
	a.Flow = flowOf(b, i)
	a.Flow.Attacker, a.Flow.Victim, a.Flow.Info = w.Attacker, w.Victim, w.Info
	if e.feeds&native.Scores != 0 {
		e.addScore(b, i, info.Score, w.Attacker)
	}
	e.emit(a)
}

// alert fills in what alerts of one check have in common; at is packet time in Unix nanoseconds.
func (e *Engine) alert(info *native.Info, at int64) *alert.Alert {
	return &alert.Alert{
		ID: alert.NewID(), Time: unix(at), Entity: info.Entity, AlertID: info.AlertID, Check: info.Key, Title: info.Title,
		Category: info.Category, Severity: info.Severity(), Score: info.Score, Action: alert.Store, Advice: info.Advice,
		Interface: e.iface,
	}
}

// feed is what flow records told of one host in the current interval.
type feed struct {
	score  [2]int // as client, as server
	remote int
}

type hostKey struct {
	addr netip.Addr
	vlan uint16
}

// addScore gives a flow alert's score to the side that did it; where that is not known each side gets half.
func (e *Engine) addScore(b *flow.Block, i, score int, attacker alert.Role) {
	client, server := score/2, score-score/2
	switch attacker {
	case alert.Client:
		client, server = score, 0
	case alert.Server:
		client, server = 0, score
	case alert.NoRole:
	}
	if client > 0 {
		k := hostKey{b.Client[i], b.VLAN[i]}
		f := e.fed[k]
		f.score[0] += client
		e.fed[k] = f
	}
	if server > 0 {
		k := hostKey{b.Server[i], b.VLAN[i]}
		f := e.fed[k]
		f.score[1] += server
		e.fed[k] = f
	}
}

// countRemote counts the remote access flows of each client: in the minute they are recognised and in each further one
// they last.
func (e *Engine) countRemote(b *flow.Block) {
	for i, c := range b.Category[:b.N] {
		if native.IsRemoteAccess(c) {
			k := hostKey{b.Client[i], b.VLAN[i]}
			f := e.fed[k]
			f.remote++
			e.fed[k] = f
		}
	}
}
