package endpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestSpoken: what a package may need and what there are adapters for is the same.
func TestSpoken(t *testing.T) {
	var have plugin.ABIs
	for _, s := range spoken {
		have = append(have, s.ABI)
	}
	want := slices.DeleteFunc(plugin.Spoken(), func(a plugin.ABI) bool { return a.World != world })
	if !slices.Equal(have, want) {
		t.Errorf("there are adapters for %v; packages are taken for %v", have, want)
	}
}

// other is the adapter of an interface that never was, endpoint 7: a call for each delivery, plain texts, other names.
type other struct{}

func (other) required() string { return "send" }

func (other) render(ctx context.Context, g guest, in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := new(pdk.RenderOutput)
	for _, d := range in.Deliveries {
		body, err := g.Call(ctx, "send", []byte(d.Text))
		if err != nil {
			return nil, err
		}
		out.Requests = append(out.Requests, pdk.Request{
			Deliveries: []string{d.ID}, HTTP: &pdk.HTTPRequest{Method: "POST", URL: in.Endpoint.String("url", ""), Body: string(body)},
		})
	}
	return out, nil
}

func (other) classify(ctx context.Context, g guest, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	if in.Response == nil {
		return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: pdk.Retry, Reason: in.Error.Message}}}, nil // it knew none of these
	}
	b, err := g.Call(ctx, "judge", fmt.Append(nil, in.Response.Status))
	if err != nil {
		return nil, err
	}
	v := pdk.Verdict{Outcome: pdk.Delivered}
	switch string(b) {
	case "y":
	case "n":
		v.Outcome = pdk.Retry
	default:
		return nil, &AnswerError{Function: "judge", Err: fmt.Errorf("%q is neither y nor n", b)}
	}
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
}

func (other) lint(context.Context, guest, *pdk.LintInput) (*pdk.LintOutput, error) {
	return nil, sandbox.ErrNotOffered
}

func (other) probe(context.Context, guest, *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return nil, sandbox.ErrNotOffered
}

// TestOtherMajor gives a host an adapter of another major version and runs a module of that version through it, beside one
// of endpoint 1: the callers see no difference, and the answers are checked in the same way.
func TestOtherMajor(t *testing.T) {
	speaks := append(slices.Clone(spoken), spokenABI{plugin.ABI{World: world, Major: 7, Minor: 2}, other{}})
	var abis plugin.ABIs
	for _, s := range speaks {
		abis = append(abis, s.ABI)
	}
	wasm, err := os.ReadFile("testdata/otherabi/other.wasm")
	if err != nil {
		t.Fatal(err)
	}
	pack := func(abi string) (*plugin.Package, error) {
		b, err := plugin.Pack(wasm, plugin.Parts{
			ABI:  abi,
			Lint: []byte(`{"type": "object", "properties": {"endpoint": {"type": "object", "properties": {}}, "recipient": {"type": "object", "properties": {}}}}`),
			Manifest: []byte("name = \"old\"\ntitle = \"Old\"\nversion = \"1.0.0\"\nworld = \"endpoint\"\ndescription = \"Is old.\"\n" +
				"licence = \"Apache-2.0\"\nhelp = \"Nothing.\"\n[[net]]\nhost = \"127.0.0.1\"\nreason = \"to send\"\n"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return plugin.ParseFor("old.wasm", b, abis)
	}
	rt, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(t.Context())

	if _, err := pack("endpoint 7.3"); err == nil || !strings.Contains(err.Error(), "the plug-in needs endpoint ABI 7.3: this tocsin speaks "+abis.String()+"; update tocsin") {
		t.Errorf("a version that is too new: got %v", err)
	}
	pkg, err := pack("endpoint 7.1")
	if err != nil {
		t.Fatal(err)
	}
	// What reads packages and what runs them refuse alike, so that neither relies on the other.
	if _, err := Load(t.Context(), rt, pkg); err == nil || !strings.Contains(err.Error(), "old.wasm: the plug-in needs endpoint ABI 7.1: this tocsin speaks "+abis[:1].String()+"; update tocsin") {
		t.Errorf("a host without the adapter: got %v", err)
	}
	if one, err := pack("endpoint 1.0"); err != nil {
		t.Error(err)
	} else if _, err := load(t.Context(), rt, one, speaks); err == nil || !strings.Contains(err.Error(), `has no function "render"; a module of endpoint 1.0 must export it`) {
		t.Errorf("a module that is not what it says: got %v", err)
	}

	ty, err := load(t.Context(), rt, pkg, speaks)
	if err != nil {
		t.Fatal(err)
	}
	input := func(texts ...string) *pdk.RenderInput {
		in := &pdk.RenderInput{Endpoint: pdk.Params{"url": "http://127.0.0.1/x"}, Recipient: pdk.Params{}}
		for i, text := range texts {
			in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: fmt.Sprint(i), Text: text})
		}
		return in
	}
	out, err := ty.Render(t.Context(), input("first", "second"))
	if err != nil || len(out.Requests) != 2 || out.Requests[1].HTTP.Body != "second" || out.Requests[1].Deliveries[0] != "1" {
		t.Fatalf("got %+v, %v", out, err)
	}
	if _, err := ty.Render(t.Context(), input("fine", "!crash")); !errors.As(err, new(*sandbox.TrapError)) {
		t.Errorf("a crash: got %v", err)
	}
	bad := input("x")
	bad.Endpoint["url"] = ""
	if _, err := ty.Render(t.Context(), bad); !errors.As(err, new(*AnswerError)) || !strings.Contains(err.Error(), "plug-in old: the answer of render is wrong: requests[0].http.url") {
		t.Errorf("a request without a URL: got %v", err)
	}
	for status, want := range map[int]pdk.Outcome{200: pdk.Delivered, 503: pdk.Retry} {
		v, err := ty.Classify(t.Context(), &pdk.ClassifyInput{
			Request: pdk.RequestInfo{Kind: "http", Deliveries: []string{"0"}}, Response: &pdk.Response{Status: status},
		})
		if err != nil || len(v.Verdicts) != 1 || v.Verdicts[0].Outcome != want || v.Verdicts[0].Delivery != "0" {
			t.Errorf("%d: got %+v, %v", status, v, err)
		}
	}
	if p, err := ty.Lint(t.Context(), &pdk.LintInput{}); p != nil || err != nil {
		t.Errorf("lint: got %v, %v", p, err)
	}
	if s, err := ty.Probe(t.Context(), &pdk.ProbeInput{}); s != nil || err != nil {
		t.Errorf("probe: got %v, %v", s, err)
	}
	if s := ty.Stats(); s.Traps != 1 || s.Calls < 6 {
		t.Errorf("got %+v", s)
	}
}

// TestAnswerOfAnAdapter: what an adapter cannot translate is the plug-in's fault, by name.
func TestAnswerOfAnAdapter(t *testing.T) {
	ty := &Type{pkg: &plugin.Package{Manifest: &plugin.Manifest{Name: "old"}}}
	err := ty.named(fmt.Errorf("wrapped: %w", &AnswerError{Function: "judge", Err: errors.New("no")}))
	if got := err.Error(); got != "plug-in old: the answer of judge is wrong: no" || !fault(err) {
		t.Errorf("got %q", got)
	}
	if err := ty.named(sandbox.ErrClosed); err != sandbox.ErrClosed { //nolint:errorlint // the same error, not one like it
		t.Errorf("got %v", err)
	}
}
