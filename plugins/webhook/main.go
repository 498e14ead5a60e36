// Command webhook is the plug-in that posts alerts as JSON to a URL, in the shape of ntopng's webhook. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/webhook.
package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// bodyVersion is the version of ntopng's webhook body.
const bodyVersion = "0.2"

// defaultWait is how long to leave a server alone that answers 429 or 503 without saying for how long.
const defaultWait = 30_000 // ms

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("the server", verdict), Lint: lint}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render puts all deliveries into one request. Alerts go out as the host wrote them, so a receiver gets every key.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	p := in.Endpoint
	ids := make([]string, len(in.Deliveries))
	size := 128
	for i := range in.Deliveries {
		size += len(in.Deliveries[i].Alert.Raw) + 1
	}
	body := append(make([]byte, 0, size), `{"version":"`+bodyVersion+`","sharedsecret":`...)
	body = pdk.AppendJSONString(body, p.String("webhook_sharedsecret", ""))
	body = append(body, `,"alerts":[`...)
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		ids[i] = d.ID
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, d.Alert.Raw...)
	}
	body = append(body, `]}`...)

	id := pdk.BatchID(ids)
	req := pdk.JSONRequest("POST", p.String("webhook_url", ""), body)
	for _, line := range p.Strings("headers") {
		if h, ok := header(line); ok {
			req.Headers = append(req.Headers, h)
		}
	}
	if p.Has("webhook_username") {
		req.Basic = &pdk.Basic{User: p.String("webhook_username", ""), Password: p.String("webhook_password", "")}
	}
	if p.Has("signing_secret") {
		req.Sign = &pdk.Sign{Scheme: "standard-webhooks", ID: id, Keys: []string{p.String("signing_secret", "")}}
	} else {
		req.Headers = append(req.Headers, pdk.Header{Name: "webhook-id", Value: id})
	}
	return &pdk.RenderOutput{Requests: []pdk.Request{{Deliveries: ids, HTTP: req}}}, nil
}

func header(line string) (pdk.Header, bool) {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimSpace(name)
	return pdk.Header{Name: name, Value: strings.TrimSpace(value)}, ok && name != ""
}

// ours are the headers that the plug-in or the host sets.
var ours = []string{
	"content-type", "content-length", "host", "connection", "transfer-encoding", "webhook-id", "webhook-timestamp", "webhook-signature",
}

// lint refuses headers that are set already.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	for i, line := range in.Endpoint.Strings("headers") {
		field := "endpoint.headers[" + strconv.Itoa(i) + "]"
		h, ok := header(line)
		name := strings.ToLower(h.Name)
		switch {
		case !ok:
			out.Add(field, `this is no header: write "Name: value"`)
		case slices.Contains(ours, name):
			out.Add(field, "tocsin sets "+h.Name+" itself: remove the line")
		case name == "authorization" && in.Endpoint.Has("webhook_username"):
			out.Add(field, "webhook_username sets Authorization already: remove one of the two")
		}
	}
	return out, nil
}

func verdict(r *pdk.Reply) pdk.Verdict {
	line, _, _ := strings.Cut(r.Text, "\n")
	r.Explain(line, 200)
	switch {
	case r.Success():
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status == 410:
		return r.Fail(pdk.EndpointBroken, "; it wants no more requests: check webhook_url")
	case r.Status == 429, r.Status == 503:
		return r.Limited(defaultWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 401, r.Status == 403, r.Status == 407:
		return r.Fail(pdk.EndpointBroken, "; check the user name, the password and the secrets")
	case r.Status >= 300 && r.Status <= 399:
		return r.Fail(pdk.EndpointBroken, "; a POST is not redirected: put the new address in webhook_url")
	}
	return r.Fail(pdk.BadPayload, "")
}
