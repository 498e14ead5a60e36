// Command pagerduty is the plug-in that opens and resolves alerts in PagerDuty through its Events API v2. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/pagerduty.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// limitedWait is how long to wait after a 429, which comes without Retry-After as far as PagerDuty documents it; its limits
	// are by the minute.
	limitedWait = 120_000 // ms
	// noteProbe marks the request of a probe, whose answer names no incident.
	noteProbe = "probe"
)

// hosts of the Events API by service region.
var hosts = map[string]string{"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render makes an event of each delivery: PagerDuty takes one a request.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		key := dedupKey(d)
		if key == "" {
			out.Rejected = append(out.Rejected, pdk.Verdict{
				Delivery: d.ID,
				Outcome:  pdk.Rejected,
				Reason:   "the alert ended, but it has no key, so PagerDuty cannot be told which incident to resolve",
			})
			continue
		}
		out.Requests = append(out.Requests, pdk.Request{
			Deliveries: []string{d.ID},
			HTTP:       post(in.Endpoint, "v2/enqueue", event(in.Endpoint, d, key)),
		})
	}
	return out, nil
}

func post(endpoint pdk.Params, path string, body []byte) *pdk.HTTPRequest {
	base := endpoint.String("pagerduty_api_url", "")
	if base == "" {
		base = first(hosts[endpoint.String("region", "us")], hosts["us"])
	}
	return &pdk.HTTPRequest{
		Method:  "POST",
		URL:     pdk.JoinURL(base, path),
		Headers: []pdk.Header{{Name: "Content-Type", Value: "application/json"}},
		Body:    string(body),
	}
}

// probe sends a change event: PagerDuty checks its key as it does any other's, shows it under recent changes, and neither opens an
// incident nor notifies anybody.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	b := append([]byte(nil), `{"routing_key":`...)
	b = pdk.AppendJSONString(b, in.Endpoint.String("pagerduty_integration_key", ""))
	b = append(b, `,"payload":{"summary":"tocsin tests its connection; nothing has changed","source":"tocsin"}}`...)
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Does PagerDuty take the integration key? (asked with a change event, which notifies nobody)",
		Request: pdk.Request{HTTP: post(in.Endpoint, "v2/change/enqueue", b), Note: noteProbe},
	}}}, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// answer is the part of PagerDuty's answers that matters.
type answer struct {
	status, dedup string
	said          string // message and errors
}

func parse(body string) (a answer, ok bool) {
	v, err := pdk.ParseJSON([]byte(body))
	if err != nil {
		return a, false
	}
	m, isMap := v.(map[string]any)
	if !isMap {
		return a, false
	}
	top := pdk.Params(m)
	a.status, a.dedup = top.String("status", ""), top.String("dedup_key", "")
	a.said = first(top.String("message", ""), a.status)
	if errs := top.Strings("errors"); len(errs) > 0 {
		a.said += " (" + strings.Join(errs, "; ") + ")"
	}
	return a, a.status != ""
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	a, ok := parse(in.Response.Body)
	said := "PagerDuty answered " + strconv.Itoa(status)
	if a.said != "" {
		said += ": " + pdk.TruncateRunes(a.said, 300)
	}
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	switch {
	case status >= 200 && status <= 299 && ok && a.status == "success":
		v := pdk.Verdict{Outcome: pdk.Delivered}
		if in.Request.Note != noteProbe && len(a.dedup) <= maxDedup {
			v.ProviderID = a.dedup
		}
		return v
	case status >= 200 && status <= 299:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + ", but not as the Events API does: check pagerduty_api_url, and proxies on the way"}
	case status == 429:
		if wait <= 0 {
			wait = limitedWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408, status == 425:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 400 && aboutKey(a.said), status == 401, status == 403:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check pagerduty_integration_key, that it is of an Events API v2 integration, and the region"}
	case status == 404, status == 410, status >= 300 && status <= 399:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check the region and pagerduty_api_url"}
	}
	// An event that is refused as it stands would be refused without markup too: it has none.
	return pdk.Verdict{Outcome: pdk.Rejected, Reason: said}
}

// aboutKey tells whether a refusal is about the routing key, which concerns every event and not this one.
func aboutKey(said string) bool {
	said = strings.ToLower(said)
	for _, p := range []string{"routing_key", "routing key", "integration key", "service key"} {
		if strings.Contains(said, p) {
			return true
		}
	}
	return false
}
