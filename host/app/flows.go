package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/capture/source"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/report"
)

// Streams are a command's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Reading is what the commands that read a capture share.
type Reading struct {
	Streams
	File          string   // "-" is standard input
	Format        string   // jsonl, table, csv; "" is by where the output goes
	LocalNetworks []string // CIDR; nil: the private ranges
	Quiet         bool     // no progress, no summary
}

// capturing is an open capture and what is needed to show how far it is read.
type capturing struct {
	src      capture.Source
	close    func() error
	progress *report.Progress
	alerts   func() uint64
}

// open opens the capture and prepares the progress line, which is drawn only if standard error is a terminal.
func (r *Reading) open() (*capturing, error) {
	if r.File == "" {
		return nil, usage("no capture named: give one with -r FILE, or -r - for standard input")
	}
	c := &capturing{close: func() error { return nil }, alerts: func() uint64 { return 0 }}
	if r.File == "-" {
		src, err := source.NewReader(r.In, "standard input")
		if err != nil {
			return nil, err
		}
		c.src = src
	} else {
		src, err := source.Open(r.File)
		if err != nil {
			return nil, err
		}
		c.src, c.close = src, src.Close
	}
	term := report.Inspect(r.Err)
	c.progress = report.NewProgress(r.Err, term.Width, term.IsTerminal && !r.Quiet)
	return c, nil
}

func (c *capturing) show(s capture.Stats) {
	c.progress.Update(report.Status{
		Packets: s.Packets, Flows: s.Flow.Flows, Alerts: c.alerts(), Done: s.BytesRead, Total: s.Size,
	})
}

func (r *Reading) local() ([]string, error) {
	ns := r.LocalNetworks
	if ns == nil {
		ns = config.Default(".").Capture.LocalNetworks
	}
	if _, err := config.Prefixes(ns); err != nil {
		return nil, &UsageError{fmt.Errorf("--local-networks: %w", err)}
	}
	return ns, nil
}

// run reads the capture into sink. A damaged capture's error comes after all of it that could be read was processed.
func (r *Reading) run(ctx context.Context, c *capturing, sink capture.Sink, o capture.Options) (capture.Stats, error) {
	ns, err := r.local()
	if err != nil {
		return capture.Stats{}, err
	}
	o.Local, _ = config.Prefixes(ns) // local read them already
	o.Progress = c.show
	start := time.Now()
	st, err := capture.Run(ctx, c.src, sink, o)
	c.progress.Clear()
	if cerr := c.close(); err == nil && cerr != nil {
		err = cerr
	}
	if c.progress != nil && (err == nil || ExitCode(err) == ExitDamaged) {
		_, _ = fmt.Fprintln(r.Err, summary(st, time.Since(start)))
	}
	return st, err
}

// summary says in one line what a run read, and what of it has no flow.
func summary(st capture.Stats, took time.Duration) string {
	many := func(n uint64, noun string) string {
		if n != 1 {
			noun += "s"
		}
		return report.Count(n) + " " + noun
	}
	s := fmt.Sprintf("%s, %s in %s", many(st.Packets, "packet"), many(st.Flow.Flows, "flow"), took.Round(time.Millisecond))
	var without []string
	for i, n := range st.Drops {
		if n > 0 {
			without = append(without, fmt.Sprintf("%s %s", report.Count(n), decode.Drop(i)))
		}
	}
	if len(without) > 0 {
		s += "; packets without a flow: " + strings.Join(without, ", ")
	}
	return s
}

var flowColumns = []report.Column{
	{Name: "first"},
	{Name: "l4"},
	{Name: "client", Max: 39},
	{Name: "client_port", Right: true},
	{Name: "server", Max: 39},
	{Name: "server_port", Right: true},
	{Name: "protocol", Max: 28},
	{Name: "confidence"},
	{Name: "packets", Right: true},
	{Name: "bytes", Right: true},
	{Name: "seconds", Right: true},
	{Name: "hostname", Max: 48},
	{Name: "community_id"},
}

// Flows prints every flow of a capture at its end.
func Flows(ctx context.Context, r Reading) error {
	format, err := report.ParseFormat(r.Format, report.Inspect(r.Out).IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	c, err := r.open()
	if err != nil {
		return err
	}
	w := report.NewWriter(r.Out, format, flowColumns, nil)
	_, err = r.run(ctx, c, &flowPrinter{w: w, csv: format == report.CSV}, capture.Options{})
	return errors.Join(err, w.Close())
}

// flowPrinter is a capture.Sink that prints the flows that end.
type flowPrinter struct {
	w   *report.Writer
	csv bool
}

func (p *flowPrinter) Hooks() flow.HookSet         { return flow.Hooks(flow.End) }
func (p *flowPrinter) Periods() []flow.Period      { return nil }
func (p *flowPrinter) Hosts(*flow.HostBatch) error { return nil }

func (p *flowPrinter) Flows(b *flow.Block) error {
	for i := range b.N {
		err := p.w.Row(
			func(dst []byte) []byte { return flow.AppendJSON(dst, b, i) },
			func() []string { return p.cells(b, i) })
		if err != nil {
			return fmt.Errorf("print flows: %w", err)
		}
	}
	return nil
}

func (p *flowPrinter) cells(b *flow.Block, i int) []string {
	hostname := ""
	if m := b.Meta[i]; m != nil {
		hostname = m.Hostname
	}
	first := time.Unix(0, b.First[i]).UTC()
	when := first.Format("2006-01-02 15:04:05.000")
	if p.csv {
		when = first.Format(time.RFC3339Nano)
	}
	return []string{
		when, flow.L4Name(b.L4[i]), b.Client[i].String(), port(b.ClientPort[i]), b.Server[i].String(), port(b.ServerPort[i]),
		dissect.Label(b.Protocol[i], b.App[i]), b.Confidence[i].String(),
		strconv.FormatUint(b.Packets[0][i]+b.Packets[1][i], 10), strconv.FormatUint(b.Bytes[0][i]+b.Bytes[1][i], 10),
		strconv.FormatFloat(float64(b.Last[i]-b.First[i])/1e9, 'f', 3, 64), hostname,
		b.CommunityID(i, 0),
	}
}

func port(p uint16) string { return strconv.FormatUint(uint64(p), 10) }
