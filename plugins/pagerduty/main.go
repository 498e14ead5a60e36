// Command pagerduty is the plug-in that opens and resolves alerts in PagerDuty through its Events API v2. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/pagerduty.
package main

import (
	"slices"
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

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("PagerDuty", verdict), Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render makes an event of each delivery: PagerDuty takes one a request.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		key := dedupKey(d)
		if key == "" {
			out.Reject(d, pdk.Rejected, "the alert ended, but it has no key, so PagerDuty cannot be told which incident to resolve")
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
	base := pdk.First(endpoint.String("pagerduty_api_url", ""), hosts[endpoint.String("region", "us")], hosts["us"])
	return pdk.JSONRequest("POST", pdk.JoinURL(base, path), body)
}

// probe sends a change event: PagerDuty checks its key as it does any other's, shows it under recent changes, and neither opens an
// incident nor notifies anybody.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	o := pdk.NewObject(nil)
	o.Put("routing_key", in.Endpoint.String("pagerduty_integration_key", ""))
	o.Raw("payload", `{"summary":"tocsin tests its connection; nothing has changed","source":"tocsin"}`)
	out := &pdk.ProbeOutput{}
	out.Ask("Does PagerDuty take the integration key? (asked with a change event, which notifies nobody)", noteProbe,
		post(in.Endpoint, "v2/change/enqueue", o.Done()))
	return out, nil
}

// keyNames are how PagerDuty names the routing key in a refusal, which then concerns every event and not this one.
var keyNames = []string{"routing_key", "routing key", "integration key", "service key"}

func verdict(r *pdk.Reply) pdk.Verdict {
	status := r.JSON.String("status", "")
	text := pdk.First(r.JSON.String("message", ""), status)
	if errs := r.JSON.Strings("errors"); len(errs) > 0 {
		text += " (" + strings.Join(errs, "; ") + ")"
	}
	r.Explain(text, 300)
	aboutKey := slices.ContainsFunc(keyNames, func(name string) bool { return strings.Contains(strings.ToLower(text), name) })
	switch {
	case r.Success() && status == "success":
		v := pdk.Verdict{Outcome: pdk.Delivered}
		if key := r.JSON.String("dedup_key", ""); r.Note != noteProbe && len(key) <= maxDedup {
			v.ProviderID = key
		}
		return v
	case r.Success():
		return r.Fail(pdk.Retry, ", but not as the Events API does: check pagerduty_api_url, and proxies on the way")
	case r.Status == 429:
		return r.Limited(limitedWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 400 && aboutKey, r.Status == 401, r.Status == 403:
		return r.Fail(pdk.EndpointBroken, "; check pagerduty_integration_key, that it is of an Events API v2 integration, and the region")
	case r.Status == 404, r.Status == 410, r.Status < 400:
		return r.Fail(pdk.EndpointBroken, "; check the region and pagerduty_api_url")
	}
	// An event that is refused as it stands would be refused without markup too: it has none.
	return r.Fail(pdk.Rejected, "")
}
