package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

// verdict judges what the manifest's outcomes leave open. A flow runs after it has answered, so nothing is ever delivered for
// certain.
func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status, text := in.Response.Status, strings.TrimSpace(in.Response.Body)
	code, message := fault(text)
	said := "the workflow answered " + strconv.Itoa(status)
	if code != "" {
		said += " " + pdk.TruncateRunes(code, 80)
	}
	if message != "" {
		said += ": " + strings.TrimRight(pdk.TruncateRunes(message, 250), ".")
	}
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	fails := func(o pdk.Outcome, hint string) pdk.Verdict {
		return pdk.Verdict{Outcome: o, Reason: said + hint}
	}
	switch {
	case status < 300 && strings.HasPrefix(text, "<"):
		return fails(pdk.Retry, " with a page, not as a workflow does: check teams_url, and proxies on the way")
	case status < 300 && code != "":
		return fails(pdk.Retry, "")
	case status < 300:
		return pdk.Verdict{Outcome: pdk.Accepted}
	case strings.Contains(code, "NotEnabled") || strings.Contains(code, "Disabled") || strings.Contains(code, "Suspended"):
		return fails(pdk.EndpointBroken, "; turn the workflow on again: Teams, Workflows, the workflow's menu")
	case status == 429:
		if wait <= 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 401, status == 403:
		return fails(pdk.EndpointBroken, "; check teams_url: copy it again from the workflow, with all that stands behind the question mark")
	case status == 404, status == 410:
		return fails(pdk.EndpointBroken, "; the workflow is gone or has a new address: copy its URL again, or make a new one")
	case status >= 300 && status < 400:
		return fails(pdk.EndpointBroken, "; a POST is not redirected: put the new address in teams_url")
	}
	return fails(pdk.BadPayload, "") // 400, 413 and the like: the request itself
}

// fault reads the error of a workflow's answer: {"error":{"code":"...","message":"..."}}.
func fault(body string) (code, message string) {
	v, err := pdk.ParseJSON([]byte(body))
	top, ok := v.(map[string]any)
	if err != nil || !ok {
		return "", ""
	}
	e, ok := top["error"].(map[string]any)
	if !ok {
		return "", ""
	}
	return pdk.Params(e).String("code", ""), pdk.Params(e).String("message", "")
}
