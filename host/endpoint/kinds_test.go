package endpoint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestKinds has each kind of request with a manifest that asks for it, and with one that asks for something near.
func TestKinds(t *testing.T) {
	wish := &plugin.ExecWish{Reason: "r"}
	smtp := &plugin.Manifest{Net: []plugin.NetWish{{Scheme: "smtp", Host: "{endpoint.server}"}}}
	syslog := &plugin.Manifest{Net: []plugin.NetWish{{Scheme: "syslog", Host: "h"}}}
	local, bans, none := &plugin.Manifest{Syslog: wish}, &plugin.Manifest{Ban: wish}, &plugin.Manifest{Exec: wish}
	mail := `"smtp":{"host":"h","from":"a@h","to":["b@h"],"subject":"s","text":"t"}`
	frame := func(network, host, id string) string {
		return fmt.Sprintf(`"syslog":{"network":%q,"host":%q,"messages":[{"delivery":%q,"facility":1,"severity":5,"time":0,"app_name":"x","text":"t"}]}`, network, host, id)
	}
	for _, c := range []struct {
		request string
		m       *plugin.Manifest
		want    string // "" if it is right
	}{
		{mail, smtp, ""},
		{mail, syslog, `requests[0].smtp: the manifest does not ask to send mail; add [[net]] with scheme = "smtp" to it`},
		{get, smtp, `requests[0].http: the manifest asks for no network access`},
		{`"smtp":{"host":"","from":"a@h","to":["b@h"]}`, smtp, `requests[0].smtp.host: it is empty`},
		{`"smtp":{"host":"h","from":"","to":["b@h"]}`, smtp, `requests[0].smtp.from: it is empty`},
		{`"smtp":{"host":"h","from":"a@h","to":[]}`, smtp, `requests[0].smtp.to: it is empty; a mail has at least one recipient`},
		{`"smtp":{"host":"h","from":"a@h","to":[],"verify":true}`, smtp, ""},
		{`"smtp":{"host":"h","from":"a@h","to":[` + strings.Repeat(`"b@h",`, 100) + `"b@h"]}`, smtp, `requests[0].smtp.to: there are 101 recipients; the most is 100`},
		{frame("udp", "h", "b"), syslog, ""},
		{frame("local", "", "b"), local, ""},
		{frame("local", "", "b"), syslog, `requests[0].syslog: the manifest does not ask to write to the machine's own syslog; add [syslog] to it`},
		{frame("tcp", "h", "b"), local, `requests[0].syslog: the manifest does not ask to write to syslog; add [[net]] with scheme = "syslog" to it`},
		{frame("tcp", "", "b"), syslog, `requests[0].syslog.host: it is empty; only the network local has none`},
		{frame("tcp", "h", "c"), syslog, `requests[0].syslog.messages[0].delivery: "c" is none of the request's deliveries`},
		{`"syslog":{"network":"udp","host":"h","messages":[]}`, syslog, `requests[0].syslog.messages: it is empty`},
		{`"ban":{"jail":"j","action":"ban","addresses":["192.0.2.1"]}`, bans, ""},
		{`"ban":{"jail":"j","action":"ban","addresses":["192.0.2.1"]}`, none, `requests[0].ban: the manifest does not ask to ban addresses; add [ban] to it`},
		{`"ban":{"jail":"","action":"ban","addresses":["192.0.2.1"]}`, bans, `requests[0].ban.jail: it is empty`},
		{`"ban":{"jail":"j","action":"unban"}`, bans, `requests[0].ban.addresses: it is empty`},
		{`"ban":{"jail":"","action":"verify"}`, bans, ""},
	} {
		out := new(pdk.RenderOutput)
		if err := out.DecodeJSON([]byte(`{"requests":[{"deliveries":["a","b"],` + c.request + `}]}`)); err != nil {
			t.Fatal(err)
		}
		if err := checkRender(c.m, given, out); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\ngot  %v\nwant %s", c.request, err, c.want)
		}
	}
}

// A request without messages belongs to a probe, which has no deliveries: it connects and no more.
func TestSyslogProbe(t *testing.T) {
	for _, s := range []*pdk.SyslogRequest{{Network: "tcp", Host: "h"}, {Network: "local"}} {
		if err := checkSyslog("steps[0].request.syslog", nil, s); err != nil {
			t.Error(err)
		}
	}
}

// TestByRules has what the host decides where there is no classify.
func TestByRules(t *testing.T) {
	mail := func(status int, phase string, parts ...pdk.Part) *pdk.Response {
		return &pdk.Response{Status: status, Body: "text", Parts: parts, Headers: map[string]string{"phase": phase, "message-id": "id@h"}}
	}
	refused := func(problem string) *pdk.Response {
		return &pdk.Response{Status: 255, Headers: map[string]string{"problem": problem, "reason": "why"}}
	}
	good, bad := pdk.Part{Name: "a", OK: true}, pdk.Part{Name: "b", Status: 550, Message: "no such user"}
	for _, c := range []struct {
		kind string
		r    *pdk.Response
		want string
	}{
		{kindSMTP, mail(250, "end", good), "a accepted, b accepted"},
		{kindSMTP, mail(250, "end", good, bad), "a accepted not for b (550 no such user), b accepted not for b (550 no such user)"},
		{kindSMTP, mail(451, "end"), "a retry the mail server answered 451 (end): text, b retry"},
		{kindSMTP, mail(554, "end"), "a rejected the mail"},
		{kindSMTP, mail(550, "rcpt"), "a rejected the mail"},
		{kindSMTP, mail(552, "mail"), "a bad_payload the mail"},
		{kindSMTP, mail(550, "mail"), "a endpoint_broken the mail"},
		{kindSMTP, mail(535, "auth"), "a endpoint_broken the mail server answered 535 (auth): text"},
		{kindSMTP, mail(454, "auth"), "a retry the mail"},
		{kindSyslog, &pdk.Response{Parts: []pdk.Part{good, {Name: "b", Message: "not written"}}}, "a accepted, b retry not written"},
		{kindBan, &pdk.Response{Body: "1", Parts: []pdk.Part{good}}, "a delivered, b delivered"},
		{kindBan, &pdk.Response{Parts: []pdk.Part{good, {Name: "127.0.0.1", Message: "never"}}}, "a delivered not for 127.0.0.1 (never), b"},
		{kindBan, &pdk.Response{Status: 64, Parts: []pdk.Part{{Name: "127.0.0.1", Message: "never"}}}, "a rejected 127.0.0.1 (never), b"},
		{kindBan, refused("no_jail"), "a endpoint_broken why, b"},
		{kindBan, refused("no_permission"), "a endpoint_broken why, b"},
		{kindBan, refused("no_server"), "a retry fail2ban-client ended with exit code 255: why, b"},
		{kindHTTP, &pdk.Response{Status: 204}, "a delivered, b delivered"},
		{kindExec, &pdk.Response{Status: 75}, "a retry the script ended with exit code 75, b retry"},
	} {
		out := byRules(&pdk.ClassifyInput{Request: pdk.RequestInfo{Kind: c.kind, Deliveries: []string{"a", "b"}}, Response: c.r})
		if got := verdictsText(out); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s %+v\n got %s\nwant %s", c.kind, c.r, got, c.want)
		}
	}
	for stage, want := range map[string]string{"connect": "a retry refused", "auth": "a endpoint_broken refused"} {
		out := byRules(&pdk.ClassifyInput{Request: pdk.RequestInfo{Kind: kindSMTP, Deliveries: []string{"a"}}, Error: &pdk.TransportError{Stage: stage, Message: "refused"}})
		if got := verdictsText(out); got != want {
			t.Errorf("%s: got %s, want %s", stage, got, want)
		}
	}
	out := byRules(&pdk.ClassifyInput{Request: pdk.RequestInfo{Kind: kindSMTP, Deliveries: []string{"a"}}, Response: mail(250, "end", good)})
	if out.Verdicts[0].ProviderID != "id@h" {
		t.Errorf("got %+v", out.Verdicts[0])
	}
}

func verdictsText(out *pdk.ClassifyOutput) string {
	var all []string
	for _, v := range out.Verdicts {
		all = append(all, strings.TrimSpace(v.Delivery+" "+string(v.Outcome)+" "+v.Reason))
	}
	return strings.Join(all, ", ")
}
