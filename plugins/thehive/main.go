// Command thehive is the plug-in that opens alerts in TheHive, with their addresses and names as observables. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/thehive.
package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Limits of InputCreateAlert in TheHive's OpenAPI document, version 5.7.3, in characters.
const (
	maxName        = 32 // of type and source
	maxRef         = 128
	maxTitle       = 512
	maxDescription = 1 << 20
	maxTag         = 128
)

const (
	// defaultWait is how long to leave a server alone that answers 429 without saying for how long.
	defaultWait = 30_000 // ms
	// Notes: the request is made in an organisation that the recipient names; closes an alert, with its status or without;
	// is the probe's.
	noteOrg, noteClose, noteTag, noteWho = "org", "close", "tag", "who"
	// maySend is the permission that a user needs.
	maySend = "manageAlert/create"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		if d.Alert.Action == "release" && d.ProviderID != "" {
			out.Requests = append(out.Requests, closing(in, d))
			continue
		}
		r := pdk.Request{Deliveries: []string{d.ID}, HTTP: request(in.Endpoint, in.Recipient, "POST", "alert", create(in, d))}
		if in.Recipient.Has("thehive_org") {
			r.Note = noteOrg
		}
		out.Requests = append(out.Requests, r)
	}
	return out, nil
}

func request(ep, rc pdk.Params, method, path string, body []byte) *pdk.HTTPRequest {
	r := &pdk.HTTPRequest{
		Method:  method,
		URL:     pdk.JoinURL(ep.String("thehive_url", ""), "api/v1", path),
		Headers: []pdk.Header{{Name: "Authorization", Value: "Bearer " + ep.String("thehive_token", "")}},
		Body:    string(body),
	}
	if org := rc.String("thehive_org", ""); org != "" {
		r.Headers = append(r.Headers, pdk.Header{Name: "X-Organisation", Value: org})
	}
	if body != nil {
		r.Headers = append(r.Headers, pdk.Header{Name: "Content-Type", Value: "application/json"})
	}
	return r
}

// create is the alert. Its sourceRef is the alert's own id, so that TheHive refuses a repeat.
func create(in *pdk.RenderInput, d *pdk.Delivery) []byte {
	a := &d.Alert
	b := field([]byte("{"), "type", or(a.Category, "other"), maxName)
	b = field(b, "source", "tocsin", maxName)
	b = field(b, "sourceRef", or(a.ID, d.ID), maxRef)
	b = field(b, "title", or(d.Subject, a.Title, a.Message, "tocsin"), maxTitle)
	b = field(b, "description", or(d.Text, a.Message), maxDescription)
	b = strconv.AppendInt(append(b, `"severity":`...), severity(a.Severity), 10)
	b = strconv.AppendInt(append(b, `,"date":`...), a.Tstamp*1000, 10)
	b = tags(append(b, `,"tlp":2,"pap":2,"tags":`...), "tocsin", "severity:"+a.Severity, "check:"+a.Check, "entity:"+a.Entity, ended(a), test(a))
	// What was refused once is sent without observables, which are what TheHive is strict about.
	if !d.Plain {
		b = observables(append(b, `,"observables":`...), in, a)
	}
	return append(b, '}')
}

func ended(a *pdk.Alert) string {
	if a.Action == "release" {
		return "ended"
	}
	return ""
}

// test marks a test message.
func test(a *pdk.Alert) string {
	if extra(a, "test").Bool("test", false) {
		return "test"
	}
	return ""
}

// extra gives the alert's JSON if it has a key that package pdk has no field for.
func extra(a *pdk.Alert, key string) pdk.Params {
	if !strings.Contains(string(a.Raw), `"`+key+`"`) { // within a text the quotes would be escaped
		return nil
	}
	v, err := pdk.ParseJSON(a.Raw)
	m, _ := v.(map[string]any)
	if err != nil {
		return nil
	}
	return m
}

// closing updates the alert of a condition that ended. If its new status is refused, because there is no such status or the
// alert is part of a case, the alert is marked without it.
func closing(in *pdk.RenderInput, d *pdk.Delivery) pdk.Request {
	b, note := []byte("{"), noteTag
	if s := in.Recipient.String("thehive_closed_status", "Ignored"); s != "" && s != "-" && d.Attempt <= 1 && !d.Plain {
		b, note = field(b, "status", s, 64), noteClose
	}
	b = field(b, "summary", or(d.Text, d.Alert.Message), maxDescription)
	b = append(b, `"addTags":["ended"]}`...)
	path := "alert/" + pdk.EscapePath(d.ProviderID)
	return pdk.Request{Deliveries: []string{d.ID}, HTTP: request(in.Endpoint, in.Recipient, "PATCH", path, b), Note: note}
}

// severity is TheHive's: 1 low, 2 medium, 3 high, 4 critical.
func severity(s string) int64 {
	switch s {
	case "emergency", "alert", "critical":
		return 4
	case "error":
		return 3
	case "warning":
		return 2
	}
	return 1
}

// field appends a member and a comma.
func field(b []byte, name, value string, most int) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	return append(pdk.AppendJSONString(b, pdk.TruncateRunes(value, most)), ',')
}

// tags appends those that are not empty; the callers give no two alike.
func tags(b []byte, all ...string) []byte {
	b = append(b, '[')
	n := 0
	for _, t := range all {
		if t == "" || strings.HasSuffix(t, ":") {
			continue
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = pdk.AppendJSONString(b, pdk.TruncateRunes(t, maxTag))
		n++
	}
	return append(b, ']')
}

func or(values ...string) string {
	for _, v := range values {
		if strings.TrimSpace(v) != "" {
			return v
		}
	}
	return ""
}

func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   "Is the token right, and may it make alerts?",
		Request: pdk.Request{HTTP: request(in.Endpoint, in.Recipient, "GET", "user/current", nil), Note: noteWho},
	}}}, nil
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
	status, note := in.Response.Status, in.Request.Note
	v, err := pdk.ParseJSON([]byte(in.Response.Body))
	m, isMap := v.(map[string]any)
	body := pdk.Params(m)
	message := ""
	if err == nil {
		message = body.String("message", "")
	}
	said := "TheHive answered " + strconv.Itoa(status)
	if message != "" {
		said += ": " + pdk.TruncateRunes(message, 300)
	}
	wait := pdk.RetryAfter(in.Response.Headers, in.Now)
	switch {
	case status >= 200 && status < 300:
		return taken(note, body, isMap, in.Response.Truncated)
	case status == 429:
		if wait == 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408:
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 401:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check thehive_token: it is a user's API key"}
	case status == 404 && (note == noteClose || note == noteTag):
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the alert is gone from TheHive: there is nothing to close"}
	case note == noteClose && (status == 400 || status == 403):
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; the alert is marked as ended without a new status instead: check thehive_closed_status"}
	case status == 403 && note == noteOrg:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; check thehive_org, and that the user may make alerts there (" + maySend + ")"}
	case status == 403 && note == noteTag:
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: said + "; the user may not change alerts (manageAlert/update)"}
	case status == 403:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; the user needs the permission " + maySend}
	case status == 404, status == 405, status < 400:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; check thehive_url: it is the address of TheHive, without /api"}
	case status == 400 || status == 409:
		text := strings.ToLower(message)
		// An observable that is there twice is told in the same words, and means that the alert was not made.
		if strings.Contains(text, "already exist") && !strings.Contains(text, "observable") {
			return pdk.Verdict{Outcome: pdk.Duplicate, Reason: said}
		}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}

// taken reads the answer to what succeeded.
func taken(note string, body pdk.Params, isMap, truncated bool) pdk.Verdict {
	switch note {
	case noteClose, noteTag:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case noteWho:
		may := body.Strings("permissions")
		if !isMap || !body.Has("login") {
			return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "what answers is no TheHive; check thehive_url"}
		}
		switch {
		case may == nil: // an older server does not tell
			return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the server does not say what the user may do"}
		case slices.Contains(may, maySend):
			return pdk.Verdict{Outcome: pdk.Delivered}
		}
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the user needs the permission " + maySend + " in this organisation"}
	}
	switch {
	case isMap && body.Has("_id"):
		return pdk.Verdict{Outcome: pdk.Delivered, ProviderID: body.String("_id", "")}
	case truncated: // it was made; only its id is not known
		return pdk.Verdict{Outcome: pdk.Delivered}
	}
	return pdk.Verdict{Outcome: pdk.Retry, Reason: "TheHive answered with success, but not as its API does: check thehive_url, and proxies on the way"}
}
