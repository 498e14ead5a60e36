package endpoint

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// memoryMB is what an instance gets whose manifest asks for nothing, maxMemoryMB the most that one can ask for.
	memoryMB, maxMemoryMB = 64, 256
	pagesPerMB            = 16
)

// Type is an endpoint type with its module compiled: what a plug-in offers, of which users configure endpoints. It is
// safe for concurrent use.
type Type struct {
	pkg    *plugin.Package
	module *sandbox.Module
	speak  adapter
	proof  sandbox.Stats // what running the test vectors took; set before the type is used
	// noClassify is set when the module has no classify, or says that it stands for nothing.
	noClassify atomic.Bool
}

// Load compiles the module of an endpoint package. Close the Type when it is not needed any more; closing the sandbox's
// runtime closes it too.
func Load(ctx context.Context, rt *sandbox.Runtime, pkg *plugin.Package) (*Type, error) {
	return load(ctx, rt, pkg, spoken)
}

func load(ctx context.Context, rt *sandbox.Runtime, pkg *plugin.Package, speaks []spokenABI) (*Type, error) {
	m := pkg.Manifest
	if m.World != world {
		return nil, fmt.Errorf("%s: %s is a plug-in for the world %q, not an endpoint", pkg.Path, m.Name, m.World)
	}
	speak, err := adapterFor(speaks, pkg.ABI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg.Path, err)
	}
	mb := m.Limits.MemoryMB
	if mb <= 0 {
		mb = memoryMB
	}
	module, err := rt.Compile(ctx, m.Name, pkg.Wasm, sandbox.Limits{MemoryPages: uint32(min(mb, maxMemoryMB) * pagesPerMB)})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", pkg.Path, err)
	}
	if !module.Has(speak.required()) {
		return nil, errors.Join(
			fmt.Errorf("%s: plug-in %s has no function %q; a module of %s must export it", pkg.Path, m.Name, speak.required(), pkg.ABI),
			module.Close(ctx))
	}
	return &Type{pkg: pkg, module: module, speak: speak}, nil
}

// Package is the package the type was loaded from.
func (t *Type) Package() *plugin.Package { return t.pkg }

// Manifest is the package's manifest.
func (t *Type) Manifest() *plugin.Manifest { return t.pkg.Manifest }

// Stats are the figures of the type's module; calls for test vectors, some of which fail as they should, are left out.
func (t *Type) Stats() sandbox.Stats {
	s, p := t.module.Stats(), &t.proof
	s.Calls -= p.Calls
	s.Time -= p.Time
	s.Fuel -= p.Fuel
	s.GuestErrors -= p.GuestErrors
	s.Traps -= p.Traps
	s.OutOfFuel -= p.OutOfFuel
	s.BadOutput -= p.BadOutput
	s.Waits -= p.Waits
	return s
}

// Close lets calls under way end and frees the module.
func (t *Type) Close(ctx context.Context) error { return t.module.Close(ctx) }

// Render asks the guest for requests. The answer was checked: every delivery stands in exactly one request or is rejected
// with a valid outcome, every request has exactly one kind, which the manifest asks for, and no part of it is larger than
// it may be. Errors are those of the sandbox, or an *AnswerError.
func (t *Type) Render(ctx context.Context, in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	if len(in.Deliveries) == 0 {
		return nil, errors.New("nothing to render: no deliveries")
	}
	out, err := t.speak.render(ctx, t.module, in)
	if err != nil {
		return nil, t.named(err)
	}
	if err := checkRender(t.pkg.Manifest, in, out); err != nil {
		return nil, t.answer(pdk.ExportRender, err)
	}
	return out, nil
}

// Classify says what an answer means for each delivery of the request. The manifest's outcome table is asked first, then
// the guest, then, if it has no classify, the host's own rules. The result holds exactly one verdict for each delivery.
func (t *Type) Classify(ctx context.Context, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	if (in.Response == nil) == (in.Error == nil) {
		return nil, errors.New("nothing to classify: want either a response or a transport error")
	}
	if r := in.Response; r != nil {
		if o, ok := t.pkg.Manifest.Outcome(in.Request.Kind, r.Status); ok {
			return spread(in, statusVerdict(in, o)), nil
		}
	}
	if t.noClassify.Load() {
		return byRules(in), nil
	}
	out, err := t.speak.classify(ctx, t.module, in)
	if errors.Is(err, sandbox.ErrNotOffered) {
		t.noClassify.Store(true)
		return byRules(in), nil
	}
	if err != nil {
		return nil, t.named(err)
	}
	out, err = checkClassify(in, out)
	if err != nil {
		return nil, t.answer(pdk.ExportClassify, err)
	}
	obeyRetryAfter(in, out)
	return out, nil
}

// obeyRetryAfter gives verdicts that name no time to wait the one that the answer's Retry-After header asks for, so that a
// plug-in in any language obeys it without reading dates.
func obeyRetryAfter(in *pdk.ClassifyInput, out *pdk.ClassifyOutput) {
	if in.Response == nil {
		return
	}
	wait := min(pdk.RetryAfter(in.Response.Headers, in.Now), maxRetryAfter)
	for i := range out.Verdicts {
		if v := &out.Verdicts[i]; v.RetryAfterMS == 0 && (v.Outcome == pdk.Retry || v.Outcome == pdk.EndpointBroken) {
			v.RetryAfterMS = wait
		}
	}
}

// Lint asks the guest for mistakes in parameters that the schema cannot state; none if it has no lint function. Secrets
// must be placeholders, as everywhere.
func (t *Type) Lint(ctx context.Context, in *pdk.LintInput) ([]pdk.Problem, error) {
	out, err := t.speak.lint(ctx, t.module, in)
	if errors.Is(err, sandbox.ErrNotOffered) {
		return nil, nil
	}
	if err != nil {
		return nil, t.named(err)
	}
	if len(out.Problems) > maxProblems {
		out.Problems = out.Problems[:maxProblems]
	}
	for i := range out.Problems {
		p := &out.Problems[i]
		p.Field, p.Message = oneLine(p.Field, 200), oneLine(p.Message, maxReason)
	}
	return out.Problems, nil
}

// Probe asks the guest for requests that test a configuration; none if it has no probe function.
func (t *Type) Probe(ctx context.Context, in *pdk.ProbeInput) ([]pdk.ProbeStep, error) {
	out, err := t.speak.probe(ctx, t.module, in)
	if errors.Is(err, sandbox.ErrNotOffered) {
		return nil, nil
	}
	if err != nil {
		return nil, t.named(err)
	}
	if len(out.Steps) > maxSteps {
		return nil, t.answer(pdk.ExportProbe, problem("steps", "there are %d; the most is %d", len(out.Steps), maxSteps))
	}
	for i := range out.Steps {
		s := &out.Steps[i]
		s.Title = oneLine(s.Title, 200)
		if err := checkRequest(t.pkg.Manifest, fmt.Sprintf("steps[%d].request", i), &s.Request); err != nil {
			return nil, t.answer(pdk.ExportProbe, err)
		}
	}
	return out.Steps, nil
}

// named gives an adapter's error the plug-in's name.
func (t *Type) named(err error) error {
	if a, ok := errors.AsType[*AnswerError](err); ok && a.Plugin == "" {
		return t.answer(a.Function, a.Err)
	}
	return err
}

// ruled is the verdict by status of an HTTP answer or a script's end.
func ruled(in *pdk.ClassifyInput) pdk.Verdict {
	s := in.Response.Status
	o := pdk.Rejected
	if in.Request.Kind == kindExec {
		switch s {
		case 0:
			o = pdk.Delivered
		case exitTempFail:
			o = pdk.Retry
		}
		return statusVerdict(in, o)
	}
	switch {
	case s >= 200 && s <= 299:
		o = pdk.Delivered
	case s == 401, s == 403, s == 404, s == 410:
		o = pdk.EndpointBroken
	case s == 408, s == 425, s == 429, s >= 500:
		o = pdk.Retry
	case s == 400, s == 413, s == 422:
		o = pdk.BadPayload
	}
	return statusVerdict(in, o)
}

// exitTempFail is EX_TEMPFAIL of sysexits.h.
const exitTempFail = 75

// statusVerdict is a verdict drawn from a status alone: it quotes the answer and obeys Retry-After.
func statusVerdict(in *pdk.ClassifyInput, o pdk.Outcome) pdk.Verdict {
	v := pdk.Verdict{Outcome: o}
	switch o {
	case pdk.Delivered, pdk.Accepted, pdk.Duplicate:
		return v
	case pdk.Retry, pdk.EndpointBroken:
		v.RetryAfterMS = min(pdk.RetryAfter(in.Response.Headers, in.Now), maxRetryAfter)
	case pdk.BadPayload, pdk.Rejected, pdk.Skipped:
	}
	r := in.Response
	v.Reason = "the server answered " + strconv.Itoa(r.Status)
	text := r.Body
	if in.Request.Kind == kindExec {
		v.Reason = "the script ended with exit code " + strconv.Itoa(r.Status)
		text = r.Stderr
	}
	if text, _, _ = strings.Cut(strings.TrimSpace(text), "\n"); text != "" {
		v.Reason += ": " + oneLine(text, 200)
	}
	return v
}

// spread gives each delivery of the request the same verdict.
func spread(in *pdk.ClassifyInput, v pdk.Verdict) *pdk.ClassifyOutput {
	out := &pdk.ClassifyOutput{Verdicts: make([]pdk.Verdict, len(in.Request.Deliveries))}
	for i, id := range in.Request.Deliveries {
		out.Verdicts[i] = v
		out.Verdicts[i].Delivery = id
	}
	return out
}
