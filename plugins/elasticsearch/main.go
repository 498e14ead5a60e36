// Command elasticsearch is the plug-in that writes alerts as documents into Elasticsearch and OpenSearch. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/elasticsearch.
package main

import (
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// defaultWait is how long to leave a cluster alone that is too busy and does not say for how long.
	defaultWait   = 10_000 // ms
	defaultIndex  = "alerts-ntopng"
	defaultStream = "logs-ntopng.alerts-default" // what Elastic's own index template logs-*-* is for
	// query asks for no more of the answer than is read here, so that it is small however large the batch is.
	query = "?filter_path=errors,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason"
	// Notes mark the requests of a probe.
	noteInfo, noteWho, noteMay = "info", "who", "may"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render makes one _bulk request of all deliveries. Each is a create with the alert's id, so that a repeat changes nothing
// and is answered with 409.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	stream := in.Endpoint.String("mode", "index") == "data_stream"
	name := target(in.Recipient, stream)
	write := appendECS
	if in.Endpoint.String("compat", "") == "ntopng" {
		write = appendNtopng
	}
	body := make([]byte, 0, 2048*len(in.Deliveries))
	ids := make([]string, len(in.Deliveries))
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		ids[i] = d.ID
		index, id, text := name, d.Alert.ID, d.Text
		if !stream {
			// The alert's own day, in UTC, so that a repeat after midnight meets the same index.
			index += "-" + string(appendDay(nil, d.Alert.Tstamp/86400, '.'))
		}
		if id == "" {
			id = d.ID
		}
		if text == "" {
			text = d.Alert.Message
		}
		body = append(body, `{"create":{"_index":`...)
		body = pdk.AppendJSONString(body, index)
		body = append(body, `,"_id":`...)
		body = pdk.AppendJSONString(body, id)
		body = append(body, "}}\n"...)
		body = append(write(body, &d.Alert, text), '\n')
	}
	r := request(in.Endpoint, "POST", "_bulk"+query)
	r.Headers = append(r.Headers, pdk.Header{Name: "Content-Type", Value: "application/x-ndjson"})
	r.Body = string(body)
	return &pdk.RenderOutput{Requests: []pdk.Request{{Deliveries: ids, HTTP: r}}}, nil
}

// target is the data stream, or what the names of the daily indexes begin with.
func target(recipient pdk.Params, stream bool) string {
	name := recipient.String("elasticsearch_index", "")
	switch {
	case name != "":
		return name
	case stream:
		return defaultStream
	}
	return defaultIndex
}

// request is a request to the cluster, with its log-in. ntopng's users are told to write the address of _bulk; both do.
func request(p pdk.Params, method, path string) *pdk.HTTPRequest {
	base := strings.TrimSuffix(strings.TrimRight(p.String("elasticsearch_url", ""), "/"), "/_bulk")
	r := &pdk.HTTPRequest{Method: method, URL: strings.TrimRight(base, "/") + "/" + path}
	switch {
	case p.Has("api_key"):
		r.Headers = append(r.Headers, pdk.Header{Name: "Authorization", Value: "ApiKey " + p.String("api_key", "")})
	case p.Has("elasticsearch_username"):
		r.Basic = &pdk.Basic{User: p.String("elasticsearch_username", ""), Password: p.String("elasticsearch_password", "")}
	}
	return r
}

func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	if in.Endpoint.Has("api_key") && in.Endpoint.Has("elasticsearch_username") {
		out.Problems = append(out.Problems, pdk.Problem{
			Field:   "endpoint.api_key",
			Message: "a request is made either with an API key or as a user: leave one of the two empty",
		})
	}
	return out, nil
}

// probe asks what answers, who one is there, and whether one may write; nothing is written.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{Steps: []pdk.ProbeStep{
		{Title: "Does a cluster answer there?", Request: pdk.Request{HTTP: request(in.Endpoint, "GET", ""), Note: noteInfo}},
	}}
	if !in.Endpoint.Has("api_key") && !in.Endpoint.Has("elasticsearch_username") {
		return out, nil
	}
	stream := in.Endpoint.String("mode", "index") == "data_stream"
	name := target(in.Recipient, stream)
	if !stream {
		name += "-*"
	}
	may := request(in.Endpoint, "POST", "_security/user/_has_privileges")
	may.Headers = append(may.Headers, pdk.Header{Name: "Content-Type", Value: "application/json"})
	b := append([]byte(`{"index":[{"names":[`), pdk.AppendJSONString(nil, name)...)
	may.Body = string(append(b, `],"privileges":["create_doc","auto_configure"]}]}`...))
	out.Steps = append(
		out.Steps,
		pdk.ProbeStep{Title: "Is the log-in right?", Request: pdk.Request{HTTP: request(in.Endpoint, "GET", "_security/_authenticate"), Note: noteWho}},
		pdk.ProbeStep{Title: "May it write there?", Request: pdk.Request{HTTP: may, Note: noteMay}},
	)
	return out, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	one := func(v pdk.Verdict) (*pdk.ClassifyOutput, error) {
		return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
	}
	switch {
	case in.Error != nil:
		return one(pdk.Verdict{Outcome: pdk.Retry, Reason: in.Error.Message})
	case in.Response == nil:
		return one(pdk.Verdict{Outcome: pdk.Retry, Reason: "there was no answer"})
	case in.Request.Note != "":
		return one(tried(in))
	case in.Response.Status == 200:
		return &pdk.ClassifyOutput{Verdicts: verdicts(in)}, nil
	}
	return one(refusal(in))
}

// refusal is for an answer to the request as a whole.
func refusal(in *pdk.ClassifyInput) pdk.Verdict {
	status, wait := in.Response.Status, pdk.RetryAfter(in.Response.Headers, in.Now)
	kind, why := cause(in.Response.Body)
	said := "Elasticsearch answered " + strconv.Itoa(status)
	if kind != "" || why != "" {
		said += ": " + explain(kind, why)
	}
	broken := func(what string) pdk.Verdict {
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said + "; " + what}
	}
	switch {
	case status == 429:
		if wait == 0 {
			wait = defaultWait
		}
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status >= 500, status == 408, kind == "cluster_block_exception":
		return pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: wait, Reason: said}
	case status == 401:
		return broken("check api_key, or elasticsearch_username and elasticsearch_password")
	case status == 403:
		return broken("the log-in may not write: it needs the privileges create_doc and auto_configure")
	case status == 404, status == 405, status == 406, status == 410, status < 400:
		return broken("check elasticsearch_url: it is the address of the cluster, without _bulk")
	case status == 413:
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: said}
	}
	return pdk.Verdict{Outcome: pdk.BadPayload, Reason: said}
}

// tried judges a step of the probe.
func tried(in *pdk.ClassifyInput) pdk.Verdict {
	status := in.Response.Status
	switch {
	case in.Request.Note == noteInfo && status == 403:
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the log-in may not ask for the cluster's version, which is no fault"}
	case in.Request.Note != noteInfo && (status == 400 || status == 404 || status == 405 || status == 500):
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "this server has no Elastic security and cannot tell; only a test message shows it"}
	case status != 200:
		return refusal(in)
	}
	v, err := pdk.ParseJSON([]byte(in.Response.Body))
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "what answers is no Elasticsearch; check elasticsearch_url"}
	}
	switch p := pdk.Params(m); in.Request.Note {
	case noteInfo:
		if _, ok := m["version"].(map[string]any); !ok {
			return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "what answers is no Elasticsearch; check elasticsearch_url"}
		}
	case noteMay:
		if !p.Bool("has_all_requested", false) {
			return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the log-in lacks a privilege for this index: it needs create_doc and auto_configure"}
		}
	}
	return pdk.Verdict{Outcome: pdk.Delivered}
}
