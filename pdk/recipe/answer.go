package recipe

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// answer is a rule about answers: all it names must hold. The first rule that does decides.
type answer struct {
	on       string // send, release, probe; empty: all
	status   string // 404, 2xx; empty: all
	at       pointer
	equals   string // with set
	set      bool
	contains string
	outcome  pdk.Outcome
	after    pointer // how long to wait, in the answer
	ms       bool    // ... in milliseconds
	wait     int64   // if it says nothing: seconds
	hint     string
}

// defaultWait is how long to wait after a 429 that does not say for how long, in milliseconds.
const defaultWait = 30_000

// pointer is a JSON pointer (RFC 6901): the keys on the way. Nil: there is none.
type pointer []string

func (p pointer) find(v any) (any, bool) {
	for _, k := range p {
		switch c := v.(type) {
		case map[string]any:
			e, ok := c[k]
			if !ok {
				return nil, false
			}
			v = e
		case []any:
			i, err := strconv.Atoi(k)
			if err != nil || i < 0 || i >= len(c) {
				return nil, false
			}
			v = c[i]
		default:
			return nil, false
		}
	}
	return v, true
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

func parsePointer(s string) (pointer, bool) {
	if !strings.HasPrefix(s, "/") {
		return nil, false
	}
	keys := strings.Split(s[1:], "/")
	for i, k := range keys {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(k), "~") {
			return nil, false
		}
		keys[i] = unescapePointer.Replace(k)
	}
	return keys, true
}

func (r *Recipe) classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{r.verdict(in)}}, nil
}

func (r *Recipe) verdict(in *pdk.ClassifyInput) pdk.Verdict {
	if in.Error != nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message}
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"}
	}
	status := in.Response.Status
	body, err := pdk.ParseJSON([]byte(in.Response.Body))
	if err != nil {
		body = nil
	}
	on, expect := "send", r.expect
	if in.Request.Note == noteRelease {
		on = "release"
	} else if n, ok := strings.CutPrefix(in.Request.Note, noteProbe); ok {
		on, expect = "probe", nil
		if i, err := strconv.Atoi(n); err == nil && i >= 0 && i < len(r.probe) {
			expect = r.probe[i].expect
		}
	}
	said := "the server answered " + strconv.Itoa(status)
	if t := r.quote(body, in.Response.Body); t != "" {
		said += ": " + t
	}
	for i := range r.answers {
		if a := &r.answers[i]; a.fits(on, status, body) {
			return r.ruled(a, in, body, said)
		}
	}
	if status >= 200 && status <= 299 && expect != nil {
		if _, ok := expect.find(body); !ok {
			return pdk.Verdict{Outcome: pdk.Retry, Reason: said + ", but not as this service does: check the address, and proxies on the way"}
		}
	}
	a := answer{outcome: byStatus(status)}
	if status >= 300 && status <= 399 {
		a.hint = "requests are not redirected: put the new address into the configuration"
	}
	return r.ruled(&a, in, body, said)
}

// ruled is the verdict of one rule.
func (r *Recipe) ruled(a *answer, in *pdk.ClassifyInput, body any, said string) pdk.Verdict {
	v := pdk.Verdict{Outcome: a.outcome}
	switch a.outcome {
	case pdk.Delivered, pdk.Accepted, pdk.Duplicate:
		v.ProviderID = r.id(body)
		return v
	case pdk.Retry, pdk.EndpointBroken:
		if a.after != nil {
			if w, ok := a.after.find(body); ok {
				v.RetryAfterMS = millis(w, a.ms)
			}
		}
		if v.RetryAfterMS == 0 {
			v.RetryAfterMS = pdk.RetryAfter(in.Response.Headers, in.Now)
		}
		if v.RetryAfterMS == 0 && a.wait > 0 {
			v.RetryAfterMS = a.wait * 1000
		}
		if v.RetryAfterMS == 0 && in.Response.Status == 429 {
			v.RetryAfterMS = defaultWait
		}
	case pdk.BadPayload, pdk.Rejected, pdk.Skipped:
	}
	v.Reason = said
	if a.hint != "" {
		v.Reason += "; " + a.hint
	}
	return v
}

// millis reads how long to wait; a second part of one counts whole, so that nothing is tried too early.
func millis(v any, ms bool) int64 {
	f, ok := v.(float64)
	if t, isText := v.(string); isText {
		n, err := strconv.ParseFloat(t, 64)
		f, ok = n, err == nil
	}
	if !ok || !(f > 0) {
		return 0
	}
	if !ms {
		f *= 1000
	}
	n := int64(min(f, 1e12))
	if float64(n) < f {
		n++
	}
	return n
}

// id is what the service calls the message: what the pointers lead to, with a space between each. One that is missing makes it
// worthless.
func (r *Recipe) id(body any) string {
	var parts []string
	for _, p := range r.providerID {
		v, ok := p.find(body)
		t := plain(v)
		if !ok || t == "" || strings.Contains(t, " ") {
			return ""
		}
		parts = append(parts, t)
	}
	return strings.Join(parts, " ")
}

// quote is what the service says of itself: what one of the pointers leads to, or the answer's first line if it is no JSON.
func (r *Recipe) quote(body any, text string) string {
	for _, p := range r.said {
		if v, ok := p.find(body); ok && !empty(v) {
			return pdk.TruncateRunes(strings.TrimRight(oneLine(plain(v)), "."), 300)
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return pdk.TruncateRunes(oneLine(line), 200)
}

func (a *answer) fits(on string, status int, body any) bool {
	if a.on != "" && a.on != on {
		return false
	}
	if a.status != "" && a.status != strconv.Itoa(status) && a.status != strconv.Itoa(status/100)+"xx" {
		return false
	}
	if a.at == nil {
		return true
	}
	v, ok := a.at.find(body)
	if !ok {
		return false
	}
	if a.set {
		return plain(v) == a.equals
	}
	return a.contains == "" || strings.Contains(strings.ToLower(plain(v)), strings.ToLower(a.contains))
}

// byStatus is what a status means where no rule says otherwise: what the host itself would say.
func byStatus(s int) pdk.Outcome {
	switch {
	case s >= 200 && s <= 299:
		return pdk.Delivered
	case s >= 300 && s <= 399, s == 401, s == 403, s == 404, s == 410:
		return pdk.EndpointBroken
	case s == 408, s == 425, s == 429, s >= 500:
		return pdk.Retry
	case s == 400, s == 413, s == 422:
		return pdk.BadPayload
	}
	return pdk.Rejected
}
