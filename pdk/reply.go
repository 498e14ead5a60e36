package pdk

import (
	"strconv"
	"strings"
)

// JSONRequest makes a request to a service that speaks JSON: with a body it says that it is JSON, nil is none.
func JSONRequest(method, url string, body []byte) *HTTPRequest {
	r := &HTTPRequest{Method: method, URL: url, Body: string(body)}
	if body != nil {
		r.Headers = []Header{{Name: "Content-Type", Value: "application/json"}}
	}
	return r
}

// Reject leaves a delivery without a request and says why.
func (m *RenderOutput) Reject(d *Delivery, o Outcome, reason string) {
	m.Rejected = append(m.Rejected, Verdict{Delivery: d.ID, Outcome: o, Reason: reason})
}

// Add reports a mistake in a parameter, such as "endpoint.url".
func (m *LintOutput) Add(field, message string) {
	m.Problems = append(m.Problems, Problem{Field: field, Message: message})
}

// Ask adds a step to a probe: its title is a question that the service answers; the note is classify's.
func (m *ProbeOutput) Ask(title, note string, r *HTTPRequest) {
	m.Steps = append(m.Steps, ProbeStep{Title: title, Request: Request{HTTP: r, Note: note}})
}

// Reply is a service's answer while it is judged. Judge makes it; what a plug-in adds is what its service means by the answer.
type Reply struct {
	// In is all that the host gave to classify.
	In *ClassifyInput
	// Status is the answer's status code, Note the request's own note.
	Status int
	Note   string
	// Text is the body without spaces around it. JSON is the body if it is a JSON object, and nil if it is not.
	Text string
	JSON Params
	// Wait is what a Retry-After header asks for, in milliseconds; 0 without one.
	Wait int64
	// Said begins each reason: "Slack answered 400", and what Explain put behind it.
	Said string
}

// Judge makes a Classify of a function that judges one answer for all deliveries of its request. A transport error, or no answer at
// all, is tried again without asking it. The service's name is for reasons, as in "Slack answered 400".
func Judge(service string, verdict func(r *Reply) Verdict) func(*ClassifyInput) (*ClassifyOutput, error) {
	return func(in *ClassifyInput) (*ClassifyOutput, error) {
		r, v := NewReply(service, in)
		if r != nil {
			v = verdict(r)
		}
		return &ClassifyOutput{Verdicts: []Verdict{v}}, nil
	}
}

// NewReply begins to judge what came of a request. Without an answer there is no reply, and the verdict is to try again.
func NewReply(service string, in *ClassifyInput) (*Reply, Verdict) {
	switch {
	case in.Error != nil:
		return nil, Verdict{Outcome: Retry, Reason: in.Error.Message}
	case in.Response == nil:
		return nil, Verdict{Outcome: Retry, Reason: "there was no answer"}
	}
	r := &Reply{
		In: in, Status: in.Response.Status, Note: in.Request.Note, Text: strings.TrimSpace(in.Response.Body),
		Wait: RetryAfter(in.Response.Headers, in.Now), Said: service + " answered " + strconv.Itoa(in.Response.Status),
	}
	if strings.HasPrefix(r.Text, "{") {
		if v, err := ParseJSON([]byte(r.Text)); err == nil {
			m, _ := v.(map[string]any)
			r.JSON = m
		}
	}
	return r, Verdict{}
}

// Explain adds what the service said of itself to Said, cut to n code points; an empty text adds nothing.
func (r *Reply) Explain(text string, n int) {
	if text = strings.TrimSpace(text); text != "" {
		r.Said += ": " + TruncateRunes(text, n)
	}
}

// Success reports a status of the 200s.
func (r *Reply) Success() bool { return r.Status >= 200 && r.Status <= 299 }

// Passing reports a status that says by itself that another try may succeed: 408, 425, and those from 500 on. What 429 means is for
// Limited.
func (r *Reply) Passing() bool { return r.Status == 408 || r.Status == 425 || r.Status >= 500 }

// Fail is a verdict with Said and a hint as its reason; a hint begins with its own "; " or ", ".
func (r *Reply) Fail(o Outcome, hint string) Verdict {
	return Verdict{Outcome: o, Reason: r.Said + hint}
}

// Retry is Fail for a passing fault: it obeys Retry-After, which holds the whole endpoint.
func (r *Reply) Retry(hint string) Verdict {
	return Verdict{Outcome: Retry, RetryAfterMS: r.Wait, Reason: r.Said + hint}
}

// Limited is Retry for a rate limit: without Retry-After it waits for so many milliseconds.
func (r *Reply) Limited(otherwise int64, hint string) Verdict {
	v := r.Retry(hint)
	if v.RetryAfterMS <= 0 {
		v.RetryAfterMS = otherwise
	}
	return v
}
