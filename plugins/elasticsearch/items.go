package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// verdicts reads the items of an answer to _bulk, which come in the order of the request. A delivery whose item cannot be
// read is tried again: a repeat does no harm.
func verdicts(in *pdk.ClassifyInput) []pdk.Verdict {
	items, ok := parse(in.Response.Body, in.Response.Truncated)
	ids := in.Request.Deliveries
	rest := "the answer to this document could not be read"
	switch {
	case !ok:
		return []pdk.Verdict{{Outcome: pdk.Retry, Reason: "Elasticsearch answered 200, but not as _bulk does: check elasticsearch_url, and proxies on the way"}}
	case len(items) > len(ids), len(items) < len(ids) && !in.Response.Truncated:
		rest = "Elasticsearch answered for " + strconv.Itoa(len(items)) + " documents of " + strconv.Itoa(len(ids))
		items = nil // whose is whose is not known
	}
	out := make([]pdk.Verdict, 0, len(items)+1)
	for i, item := range items {
		v := judge(item, pdk.RetryAfter(in.Response.Headers, in.Now))
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
func parse(body string, truncated bool) ([]pdk.Params, bool) {
	if truncated {
		i := strings.LastIndex(body, `}},{"create":`)
		if i < 0 || !strings.Contains(body[:i], `"items":[`) {
			return nil, true // nothing but the beginning
		}
		body = body[:i+2] + "]}"
	}
	v, err := pdk.ParseJSON([]byte(body))
	m, _ := v.(map[string]any)
	list, ok := m["items"].([]any)
	if err != nil || !ok {
		return nil, false
	}
	items := make([]pdk.Params, len(list))
	for i := range list {
		op, _ := list[i].(map[string]any)
		item, ok := op["create"].(map[string]any)
		if !ok {
			return nil, false
		}
		items[i] = item
	}
	return items, true
}

// judge says what became of one document.
func judge(item pdk.Params, wait int64) pdk.Verdict {
	status := item.Int("status", 0)
	kind, why := failure(item["error"])
	said := "Elasticsearch answered " + strconv.FormatInt(status, 10) + ": " + explain(kind, why)
	switch {
	case status >= 200 && status < 300 && item.String("failure_store", "") == "used":
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "it is in the failure store, not in the data stream: the document does not fit the stream's mapping or pipeline"}
	case status >= 200 && status < 300:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case status == 409:
		return pdk.Verdict{Outcome: pdk.Duplicate, Reason: "the document is there already"}
	case status == 429:
		if wait == 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408, status == 0, kind == "cluster_block_exception":
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	// What one recipient's index is to blame for does not hold the endpoint, since other recipients are not concerned.
	case status == 401, status == 403:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; the log-in needs the privileges create_doc and auto_configure for elasticsearch_index"}
	case status == 404:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; create the index, or allow it to be made by itself (action.auto_create_index)"}
	case kind == "invalid_index_name_exception":
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said + "; check elasticsearch_index"}
	case kind == "validation_exception": // such as: no more shards are allowed
		return pdk.Verdict{Outcome: pdk.Retry, Reason: said}
	}
	return pdk.Verdict{Outcome: pdk.Rejected, Reason: said}
}

// cause finds the error in the body of a refusal, {"error":{"type":...,"reason":...},"status":...}.
func cause(body string) (kind, why string) {
	v, err := pdk.ParseJSON([]byte(body))
	if m, isMap := v.(map[string]any); err == nil && isMap {
		return failure(m["error"])
	}
	return "", ""
}

// failure reads an error, which is an object, or a bare text where it is a proxy's or an old one.
func failure(v any) (kind, why string) {
	switch e := v.(type) {
	case string:
		return "", e
	case map[string]any:
		p := pdk.Params(e)
		return p.String("type", ""), p.String("reason", "")
	}
	return "", ""
}

func explain(kind, why string) string {
	switch {
	case kind == "":
		kind = why
	case why != "":
		kind += ": " + why
	}
	if kind == "" {
		return "no reason was given"
	}
	return pdk.TruncateRunes(kind, 300)
}
