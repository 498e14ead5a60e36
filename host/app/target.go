package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/deliver"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// target is one endpoint of a configuration, with one of its recipients or without any, made ready to be tried by hand. It
// is opened beside a running service: it takes the version of the plug-in that the service runs, and changes nothing.
type target struct {
	app       *App
	live      *live
	endpoint  *deliver.Endpoint
	typ       *endpoint.Type
	recipient *deliver.Recipient // nil: the endpoint alone
}

// openTarget checks an endpoint's configuration and that of one recipient, and compiles the plug-in. Mistakes elsewhere in
// the file do not matter here. recipient is an index, or -1.
func openTarget(ctx context.Context, cfg *config.Config, log *slog.Logger, ep, recipient int) (_ *target, err error) {
	t := &target{app: &App{cfg: cfg, log: log}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close(ctx))
		}
	}()
	if err := t.app.openPlugins(); err != nil {
		return nil, err
	}
	resolveOne := func() (*resolvedEndpoint, error) {
		r := t.app.resolver()
		r.only = func(k int) bool { return k == recipient }
		out, ok := r.endpoint(ctx, ep)
		if err := r.end(&resolved{}); err != nil || !ok {
			return nil, err
		}
		return out, nil
	}
	res, err := resolveOne()
	if err != nil && t.app.registry.TryFolder(ctx) {
		res, err = resolveOne()
	}
	if err != nil {
		return nil, &UsageError{err}
	}
	t.live, t.endpoint = res.live, res.deliver
	handle, err := t.app.registry.Handle(ctx, t.endpoint.TypeName)
	if err != nil {
		return nil, err
	}
	t.typ = handle.Type()
	if recipient >= 0 {
		rc := t.endpoint.Recipients[cfg.Recipients[recipient].Name]
		t.recipient = &rc
	}
	return t, nil
}

func (t *target) close(ctx context.Context) error { return t.app.Stop(context.WithoutCancel(ctx)) }

// locale is the language that the recipient is written to in.
func (t *target) locale() string {
	if t.recipient != nil && t.recipient.Locale != "" {
		return t.recipient.Locale
	}
	return t.app.cfg.Locale
}

// redact takes the endpoint's secrets, and what stands for them, out of a text.
func (t *target) redact(text string) string { return t.live.secrets.Redact(text) }

// render asks the plug-in for the requests of one alert.
func (t *target) render(ctx context.Context, m *message, locale string, plain bool) (*pdk.RenderOutput, error) {
	subject, text, err := t.endpoint.Composer.Compose(m.alert.Raw, locale, plain)
	if err != nil {
		return nil, fmt.Errorf("the message template of %s failed: %w", t.endpoint.TypeName, err)
	}
	in := &pdk.RenderInput{
		Now: m.now.UnixMilli(), Locale: locale, Endpoint: t.endpoint.Params,
		Deliveries: []pdk.Delivery{{ID: m.delivery, Alert: m.alert, Text: text, Subject: subject, Plain: plain, Attempt: 1}},
	}
	if t.recipient != nil {
		in.Recipient = t.recipient.Params
	}
	return t.endpoint.Guest.Render(ctx, in)
}

// findEndpoint gives the index of a configured endpoint.
func findEndpoint(cfg *config.Config, name string) (int, error) {
	var names []string
	for _, e := range cfg.Endpoints {
		names = append(names, e.Name)
	}
	return find("endpoint", cfg.File, name, names)
}

// findRecipient gives the indexes of a configured recipient and of its endpoint.
func findRecipient(cfg *config.Config, name string) (rc, ep int, err error) {
	var names []string
	for _, r := range cfg.Recipients {
		names = append(names, r.Name)
	}
	if rc, err = find("recipient", cfg.File, name, names); err != nil {
		return 0, 0, err
	}
	ep, err = findEndpoint(cfg, cfg.Recipients[rc].Endpoint)
	return rc, ep, err
}

func find(what, file, name string, names []string) (int, error) {
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	text := fmt.Sprintf("%s has no %s %q", file, what, name)
	switch near := strict.Nearest(name, names); {
	case near != "":
		text += fmt.Sprintf("; did you mean %q?", near)
	case len(names) == 0:
		text += fmt.Sprintf(": it has none at all; add [[%s]]", what)
	default:
		text += ": it is one of " + strings.Join(names, ", ")
	}
	return 0, usage("%s", text)
}

// sampleLink is the link of a made-up alert.
func sampleLink(cfg *config.Config, a *pdk.Alert) string {
	return cfg.LinkOf(func(name string) string {
		switch name {
		case "tstamp":
			return strconv.FormatInt(a.Tstamp, 10)
		case "ip":
			return cmp.Or(a.IP, a.Client)
		}
		return map[string]string{
			"id": a.ID, "check": a.Check, "entity": a.Entity, "severity": a.Severity, "client": a.Client, "server": a.Server, "mac": a.MAC,
			"community_id": a.CommunityID,
		}[name]
	})
}

// findSample gives the made-up alert whose name has the text in it; the first for an empty text.
func findSample(text string) (*plugin.Sample, error) {
	all := plugin.Samples()
	var names []string
	for i := range all {
		if strings.Contains(all[i].Name, text) {
			return &all[i], nil
		}
		names = append(names, all[i].Name)
	}
	return nil, usage("there is no sample alert %q: name a part of one of these: %s", text, strings.Join(names, "; "))
}
