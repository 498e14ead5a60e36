package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// defaultWait is how long to leave a cluster alone that is too busy and does not say for how long, in milliseconds.
const defaultWait = 10_000

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	r, v := pdk.NewReply("Elasticsearch", in)
	switch {
	case r == nil:
	case r.Note != "":
		v = tried(r)
	case r.Status == 200:
		return &pdk.ClassifyOutput{Verdicts: verdicts(r)}, nil
	default:
		v = refusal(r)
	}
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
}

// A meaning is what a status or an error says of the request, or of a document of it.
type meaning struct {
	outcome pdk.Outcome
	hint    string
}

var (
	unknownURL = meaning{pdk.EndpointBroken, "; check elasticsearch_url: it is the address of the cluster, without _bulk"}
	// ofRequest and ofDocument are by status or by the name of the error, which goes first.
	ofRequest = map[string]meaning{
		"401": {pdk.EndpointBroken, "; check api_key, or elasticsearch_username and elasticsearch_password"},
		"403": {pdk.EndpointBroken, "; the log-in may not write: it needs the privileges create_doc and auto_configure"},
		"404": unknownURL, "405": unknownURL, "406": unknownURL, "410": unknownURL,
		"413":                     {pdk.Rejected, ""},
		"cluster_block_exception": {pdk.Retry, ""},
	}
	// What one recipient's index is to blame for does not hold the endpoint, since other recipients are not concerned.
	ofDocument = map[string]meaning{
		"0":                            {pdk.Retry, ""},
		"401":                          {pdk.Retry, "; the log-in needs the privileges create_doc and auto_configure for elasticsearch_index"},
		"403":                          {pdk.Retry, "; the log-in needs the privileges create_doc and auto_configure for elasticsearch_index"},
		"404":                          {pdk.Retry, "; create the index, or allow it to be made by itself (action.auto_create_index)"},
		"cluster_block_exception":      {pdk.Retry, ""},
		"invalid_index_name_exception": {pdk.Retry, "; check elasticsearch_index"},
		"validation_exception":         {pdk.Retry, ""}, // such as: no more shards are allowed
	}
)

// judge says what a refusal means, of which failed is the error: an object, or a bare text where it is a proxy's or an old one.
func judge(r *pdk.Reply, failed any, table map[string]meaning, otherwise pdk.Outcome) pdk.Verdict {
	e, _ := failed.(map[string]any)
	kind, why := pdk.Params(e).String("type", ""), pdk.Params(e).String("reason", "")
	if text, ok := failed.(string); ok {
		why = text
	}
	if kind != "" && why != "" {
		why = ": " + why
	}
	r.Explain(kind+why, 300)
	m, known := table[kind]
	if !known {
		m, known = table[strconv.Itoa(r.Status)]
	}
	switch {
	case r.Status == 429:
		return r.Limited(defaultWait, "")
	case r.Passing(), m.outcome == pdk.Retry:
		return r.Retry(m.hint)
	case known:
		return r.Fail(m.outcome, m.hint)
	}
	return r.Fail(otherwise, "")
}

// refusal is for an answer to the request as a whole.
func refusal(r *pdk.Reply) pdk.Verdict {
	if r.Status < 400 {
		return r.Fail(unknownURL.outcome, unknownURL.hint)
	}
	return judge(r, r.JSON["error"], ofRequest, pdk.BadPayload)
}

// tried judges a step of the probe.
func tried(r *pdk.Reply) pdk.Verdict {
	_, isVersion := r.JSON["version"].(map[string]any)
	switch {
	case r.Note == noteInfo && r.Status == 403:
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the log-in may not ask for the cluster's version, which is no fault"}
	case r.Note != noteInfo && (r.Status == 400 || r.Status == 404 || r.Status == 405 || r.Status == 500):
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "this server has no Elastic security and cannot tell; only a test message shows it"}
	case r.Status != 200:
		return refusal(r)
	case r.JSON == nil, r.Note == noteInfo && !isVersion:
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "what answers is no Elasticsearch; check elasticsearch_url"}
	case r.Note == noteMay && !r.JSON.Bool("has_all_requested", false):
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the log-in lacks a privilege for this index: it needs create_doc and auto_configure"}
	}
	return pdk.Verdict{Outcome: pdk.Delivered}
}

// verdicts reads the items of an answer to _bulk, which come in the order of the request. A delivery whose item cannot be
// read is tried again: a repeat does no harm.
func verdicts(r *pdk.Reply) []pdk.Verdict {
	ids := r.In.Request.Deliveries
	items, ok := parse(r)
	rest := "the answer to this document could not be read"
	switch {
	case !ok:
		return []pdk.Verdict{{Outcome: pdk.Retry, Reason: "Elasticsearch answered 200, but not as _bulk does: check elasticsearch_url, and proxies on the way"}}
	case len(items) > len(ids), len(items) < len(ids) && !r.In.Response.Truncated:
		rest = "Elasticsearch answered for " + strconv.Itoa(len(items)) + " documents of " + strconv.Itoa(len(ids))
		items = nil // whose is whose is not known
	}
	out := make([]pdk.Verdict, 0, len(items)+1)
	for i, item := range items {
		v := document(r, item)
		v.Delivery = ids[i]
		out = append(out, v)
	}
	if len(items) < len(ids) {
		out = append(out, pdk.Verdict{Outcome: pdk.Retry, Reason: rest})
	}
	return out
}

// parse gives the items of an answer. Of one that was cut off it gives those in front of the cut: a quote within a text has a
// backslash before it, so what separates two items stands nowhere else.
func parse(r *pdk.Reply) ([]pdk.Params, bool) {
	answer := r.JSON
	if r.In.Response.Truncated {
		i := strings.LastIndex(r.Text, `}},{"create":`)
		if i < 0 || !strings.Contains(r.Text[:i], `"items":[`) {
			return nil, true // nothing but the beginning
		}
		v, _ := pdk.ParseJSON([]byte(r.Text[:i+2] + "]}"))
		answer, _ = v.(map[string]any)
	}
	list, ok := answer["items"].([]any)
	items := make([]pdk.Params, len(list))
	for i := range list {
		op, _ := list[i].(map[string]any)
		if items[i] = pdk.Params(op).Object("create"); items[i] == nil {
			return nil, false
		}
	}
	return items, ok
}

// document says what became of one document of an answer.
func document(answer *pdk.Reply, item pdk.Params) pdk.Verdict {
	r := pdk.Reply{Status: int(item.Int("status", 0)), Wait: answer.Wait}
	r.Said = "Elasticsearch answered " + strconv.Itoa(r.Status)
	switch {
	case r.Success() && item.String("failure_store", "") == "used":
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "it is in the failure store, not in the data stream: the document does not fit the stream's mapping or pipeline"}
	case r.Success():
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status == 409:
		return pdk.Verdict{Outcome: pdk.Duplicate, Reason: "the document is there already"}
	}
	return judge(&r, item["error"], ofDocument, pdk.Rejected)
}
