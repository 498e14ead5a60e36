package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/deliver"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/route"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/host/secret"
)

// Deps is what a service needs from outside.
type Deps struct {
	Config *config.Config
	Log    *slog.Logger
	// OnResult, if set, is told of every attempt.
	OnResult func(deliver.Result)
}

// App is the service: it takes alerts from checks, stores them with their deliveries and sends these. New, Start, then
// Capture as often as wanted, then Stop, which also cleans up after a failed New or Start.
type App struct {
	cfg      *config.Config
	log      *slog.Logger
	runtime  *sandbox.Runtime
	plugins  *store.Store
	registry *endpoint.Registry
	told     *egress.Secrets    // what plug-ins were given of secrets
	reloader *endpoint.Reloader // set by Start
	lives    lives
	store    *outbox.Store
	router   *route.Router
	pipeline *deliver.Pipeline
	monitor  *monitor
	stored   atomic.Uint64 // alerts on disk since New

	foldMu sync.Mutex           // foldMu guards what follows
	folded map[[2]string]uint64 // what of the router's counts, by recipient and filter, the ledger has

	stops []func(context.Context) error // undone last to first
}

// New checks the configuration against the plug-ins, compiles those it uses and opens the database. It sends nothing.
func New(ctx context.Context, d Deps) (_ *App, err error) {
	a := &App{cfg: d.Config, log: d.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
		return nil, usage("data_dir: %w: make the folder, or name one that can be written to", err)
	}
	if err := a.openPlugins(); err != nil {
		return nil, err
	}
	res, err := a.resolveAny(ctx)
	if err != nil {
		return nil, &UsageError{err}
	}
	a.lives = res.lives
	if a.router, err = route.New(a.cfg.Rules()); err != nil {
		return nil, &UsageError{err}
	}
	if _, err := checkConfig(a.cfg, ""); err != nil {
		return nil, &UsageError{err}
	}
	if err := a.registry.Adopt(); err != nil {
		return nil, err
	}
	options := outboxOptions(a.cfg, d.Log)
	options.Quiet = a.router.Quiet
	a.store, err = outbox.Open(ctx, dbPath(a.cfg), options)
	if err != nil {
		return nil, err
	}
	a.onStop(func(context.Context) error { return a.store.Close() })
	if err := a.store.Provision(ctx, res.endpointRows, res.recipientRows); err != nil {
		return nil, err
	}
	x, err := newExecutor(a.cfg, d.Log)
	if err != nil {
		return nil, &UsageError{err}
	}
	a.onStop(func(context.Context) error { x.Close(); return nil })
	if a.monitor, err = newMonitor(ctx, a); err != nil {
		return nil, err
	}
	told := func(r deliver.Result) {
		a.monitor.result(r)
		if d.OnResult != nil {
			d.OnResult(r)
		}
	}
	a.pipeline, err = deliver.New(deliver.Deps{
		Outbox: a.store, Executor: newLiveExecutor(x, res.lives), Endpoints: res.endpoints, Log: d.Log, OnResult: told,
		MaxAge: time.Duration(a.cfg.Delivery.MaxAge), Drain: time.Duration(a.cfg.Delivery.DrainTimeout),
	})
	return a, err
}

// openPlugins reads the plug-in folder. A broken file is told and stops nothing but itself.
func (a *App) openPlugins() error {
	a.told = egress.NewSecrets()
	rt, err := sandbox.New(sandbox.Options{CacheDir: a.cfg.Plugins.Cache, Log: a.log, Hide: a.told.Redact})
	if err != nil {
		return err
	}
	a.runtime = rt
	a.onStop(rt.Close)
	if a.plugins, err = store.Open(storeDir(a.cfg)); err != nil {
		return err
	}
	a.registry = endpoint.NewRegistry(rt, a.cfg.Plugins.Folder)
	a.registry.Use(a.plugins, a.log)
	a.registry.In(a.cfg.Zone())
	a.onStop(a.registry.Close)
	for _, p := range a.registry.Scan() {
		a.log.Warn("plug-in is not used", "file", p.Path, "error", p.Err)
	}
	return nil
}

func newExecutor(cfg *config.Config, log *slog.Logger) (*egress.Executor, error) {
	private, err := config.Prefixes(cfg.Egress.AllowPrivate)
	if err != nil {
		return nil, err
	}
	never, err := config.Prefixes(cfg.Egress.NeverBan)
	if err != nil {
		return nil, err
	}
	o := egress.Options{
		Log: log, ScriptsDir: cfg.Egress.Scripts, AllowPrivate: private,
		Fail2ban: cfg.Egress.Fail2ban, Fail2banSocket: cfg.Egress.Fail2banSocket, NeverBan: never,
		SyslogSocket: cfg.Egress.SyslogSocket,
	}
	if cfg.Egress.Proxy != "" {
		proxy, err := reference(cfg, secret.Open(cfg.DataDir), cfg.Egress.Proxy)
		if err != nil {
			return nil, cfg.Problem("egress.proxy", "proxy: "+err.Error())
		}
		if o.Proxy, err = url.Parse(proxy); err != nil {
			return nil, cfg.Problem("egress.proxy", "proxy is no URL: write it like http://proxy.example:3128")
		}
	}
	return egress.New(o)
}

func outboxOptions(cfg *config.Config, log *slog.Logger) outbox.Options {
	d := &cfg.Delivery
	return outbox.Options{
		Log: log, Retention: time.Duration(d.Retention), DeadRetention: time.Duration(d.DeadRetention),
		MaxQueue: d.MaxQueue, MaxDead: d.MaxDead,
		Digest: outbox.DigestPolicy{Over: *d.DigestOver, After: time.Duration(d.DigestAfter), Keep: d.Keep()},
	}
}

func dbPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "tocsin.db") }

// checkConfig turns the configuration's checks into the engine's, and checks them.
func checkConfig(cfg *config.Config, watched string) (check.Config, error) {
	c := check.Config{Enabled: map[string]bool{}, Params: map[string]check.Params{}, Local: prefixes(cfg.Capture.LocalNetworks), Interface: watched}
	for _, k := range cfg.Checks.Enable {
		c.Enabled[k] = true
	}
	for _, k := range cfg.Checks.Disable {
		c.Enabled[k] = false
	}
	for k, p := range cfg.Checks.Parameters {
		c.Params[k] = p
	}
	if _, err := check.New(c, func(*alert.Alert) {}); err != nil {
		return c, cfg.Problem("checks", err.Error())
	}
	return c, checkRecipients(cfg)
}

// prefixes reads networks that were checked before.
func prefixes(ss []string) []netip.Prefix {
	ps, _ := config.Prefixes(ss)
	return ps
}

func (a *App) onStop(f func(context.Context) error) { a.stops = append(a.stops, f) }

// Start begins to deliver what the database holds and what Capture will add, and to follow the plug-in folder.
func (a *App) Start(start context.Context) error {
	if err := a.monitor.serve(); err != nil {
		return err
	}
	a.startReloading(start)
	a.startCounting()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- a.pipeline.Run(ctx) }()
	go func() { done <- a.tidy(ctx) }()
	a.onStop(func(context.Context) error {
		cancel()
		return errors.Join(<-done, <-done)
	})
	return nil
}

// tidy removes from the ledger what is old enough, and gives up what has waited too long, now and then: a delivery on
// hold is never tried, so its age is seen here only.
func (a *App) tidy(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		dead, err := a.store.ExpireOlderThan(ctx, time.Duration(a.cfg.Delivery.MaxAge))
		if dead > 0 {
			a.log.Error("deliveries were given up: they waited longer than max_age", "deliveries", dead)
		}
		n, perr := a.store.Prune(ctx)
		err = errors.Join(err, perr)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.log.Warn("the ledger could not be tidied up", "error", err)
		case n > 0:
			a.log.Info("old alerts removed from the ledger", "alerts", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Stop ends the service: what is in flight ends or goes back to the queue within the configured time. Every step is
// taken even if one fails.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for _, stop := range slices.Backward(a.stops) {
		errs = append(errs, stop(ctx))
	}
	a.stops = nil
	return errors.Join(errs...)
}

// Stored is the number of alerts put on disk since New.
func (a *App) Stored() uint64 { return a.stored.Load() }

// Capture reads packets until src ends or ctx does, runs the checks and stores every alert with its deliveries. watched
// names the capture or interface in alerts. When it returns, every alert it raised is on disk.
func (a *App) Capture(ctx context.Context, src capture.Source, watched string, show func(capture.Stats)) (capture.Stats, error) {
	cfg, err := checkConfig(a.cfg, watched)
	if err != nil {
		return capture.Stats{}, &UsageError{err}
	}
	keep := newKeeper(ctx, a)
	engine, err := check.New(cfg, keep.add)
	if err != nil {
		return capture.Stats{}, &UsageError{err}
	}
	progress := func(st capture.Stats) {
		a.monitor.progress(st)
		if show != nil {
			show(st)
		}
	}
	st, err := capture.Run(ctx, src, &checked{Engine: engine, keep: keep}, capture.Options{
		Local: cfg.Local, MaxFlows: a.cfg.Capture.MaxFlows, Progress: progress, OnARP: watchARP(engine),
	})
	a.monitor.end(st)
	engine.Close()
	return st, errors.Join(err, keep.close())
}

// checked is the engine as a capture.Sink that hands on what each block raised.
type checked struct {
	*check.Engine
	keep *keeper
}

// WaitIdle waits until nothing that could be sent now is left, or ctx ends. It returns how many deliveries wait for a
// later attempt, and when the first of them is due.
func (a *App) WaitIdle(ctx context.Context) (waiting int, next time.Time, err error) {
	return a.pipeline.WaitIdle(ctx)
}

// Ledger is the database of alerts and deliveries.
func (a *App) Ledger() *outbox.Store { return a.store }

// String names the service by its database.
func (a *App) String() string { return fmt.Sprintf("tocsin on %s", dbPath(a.cfg)) }
