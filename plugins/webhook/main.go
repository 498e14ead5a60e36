// Command webhook is the plug-in that posts alerts as JSON to a URL, in the shape of ntopng's webhook. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/webhook.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// bodyVersion is the version of ntopng's webhook body.
const bodyVersion = "0.2"

// defaultWait is how long to leave a server alone that answers 429 or 503 without saying for how long.
const defaultWait = 30_000 // ms

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint}

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

	id := batchID(ids)
	req := &pdk.HTTPRequest{
		Method:  "POST",
		URL:     p.String("webhook_url", ""),
		Headers: append(make([]pdk.Header, 0, 4), pdk.Header{Name: "Content-Type", Value: "application/json"}),
		Body:    string(body),
	}
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

// batchID names a request so that a receiver can drop a repeated one: a delivery's own id, or, for several, the first id
// with a hash of them all (FNV-1a, 64 bits), which stays the same as long as the batch does.
func batchID(ids []string) string {
	if len(ids) == 1 {
		return ids[0]
	}
	h := uint64(14695981039346656037)
	for _, id := range ids {
		for i := range len(id) {
			h = (h ^ uint64(id[i])) * 1099511628211
		}
		h = (h ^ '\n') * 1099511628211
	}
	return ids[0] + "-" + strconv.FormatUint(h, 16)
}

func header(line string) (pdk.Header, bool) {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimSpace(name)
	return pdk.Header{Name: name, Value: strings.TrimSpace(value)}, ok && name != ""
}

// lint refuses headers that the plug-in or the host sets.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	for i, line := range in.Endpoint.Strings("headers") {
		field := "endpoint.headers[" + strconv.Itoa(i) + "]"
		h, ok := header(line)
		if !ok {
			out.Problems = append(out.Problems, pdk.Problem{Field: field, Message: `this is no header: write "Name: value"`})
			continue
		}
		switch strings.ToLower(h.Name) {
		case "content-type", "content-length", "host", "connection", "transfer-encoding", "webhook-id", "webhook-timestamp",
			"webhook-signature":
			out.Problems = append(out.Problems, pdk.Problem{Field: field, Message: "tocsin sets " + h.Name + " itself: remove the line"})
		case "authorization":
			if in.Endpoint.Has("webhook_username") {
				out.Problems = append(out.Problems, pdk.Problem{
					Field:   field,
					Message: "webhook_username sets Authorization already: remove one of the two",
				})
			}
		}
	}
	return out, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	answer := "the server answered " + strconv.Itoa(status)
	if line, _, _ := strings.Cut(strings.TrimSpace(in.Response.Body), "\n"); line != "" {
		answer += ": " + pdk.TruncateRunes(strings.TrimSpace(line), 200)
	}
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	switch {
	case status >= 200 && status <= 299:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case status == 410:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: answer + "; it wants no more requests: check webhook_url"}
	case status == 429, status == 503:
		if wait == 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: answer}
	case status >= 500, status == 408, status == 425:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: answer}
	case status == 401, status == 403, status == 407:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: answer + "; check the user name, the password and the secrets"}
	case status >= 300 && status <= 399:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: answer + "; a POST is not redirected: put the new address in webhook_url"}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: answer}
}
