package app

import (
	"context"
	"errors"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/api"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/deliver"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/route"
)

func socketPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "tocsin.sock") }

// monitor is what the service tells at its monitoring address.
type monitor struct {
	app     *App
	metrics *api.Metrics
	server  *api.Server // set by serve
	// before are the releases of each recipient that were not followed, as counted by the ledger before this start.
	before map[string]uint64

	mu   sync.Mutex    // mu guards what follows
	done capture.Stats // captures that have ended
	now  capture.Stats // the one that is read
}

func newMonitor(ctx context.Context, a *App) (*monitor, error) {
	m := &monitor{app: a, metrics: api.NewMetrics(programVersion(), a.log), before: map[string]uint64{}}
	usage, err := a.store.Usage(ctx)
	if err != nil {
		return nil, err
	}
	for recipient, u := range usage {
		m.before[recipient] = u.Filtered[outbox.NotFollowed]
	}
	return m, m.metrics.Register(m)
}

func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}

// serve opens the monitoring address and the control socket. Without the socket the service runs all the same: only
// commands that need it say that they cannot be done beside it.
func (m *monitor) serve() error {
	a := m.app
	o := api.Options{Listen: a.cfg.API.Listen, Socket: socketPath(a.cfg), Metrics: m.metrics, Controls: m, Log: a.log}
	s, err := api.New(o)
	if err != nil && o.Listen != "" {
		o.Socket = ""
		if s2, err2 := api.New(o); err2 == nil {
			a.log.Warn("no control socket: deliveries cannot be retried while the service runs", "error", err)
			s, err = s2, nil
		}
	} else if err != nil {
		a.log.Warn("no control socket: deliveries cannot be retried while the service runs", "error", err)
		return nil
	}
	if err != nil {
		return &UsageError{err}
	}
	m.server = s
	s.Serve()
	if addr := s.Addr(); addr != nil {
		a.log.Info("metrics are served", "address", "http://"+addr.String()+"/metrics")
	}
	a.onStop(s.Stop)
	return nil
}

// result counts an attempt.
func (m *monitor) result(r deliver.Result) {
	if r.Hold != nil {
		return
	}
	var waited time.Duration
	switch r.State {
	case alert.Delivered, alert.Accepted, alert.Duplicate:
		waited = time.Since(r.Created)
	default:
	}
	m.metrics.Attempt(r.Endpoint, r.Recipient, string(r.Outcome), r.Took, waited)
}

// stored counts alerts that are on disk.
func (m *monitor) stored(es []outbox.Entry) {
	for i := range es {
		a := es[i].Alert
		m.metrics.Alert(a.Entity.String(), a.Severity.String(), a.Action.String())
	}
}

// progress takes the figures of the capture under way; end adds them to those that have ended.
func (m *monitor) progress(st capture.Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = st
}

func (m *monitor) end(st capture.Stats) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = capture.Stats{}
	add(&m.done, &st)
}

func add(to, st *capture.Stats) {
	to.Packets += st.Packets
	to.Bytes += st.Bytes
	to.Flow.Flows += st.Flow.Flows
	for i, n := range st.Drops {
		to.Drops[i] += n
	}
}

// Capture implements api.Source.
func (m *monitor) Capture() api.Capture {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.done
	add(&st, &m.now)
	c := api.Capture{Packets: st.Packets, Bytes: st.Bytes, Flows: st.Flow.Flows, Drops: map[string]uint64{}}
	for i, n := range st.Drops {
		c.Drops[decode.Drop(i).String()] = n
	}
	return c
}

// Recipients implements api.Source.
func (m *monitor) Recipients(ctx context.Context) ([]api.Recipient, error) {
	counts, err := m.app.store.Counts(ctx)
	if err != nil {
		return nil, err
	}
	usage, err := m.app.store.Usage(ctx)
	if err != nil {
		return nil, err
	}
	drops, err := m.app.store.Dropped(ctx)
	if err != nil {
		return nil, err
	}
	dropped := map[string]map[string]uint64{}
	for _, d := range drops {
		if dropped[d.Recipient] == nil {
			dropped[d.Recipient] = map[string]uint64{}
		}
		dropped[d.Recipient][d.Severity.String()] += uint64(max(0, d.N))
	}
	filters := map[string]route.Stats{}
	for _, s := range m.app.router.Stats() {
		filters[s.Recipient] = s
	}
	rs := make([]api.Recipient, 0, len(counts))
	for _, c := range counts {
		r := api.Recipient{
			Name: c.Recipient, Endpoint: c.Endpoint, Oldest: c.Oldest, Dropped: dropped[c.Recipient], Deliveries: map[string]int64{
				"queued": c.Queued, "leased": c.Leased, "delivered": c.Delivered, "accepted": c.Accepted, "duplicate": c.Duplicate,
				"dead": c.Dead, "skipped": c.Skipped, "digested": c.Digested, "silenced": c.Silenced,
			},
		}
		if f, ok := filters[c.Recipient]; ok {
			r.Matched, r.Filtered = f.Matched, f.Filtered
			// The router let these pass: whether their engage went there only the ledger can tell.
			if n := usage[c.Recipient].Filtered[outbox.NotFollowed] - m.before[c.Recipient]; n > 0 {
				r.Filtered[outbox.NotFollowed] = n
				r.Matched -= min(n, r.Matched)
			}
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// Endpoints implements api.Source.
func (m *monitor) Endpoints(ctx context.Context) ([]api.Endpoint, error) {
	holds, err := m.app.store.Holds(ctx)
	if err != nil {
		return nil, err
	}
	es := make([]api.Endpoint, len(m.app.cfg.Endpoints))
	for i, c := range m.app.cfg.Endpoints {
		es[i] = api.Endpoint{Name: c.Name, Type: c.Type}
		for _, h := range holds {
			if h.Endpoint == c.Name && (h.Broken || h.Until.After(time.Now())) {
				es[i].Held, es[i].Broken = true, h.Broken
			}
		}
	}
	return es, nil
}

// Plugins implements api.Source.
func (m *monitor) Plugins() []api.Plugin {
	var ps []api.Plugin
	for _, s := range m.app.registry.Statuses() {
		ps = append(ps, api.Plugin{
			Name: s.Name, Version: s.Version, Generation: s.Generation, OnTrial: s.OnTrial, Calls: s.Stats.Calls,
			GuestErrors: s.Stats.GuestErrors, Traps: s.Stats.Traps, OutOfFuel: s.Stats.OutOfFuel, BadOutput: s.Stats.BadOutput,
			Waits: s.Stats.Waits, Discarded: s.Stats.Discarded, Time: s.Stats.Time, Fuel: s.Stats.Fuel, Instances: s.Stats.Live,
			MaxMemory: s.Stats.MaxMemory,
		})
	}
	return ps
}

// Retry implements api.Controls.
func (m *monitor) Retry(ctx context.Context, ids []string, all bool) (int, error) {
	parsed, err := parseIDs(ids, all)
	if err != nil {
		return 0, err
	}
	return retryIn(ctx, m.app.store, parsed, all)
}

func parseIDs(ids []string, all bool) ([]alert.ID, error) {
	if all == (len(ids) > 0) {
		return nil, usage("name the deliveries to queue again, or give --dead for all dead ones")
	}
	var parsed []alert.ID
	for _, id := range ids {
		p, err := deliveryID(id)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

func retryIn(ctx context.Context, s *outbox.Store, ids []alert.ID, all bool) (int, error) {
	if all {
		return s.RetryAll(ctx, outbox.Filter{})
	}
	return len(ids), s.Retry(ctx, ids...)
}

// retryRunning asks the service that owns the ledger, if one does: locked is the error of opening it.
func retryRunning(ctx context.Context, cfg *config.Config, ids []string, all bool, locked error) (int, error) {
	n, err := api.NewClient(socketPath(cfg)).Retry(ctx, ids, all)
	if errors.Is(err, api.ErrNoService) {
		return 0, errors.Join(locked, err)
	}
	return n, err
}
