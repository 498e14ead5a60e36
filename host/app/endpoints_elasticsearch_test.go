package app

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/elasticsearch"
)

// TestElasticsearch sends alerts through the real module to a strict stand-in: in batches, one of them refused, one put off,
// one known already, and the whole in doubt once.
func TestElasticsearch(t *testing.T) {
	day := time.Date(2026, 3, 14, 23, 59, 58, 0, time.UTC)
	alerts := []*alert.Alert{scanAt(alert.Engage, day), scanAt(alert.Release, day.Add(time.Minute))}
	for i := range 120 {
		alerts = append(alerts, flowAt(i, day.Add(time.Duration(i/60)*time.Second*2)))
	}
	evil := flowAt(7, day)
	evil.Title, evil.Message = "<script>\u202e@everyone*_[", strings.Repeat("\"\r\n{\"create\":{}}\x00🚨", 10_000)
	bad, busy := alerts[50].ID.String(), alerts[60].ID.String()
	node := &elasticsearch.Server{
		APIKey: "dG9jc2luOnNlY3JldA==",
		Item: func(id string, n int) (int, string, string) {
			switch {
			case id == bad:
				return http.StatusBadRequest, "document_parsing_exception", "[1:7] failed to parse field [x] of type [long]"
			case id == busy && n == 1:
				return http.StatusServiceUnavailable, "unavailable_shards_exception", "primary shard is not active"
			}
			return 0, "", ""
		},
	}
	node.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			elasticsearch.Fail(w, http.StatusServiceUnavailable, "cluster_block_exception", "state not recovered / initialized")
		}
		return n == 1
	}
	url := serving(t, node)
	b := newRoom(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = "%s/_bulk", api_key = %q`, url, node.APIKey), "").start()
	rows := b.send("ops", append(alerts, evil)...)
	for id, r := range rows {
		switch {
		case id.String() == bad:
			if r.State != alert.Dead || !strings.Contains(r.Reason, "failed to parse field [x]") {
				t.Errorf("the refused one: %+v", r)
			}
		case r.State != alert.Delivered:
			t.Errorf("%s: %v, %s", id, r.State, r.Reason)
		}
	}
	docs := node.Taken()
	byIndex := map[string]int{}
	for _, d := range docs {
		byIndex[d.Index]++
	}
	if len(docs) != 122 || byIndex["alerts-ntopng-2026.03.14"] != 61 || byIndex["alerts-ntopng-2026.03.15"] != 61 {
		t.Errorf("%d documents in %v", len(docs), byIndex)
	}
	if sizes := node.Bulks(); slices.Max(sizes) < 100 {
		t.Errorf("the batches are small: %v", sizes)
	}
	i := slices.IndexFunc(docs, func(d elasticsearch.Document) bool { return d.ID == evil.ID.String() })
	if m, _ := docs[i].Source["message"].(string); len(m) > 4096 || !strings.HasSuffix(m, "…") || strings.ContainsAny(m, "\r\n\x00") {
		t.Errorf("the hostile message has %d bytes: %.60q", len(m), m)
	}
	// The same alert once more, as after an answer that was lost: it is there already.
	again := newRoom(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q, api_key = %q`, url, node.APIKey), "").start()
	if r := again.send("ops", alerts[2])[alerts[2].ID]; r.State != alert.Duplicate || len(node.Taken()) != len(docs) {
		t.Errorf("again: %+v", r)
	}
}

// TestElasticsearchFailureStore wants what went there told from what is in the stream.
func TestElasticsearchFailureStore(t *testing.T) {
	const stream = "logs-ntopng.alerts-default"
	node := &elasticsearch.Server{
		Streams: []string{stream}, FailureStore: true, Mappings: map[string]string{"destination.domain": "long"},
		User: "tocsin", Password: "s3cret-pass",
	}
	url := serving(t, node)
	b := newRoom(t, "elasticsearch",
		fmt.Sprintf(`elasticsearch_url = %q, elasticsearch_username = "tocsin", elasticsearch_password = "s3cret-pass", mode = "data_stream"`, url), "").start()
	at := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	odd, fine := flowAt(1, at), scanAt(alert.Engage, at)
	rows := b.send("ops", odd, fine)
	if r := rows[odd.ID]; r.State != alert.Accepted || !strings.Contains(r.Reason, "failure store") {
		t.Errorf("the odd one: %+v", r)
	}
	if r := rows[fine.ID]; r.State != alert.Delivered {
		t.Errorf("the other: %+v", r)
	}
	for _, d := range node.Taken() {
		if d.Index != stream {
			t.Errorf("a document is in %s", d.Index)
		}
	}
}

func TestElasticsearchProbe(t *testing.T) {
	node := &elasticsearch.Server{APIKey: "dG9jc2luOnNlY3JldA=="}
	url := serving(t, node)
	for _, c := range []struct {
		name, key string
		readOnly  bool
		step      string // that fails
		want      string
	}{
		{"fine", node.APIKey, false, "", "May it write there?"},
		{"wrong key", "d3Jvbmctd3Jvbmc=", false, "auth", "check api_key"},
		{"may not write", node.APIKey, true, "permission", "create_doc and auto_configure"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node.ReadOnly = c.readOnly
			before := len(node.Taken())
			out, err := newRoom(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q, api_key = %q`, url, c.key), "").try("ops", "")
			if (err == nil) != (c.step == "") || !strings.Contains(out, c.want) || strings.Contains(out, c.key) {
				t.Errorf("error %v\n%s", err, out)
			}
			if c.step != "" && (!strings.Contains(out, `"step":"`+c.step+`","result":"failed"`) || len(node.Taken()) != before) {
				t.Errorf("want a failure of %s:\n%s", c.step, out)
			}
		})
	}
}
