package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/report"
)

// RunOptions are the flags of `tocsin run`.
type RunOptions struct {
	Streams
	Config              string        // path of the configuration
	File                string        // capture to read; "" for none
	LogLevel, LogFormat string        // see newLog
	Quiet               bool          // no progress
	Wait                time.Duration // how long to wait, after the capture, for deliveries that are tried again
}

// Run is the service in the foreground: until the capture ends and what can be delivered is, or without a capture until
// ctx ends.
func Run(ctx context.Context, o RunOptions) (err error) {
	if o.Wait < 0 {
		return usage("--wait is %v: it is a time such as 30s, or 0s", o.Wait)
	}
	cfg, err := config.Load(o.Config)
	if err != nil {
		return &UsageError{err}
	}
	r := Reading{Streams: o.Streams, File: o.File, Quiet: o.Quiet}
	c := &capturing{close: func() error { return nil }}
	if o.File != "" {
		if c, err = r.open(); err != nil { // before anything is started: a wrong file name starts nothing
			return err
		}
	}
	defer func() { err = errors.Join(err, c.close()) }()
	log, err := newLog(&clearing{w: o.Err, p: c.progress}, o.LogLevel, o.LogFormat, report.Inspect(o.Err).IsTerminal)
	if err != nil {
		return &UsageError{err}
	}
	a, err := New(ctx, Deps{Config: cfg, Log: log})
	if err != nil {
		return err
	}
	before, err := a.Ledger().Counts(ctx)
	if err == nil {
		err = a.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
	}
	log.Info("started", "endpoints", len(cfg.Endpoints), "recipients", len(cfg.Recipients), "database", dbPath(cfg))
	var damage error
	if o.File != "" {
		damage, err = a.runCapture(ctx, c, o)
	} else {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		log.Info("stopping: what is in flight ends or goes back to the queue")
		if isStop(err) {
			err = nil // SIGTERM is a way to end, not a failure
		}
	}
	counts, cerr := a.Ledger().Counts(context.WithoutCancel(ctx))
	stopErr := a.Stop(context.WithoutCancel(ctx))
	if err == nil && cerr == nil && ctx.Err() == nil && o.File != "" {
		err = left(before, counts)
	}
	return errors.Join(damage, err, cerr, stopErr)
}

// isStop tells whether a run failed only because it was told to end.
func isStop(err error) bool {
	return err == nil || errors.Is(err, context.Canceled) || strings.HasSuffix(err.Error(), "signal received")
}

// runCapture reads the capture and waits for its deliveries. Damage is apart from failures: what could be read is
// processed and delivered all the same.
func (a *App) runCapture(ctx context.Context, c *capturing, o RunOptions) (damage, err error) {
	start := time.Now()
	c.alerts = a.Stored
	st, err := a.Capture(ctx, c.src, o.File, c.show)
	c.progress.Clear()
	if ExitCode(err) == ExitDamaged {
		damage, err = err, nil // told once, at the end
	}
	if err != nil {
		return damage, err
	}
	a.log.Info(summary(st, time.Since(start)), "alerts", a.Stored())
	return damage, a.settle(ctx, o.Wait, func(waiting int, next time.Time) {
		note := fmt.Sprintf("delivering, %d wait", waiting)
		if !next.IsZero() {
			note += ", next attempt " + time.Until(next).Round(time.Second).String()
		}
		c.progress.Update(report.Status{Packets: st.Packets, Flows: st.Flow.Flows, Alerts: a.Stored(), Note: note})
	})
}

// settle waits until every delivery is done, or until the next attempt of those left is later than patience allows.
func (a *App) settle(ctx context.Context, patience time.Duration, show func(int, time.Time)) error {
	deadline := time.Now().Add(patience)
	a.pipeline.Hurry() // nothing more will be raised: no batch need wait for more
	for {
		waiting, next, err := a.WaitIdle(ctx)
		if err != nil || waiting == 0 || next.After(deadline) {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		show(waiting, next)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(10*time.Millisecond, time.Until(next))):
		}
	}
}

// left tells what a run leaves behind: nil if every delivery arrived. Dead letters of earlier runs are not this one's.
func left(before, counts []outbox.EndpointCount) error {
	e := &LeftError{Hint: ": tocsin deliveries list shows why"}
	for _, c := range before {
		e.Dead -= int(c.Dead)
	}
	for _, c := range counts {
		e.Waiting += int(c.Queued + c.Leased)
		e.Dead += int(c.Dead)
	}
	e.Dead = max(0, e.Dead) // fewer: some were queued again, or pruned
	if e.Waiting+e.Dead == 0 {
		return nil
	}
	return e
}

// newLog makes the program's logger.
func newLog(w io.Writer, level, format string, terminal bool) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level: unknown level %q: it is one of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch {
	case format == "text", format == "" && terminal:
		return slog.New(slog.NewTextHandler(w, o)), nil
	case format == "json", format == "":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format: unknown format %q: it is text or json", format)
}

// clearing removes the progress line before something else is written to the same terminal.
type clearing struct {
	w io.Writer
	p *report.Progress
}

func (c *clearing) Write(b []byte) (int, error) {
	c.p.Clear()
	return c.w.Write(b)
}

// count writes a number with its noun, as "1 endpoint" or "2 endpoints".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// CheckConfig checks a configuration with its plug-ins and prints what it found.
func CheckConfig(ctx context.Context, s Streams, path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return &UsageError{err}
	}
	log, err := newLog(s.Err, "warn", "text", true)
	if err != nil {
		return err
	}
	a := &App{cfg: cfg, log: log}
	defer func() { _ = a.Stop(context.WithoutCancel(ctx)) }()
	if err := a.openPlugins(); err != nil {
		return err
	}
	res, rerr := a.resolveAny(ctx)
	_, cerr := checkConfig(cfg, "")
	_, xerr := newExecutor(cfg, log)
	if err := errors.Join(rerr, cerr, xerr); err != nil {
		return &UsageError{err}
	}
	for _, w := range res.warnings {
		_, _ = fmt.Fprintf(s.Err, "warning: %v\n", w)
	}
	_, err = fmt.Fprintf(s.Out, "%s is fine: %s, %s\n", path, count(len(cfg.Endpoints), "endpoint"), count(len(cfg.Recipients), "recipient"))
	return err
}

var _ capture.Sink = (*checked)(nil)
