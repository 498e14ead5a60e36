package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/pdk"
)

// live is what an endpoint of the configuration needs to stay the same while its plug-in is replaced.
type live struct {
	name, typ  string
	params     part
	recipients map[string]part
	hidden     map[string]map[string]bool // names of the secret parameters of each part
	secrets    *egress.Secrets
	policy     atomic.Pointer[egress.Policy]
}

// allow sets what the endpoint may reach: what the given manifests wish for, as far as it was granted.
func (l *live) allow(granted *store.Grants, manifests ...*plugin.Manifest) error {
	p := egress.Policy{Secrets: l.secrets}
	for _, m := range manifests {
		own := *m
		own.Net = slices.DeleteFunc(slices.Clone(m.Net), func(w plugin.NetWish) bool {
			return granted.Known && !granted.Has(store.NetWish(&w))
		})
		grants, err := egress.GrantsFor(&own, l.params.real)
		if err != nil {
			return err
		}
		for _, g := range grants {
			if !slices.Contains(p.Grants, g) {
				p.Grants = append(p.Grants, g)
			}
		}
		p.Timeout = max(p.Timeout, m.Limits.Timeout)
		has := func(wish *plugin.ExecWish, w store.Wish) bool {
			return wish != nil && (!granted.Known || granted.Has(w))
		}
		p.Exec = p.Exec || has(m.Exec, store.WishExec)
		p.Ban = p.Ban || has(m.Ban, store.WishBan)
		p.LocalSyslog = p.LocalSyslog || has(m.Syslog, store.WishSyslog)
	}
	l.policy.Store(&p)
	return nil
}

// fits tells whether the endpoint's parameters suit another version of its plug-in.
func (l *live) fits(ctx context.Context, t *endpoint.Type) error {
	pkg := t.Package()
	hidden := secretNames(pkg)
	if _, err := egress.GrantsFor(pkg.Manifest, l.params.real); err != nil {
		return fmt.Errorf("endpoint %q: %w", l.name, err)
	}
	check := func(what, of string, params part, recipient map[string]any, guest pdk.Params) error {
		for _, p := range pkg.Lint.Lint(l.params.real, recipient) {
			if name, ok := cutPart(p, of); ok {
				return fmt.Errorf("%s: %s %s; correct the configuration and restart", what, name, p.Message)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(params.real)) {
			if hidden[of][name] != l.hidden[of][name] {
				return fmt.Errorf("%s: %s is a secret in one of the two versions only; a restart takes the new one", what, name)
			}
		}
		in := &pdk.LintInput{}
		in.Endpoint, in.Recipient = pkg.Lint.Fill(l.params.guest, guest)
		problems, err := t.Lint(ctx, in)
		if err != nil {
			return err
		}
		for _, p := range problems {
			if name, ok := cutPart(plugin.Problem{Field: p.Field}, of); ok {
				return fmt.Errorf("%s: %s: %s; correct the configuration and restart", what, name, p.Message)
			}
		}
		return nil
	}
	if err := check(fmt.Sprintf("endpoint %q", l.name), "endpoint", l.params, nil, nil); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(l.recipients)) {
		p := l.recipients[name]
		if err := check(fmt.Sprintf("recipient %q", name), "recipient", p, p.real, p.guest); err != nil {
			return err
		}
	}
	return nil
}

// lives are the endpoints of a configuration.
type lives []*live

// fits asks every endpoint of the type.
func (ls lives) fits(ctx context.Context, t *endpoint.Type) error {
	for _, l := range ls {
		if l.typ != t.Manifest().Name {
			continue
		}
		if err := l.fits(ctx, t); err != nil {
			return errors.New(l.secrets.Redact(err.Error())) // a problem may quote a value
		}
	}
	return nil
}

// serving lets the endpoints of a type reach what the versions that may serve wish for and were granted.
func (a *App) serving(name string, types []*endpoint.Type, granted *store.Grants) {
	var manifests []*plugin.Manifest
	for _, t := range types {
		manifests = append(manifests, t.Manifest())
	}
	for _, l := range a.lives {
		if l.typ != name {
			continue
		}
		if err := l.allow(granted, manifests...); err != nil {
			a.log.Error("what an endpoint may reach could not be changed", "endpoint", l.name, "error", err)
		}
	}
}

// executor gives each request the policy that its endpoint has at the time. An endpoint is known by its secrets, which it
// shares with no other.
type executor struct {
	*egress.Executor
	of map[*egress.Secrets]*live
}

func newLiveExecutor(x *egress.Executor, ls lives) *executor {
	e := &executor{x, map[*egress.Secrets]*live{}}
	for _, l := range ls {
		e.of[l.secrets] = l
	}
	return e
}

// Do implements deliver.Executor.
func (x *executor) Do(ctx context.Context, r *pdk.Request, p egress.Policy) (*pdk.Response, *pdk.TransportError) {
	if l := x.of[p.Secrets]; l != nil {
		now := l.policy.Load()
		p.Grants, p.Exec, p.Ban, p.LocalSyslog, p.Timeout = now.Grants, now.Exec, now.Ban, now.LocalSyslog, now.Timeout
	}
	return x.Executor.Do(ctx, r, p)
}

// resolveAny resolves the configuration with the versions that ran last, and if it does not fit them, with those in the
// plug-in folder: it may have been written for them.
func (a *App) resolveAny(ctx context.Context) (*resolved, error) {
	res, err := a.resolve(ctx)
	if err != nil && a.registry.TryFolder(ctx) {
		return a.resolve(ctx)
	}
	return res, err
}

// startReloading takes in what changed in the plug-in folder while nothing ran, and follows it from then on.
func (a *App) startReloading(ctx context.Context) {
	a.reloader = endpoint.NewReloader(a.registry, endpoint.ReloadOptions{Fits: a.lives.fits, Serving: a.serving})
	a.reloader.Sync(ctx)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- a.reloader.Run(ctx) }()
	a.onStop(func(context.Context) error {
		cancel()
		return <-done
	})
}

// Plugins tells how the plug-ins in use do, and what is known of the files in the plug-in folder.
func (a *App) Plugins() ([]endpoint.HandleStatus, []endpoint.FileStatus, error) {
	if a.reloader == nil {
		return nil, nil, errors.New("the service was not started")
	}
	return a.reloader.Status(), a.reloader.Files(), nil
}
