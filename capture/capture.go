// Package capture joins the parts that turn packets into records: source reads, decode walks the headers, flow keeps the
// tables and dissect names the protocols. It imports nothing of host, raises no alerts and opens no files.
package capture

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/netip"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/capture/source"
)

// Source gives packets. *source.Reader is one.
type Source interface {
	// Next fills ps and returns how many packets there are; their data is valid until the next call. It returns io.EOF
	// after the last packet, and never packets and an error together. A live source that has waited for a while returns
	// neither; then what was found so far is handed on.
	Next(ps []source.Packet) (int, error)
	// BytesRead and Size measure progress; Size is 0 if unknown.
	BytesRead() int64
	Size() int64
}

// Sink takes what a run finds out; see flow.Sink.
type Sink = flow.Sink

// Options set what a run does beyond its purpose. The zero value is good.
type Options struct {
	// Local are the local networks; without them no address is local.
	Local []netip.Prefix
	// MaxFlows and MaxHosts bound what is held at a time; 0 means flow.DefaultMaxFlows and flow.DefaultMaxHosts.
	MaxFlows, MaxHosts int
	// HeadersOnly leaves payloads alone: flows are counted, protocols not recognised.
	HeadersOnly bool
	// OnARP, if set, is given every ARP packet.
	OnARP func(*decode.ARP)
	// Progress, if set, is called from the run's goroutine after every batch of packets. It should return at once.
	Progress func(Stats)
}

// Stats say what a run has done so far.
type Stats struct {
	Packets     uint64
	Bytes       uint64 // layer 2 bytes on the wire
	BytesRead   int64  // of the source
	Size        int64  // of the source, 0 if unknown
	First, Last int64  // earliest and latest packet time, Unix nanoseconds; 0 without packets
	Flow        flow.Stats
	Drops       [decode.NumDrops]uint64 // packets without a flow, by reason
}

// Run reads src to its end and hands what it finds to sink. When src is damaged or ctx ends, everything found so far is
// still handed out, and then the error returned: a *source.DamageError, the context's cause, an error of reading, or the
// sink's. Run calls src and sink from its own goroutine only.
func Run(ctx context.Context, src Source, sink Sink, o Options) (Stats, error) {
	dec := decode.New()
	dec.OnARP = o.OnARP
	table := flow.New(flow.Options{Local: o.Local, MaxFlows: o.MaxFlows, MaxHosts: o.MaxHosts, HeadersOnly: o.HeadersOnly}, sink)
	var st Stats
	var pkt decode.Packet
	var failure error
	batch := make([]source.Packet, source.BatchSize)
	for failure == nil {
		n, err := src.Next(batch)
		if n == 0 && err == nil {
			err = table.Flush()
		}
		for i := range batch[:n] {
			p := &batch[i]
			st.count(p)
			if dec.Decode(&pkt, p.Link, p.Data, p.Wire, p.Time) {
				table.Packet(&pkt, p.Time)
			}
		}
		if failure = cmp.Or(table.Err(), err); failure == nil && ctx.Err() != nil {
			failure = context.Cause(ctx)
		}
		if o.Progress != nil {
			o.Progress(st.with(src, dec, table))
		}
	}
	dec.Close()
	if failure == io.EOF { //nolint:errorlint // a source's own end, never wrapped
		failure = nil
	}
	if err := table.Finish(); err != nil && !errors.Is(failure, err) {
		failure = errors.Join(failure, err)
	}
	return st.with(src, dec, table), failure
}

// count takes note of a packet.
func (s *Stats) count(p *source.Packet) {
	if s.Packets == 0 {
		s.First, s.Last = p.Time, p.Time
	}
	s.Packets++
	s.Bytes += uint64(p.Wire)
	s.First, s.Last = min(s.First, p.Time), max(s.Last, p.Time)
}

// with adds what the parts counted.
func (s Stats) with(src Source, dec *decode.Decoder, table *flow.Table) Stats {
	s.BytesRead, s.Size = src.BytesRead(), src.Size()
	s.Flow, s.Drops = table.Stats(), dec.Drops
	return s
}
