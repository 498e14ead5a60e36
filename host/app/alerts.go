package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check"
	"github.com/tocsin-net/tocsin/host/report"
)

var alertColumns = []report.Column{
	{Name: "time"}, {Name: "severity"}, {Name: "score", Right: true}, {Name: "action"}, {Name: "check", Max: 40},
	{Name: "entity_value", Max: 64}, {Name: "message", Max: 120},
}

// Alerts prints what the checks of the selection raise on a capture. Selection is "all", "none", or keys such as
// "flow/unexpected_dns,host/syn_scan"; "" means the checks that are on by default.
func Alerts(ctx context.Context, r Reading, selection string) error {
	term := report.Inspect(r.Out)
	format, err := report.ParseFormat(r.Format, term.IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	cfg, err := check.ParseSelection(selection)
	if err != nil {
		return &UsageError{fmt.Errorf("--checks: %w", err)}
	}
	ns, err := r.local()
	if err != nil {
		return err
	}
	cfg.Local, cfg.Interface = prefixes(ns), r.File
	w := report.NewWriter(r.Out, format, alertColumns, paintSeverity(term.Color))
	var werr error
	n := uint64(0)
	engine, err := check.New(cfg, func(a *alert.Alert) {
		n++
		if werr == nil {
			werr = printAlert(w, a)
		}
	})
	if err != nil {
		return &UsageError{err}
	}
	c, err := r.open()
	if err != nil {
		return err
	}
	c.alerts = func() uint64 { return n }
	// The engine is not closed: what is engaged when the capture ends has not ended.
	_, err = r.run(ctx, c, engine, capture.Options{OnARP: watchARP(engine)})
	return errors.Join(err, werr, w.Close())
}

// watchARP is the engine's interest in ARP packets, nil if it has none.
func watchARP(e *check.Engine) func(*decode.ARP) {
	if !e.WantsARP() {
		return nil
	}
	return e.ARP
}

func printAlert(w *report.Writer, a *alert.Alert) error {
	err := w.Row(func(dst []byte) []byte { return appendJSON(dst, a) }, func() []string {
		return []string{
			a.Time.UTC().Format("2006-01-02 15:04:05"), a.Severity.String(), strconv.Itoa(a.Score), a.Action.String(),
			a.Check, a.EntityValue(), a.Message,
		}
	})
	if err != nil {
		return fmt.Errorf("print alerts: %w", err)
	}
	return nil
}

// paintSeverity colours the severity column, which is the second.
func paintSeverity(on bool) func(int, string) string {
	if !on {
		return nil
	}
	return func(col int, cell string) string {
		if col == 1 {
			return report.Severity(cell, cell)
		}
		return cell
	}
}
