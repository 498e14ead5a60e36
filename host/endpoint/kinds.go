package endpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// The kinds of requests.
const (
	kindHTTP   = "http"
	kindSMTP   = "smtp"
	kindSyslog = "syslog"
	kindExec   = "exec"
	kindBan    = "ban"
)

const (
	maxMails     = 100 // recipients of a mail
	maxAddresses = 1000
)

// kindOf names a request's kind, and refuses what is none, more than one, or not asked for by the manifest.
func kindOf(m *plugin.Manifest, path string, r *pdk.Request) (string, error) {
	net := func(schemes ...string) bool {
		return slices.ContainsFunc(m.Net, func(w plugin.NetWish) bool { return slices.Contains(schemes, w.Scheme) })
	}
	kind := r.Kind()
	var missing string
	switch {
	case kind == "" && (r.HTTP != nil || r.SMTP != nil || r.Syslog != nil || r.Exec != nil || r.Ban != nil):
		return "", problem(path, "it has more than one of http, smtp, syslog, exec and ban; it must be one of them")
	case kind == "":
		return "", problem(path, "it has none of http, smtp, syslog, exec and ban; a newer tocsin may know its kind")
	case kind == kindHTTP && !net("", "https", "http"):
		return "", problem(path+".http", "the manifest asks for no network access; add a [[net]] entry to it")
	case kind == kindSMTP && !net(kindSMTP):
		missing = `to send mail; add [[net]] with scheme = "smtp"`
	case kind == kindSyslog && r.Syslog.Network == "local" && m.Syslog == nil:
		missing = "to write to the machine's own syslog; add [syslog]"
	case kind == kindSyslog && r.Syslog.Network != "local" && !net(kindSyslog):
		missing = `to write to syslog; add [[net]] with scheme = "syslog"`
	case kind == kindExec && m.Exec == nil:
		missing = "to run scripts; add [exec]"
	case kind == kindBan && m.Ban == nil:
		missing = "to ban addresses; add [ban]"
	}
	if missing != "" {
		return "", problem(path+"."+kind, "the manifest does not ask %s to it", missing)
	}
	return kind, nil
}

// checkSMTP checks a mail's form as far as it needs no secrets; egress reads its addresses.
func checkSMTP(path string, m *pdk.SMTPRequest) error {
	switch {
	case m.Host == "":
		return problem(path+".host", "it is empty")
	case m.From == "":
		return problem(path+".from", "it is empty")
	case len(m.To)+len(m.Cc) == 0 && !m.Verify:
		return problem(path+".to", "it is empty; a mail has at least one recipient")
	case len(m.To)+len(m.Cc) > maxMails:
		return problem(path+".to", "there are %d recipients; the most is %d", len(m.To)+len(m.Cc), maxMails)
	case len(m.Headers) > maxHeaders:
		return problem(path+".headers", "there are %d; the most is %d", len(m.Headers), maxHeaders)
	}
	return nil
}

func checkSyslog(path string, deliveries []string, s *pdk.SyslogRequest) error {
	switch {
	case len(s.Messages) == 0 && len(deliveries) > 0: // without both, a probe makes the connection and no more
		return problem(path+".messages", "it is empty")
	case s.Network == "local" && s.Host != "":
		return problem(path+".host", "it is set, and the network is local")
	case s.Network != "local" && s.Host == "":
		return problem(path+".host", "it is empty; only the network local has none")
	}
	for i := range s.Messages {
		if id := s.Messages[i].Delivery; !slices.Contains(deliveries, id) {
			return problem(fmt.Sprintf("%s.messages[%d].delivery", path, i), "%s is none of the request's deliveries", quote(id))
		}
	}
	return nil
}

func checkBan(path string, b *pdk.BanRequest) error {
	switch {
	case b.Jail == "" && b.Action != "verify":
		return problem(path+".jail", "it is empty")
	case len(b.Addresses) == 0 && b.Action != "verify":
		return problem(path+".addresses", "it is empty")
	case len(b.Addresses) > maxAddresses:
		return problem(path+".addresses", "there are %d; the most is %d", len(b.Addresses), maxAddresses)
	}
	return nil
}

// byRules judges by the host's own rules, for endpoints that leave classify out.
func byRules(in *pdk.ClassifyInput) *pdk.ClassifyOutput {
	if in.Error != nil {
		o := pdk.Retry
		if in.Error.Stage == "auth" { // no way to log in is the configuration's fault
			o = pdk.EndpointBroken
		}
		return spread(in, pdk.Verdict{Outcome: o, Reason: oneLine(in.Error.Message, maxReason)})
	}
	switch in.Request.Kind {
	case kindSMTP:
		return spread(in, ruledMail(in.Response))
	case kindSyslog:
		return ruledSyslog(in)
	case kindBan:
		return spread(in, ruledBan(in.Response))
	}
	return spread(in, ruled(in))
}

// ruledMail judges a mail by its reply (RFC 5321 4.2.1) and where in the session that came.
func ruledMail(r *pdk.Response) pdk.Verdict {
	v := pdk.Verdict{Outcome: pdk.Rejected}
	switch phase := r.Headers["phase"]; {
	case r.Status/100 == 2: // for the server to pass on
		v.Outcome, v.ProviderID = pdk.Accepted, oneLine(r.Headers["message-id"], maxProviderID)
		if refused := failedParts(r.Parts); refused != "" {
			v.Reason = oneLine("not for "+refused, maxReason)
		}
		return v
	case r.Status/100 == 4:
		v.Outcome = pdk.Retry
	case r.Status == 552:
		v.Outcome = pdk.BadPayload // too large
	case phase != "rcpt" && phase != "data" && phase != "end":
		v.Outcome = pdk.EndpointBroken
	}
	v.Reason = oneLine(fmt.Sprintf("the mail server answered %d (%s): %s", r.Status, r.Headers["phase"], r.Body), maxReason)
	return v
}

// ruledSyslog takes what was written for accepted: no receiver confirms anything.
func ruledSyslog(in *pdk.ClassifyInput) *pdk.ClassifyOutput {
	out := &pdk.ClassifyOutput{}
	for _, id := range in.Request.Deliveries {
		v := pdk.Verdict{Delivery: id, Outcome: pdk.Accepted}
		for _, p := range in.Response.Parts {
			if p.Name == id && !p.OK {
				v.Outcome, v.Reason = pdk.Retry, oneLine(p.Message, maxReason)
			}
		}
		out.Verdicts = append(out.Verdicts, v)
	}
	return out
}

func ruledBan(r *pdk.Response) pdk.Verdict {
	refused := failedParts(r.Parts)
	switch problem := r.Headers["problem"]; {
	case r.Status == 0 && refused != "":
		return pdk.Verdict{Outcome: pdk.Delivered, Reason: oneLine("not for "+refused, maxReason)}
	case r.Status == 0:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status == 64: // no address was left
		return pdk.Verdict{Outcome: pdk.Rejected, Reason: oneLine(refused, maxReason)}
	case problem == "no_jail", problem == "no_permission":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: oneLine(r.Headers["reason"], maxReason)}
	}
	return pdk.Verdict{Outcome: pdk.Retry, Reason: oneLine(fmt.Sprintf("fail2ban-client ended with exit code %d: %s", r.Status, r.Headers["reason"]), maxReason)}
}

// failedParts words the parts that failed; empty, if none did.
func failedParts(parts []pdk.Part) string {
	var out []string
	for _, p := range parts {
		if p.OK {
			continue
		}
		text := p.Name
		if p.Status != 0 {
			text += fmt.Sprintf(" (%d %s)", p.Status, p.Message)
		} else if p.Message != "" {
			text += " (" + p.Message + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}
