// Command leaky is an endpoint that does what it can to give its secrets away: it copies their placeholders, and what a
// service answers, into every place that a plug-in can write to. It is for the test that looks for secrets in all outputs.
package main

import (
	"unsafe"

	"github.com/tocsin-net/tocsin/pdk"
)

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env store_u8
func storeU8(at uint64, b uint32)

//go:wasmimport extism:host/env log_error
func logError(at uint64)

//go:wasmimport tocsin:host/env error_write
func errorWrite(p unsafe.Pointer, n uint32)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// shout writes a text to the log and to both standard streams.
func shout(text string) {
	at := alloc(uint64(len(text)))
	for i := range len(text) {
		storeU8(at+uint64(i), uint32(text[i]))
	}
	logError(at)
	println(text)
}

func all(e, r pdk.Params) string {
	return e.String("url", "") + " " + e.String("token", "") + " " + e.String("note", "") + " " + r.String("key", "")
}

func request(in pdk.Params, rc pdk.Params, method string) *pdk.HTTPRequest {
	token, key := in.String("token", ""), rc.String("key", "")
	return &pdk.HTTPRequest{
		Method: method, URL: pdk.JoinURL(in.String("url", ""), "path", token) + "?key=" + key + "&token=" + token,
		Headers: []pdk.Header{{Name: "X-Token", Value: "Bearer " + token}, {Name: "X-Key", Value: key}, {Name: "Content-Type", Value: in.String("type", "application/json")}},
		Body:    `{"token":"` + token + `","key":"` + key + `"}`,
		Basic:   &pdk.Basic{User: "leaky", Password: token},
	}
}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	text := all(in.Endpoint, in.Recipient)
	shout("render " + text)
	switch in.Endpoint.String("mode", "") {
	case "panic":
		panic("render has " + text)
	case "reject":
		out := &pdk.RenderOutput{}
		for _, d := range in.Deliveries {
			out.Rejected = append(out.Rejected, pdk.Verdict{Delivery: d.ID, Outcome: pdk.Rejected, Reason: "rejected " + text})
		}
		return out, nil
	case "error":
		errorWrite(unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
		return nil, &failure{"failed " + text}
	case "header":
		r := request(in.Endpoint, in.Recipient, "POST")
		r.Headers = append(r.Headers, pdk.Header{Name: "X-" + in.Endpoint.String("token", ""), Value: "1"})
		return one(in, r), nil
	case "elsewhere":
		r := request(in.Endpoint, in.Recipient, "POST")
		r.URL = "http://127.0.0.1:2/" + in.Endpoint.String("token", "")
		return one(in, r), nil
	}
	return one(in, request(in.Endpoint, in.Recipient, "POST")), nil
}

func one(in *pdk.RenderInput, r *pdk.HTTPRequest) *pdk.RenderOutput {
	ids := make([]string, len(in.Deliveries))
	for i := range in.Deliveries {
		ids[i] = in.Deliveries[i].ID
	}
	return &pdk.RenderOutput{Requests: []pdk.Request{{Deliveries: ids, HTTP: r, Note: "note " + in.Endpoint.String("mode", "") + " " + all(in.Endpoint, in.Recipient)}}}
}

// classify quotes everything that it is told, and gives it a second time as the message's id.
func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	said := in.Request.Note
	if in.Error != nil {
		said += " " + in.Error.Message
	}
	if in.Response != nil {
		for _, k := range []string{"x-echo", "x-hex", "location", "www-authenticate"} {
			said += " " + in.Response.Headers[k]
		}
		said += " " + in.Response.Body
	}
	shout("classify " + said)
	if len(in.Request.Note) > 11 && in.Request.Note[:11] == "note crash " {
		panic("classify has " + said)
	}
	v := pdk.Verdict{Outcome: pdk.Retry, Reason: said}
	if in.Response != nil && in.Response.Status < 300 {
		v = pdk.Verdict{Outcome: pdk.Delivered, Reason: said, ProviderID: said}
		if len(v.ProviderID) > 500 {
			v.ProviderID = v.ProviderID[:500]
		}
	}
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
}

func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	text := all(in.Endpoint, in.Recipient)
	shout("lint " + text)
	switch mode := in.Endpoint.String("mode", ""); {
	case mode == "lint fails":
		return nil, &failure{"cannot lint " + text}
	case mode == "lint panics":
		panic("lint has " + text)
	case mode == "lint" && in.Recipient == nil:
		return &pdk.LintOutput{Problems: []pdk.Problem{{Field: "endpoint.token", Message: "is not " + text}}}, nil
	case mode == "lint recipient" && in.Recipient != nil:
		return &pdk.LintOutput{Problems: []pdk.Problem{{Field: "recipient.key", Message: "is not " + text}}}, nil
	}
	return &pdk.LintOutput{}, nil
}

func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Is it " + all(in.Endpoint, in.Recipient) + "?",
		Request: pdk.Request{Note: "note probe", HTTP: request(in.Endpoint, in.Recipient, "GET")},
	}}}, nil
}

type failure struct{ text string }

func (f *failure) Error() string { return f.text }
