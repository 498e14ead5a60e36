package recipe

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// fromJSON reads a table from JSON, as the guest does.
func fromJSON(t testing.TB, text string) map[string]any {
	t.Helper()
	v, err := pdk.ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

const good = `{
 "url": "{endpoint.url}/send/{recipient.room | path}/{id | path}",
 "method": "PUT",
 "headers": {"Authorization": "Bearer {endpoint.token}", "X-Fixed": "a {{b}}"},
 "json": {"text": "{text}", "level": "{alert.severity | words level}", "tags": "{recipient.tags}", "none": "{recipient.none}",
  "mixed": "{alert.title | runes 5}: {alert.score}", "list": [{"raw": "{alert}"}, "{recipient.none}", 7, true], "html": "{text | marked}",
  "bare": "{text | strip}", "key": "{alert.key | or alert.id}"},
 "words": {"level": {"error": 4, "*": 1}},
 "provider_id": ["/room", "/msg/0/id"], "said": ["/error/text", "/error"], "expect": "/msg",
 "release": {"method": "PATCH", "url": "{endpoint.url}/{provider_id.1 | path}", "body": "{{done}} {provider_id.0}"},
 "answers": [
  {"status": "429", "outcome": "retry", "retry_after": "/wait_ms", "retry_unit": "ms"},
  {"status": "2xx", "pointer": "/ok", "equals": false, "outcome": "retry", "wait": 60, "hint": "look at it"},
  {"on": "probe", "status": "400", "pointer": "/error", "contains": "EMPTY", "outcome": "delivered"},
  {"on": "release", "status": "404", "outcome": "retry"}
 ],
 "probe": [{"title": "Is it there?", "method": "GET", "url": "{endpoint.url}/me", "expect": "/me"},
  {"title": "The room?", "method": "GET", "url": "{endpoint.url}/{recipient.room | path}"}]
}`

func parsed(t testing.TB, text string) *Recipe {
	t.Helper()
	r, problems := Parse(fromJSON(t, text))
	for _, p := range problems {
		t.Errorf("%s: %s", p.Field, p.Message)
	}
	return r
}

func delivery(action string) pdk.Delivery {
	a := `{"id":"a1","title":"Scan \"é\" of it","severity":"error","score":100,"action":"` + action + `"}`
	return pdk.Delivery{ID: "d/1", Text: "<b>x</b> &amp;\ny", Subject: "s", Attempt: 1, Alert: pdk.Alert{Action: action, Raw: []byte(a)}}
}

func TestRender(t *testing.T) {
	r := parsed(t, good)
	in := &pdk.RenderInput{
		Endpoint: pdk.Params{"url": "https://x.example/", "token": "tocsin-secret-1"}, Recipient: pdk.Params{"room": "!a/../b:c\r\n", "tags": []any{"p", "q"}},
		Deliveries: []pdk.Delivery{delivery("engage")},
	}
	out, err := r.render(in)
	if err != nil {
		t.Fatal(err)
	}
	h := out.Requests[0].HTTP
	if h.Method != "PUT" || h.URL != "https://x.example/send/%21a%2F..%2Fb%3Ac%0D%0A/d%2F1" {
		t.Errorf("%s %s", h.Method, h.URL)
	}
	want := `{"bare":"x &\ny","html":"<b>x</b> &amp;\ny","key":"a1","level":4,"list":[{"raw":` + string(in.Deliveries[0].Alert.Raw) + `},7,true],` +
		`"mixed":"Scan…: 100","tags":["p","q"],"text":"<b>x</b> &amp;\ny"}`
	if h.Body != want {
		t.Errorf("body:\n%s\nwant:\n%s", h.Body, want)
	}
	if got := fmt.Sprint(h.Headers); got != "[{Content-Type application/json} {Authorization Bearer tocsin-secret-1} {X-Fixed a {b}}]" {
		t.Error(got)
	}

	if got := quiet("a@b @ALL @here@everyone@"); got != "a@b @\u200bALL @\u200bhere@\u200beveryone@" {
		t.Errorf("%q", got)
	}
	if got := string(compact([]byte("{ \"a b\\\" c\" :\n[1 ,\t2]}"))); got != `{"a b\" c":[1,2]}` {
		t.Error(got)
	}

	delete(in.Endpoint, "token")
	d := delivery("release")
	d.ProviderID, d.Plain = "room id/7", true
	in.Deliveries = []pdk.Delivery{d, delivery("release")}
	if out, err = r.render(in); err != nil {
		t.Fatal(err)
	}
	h = out.Requests[0].HTTP
	if h.Method != "PATCH" || h.URL != "https://x.example/id%2F7" || h.Body != "{done} room" || out.Requests[0].Note != noteRelease {
		t.Errorf("release: %+v", out.Requests[0])
	}
	h = out.Requests[1].HTTP // nothing is known of the engage: it is sent as an alert, and no token makes no header
	if h.Method != "PUT" || len(h.Headers) != 2 {
		t.Errorf("release without id: %+v", h)
	}
	probe, _ := r.test(&pdk.ProbeInput{Endpoint: in.Endpoint})
	if len(probe.Steps) != 1 || probe.Steps[0].Request.HTTP.URL != "https://x.example/me" {
		t.Errorf("probe: %+v", probe)
	}
}

func TestBatches(t *testing.T) {
	for batch, want := range map[string]string{"lines": "{\"t\":\"s\"}\n{\"t\":\"s\"}", "array": `[{"t":"s"},{"t":"s"}]`, "": `{"t":"s"}`} {
		r := parsed(t, `{"batch":"`+batch+`","url":"{endpoint.url}","json":{"t":"{subject}"}}`)
		in := &pdk.RenderInput{Endpoint: pdk.Params{"url": "u"}, Deliveries: []pdk.Delivery{delivery("store"), delivery("store")}}
		out, err := r.render(in)
		if err != nil || out.Requests[0].HTTP.Body != want {
			t.Errorf("%s: %q, %v", batch, out.Requests[0].HTTP.Body, err)
		}
	}
	r := parsed(t, `{"url":"{endpoint.url}","form":{"a b":"{subject}&=","c":"{recipient.none}"},"basic":{"user":"{endpoint.user}","password":"{endpoint.pw}"}}`)
	out, _ := r.render(&pdk.RenderInput{Endpoint: pdk.Params{"user": "me", "pw": "tocsin-secret-2"}, Deliveries: []pdk.Delivery{delivery("store")}})
	if h := out.Requests[0].HTTP; h.Body != "a%20b=s%26%3D" || h.Basic == nil || h.Basic.Password != "tocsin-secret-2" {
		t.Errorf("form: %+v", h)
	}
}

func TestClassify(t *testing.T) {
	r := parsed(t, good)
	for _, c := range []struct {
		note   string
		status int
		body   string
		want   string
	}{
		{"", 200, `{"room":"r","msg":[{"id":"m"}]}`, "delivered 0 r m"},
		{"", 200, `{"msg":[{"id":"m"}]}`, "delivered 0 "},
		{"", 200, `<html>log in</html>`, "retry 0 the server answered 200: <html>log in</html>, but not as this service does: check the address, and proxies on the way"},
		{"", 200, `{"ok":false,"msg":1,"error":{"text":"no"}}`, "retry 60000 the server answered 200: no; look at it"},
		{"", 429, `{"wait_ms":1500.2}`, "retry 1501 the server answered 429: {\"wait_ms\":1500.2}"},
		{"", 429, ``, "retry 30000 the server answered 429"},
		{"", 400, `{"error":"is Empty"}`, "bad_payload 0 the server answered 400: is Empty"},
		{"probe 0", 400, `{"error":"is Empty"}`, "delivered 0 "},
		{"probe 0", 200, `{}`, "retry 0 the server answered 200: {}, but not as this service does: check the address, and proxies on the way"},
		{"probe 99999999999999999999", 200, `{}`, "delivered 0 "},
		{"release", 404, ``, "retry 0 the server answered 404"},
		{"", 404, "a\x00b\nc", "endpoint_broken 0 the server answered 404: a b"},
		{"", 302, ``, "endpoint_broken 0 the server answered 302; requests are not redirected: put the new address into the configuration"},
		{"", 418, ``, "rejected 0 the server answered 418"},
		{"", 503, ``, "retry 0 the server answered 503"},
	} {
		v := r.verdict(&pdk.ClassifyInput{Request: pdk.RequestInfo{Note: c.note}, Response: &pdk.Response{Status: c.status, Body: c.body}})
		if got := fmt.Sprintf("%s %d %s", v.Outcome, v.RetryAfterMS, v.Reason+v.ProviderID); got != c.want {
			t.Errorf("%s %d %s:\ngot  %s\nwant %s", c.note, c.status, c.body, got, c.want)
		}
	}
	if v := r.verdict(&pdk.ClassifyInput{Error: &pdk.TransportError{Message: "no route"}}); v.Outcome != pdk.Retry || v.Reason != "no route" {
		t.Error(v)
	}
}

// TestMistakes wants every mistake of a table told, each with its field.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                     "request.url: is missing",
		`{"url":1}`:                              "request.url: must be text in quotes",
		`{"url":"x","methood":"POST"}`:           "request.methood: is no key",
		`{"url":"x","method":"TRACE"}`:           "request.method: is \"TRACE\"; it must be one of",
		`{"url":"x{text}"}`:                      "request.url: text stands in a URL; write {text | path}",
		`{"url":"{endpoint.a|or recipient.b}"}`:  "request.url: endpoint.a stands in a URL; write {endpoint.a|or recipient.b | path}",
		`{"url":"x{text|path|lower}"}`:           "request.url: text stands in a URL",
		`{"url":"x{recipient.b|or endpoint.a}"}`: "request.url: recipient.b stands in a URL",
		`{"url":"x","release":{"url":"x{alert.ip|path|or endpoint.a}"}}`:      "request.release.url: alert.ip stands in a URL",
		`{"url":"x","json":{"a":"{txt}"}}`:                                    "request.json.a: \"txt\" is no value",
		`{"url":"x","json":{"a":"{text"}}`:                                    "request.json.a: has a brace alone",
		`{"url":"x","json":{"a":"{text|shout}"}}`:                             "request.json.a: \"shout\" is no filter",
		`{"url":"x","json":{"a":"{text|runes x}"}}`:                           "request.json.a: after the filter runes stands a number",
		`{"url":"x","json":{"a":"{text|path x}"}}`:                            "the filter path takes nothing",
		`{"url":"x","json":{"a":"{text|words w}"}}`:                           "there is no table of words \"w\"",
		`{"url":"x","json":{"a":"{text|or b}"}}`:                              "after the filter or is no value",
		`{"url":"x","json":{},"form":{"a":"b"}}`:                              "request.form: stands beside json",
		`{"url":"x","method":"GET","json":{}}`:                                "request.json: is the body of a GET",
		`{"url":"x","headers":{"a b":"c"}}`:                                   "request.headers.a b: is no name of a header",
		`{"url":"x","words":{"w":{"a":[1]}}}`:                                 "request.words.w.a: must be a text",
		`{"url":"x","words":{"w":1}}`:                                         "request.words.w: must be a table of words",
		`{"url":"x","provider_id":"id"}`:                                      "request.provider_id: \"id\" is no JSON pointer",
		`{"url":"x","said":[1]}`:                                              "request.said: must be a JSON pointer",
		`{"url":"x","answers":[{"outcome":"deliverd"}]}`:                      "request.answers[0].outcome: is \"deliverd\"",
		`{"url":"x","answers":[{"status":"2x","outcome":"retry"}]}`:           "request.answers[0].status: \"2x\" is no status",
		`{"url":"x","answers":[{"status":"200"}]}`:                            "request.answers[0].outcome: is missing",
		`{"url":"x","answers":[{"outcome":"retry"}]}`:                         "request.answers[0].status: is missing",
		`{"url":"x","answers":[{"equals":1,"outcome":"retry"}]}`:              "request.answers[0].pointer: is missing",
		`{"url":"x","answers":[{"status":"200","wait":0,"outcome":"retry"}]}`: "request.answers[0].wait: must be a number of seconds",
		`{"url":"x","answers":{}}`:                                            "request.answers: must be a list of tables",
		`{"url":"x","probe":[{"url":"x"}]}`:                                   "request.probe[0].title: is missing",
		`{"url":"x","probe":[{"title":"t","url":"x","json":{"a":"{text}"}}]}`: "request.probe[0]: text is not known in a probe",
		`{"url":"x","release":{"url":"{provider_id|path}"}}`:                  "request.provider_id: is missing",
		`{"url":"x{provider_id|path}"}`:                                       "provider_id is known on a release only",
		`{"url":"x","release":{"url":"x","always":"yes"}}`:                    "request.release.always: must be true or false",
		`{"url":"x","batch":"array"}`:                                         "request.batch: an array is made of bodies in json",
	} {
		_, problems := Parse(fromJSON(t, text))
		var all []string
		for _, p := range problems {
			all = append(all, p.Field+": "+p.Message)
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

// FuzzAnswer feeds answers of services, which are hostile bytes, and tables.
func FuzzAnswer(f *testing.F) {
	f.Add(good, `{"room":"r","msg":[{"id":"m"}]}`, 200)
	f.Add(`{"url":"{","json":[[{}]]}`, `[`, 429)
	f.Fuzz(func(t *testing.T, text, body string, status int) {
		v, err := pdk.ParseJSON([]byte(text))
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		r, problems := Parse(m)
		if len(problems) > 0 {
			return
		}
		got := r.verdict(&pdk.ClassifyInput{Response: &pdk.Response{Status: status, Body: body}})
		if !got.Outcome.Valid() || strings.ContainsAny(got.Reason, "\r\n") {
			t.Fatalf("%+v", got)
		}
		if _, err := r.render(&pdk.RenderInput{Deliveries: []pdk.Delivery{delivery("release")}}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestURLValues: what an administrator typed for the endpoint may stand in a URL as it is, all else only when path is the last thing done
// to it.
func TestURLValues(t *testing.T) {
	for _, url := range []string{
		"{endpoint.a}", "{endpoint.a | or endpoint.b}/x", "{endpoint.a|lower}", "x/{text|path}", "x/{recipient.b|lower|path}", "x/{endpoint.a|or recipient.b|path}",
	} {
		r, problems := Parse(map[string]any{"url": url})
		if len(problems) > 0 || r == nil {
			t.Errorf("%s: %v", url, problems)
		}
	}
	r, _ := Parse(map[string]any{"url": "x/{endpoint.a|or recipient.b|path}"})
	want := []Use{{Field: "request.url", Name: "recipient.b", Filters: []string{"or"}}, {Field: "request.url", Name: "endpoint.a", Filters: []string{"or", "path"}}}
	if !reflect.DeepEqual(r.Uses(), want) {
		t.Errorf("the host is told of %+v", r.Uses())
	}
}
