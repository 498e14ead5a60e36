package endpoint

import (
	"context"
	"fmt"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// An adapter speaks one major version of the interface of endpoint modules. The rest of the host knows the messages of
// package pdk only, which are those of the newest version: an adapter writes them in the form that its modules read, calls
// the exports that its modules have, as often as that takes, and turns the answers back. Every answer is checked afterwards,
// whichever version it came from, so an adapter need not doubt what it translates.
//
// Minor versions need no adapter: a module skips keys that it does not know, and the host gives defaults to those that a
// module leaves out.
//
// An error is one of guest.Call as it came, one that wraps sandbox.ErrNotOffered where the version or the module has no such
// function, or an *AnswerError without the plug-in's name for an answer that cannot be translated. Adapters keep no state;
// their methods are called concurrently.
type adapter interface {
	// required is an export without which a module of this version is none.
	required() string
	render(ctx context.Context, g guest, in *pdk.RenderInput) (*pdk.RenderOutput, error)
	classify(ctx context.Context, g guest, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error)
	lint(ctx context.Context, g guest, in *pdk.LintInput) (*pdk.LintOutput, error)
	probe(ctx context.Context, g guest, in *pdk.ProbeInput) (*pdk.ProbeOutput, error)
}

// guest is a module as adapters see it; *sandbox.Module is one.
type guest interface {
	Has(export string) bool
	Call(ctx context.Context, export string, input []byte) ([]byte, error)
}

// spokenABI is an interface that this host speaks: the newest minor version of a major one, and what translates it.
type spokenABI struct {
	plugin.ABI
	adapter
}

const world = "endpoint"

// spoken has one entry for each of plugin.Spoken that is of this world; a test compares the two.
var spoken = []spokenABI{
	{plugin.ABI{World: world, Major: spec.Major, Minor: spec.Minor}, v1{}},
}

// adapterFor finds the adapter for what a module was built for.
func adapterFor(speaks []spokenABI, a plugin.ABI) (adapter, error) {
	var known plugin.ABIs
	for _, s := range speaks {
		known = append(known, s.ABI)
	}
	if err := known.Check(a); err != nil {
		return nil, err
	}
	for _, s := range speaks {
		if s.World == a.World && s.Major == a.Major {
			return s.adapter, nil
		}
	}
	return nil, fmt.Errorf("%s has no adapter", a) // Check found one
}

// v1 is the adapter of endpoint 1.x: the messages are those of package pdk, in JSON, and the exports are their names.
type v1 struct{}

func (v1) required() string { return pdk.ExportRender }

func (v1) render(ctx context.Context, g guest, in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := new(pdk.RenderOutput)
	return out, callJSON(ctx, g, pdk.ExportRender, in, out)
}

func (v1) classify(ctx context.Context, g guest, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	out := new(pdk.ClassifyOutput)
	return out, callJSON(ctx, g, pdk.ExportClassify, in, out)
}

func (v1) lint(ctx context.Context, g guest, in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := new(pdk.LintOutput)
	return out, callJSON(ctx, g, pdk.ExportLint, in, out)
}

func (v1) probe(ctx context.Context, g guest, in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := new(pdk.ProbeOutput)
	return out, callJSON(ctx, g, pdk.ExportProbe, in, out)
}

// callJSON makes a call whose messages are JSON.
func callJSON(ctx context.Context, g guest, export string, in interface{ AppendJSON([]byte) []byte }, out interface{ DecodeJSON([]byte) error }) error {
	b, err := g.Call(ctx, export, in.AppendJSON(nil))
	if err != nil {
		return err
	}
	if err := out.DecodeJSON(b); err != nil {
		return &AnswerError{Function: export, Err: err}
	}
	return nil
}
