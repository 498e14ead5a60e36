package endpoint

import (
	"fmt"
	"strings"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// What a guest's answer may hold at most. The sandbox caps the answer as a whole.
const (
	maxURL        = 8 << 10
	maxHeaders    = 64
	maxHeaderLen  = 8 << 10
	maxArgs       = 256
	maxNote       = 4 << 10
	maxReason     = 500
	maxProviderID = 512
	maxRetryAfter = 24 * 60 * 60 * 1000 // ms
	maxProblems   = 100
	maxSteps      = 10
	maxKeys       = 4
)

// AnswerError says that a guest's answer breaks the contract.
type AnswerError struct {
	Plugin, Function string
	Err              error // with the path of the value at fault; a *pdk.SyntaxError if it is not even the right JSON
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("plug-in %s: the answer of %s is wrong: %v", e.Plugin, e.Function, e.Err)
}

func (e *AnswerError) Unwrap() error { return e.Err }

func (t *Type) answer(function string, err error) error {
	return &AnswerError{Plugin: t.pkg.Manifest.Name, Function: function, Err: err}
}

func problem(path, format string, a ...any) error {
	return fmt.Errorf("%s: %s", path, fmt.Sprintf(format, a...))
}

// checkRender checks an answer of render against its input and cleans what may be shown to people.
func checkRender(m *plugin.Manifest, in *pdk.RenderInput, out *pdk.RenderOutput) error {
	const waiting, taken = 1, 2
	state := make(map[string]int, len(in.Deliveries))
	for i := range in.Deliveries {
		state[in.Deliveries[i].ID] = waiting
	}
	left := len(state)
	take := func(path, id string) error {
		switch state[id] {
		case waiting:
			state[id] = taken
			left--
			return nil
		case taken:
			return problem(path, "the delivery %s stands here a second time; each belongs in exactly one place", quote(id))
		}
		return problem(path, "%s is none of the deliveries that it was given", quote(id))
	}
	for i := range out.Requests {
		r, path := &out.Requests[i], fmt.Sprintf("requests[%d]", i)
		if len(r.Deliveries) == 0 {
			return problem(path+".deliveries", "it is empty; a request carries at least one delivery")
		}
		for j, id := range r.Deliveries {
			if err := take(fmt.Sprintf("%s.deliveries[%d]", path, j), id); err != nil {
				return err
			}
		}
		if err := checkRequest(m, path, r); err != nil {
			return err
		}
	}
	for i := range out.Rejected {
		v, path := &out.Rejected[i], fmt.Sprintf("rejected[%d]", i)
		if err := take(path+".delivery", v.Delivery); err != nil {
			return err
		}
		switch v.Outcome {
		case "":
			v.Outcome = pdk.BadPayload
		case pdk.BadPayload, pdk.Rejected, pdk.Skipped:
		case pdk.Delivered, pdk.Accepted, pdk.Duplicate, pdk.Retry, pdk.EndpointBroken:
			return problem(path+".outcome", "it is %q; before a request was made it can be bad_payload, rejected or skipped", v.Outcome)
		default:
			return problem(path+".outcome", "%s is no outcome", quote(string(v.Outcome)))
		}
		v.Reason, v.ProviderID, v.RetryAfterMS = oneLine(v.Reason, maxReason), "", 0
	}
	if left > 0 {
		for i := range in.Deliveries {
			if id := in.Deliveries[i].ID; state[id] == waiting {
				return problem("requests", "the delivery %s is in none of them, nor rejected (%d of %d are missing)", quote(id), left, len(in.Deliveries))
			}
		}
	}
	return nil
}

// checkRequest checks the form of one request. Whether it may be made is decided by egress, where secrets are known.
func checkRequest(m *plugin.Manifest, path string, r *pdk.Request) error {
	if len(r.Note) > maxNote {
		return problem(path+".note", "it is %d bytes long; the most is %d", len(r.Note), maxNote)
	}
	kind, err := kindOf(m, path, r)
	if err != nil {
		return err
	}
	path += "." + kind
	switch kind {
	case kindSMTP:
		return checkSMTP(path, r.SMTP)
	case kindSyslog:
		return checkSyslog(path, r.Deliveries, r.Syslog)
	case kindExec:
		return checkExec(path, r.Exec)
	case kindBan:
		return checkBan(path, r.Ban)
	}
	return checkHTTP(path, r.HTTP)
}

// secretPrefix begins what stands for a secret; see egress.Secrets.
const secretPrefix = "tocsin-secret-"

func checkHTTP(path string, h *pdk.HTTPRequest) error {
	switch h.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	default:
		return problem(path+".method", "%s is none of GET, HEAD, POST, PUT, PATCH and DELETE", quote(h.Method))
	}
	switch {
	case h.URL == "":
		return problem(path+".url", "it is empty")
	case len(h.URL) > maxURL:
		return problem(path+".url", "it is %d bytes long; the most is %d", len(h.URL), maxURL)
	case strings.ContainsFunc(h.URL, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return problem(path+".url", "it holds a space or a control character; encode it")
	}
	if len(h.Headers) > maxHeaders {
		return problem(path+".headers", "there are %d; the most is %d", len(h.Headers), maxHeaders)
	}
	for i, f := range h.Headers {
		at := fmt.Sprintf("%s.headers[%d]", path, i)
		if !isToken(f.Name) {
			return problem(at+".name", "%s is no header name", quote(f.Name))
		}
		if strings.Contains(strings.ToLower(f.Name), secretPrefix) {
			return problem(at+".name", "a secret's placeholder cannot be the name of a header; it can stand in a value")
		}
		if len(f.Value) > maxHeaderLen {
			return problem(at+".value", "it is %d bytes long; the most is %d", len(f.Value), maxHeaderLen)
		}
		if strings.ContainsFunc(f.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return problem(at+".value", "it holds a control character")
		}
	}
	if s := h.Sign; s != nil {
		switch {
		case s.Scheme != "standard-webhooks":
			return problem(path+".sign.scheme", "%s is not known; standard-webhooks is", quote(s.Scheme))
		case s.ID == "" || len(s.ID) > 256 || !isToken(s.ID):
			return problem(path+".sign.id", "it must be 1 to 256 characters that a header name may hold too")
		case len(s.Keys) == 0 || len(s.Keys) > maxKeys:
			return problem(path+".sign.keys", "there are %d; want 1 to %d", len(s.Keys), maxKeys)
		}
	}
	return nil
}

func checkExec(path string, e *pdk.ExecRequest) error {
	switch {
	case e.Script == "" || strings.ContainsAny(e.Script, "/\\\x00"):
		return problem(path+".script", "%s is not the plain name of a file", quote(e.Script))
	case len(e.Args) > maxArgs:
		return problem(path+".args", "there are %d; the most is %d", len(e.Args), maxArgs)
	case e.TimeoutMS < 0:
		return problem(path+".timeout_ms", "it is negative")
	}
	for i, a := range e.Args {
		if strings.ContainsRune(a, 0) {
			return problem(fmt.Sprintf("%s.args[%d]", path, i), "it holds a zero byte, which no argument can")
		}
	}
	return nil
}

// checkClassify checks an answer of classify and gives each delivery its verdict, in the request's order.
func checkClassify(in *pdk.ClassifyInput, out *pdk.ClassifyOutput) (*pdk.ClassifyOutput, error) {
	var rest *pdk.Verdict
	known := make(map[string]*pdk.Verdict, len(in.Request.Deliveries))
	for _, id := range in.Request.Deliveries {
		known[id] = nil
	}
	for i := range out.Verdicts {
		v, path := &out.Verdicts[i], fmt.Sprintf("verdicts[%d]", i)
		if !v.Outcome.Valid() {
			return nil, problem(path+".outcome", "%s is no outcome", quote(string(v.Outcome)))
		}
		if len(v.ProviderID) > maxProviderID {
			return nil, problem(path+".provider_id", "it is %d bytes long; the most is %d", len(v.ProviderID), maxProviderID)
		}
		v.Reason = oneLine(v.Reason, maxReason)
		v.RetryAfterMS = max(0, min(v.RetryAfterMS, maxRetryAfter))
		if v.Delivery == "" {
			if rest != nil {
				return nil, problem(path, "there is a second verdict without a delivery")
			}
			rest = v
			continue
		}
		old, ok := known[v.Delivery]
		if !ok {
			return nil, problem(path+".delivery", "%s is none of the deliveries of this request", quote(v.Delivery))
		}
		if old != nil {
			return nil, problem(path+".delivery", "%s has two verdicts", quote(v.Delivery))
		}
		known[v.Delivery] = v
	}
	all := &pdk.ClassifyOutput{Verdicts: make([]pdk.Verdict, 0, len(in.Request.Deliveries))}
	for _, id := range in.Request.Deliveries {
		v := known[id]
		if v == nil {
			v = rest
		}
		if v == nil {
			return nil, problem("verdicts", "the delivery %s has none", quote(id))
		}
		each := *v
		each.Delivery = id
		all.Verdicts = append(all.Verdicts, each)
	}
	return all, nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

// oneLine makes a guest's text fit to be shown: one line of at most n bytes, without control characters or those that
// turn the direction of writing.
func oneLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
	return pdk.TruncateBytes(strings.TrimSpace(s), n)
}

func quote(s string) string { return fmt.Sprintf("%q", oneLine(s, 80)) }
