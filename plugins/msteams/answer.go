package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// verdict judges what the manifest's outcomes leave open. A flow runs after it has answered, so nothing is ever delivered for
// certain. An error is {"error":{"code":"...","message":"..."}}.
func verdict(r *pdk.Reply) pdk.Verdict {
	fault := r.JSON.Object("error")
	code := fault.String("code", "")
	if code != "" {
		r.Said += " " + pdk.TruncateRunes(code, 80)
	}
	r.Explain(strings.TrimRight(pdk.TruncateRunes(fault.String("message", ""), 250), "."), 250)
	switch {
	case r.Status < 300 && strings.HasPrefix(r.Text, "<"):
		return r.Fail(pdk.Retry, " with a page, not as a workflow does: check teams_url, and proxies on the way")
	case r.Status < 300 && code != "":
		return r.Fail(pdk.Retry, "")
	case r.Status < 300:
		return pdk.Verdict{Outcome: pdk.Accepted}
	case strings.Contains(code, "NotEnabled") || strings.Contains(code, "Disabled") || strings.Contains(code, "Suspended"):
		return r.Fail(pdk.EndpointBroken, "; turn the workflow on again: Teams, Workflows, the workflow's menu")
	case r.Status == 429:
		return r.Limited(defaultWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 401, r.Status == 403:
		return r.Fail(pdk.EndpointBroken, "; check teams_url: copy it again from the workflow, with all that stands behind the question mark")
	case r.Status == 404, r.Status == 410:
		return r.Fail(pdk.EndpointBroken, "; the workflow is gone or has a new address: copy its URL again, or make a new one")
	case r.Status < 400:
		return r.Fail(pdk.EndpointBroken, "; a POST is not redirected: put the new address in teams_url")
	}
	return r.Fail(pdk.BadPayload, "") // 400, 413 and the like: the request itself
}
