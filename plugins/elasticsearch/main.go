// Command elasticsearch is the plug-in that writes alerts as documents into Elasticsearch and OpenSearch. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/elasticsearch.
package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/ecs"
)

const (
	defaultIndex  = "alerts-ntopng"
	defaultStream = "logs-ntopng.alerts-default" // what Elastic's own index template logs-*-* is for
	maxMessage    = 4096                         // as in the manifest, for a message that no template made
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
	name, stream := target(in.Endpoint, in.Recipient)
	ntopng := in.Endpoint.String("compat", "") == "ntopng"
	body := make([]byte, 0, 2048*len(in.Deliveries))
	ids := make([]string, len(in.Deliveries))
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		ids[i] = d.ID
		index, text := name, pdk.TruncateBytes(pdk.First(d.Text, d.Alert.Message), maxMessage)
		if !stream {
			// The alert's own day, in UTC, so that a repeat after midnight meets the same index.
			index += "-" + strings.ReplaceAll(ecs.Time(d.Alert.Tstamp)[:10], "-", ".")
		}
		o := pdk.NewObject(body)
		o.In("create", func() {
			o.Put("_index", index)
			o.Put("_id", pdk.First(d.Alert.ID, d.ID))
		})
		body = append(o.Done(), '\n')
		if ntopng {
			body = ecs.AppendNtopng(body, &d.Alert, text)
		} else {
			body = ecs.Append(body, &d.Alert, text, ecs.Whole)
		}
		body = append(body, '\n')
	}
	r := request(in.Endpoint, "POST", "_bulk"+query)
	r.Headers = append(r.Headers, pdk.Header{Name: "Content-Type", Value: "application/x-ndjson"})
	r.Body = string(body)
	return &pdk.RenderOutput{Requests: []pdk.Request{{Deliveries: ids, HTTP: r}}}, nil
}

// target is the data stream, or what the names of the daily indexes begin with.
func target(endpoint, recipient pdk.Params) (name string, stream bool) {
	name, stream = defaultIndex, endpoint.String("mode", "index") == "data_stream"
	if stream {
		name = defaultStream
	}
	return pdk.First(recipient.String("elasticsearch_index", ""), name), stream
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
	out := &pdk.ProbeOutput{}
	step := func(title, note string, r *pdk.HTTPRequest) {
		out.Steps = append(out.Steps, pdk.ProbeStep{Title: title, Request: pdk.Request{HTTP: r, Note: note}})
	}
	step("Does a cluster answer there?", noteInfo, request(in.Endpoint, "GET", ""))
	if !in.Endpoint.Has("api_key") && !in.Endpoint.Has("elasticsearch_username") {
		return out, nil
	}
	step("Is the log-in right?", noteWho, request(in.Endpoint, "GET", "_security/_authenticate"))
	name, stream := target(in.Endpoint, in.Recipient)
	if !stream {
		name += "-*"
	}
	may := request(in.Endpoint, "POST", "_security/user/_has_privileges")
	may.Headers = append(may.Headers, pdk.Header{Name: "Content-Type", Value: "application/json"})
	o := pdk.NewObject(nil)
	o.Each("index", 1, func(int) {
		o.List("names", name)
		o.List("privileges", "create_doc", "auto_configure")
	})
	may.Body = string(o.Done())
	step("May it write there?", noteMay, may)
	return out, nil
}
