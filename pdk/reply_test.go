package pdk

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	classify := Judge("Slack", func(r *Reply) Verdict {
		r.Explain(r.JSON.String("error", ""), 8)
		switch {
		case r.Success() && r.JSON.Object("message").Has("ts"):
			return Verdict{Outcome: Delivered, ProviderID: r.JSON.Object("message").String("ts", "")}
		case r.Status == 429:
			return r.Limited(30_000, "; later")
		case r.Passing():
			return r.Retry("")
		}
		return r.Fail(BadPayload, "; check it")
	})
	after := map[string]string{"retry-after": "7"}
	for _, c := range []struct {
		in   ClassifyInput
		want Verdict
	}{
		{ClassifyInput{Error: &TransportError{Message: "no route"}}, Verdict{Outcome: Retry, Reason: "no route"}},
		{ClassifyInput{}, Verdict{Outcome: Retry, Reason: "there was no answer"}},
		{ClassifyInput{Response: &Response{Status: 200, Body: ` {"message":{"ts":"1.2"}} `}}, Verdict{Outcome: Delivered, ProviderID: "1.2"}},
		{ClassifyInput{Response: &Response{Status: 429}}, Verdict{Outcome: Retry, RetryAfterMS: 30_000, Reason: "Slack answered 429; later"}},
		{ClassifyInput{Response: &Response{Status: 429, Headers: after}}, Verdict{Outcome: Retry, RetryAfterMS: 7_000, Reason: "Slack answered 429; later"}},
		{ClassifyInput{Response: &Response{Status: 503, Headers: after}}, Verdict{Outcome: Retry, RetryAfterMS: 7_000, Reason: "Slack answered 503"}},
		{ClassifyInput{Response: &Response{Status: 400, Body: `{"error":"much too long"}`}}, Verdict{Outcome: BadPayload, Reason: "Slack answered 400: much to…; check it"}},
		{ClassifyInput{Response: &Response{Status: 400, Body: `[1]`}}, Verdict{Outcome: BadPayload, Reason: "Slack answered 400; check it"}},
		{ClassifyInput{Response: &Response{Status: 400, Body: `{"error":`}}, Verdict{Outcome: BadPayload, Reason: "Slack answered 400; check it"}},
	} {
		out, err := classify(&c.in)
		if err != nil || len(out.Verdicts) != 1 || out.Verdicts[0] != c.want {
			t.Errorf("%+v: got %+v, %v; want %+v", c.in, out, err, c.want)
		}
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		severity, action, sign string
		want                   Level
	}{
		{"emergency", "engage", "🔴", Critical},
		{"alert", "store", "🔴", Critical},
		{"critical", "", "🔴", Critical},
		{"error", "store", "🟠", Error},
		{"warning", "store", "🟡", Warning},
		{"notice", "store", "🔵", Info},
		{"info", "store", "🔵", Info},
		{"debug", "store", "⚪", Neutral},
		{"none", "store", "⚪", Neutral},
		{"", "", "⚪", Neutral},
		{"critical", "release", "✅", Ended},
	} {
		a := Alert{Severity: c.severity, Action: c.action}
		if got := a.Level(); got != c.want || got.Sign() != c.sign {
			t.Errorf("%q, %q: level %d, sign %q", c.severity, c.action, got, got.Sign())
		}
		if got := LevelOf(c.severity); got != c.want && (c.action != "release" || got != Critical) {
			t.Errorf("%q alone: level %d", c.severity, got)
		}
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain text": "plain text", "a\r\nb\tc": "a  b c", "\u202egnp.exe": "gnp.exe", "a\u2028b\u0085c\x7f": "a b c ",
		"\u2066x\u2069\u200e\u200f\ufeff\u061c": "x", "é漢🚨": "é漢🚨", "\xff": "\ufffd",
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestBatchID(t *testing.T) {
	one, two, three := BatchID([]string{"a"}), BatchID([]string{"a", "b"}), BatchID([]string{"a", "bc"})
	if BatchID(nil) != "" || one != "a" || !strings.HasPrefix(two, "a-") || two == three || Hash("ab", "c") == Hash("a", "bc") {
		t.Errorf("got %q, %q, %q", one, two, three)
	}
	if got := Hash(); got != "cbf29ce484222325" { // FNV-1a's offset basis
		t.Errorf("got %q", got)
	}
	if got := First("", " \n", "x", "y"); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestBrief(t *testing.T) {
	for _, c := range [][3]string{{"Scan", "It began", "Scan: It began"}, {"Scan", "", "Scan"}, {"", "It began", "It began"}, {"", "", "host/scan"}} {
		if got := (&Alert{Title: c[0], Message: c[1], Check: "host/scan"}).Brief(); got != c[2] {
			t.Errorf("%q and %q are %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestJSONRequest(t *testing.T) {
	if r := JSONRequest("GET", "u", nil); r.Method != "GET" || r.URL != "u" || r.Body != "" || r.Headers != nil {
		t.Errorf("without a body: %+v", r)
	}
	if r := JSONRequest("POST", "u", []byte("{}")); r.Body != "{}" || len(r.Headers) != 1 || r.Headers[0] != (Header{"Content-Type", "application/json"}) {
		t.Errorf("with a body: %+v", r)
	}
}

func TestOutputs(t *testing.T) {
	var r RenderOutput
	r.Reject(&Delivery{ID: "a"}, Skipped, "no")
	if len(r.Rejected) != 1 || r.Rejected[0] != (Verdict{Delivery: "a", Outcome: Skipped, Reason: "no"}) {
		t.Errorf("rejected %+v", r.Rejected)
	}
	var l LintOutput
	l.Add("endpoint.url", "is wrong")
	if len(l.Problems) != 1 || l.Problems[0] != (Problem{Field: "endpoint.url", Message: "is wrong"}) {
		t.Errorf("problems %+v", l.Problems)
	}
	var p ProbeOutput
	q := JSONRequest("GET", "u", nil)
	p.Ask("Is it there?", "there", q)
	if len(p.Steps) != 1 || p.Steps[0].Title != "Is it there?" || p.Steps[0].Request.HTTP != q || p.Steps[0].Request.Note != "there" {
		t.Errorf("steps %+v", p.Steps)
	}
}
