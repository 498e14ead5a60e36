// Command ntfy is an endpoint for tocsin that sends alerts as push messages of ntfy (https://docs.ntfy.sh/publish/). The
// module is two pure functions and a third to test a configuration; the host sends the requests.
package main

import (
	"strconv"

	"github.com/tocsin-net/tocsin/pdk"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {} // never called, but package main needs it

// render makes one request of each delivery: the alert's text as the body, the rest in headers.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	url := pdk.JoinURL(in.Endpoint.String("server_url", ""), in.Recipient.String("topic", ""))
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		priority, tags := look(&d.Alert)
		if d.Alert.Category != "" {
			tags += "," + d.Alert.Category
		}
		headers := []pdk.Header{
			{Name: "Title", Value: d.Subject},
			{Name: "Priority", Value: strconv.Itoa(priority)},
			{Name: "Tags", Value: tags},
		}
		out.Requests = append(out.Requests, pdk.Request{
			Deliveries: []string{d.ID},
			HTTP:       &pdk.HTTPRequest{Method: "POST", URL: url, Headers: append(headers, login(in.Endpoint)...), Body: d.Text},
		})
	}
	return out, nil
}

// look gives a message's priority, from 1 to 5, and its first tag, which ntfy shows as an emoji.
func look(a *pdk.Alert) (priority int, tag string) {
	if a.Action == "release" {
		return 2, "white_check_mark"
	}
	switch a.Severity {
	case "emergency", "alert", "critical":
		return 5, "rotating_light"
	case "error":
		return 4, "warning"
	case "warning":
		return 3, "warning"
	case "notice":
		return 3, "information_source"
	case "info":
		return 2, "information_source"
	}
	return 1, "information_source"
}

// login is the header with the access token, if there is one. The token is a placeholder that the host replaces.
func login(endpoint pdk.Params) []pdk.Header {
	if !endpoint.Has("access_token") {
		return nil
	}
	return []pdk.Header{{Name: "Authorization", Value: "Bearer " + endpoint.String("access_token", "")}}
}

// classify says what an answer means. Statuses from 200 to 299 do not come here: the manifest knows them.
func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{verdict(in)}}, nil
}

func verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Response == nil {
		v := pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
		if in.Error != nil {
			v.Reason = in.Error.Message
		}
		return v
	}
	status := in.Response.Status
	v := pdk.Verdict{Outcome: pdk.Rejected, Reason: "ntfy answered " + strconv.Itoa(status)}
	// The body of a failure is {"code": 40101, "http": 401, "error": "unauthorized", ...}.
	if body, err := pdk.ParseJSON([]byte(in.Response.Body)); err == nil {
		if m, ok := body.(map[string]any); ok {
			if text, ok := m["error"].(string); ok {
				v.Reason += ": " + text
			}
		}
	}
	switch {
	case status >= 200 && status <= 299:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case status == 429, status >= 500:
		v.Outcome = pdk.Retry
		v.RetryAfterMS = pdk.RetryAfter(in.Response.Headers, in.Now)
	case status == 401, status == 403:
		v.Outcome = pdk.EndpointBroken
		v.Reason += "; check access_token and what it may write to"
	case status == 400, status == 413:
		v.Outcome = pdk.BadPayload
	}
	return v
}

// probe tests a configuration without a message: whether the server is well, and whether it knows the token.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	step := func(title string, path ...string) pdk.ProbeStep {
		return pdk.ProbeStep{Title: title, Request: pdk.Request{HTTP: &pdk.HTTPRequest{
			Method: "GET", URL: pdk.JoinURL(in.Endpoint.String("server_url", ""), path...), Headers: login(in.Endpoint),
		}}}
	}
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{step("Is the server well?", "v1/health")}}
	if in.Recipient.Has("topic") {
		out.Steps = append(out.Steps, step("Is the topic open to the token?", in.Recipient.String("topic", ""), "auth"))
	}
	return out, nil
}
