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
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/report"
)

var alertColumns = []report.Column{
	{Name: "time"},
	{Name: "severity"},
	{Name: "score", Right: true},
	{Name: "action"},
	{Name: "check", Max: 40},
	{Name: "entity_value", Max: 64},
	{Name: "message", Max: 120},
}

// Selection says which checks `tocsin alerts` runs.
type Selection struct {
	Checks string // "all", "none", or keys such as "flow/unexpected_dns,host/syn_scan"; "" for the defaults
	Config string // configuration with checks, parameters and local networks; "" for none
}

// config merges the configuration, if there is one, with the selection and the flags, which win.
func (s *Selection) config(r *Reading) (check.Config, error) {
	sel, err := check.ParseSelection(s.Checks)
	if err != nil {
		return sel, &UsageError{fmt.Errorf("--checks: %w", err)}
	}
	cfg := sel
	if s.Config != "" {
		c, err := config.Load(s.Config)
		if err != nil {
			return sel, &UsageError{err}
		}
		if cfg, err = checkConfig(c, ""); err != nil {
			return sel, &UsageError{err}
		}
		if s.Checks != "" {
			cfg.Enabled, cfg.All, cfg.None = sel.Enabled, sel.All, sel.None
		}
		if r.LocalNetworks == nil {
			r.LocalNetworks = c.Capture.LocalNetworks
		}
	}
	ns, err := r.local()
	if err != nil {
		return cfg, err
	}
	cfg.Local, cfg.Interface = prefixes(ns), r.File
	return cfg, nil
}

// Alerts prints what the checks raise on a capture. Nothing is stored or sent.
func Alerts(ctx context.Context, r Reading, s Selection) error {
	term := report.Inspect(r.Out)
	format, err := report.ParseFormat(r.Format, term.IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	cfg, err := s.config(&r)
	if err != nil {
		return err
	}
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
