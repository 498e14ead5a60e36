package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/deliver"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/secret"
	"github.com/tocsin-net/tocsin/pdk"
)

// resolved is a configuration's endpoints and recipients, checked against their plug-ins.
type resolved struct {
	lives         lives
	endpoints     []deliver.Endpoint
	endpointRows  []outbox.EndpointRow
	recipientRows []outbox.RecipientRow
	warnings      []error // what works and is not good, each with its line
}

// resolver turns the configuration's words into endpoints, and collects what is wrong with them.
type resolver struct {
	cfg      *config.Config
	registry *endpoint.Registry
	plugins  *store.Store
	secrets  *secret.Store
	told     *egress.Secrets          // what plug-ins were given of secrets, in clear or not, to be kept out of what they log
	only     func(recipient int) bool // nil: all recipients
	errs     []error
	warnings []error
}

func (a *App) resolver() *resolver {
	return &resolver{cfg: a.cfg, registry: a.registry, plugins: a.plugins, told: a.told, secrets: secret.Open(a.cfg.DataDir)}
}

// resolve checks every endpoint and recipient of the configuration and compiles the modules of those that are
// configured, and of no others. The error joins every mistake, each with its line.
func (a *App) resolve(ctx context.Context) (*resolved, error) {
	r := a.resolver()
	out := &resolved{}
	for i := range a.cfg.Endpoints {
		if e, ok := r.endpoint(ctx, i); ok {
			out.lives = append(out.lives, e.live)
			out.endpoints = append(out.endpoints, *e.deliver)
			out.endpointRows = append(out.endpointRows, e.row)
			out.recipientRows = append(out.recipientRows, e.recipients...)
		}
	}
	return out, r.end(out)
}

// end gives every mistake found, in order of the lines, and puts the warnings into out.
func (r *resolver) end(out *resolved) error {
	byLine := func(a, b error) int { return line(a) - line(b) }
	slices.SortStableFunc(r.errs, byLine)
	slices.SortStableFunc(r.warnings, byLine)
	out.warnings = r.warnings
	return errors.Join(r.errs...)
}

func line(err error) int {
	if p, ok := errors.AsType[*strict.Problem](err); ok {
		return p.Line
	}
	return 0
}

type resolvedEndpoint struct {
	live       *live
	deliver    *deliver.Endpoint
	row        outbox.EndpointRow
	recipients []outbox.RecipientRow
}

// part is the parameters of an endpoint or a recipient in their three forms.
type part struct {
	written map[string]any // as in the configuration
	real    map[string]any // references resolved: for checks, of later versions too; never written anywhere
	guest   pdk.Params     // for the plug-in: secrets as placeholders; each version fills in its own defaults
}

func (r *resolver) endpoint(ctx context.Context, i int) (*resolvedEndpoint, bool) {
	e := &r.cfg.Endpoints[i]
	before := len(r.errs)
	fail := func(key, format string, args ...any) {
		r.errs = append(r.errs, r.cfg.EndpointProblem(i, key, fmt.Sprintf("endpoint %q: ", e.Name)+fmt.Sprintf(format, args...)))
	}
	pkg, err := r.registry.Open(e.Type)
	if err != nil {
		text := err.Error()
		if u, ok := errors.AsType[*endpoint.UnknownTypeError](err); ok {
			if near := strict.Nearest(u.Name, u.Known); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
		}
		fail("type", "%s", text)
		return nil, false
	}
	params := part{written: e.Parameters}
	params.real = r.references(params.written, func(key string, err error) { fail("parameters."+key, "%s: %v", key, err) })
	if len(r.errs) > before {
		return nil, false // what a reference stands for is unknown: nothing sound can be said about the rest
	}
	quoted := quotes(params, secretNames(pkg)["endpoint"])
	for _, p := range pkg.LintParams(r.cfg.Locale, params.real, nil) {
		if name, ok := cutPart(p, "endpoint"); ok {
			fail("parameters."+name, "%s", quoted(name, p.Named()))
		}
	}
	if _, err := egress.GrantsFor(pkg.Manifest, params.real); err != nil && len(r.errs) == before {
		fail("parameters", "%v", err)
	}
	recipients := map[int]*part{}
	for k := range r.cfg.Recipients {
		if r.cfg.Recipients[k].Endpoint == e.Name && (r.only == nil || r.only(k)) {
			recipients[k] = r.recipient(k, pkg, params.real)
		}
	}
	if len(r.errs) > before {
		return nil, false
	}

	handle, err := r.registry.Handle(ctx, e.Type)
	if err != nil {
		fail("type", "%v", err)
		return nil, false
	}
	typ := handle.Type()
	l := &live{name: e.Name, typ: e.Type, hidden: secretNames(pkg), secrets: egress.NewSecrets(), recipients: map[string]part{}}
	params.guest = hide(params, l.hidden["endpoint"], l.secrets)
	r.told.Include(l.secrets)
	r.inClear(params, l.hidden["endpoint"], e.Name, func(key, text string) error {
		return r.cfg.EndpointProblem(i, "parameters."+key, fmt.Sprintf("endpoint %q: ", e.Name)+text)
	})
	l.params = params
	granted, err := r.plugins.Grants(e.Type)
	if err == nil {
		err = l.allow(granted, pkg.Manifest)
	}
	if err != nil {
		fail("type", "%v", err)
		return nil, false
	}
	filled, _ := pkg.Lint.Fill(params.guest, nil)
	problems, err := typ.Lint(ctx, &pdk.LintInput{Endpoint: filled})
	if err != nil {
		fail("type", "%s", l.secrets.Redact(err.Error()))
		return nil, false
	}
	for _, p := range problems {
		name := strings.TrimPrefix(p.Field, "endpoint.")
		fail("parameters."+name, "%s: %s", name, l.secrets.Redact(p.Message))
	}
	d := &deliver.Endpoint{
		Name: e.Name, TypeName: e.Type, Manifest: pkg.Manifest, Live: handle.Manifest, Guest: handle, Composer: handle, Params: params.guest,
		Policy: *l.policy.Load(), Recipients: map[string]deliver.Recipient{},
	}
	out := &resolvedEndpoint{live: l, deliver: d, row: outbox.EndpointRow{
		Name: e.Name, Type: e.Type, Config: record(params.written, l.hidden["endpoint"]),
	}}
	for k := range r.cfg.Recipients {
		p, ok := recipients[k]
		if !ok {
			continue
		}
		rc := &r.cfg.Recipients[k]
		p.guest = hide(*p, l.hidden["recipient"], l.secrets)
		r.told.Include(l.secrets)
		r.inClear(*p, l.hidden["recipient"], rc.Name, func(key, text string) error {
			return r.cfg.RecipientProblem(k, "parameters."+key, fmt.Sprintf("recipient %q: ", rc.Name)+text)
		})
		l.recipients[rc.Name] = *p
		in := &pdk.LintInput{}
		in.Endpoint, in.Recipient = pkg.Lint.Fill(params.guest, p.guest)
		problems, err := typ.Lint(ctx, in)
		if err != nil {
			fail("type", "%s", l.secrets.Redact(err.Error()))
			return nil, false
		}
		for _, q := range problems {
			if key, ok := strings.CutPrefix(q.Field, "recipient."); ok {
				r.errs = append(r.errs, r.cfg.RecipientProblem(k, "parameters."+key, fmt.Sprintf("recipient %q: %s: %s", rc.Name, key, l.secrets.Redact(q.Message))))
			}
		}
		locale := rc.Locale
		if locale == "" {
			locale = r.cfg.Locale
		}
		d.Recipients[rc.Name] = deliver.Recipient{Name: rc.Name, Params: p.guest, Locale: locale}
		out.recipients = append(out.recipients, outbox.RecipientRow{
			Name: rc.Name, Endpoint: e.Name, Config: record(p.written, l.hidden["recipient"]), Silence: time.Duration(rc.Silence),
		})
	}
	return out, len(r.errs) == before
}

func (r *resolver) recipient(k int, pkg *plugin.Package, endpointParams map[string]any) *part {
	rc := &r.cfg.Recipients[k]
	fail := func(key string, text string) {
		r.errs = append(r.errs, r.cfg.RecipientProblem(k, key, fmt.Sprintf("recipient %q: %s", rc.Name, text)))
	}
	p := &part{written: rc.Parameters}
	p.real = r.references(p.written, func(key string, err error) { fail("parameters."+key, key+": "+err.Error()) })
	quoted := quotes(*p, secretNames(pkg)["recipient"])
	for _, q := range pkg.LintParams(r.cfg.Locale, endpointParams, p.real) {
		if name, ok := cutPart(q, "recipient"); ok {
			fail("parameters."+name, quoted(name, q.Named()))
		}
	}
	return p
}

// quotes makes a function that redacts what a problem of a parameter may quote: its own value by its own name, even if
// another parameter has the same one.
func quotes(p part, secret map[string]bool) func(name, text string) string {
	all := egress.NewSecrets()
	hide(p, secret, all)
	return func(name, text string) string {
		if v, ok := p.real[name]; ok {
			own := egress.NewSecrets()
			hide(part{written: map[string]any{name: p.written[name]}, real: map[string]any{name: v}}, secret, own)
			text = own.Redact(text)
		}
		return all.Redact(text)
	}
}

// cutPart gives the parameter that an error is about, if it is one of the part.
func cutPart(p plugin.Problem, part string) (string, bool) {
	name, ok := strings.CutPrefix(p.Field, part)
	return strings.TrimPrefix(name, "."), ok && !p.Warning
}

// references resolves "env:", "file:" and "secret:" in texts; what cannot be resolved is told and left out.
func (r *resolver) references(written map[string]any, fail func(string, error)) map[string]any {
	out := map[string]any{}
	for key, v := range written {
		s, ok := v.(string)
		if !ok {
			out[key] = v
			continue
		}
		text, err := reference(r.cfg, r.secrets, s)
		if err != nil {
			fail(key, err)
			continue
		}
		out[key] = text
	}
	return out
}

// secretNames gives the names of the secret parameters of each part.
func secretNames(pkg *plugin.Package) map[string]map[string]bool {
	names := map[string]map[string]bool{"endpoint": {}, "recipient": {}}
	for _, path := range pkg.Lint.Secrets() {
		p, name, _ := strings.Cut(path, ".")
		names[p][name] = true
	}
	return names
}

// reference gives the value that a text of the configuration stands for.
func reference(cfg *config.Config, secrets *secret.Store, text string) (string, error) {
	kind, name := config.Reference(text)
	switch {
	case kind != config.RefSecret:
		return egress.Resolve(text, cfg.Dir())
	case name == "":
		return "", fmt.Errorf("%q names no secret: write secret:NAME (tocsin secret list shows the names)", text)
	}
	return secrets.Get(name)
}

// hide replaces secrets by placeholders. A parameter that the plug-in does not mark as secret but that was written as a
// stored secret, a file or a variable of the environment reaches the plug-in, which has to read it, and nobody else: it is
// redacted like the others.
func hide(p part, secret map[string]bool, s *egress.Secrets) pdk.Params {
	out := pdk.Params{}
	for key, v := range p.real {
		if text, ok := v.(string); ok {
			written, _ := p.written[key].(string)
			kind, _ := config.Reference(written)
			switch {
			case secret[key]:
				v = s.Add(key, text)
			case kind != "":
				s.Add(key, text)
			}
		}
		out[key] = v
	}
	return out
}

// inClear warns of secrets that are written into the configuration as they are.
func (r *resolver) inClear(p part, secret map[string]bool, of string, problem func(key, text string) error) {
	for _, key := range slices.Sorted(maps.Keys(p.written)) {
		text, _ := p.written[key].(string)
		if kind, _ := config.Reference(text); !secret[key] || text == "" || kind != "" {
			continue
		}
		name := of + "-" + key
		if len(name) > 64 {
			name = key
		}
		r.warnings = append(r.warnings, problem(key, fmt.Sprintf(
			"%s is written here in clear text: run tocsin secret set %s and write %s = \"secret:%s\"", key, name, key, name)))
	}
}

// record writes parameters for the ledger: a secret only as the reference it was written as.
func record(written map[string]any, secret map[string]bool) json.RawMessage {
	out := maps.Clone(written)
	for key, v := range out {
		text, _ := v.(string)
		if kind, _ := config.Reference(text); secret[key] && kind == "" {
			out[key] = "(set in the configuration)"
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil // a TOML value JSON does not know, such as NaN: the ledger goes without
	}
	return b
}
