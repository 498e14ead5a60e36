package endpoint

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

var (
	asksAll  = &plugin.Manifest{Name: "p", Net: []plugin.NetWish{{Host: "h"}}, Exec: &plugin.ExecWish{}}
	asksNone = &plugin.Manifest{Name: "p"}
	given    = &pdk.RenderInput{Deliveries: []pdk.Delivery{{ID: "a"}, {ID: "b"}}}
)

const get = `"http":{"method":"GET","url":"https://h/"}`

func TestCheckRender(t *testing.T) {
	both := func(h string) string { return `{"requests":[{"deliveries":["a","b"],` + h + `}]}` }
	for _, c := range []struct {
		out, want string // "" if it is right
		m         *plugin.Manifest
	}{
		{both(get), "", asksAll},
		{`{"requests":[{"deliveries":["b"],` + get + `},{"deliveries":["a"],"exec":{"script":"x.sh","args":["-v"]}}]}`, "", asksAll},
		{`{"requests":[{"deliveries":["b"],` + get + `}],"rejected":[{"delivery":"a","outcome":"skipped"}]}`, "", asksAll},
		{`{"requests":[],"rejected":[{"delivery":"a"},{"delivery":"b","outcome":"rejected"}]}`, "", asksAll},
		{both(`"http":{"method":"POST","url":"tocsin-secret-1","headers":[{"name":"X","value":"é\t"}],"sign":{"scheme":"standard-webhooks","id":"x","keys":["k"]}}`), "", asksAll},
		{`{}`, `requests: the delivery "a" is in none of them, nor rejected (2 of 2 are missing)`, asksAll},
		{`{"requests":[{"deliveries":["a"],` + get + `}]}`, `the delivery "b" is in none of them, nor rejected (1 of 2 are missing)`, asksAll},
		{`{"requests":[{"deliveries":["a","a","b"],` + get + `}]}`, `requests[0].deliveries[1]: the delivery "a" stands here a second time`, asksAll},
		{`{"requests":[{"deliveries":["a","b"],` + get + `}],"rejected":[{"delivery":"b"}]}`, `rejected[0].delivery: the delivery "b" stands here a second time`, asksAll},
		{`{"requests":[{"deliveries":["a","c\u0007\n"],` + get + `}]}`, `requests[0].deliveries[1]: "c" is none of the deliveries that it was given`, asksAll},
		{`{"requests":[{"deliveries":[],` + get + `}]}`, `requests[0].deliveries: it is empty`, asksAll},
		{both(`"note":"x"`), `requests[0]: it has none of http, smtp, syslog, exec and ban`, asksAll},
		{both(get + `,"exec":{"script":"x"}`), `requests[0]: it has more than one of http, smtp, syslog, exec and ban`, asksAll},
		{both(get), `requests[0].http: the manifest asks for no network access`, asksNone},
		{both(`"exec":{"script":"x"}`), `requests[0].exec: the manifest does not ask to run scripts`, asksNone},
		{both(get + `,"note":"` + strings.Repeat("n", 5000) + `"`), `requests[0].note: it is 5000 bytes long; the most is 4096`, asksAll},
		{both(`"http":{"method":"CONNECT","url":"https://h/"}`), `requests[0].http.method: "CONNECT" is none of GET`, asksAll},
		{both(`"http":{"method":"GET","url":""}`), `requests[0].http.url: it is empty`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/ x"}`), `requests[0].http.url: it holds a space`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/` + strings.Repeat("x", 9000) + `"}`), `the most is 8192`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/","headers":[{"name":"a:b","value":""}]}`), `requests[0].http.headers[0].name: "a:b" is no header name`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/","headers":[{"name":"a","value":"x\r\nHost: y"}]}`), `requests[0].http.headers[0].value: it holds a control character`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/","headers":[` + strings.Repeat(`{"name":"a","value":""},`, 64) + `{"name":"a","value":""}]}`), `requests[0].http.headers: there are 65; the most is 64`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/","sign":{"scheme":"md5","id":"x","keys":["k"]}}`), `requests[0].http.sign.scheme: "md5" is not known`, asksAll},
		{both(`"http":{"method":"GET","url":"https://h/","sign":{"scheme":"standard-webhooks","id":"x","keys":[]}}`), `requests[0].http.sign.keys: there are 0`, asksAll},
		{both(`"exec":{"script":"../x"}`), `requests[0].exec.script: "../x" is not the plain name of a file`, asksAll},
		{both(`"exec":{"script":"x","args":["a\u0000b"]}`), `requests[0].exec.args[0]: it holds a zero byte`, asksAll},
		{both(`"exec":{"script":"x","timeout_ms":-1}`), `requests[0].exec.timeout_ms: it is negative`, asksAll},
		{`{"requests":[],"rejected":[{"delivery":"a","outcome":"delivered"},{"delivery":"b"}]}`, `rejected[0].outcome: it is "delivered"; before a request was made`, asksAll},
		{`{"requests":[],"rejected":[{"delivery":"a","outcome":"lost"},{"delivery":"b"}]}`, `rejected[0].outcome: "lost" is no outcome`, asksAll},
	} {
		out := new(pdk.RenderOutput)
		if err := out.DecodeJSON([]byte(c.out)); err != nil {
			t.Fatal(err)
		}
		err := checkRender(c.m, given, out)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngot  %v\nwant %s", c.out, err, c.want)
		}
		for _, v := range out.Rejected {
			if err == nil && v.Outcome == "" {
				t.Errorf("%s: an empty outcome was left", c.out)
			}
		}
	}
}

func TestCheckClassify(t *testing.T) {
	in := &pdk.ClassifyInput{Request: pdk.RequestInfo{Deliveries: []string{"a", "b", "c"}}}
	for _, c := range []struct{ out, want string }{
		{`{"verdicts":[{"outcome":"delivered"}]}`, `a=delivered b=delivered c=delivered`},
		{`{"verdicts":[{"delivery":"b","outcome":"duplicate"},{"outcome":"accepted"}]}`, `a=accepted b=duplicate c=accepted`},
		{`{"verdicts":[{"delivery":"c","outcome":"retry"},{"delivery":"a","outcome":"rejected"},{"delivery":"b","outcome":"bad_payload"}]}`, `a=rejected b=bad_payload c=retry`},
		{`{"verdicts":[]}`, `verdicts: the delivery "a" has none`},
		{`{"verdicts":[{"delivery":"b","outcome":"retry"}]}`, `verdicts: the delivery "a" has none`},
		{`{"verdicts":[{"outcome":"retry"},{"outcome":"retry"}]}`, `verdicts[1]: there is a second verdict without a delivery`},
		{`{"verdicts":[{"delivery":"b","outcome":"retry"},{"delivery":"b","outcome":"retry"}]}`, `verdicts[1].delivery: "b" has two verdicts`},
		{`{"verdicts":[{"delivery":"z","outcome":"retry"}]}`, `verdicts[0].delivery: "z" is none of the deliveries`},
		{`{"verdicts":[{"outcome":"fine"}]}`, `verdicts[0].outcome: "fine" is no outcome`},
		{`{"verdicts":[{"outcome":"delivered","provider_id":"` + strings.Repeat("x", 600) + `"}]}`, `verdicts[0].provider_id: it is 600 bytes long`},
	} {
		out := new(pdk.ClassifyOutput)
		if err := out.DecodeJSON([]byte(c.out)); err != nil {
			t.Fatal(err)
		}
		out, err := checkClassify(in, out)
		var got []string
		if err != nil {
			got = append(got, err.Error())
		} else {
			for _, v := range out.Verdicts {
				got = append(got, v.Delivery+"="+string(v.Outcome))
			}
		}
		if s := strings.Join(got, " "); s != c.want && !(err != nil && strings.Contains(s, c.want)) {
			t.Errorf("%s\ngot  %s\nwant %s", c.out, s, c.want)
		}
	}
	// A wait stands beside any outcome, and is bounded beside each.
	for _, o := range []pdk.Outcome{pdk.Delivered, pdk.Accepted, pdk.Retry} {
		out, err := checkClassify(in, &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: o, RetryAfterMS: 1 << 60}}})
		if err != nil || out.Verdicts[0].RetryAfterMS != maxRetryAfter {
			t.Errorf("%s: %+v, %v", o, out, err)
		}
	}
	out, err := checkClassify(in, &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{{Outcome: pdk.Retry, RetryAfterMS: -5, Reason: "a\n\x1b[31mb\u202e " + strings.Repeat("x", 900)}}})
	if err != nil || out.Verdicts[0].RetryAfterMS != 0 || len(out.Verdicts[0].Reason) > maxReason || !strings.HasPrefix(out.Verdicts[0].Reason, "a [31mb ") {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestRuled(t *testing.T) {
	for status, want := range map[int]pdk.Outcome{
		200: pdk.Delivered, 204: pdk.Delivered, 302: pdk.Rejected, 400: pdk.BadPayload, 401: pdk.EndpointBroken, 404: pdk.EndpointBroken,
		409: pdk.Rejected, 410: pdk.EndpointBroken, 422: pdk.BadPayload, 429: pdk.Retry, 500: pdk.Retry, 503: pdk.Retry,
	} {
		in := &pdk.ClassifyInput{Request: pdk.RequestInfo{Kind: kindHTTP}, Response: &pdk.Response{Status: status, Body: "oh\nno", Headers: map[string]string{"retry-after": "9"}}}
		v := ruled(in)
		if v.Outcome != want || want == pdk.Retry && (v.RetryAfterMS != 9000 || !strings.HasSuffix(v.Reason, ": oh")) {
			t.Errorf("%d: got %+v, want %s", status, v, want)
		}
	}
	for code, want := range map[int]pdk.Outcome{0: pdk.Delivered, 75: pdk.Retry, 1: pdk.Rejected, 137: pdk.Rejected} {
		v := ruled(&pdk.ClassifyInput{Request: pdk.RequestInfo{Kind: kindExec}, Response: &pdk.Response{Status: code}})
		if v.Outcome != want {
			t.Errorf("exit %d: got %+v, want %s", code, v, want)
		}
	}
}

// TestRetryAfterIsObeyed for plug-ins that do not read it: a number of seconds or a date, by the service's clock.
func TestRetryAfterIsObeyed(t *testing.T) {
	for _, c := range []struct {
		headers map[string]string
		verdict pdk.Verdict
		want    int64
	}{
		{map[string]string{"retry-after": "7"}, pdk.Verdict{Outcome: pdk.Retry}, 7000},
		{map[string]string{"retry-after": "7"}, pdk.Verdict{Outcome: pdk.EndpointBroken}, 7000},
		{map[string]string{"retry-after": "7"}, pdk.Verdict{Outcome: pdk.Retry, RetryAfterMS: 300}, 300},
		{map[string]string{"retry-after": "7"}, pdk.Verdict{Outcome: pdk.Delivered}, 0},
		{map[string]string{"retry-after": "soon"}, pdk.Verdict{Outcome: pdk.Retry}, 0},
		{map[string]string{"retry-after": "99999999"}, pdk.Verdict{Outcome: pdk.Retry}, maxRetryAfter},
		{map[string]string{"retry-after": "Fri, 15 Jan 2027 08:01:30 GMT"}, pdk.Verdict{Outcome: pdk.Retry}, 90_000},
		{map[string]string{"retry-after": "Fri, 15 Jan 2027 12:00:30 GMT", "date": "Fri, 15 Jan 2027 12:00:00 GMT"}, pdk.Verdict{Outcome: pdk.Retry}, 30_000},
	} {
		in := &pdk.ClassifyInput{Now: 1_800_000_000_000, Response: &pdk.Response{Status: 429, Headers: c.headers}}
		out := &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{c.verdict}}
		obeyRetryAfter(in, out)
		if got := out.Verdicts[0].RetryAfterMS; got != c.want {
			t.Errorf("%v, %+v: got %d, want %d", c.headers, c.verdict, got, c.want)
		}
	}
}

func TestAnswerErrorNamesPluginAndPath(t *testing.T) {
	ty := &Type{pkg: &plugin.Package{Manifest: asksAll}}
	err := ty.answer("render", new(pdk.RenderOutput).DecodeJSON([]byte(`{"requests":[{"deliveries":"a"}]}`)))
	var syntax *pdk.SyntaxError
	if want := `plug-in p: the answer of render is wrong: JSON: requests[0].deliveries: want a list, got a string (byte 27)`; err.Error() != want || !errors.As(err, &syntax) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// FuzzAnswers takes any text as a guest's answer: what passes the checks keeps their promises.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"requests":[{"deliveries":["a","b"],`+get+`}]}`), []byte(`{"verdicts":[{"outcome":"retry","reason":"x"}]}`))
	f.Add([]byte(`{"requests":[{"deliveries":["b"],"exec":{"script":"x.sh"}}],"rejected":[{"delivery":"a"}]}`), []byte(`{"verdicts":[{"delivery":"a","outcome":"skipped"},{"delivery":"b","outcome":"retry"}]}`))
	f.Fuzz(func(t *testing.T, render, classify []byte) {
		out := new(pdk.RenderOutput)
		if out.DecodeJSON(render) == nil && checkRender(asksAll, given, out) == nil {
			var ids []string
			for _, r := range out.Requests {
				ids = append(ids, r.Deliveries...)
				if (r.HTTP == nil) == (r.Exec == nil) {
					t.Errorf("not one kind: %s", render)
				}
			}
			for _, v := range out.Rejected {
				ids = append(ids, v.Delivery)
			}
			slices.Sort(ids)
			if !slices.Equal(ids, []string{"a", "b"}) {
				t.Errorf("deliveries are %q: %s", ids, render)
			}
		}
		in := &pdk.ClassifyInput{Request: pdk.RequestInfo{Deliveries: []string{"a", "b"}}}
		verdicts := new(pdk.ClassifyOutput)
		if verdicts.DecodeJSON(classify) != nil {
			return
		}
		if all, err := checkClassify(in, verdicts); err == nil {
			if len(all.Verdicts) != 2 || all.Verdicts[0].Delivery != "a" || all.Verdicts[1].Delivery != "b" {
				t.Errorf("got %+v", all)
			}
			for _, v := range all.Verdicts {
				if b, err := json.Marshal(v.Reason); err != nil || !v.Outcome.Valid() || len(v.Reason) > maxReason || strings.ContainsAny(string(b), "\x00\n") {
					t.Errorf("got %+v", v)
				}
			}
		}
	})
}
