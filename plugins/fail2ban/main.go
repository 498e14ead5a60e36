// Command fail2ban is the plug-in that has fail2ban ban attackers. Nothing but this endpoint lives here; its manifest, schema,
// templates and texts are in manifests/fail2ban.
package main

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// Exit codes: of fail2ban-client, and of the host where it left out every address.
const (
	exitDone      = 0
	exitNoAddress = 64
)

// What a request does. An alert that is a test bans nobody: the jail is only looked at.
const (
	ban    = "ban"
	unban  = "unban"
	verify = "verify"
)

var endpoint = pdk.Endpoint{Render: render, Classify: classify, Lint: lint, Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

// render bans the attacker of each alert, and may unban it when the alert ends. Neighbours in a batch that want the same share a
// request; the order of bans and unbans stays, since the last one counts.
func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	never, err := networks(in.Recipient.Strings("never_ban"))
	if err != nil {
		return nil, err
	}
	jail := in.Recipient.String("fail2ban_jail", "")
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		action, address, verdict := decide(in.Recipient, &d.Alert, never)
		if verdict.Outcome != "" {
			verdict.Delivery = d.ID
			out.Rejected = append(out.Rejected, verdict)
			continue
		}
		if n := len(out.Requests); n > 0 && action != verify && out.Requests[n-1].Ban.Action == action {
			r := &out.Requests[n-1]
			r.Deliveries = append(r.Deliveries, d.ID)
			r.Ban.Addresses = append(r.Ban.Addresses, address)
			continue
		}
		r := pdk.Request{Deliveries: []string{d.ID}, Ban: &pdk.BanRequest{Jail: jail, Action: action}, Note: action}
		if action != verify {
			r.Ban.Addresses = []string{address}
			r.Ban.NeverBan = in.Recipient.Strings("never_ban") // the host looks too, in its own way
		}
		out.Requests = append(out.Requests, r)
	}
	return out, nil
}

// decide says what to do for an alert, or why nothing.
func decide(recipient pdk.Params, a *pdk.Alert, never []netip.Prefix) (action, address string, v pdk.Verdict) {
	skip := func(why string) (string, string, pdk.Verdict) {
		return "", "", pdk.Verdict{Outcome: pdk.Skipped, Reason: why}
	}
	if strings.Contains(string(a.Raw), `"test":true`) { // an unescaped quote stands around keys only
		return verify, "", v
	}
	if a.Attacker == "" {
		return skip("the alert names no attacker, so there is nobody to ban")
	}
	addr, err := netip.ParseAddr(a.Attacker)
	if err != nil || addr.Zone() != "" {
		return "", "", pdk.Verdict{Outcome: pdk.Rejected, Reason: "the attacker \"" + pdk.TruncateRunes(a.Attacker, 80) + "\" is no IP address"}
	}
	addr = addr.Unmap()
	address = addr.String()
	if a.Action == "release" {
		if !recipient.Bool("unban_on_release", false) {
			return skip("the alert has ended; " + address + " stays banned as long as the jail says, as unban_on_release is not set")
		}
		return unban, address, v
	}
	if local(a) && !recipient.Bool("ban_local", false) {
		return skip("the attacker " + address + " is a local host; ban_local would ban it all the same")
	}
	for _, p := range never {
		if p.Contains(addr) {
			return skip("the attacker " + address + " is in never_ban (" + p.String() + ")")
		}
	}
	return ban, address, v
}

// local tells whether the attacker is in the local networks.
func local(a *pdk.Alert) bool {
	switch a.Attacker {
	case a.Client:
		return a.ClientLocal
	case a.Server:
		return a.ServerLocal
	case a.IP:
		return a.Local
	}
	return false
}

// networks reads addresses and networks in CIDR notation.
func networks(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for i, text := range list {
		p, err := network(text)
		if err != nil {
			return nil, &listError{i, text}
		}
		out = append(out, p)
	}
	return out, nil
}

func network(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), err
}

// listError is an entry of never_ban that is no network. Nothing is banned while there is one: it may have meant anybody.
type listError struct {
	index int
	text  string
}

func (e *listError) field() string { return "never_ban[" + strconv.Itoa(e.index) + "]" }

func (e *listError) why() string {
	return "\"" + pdk.TruncateRunes(e.text, 80) + "\" is neither an address nor a network: write one such as 192.0.2.0/24"
}

func (e *listError) Error() string { return e.field() + ": " + e.why() }

// lint finds what a pattern cannot: numbers above 255, prefixes that are too long.
func lint(in *pdk.LintInput) (*pdk.LintOutput, error) {
	out := &pdk.LintOutput{}
	for i, text := range in.Recipient.Strings("never_ban") {
		if _, err := network(text); err != nil {
			e := &listError{i, text}
			out.Problems = append(out.Problems, pdk.Problem{Field: "recipient." + e.field(), Message: e.why()})
		}
	}
	return out, nil
}

// probe asks whether fail2ban answers and, with a recipient, whether the jail is there. It bans nobody.
func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	jail := in.Recipient.String("fail2ban_jail", "")
	title := "Does fail2ban answer?"
	if jail != "" {
		title = "Does fail2ban answer, and is the jail " + jail + " there?"
	}
	return &pdk.ProbeOutput{Steps: []pdk.ProbeStep{{
		Title:   title,
		Request: pdk.Request{Ban: &pdk.BanRequest{Jail: jail, Action: verify}, Note: verify},
	}}}, nil
}

func classify(in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	if v := whole(in); v.Outcome != "" {
		return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
	}
	r := in.Response
	out := &pdk.ClassifyOutput{}
	for i, id := range in.Request.Deliveries {
		// Every address has its part, in the order of the deliveries.
		v := pdk.Verdict{Delivery: id, Outcome: pdk.Delivered}
		switch {
		case i < len(r.Parts) && !r.Parts[i].OK:
			v.Outcome, v.Reason = pdk.Rejected, pdk.TruncateRunes(r.Parts[i].Message, 300)
		case r.Status == exitNoAddress:
			v.Outcome, v.Reason = pdk.Rejected, said(r)
		case strings.TrimSpace(r.Body) == "0":
			v.Outcome = pdk.Duplicate // every address was so already
		}
		out.Verdicts = append(out.Verdicts, v)
	}
	return out, nil
}

// whole is the verdict for all deliveries of a request, or an empty one if each has its own.
func whole(in *pdk.ClassifyInput) pdk.Verdict {
	switch e := in.Error; {
	case e == nil:
	case e.Stage == "start", e.Stage == "denied", e.Stage == "invalid":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: e.Message}
	default:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: e.Message} // to ban twice is harmless
	}
	if in.Response == nil {
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "what became of it is not known"}
	}
	r := in.Response
	switch {
	case r.Status == exitDone && in.Request.Note == verify:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Status == exitDone, r.Status == exitNoAddress:
		return pdk.Verdict{}
	case r.Headers["problem"] == "no_jail":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said(r) + "; check fail2ban_jail: fail2ban-client status lists the jails"}
	case r.Headers["problem"] == "no_permission":
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: said(r)}
	}
	return pdk.Verdict{Outcome: pdk.Retry, Reason: "fail2ban-client ended with exit code " + strconv.Itoa(r.Status) + ": " + said(r)}
}

// said gives fail2ban's own words.
func said(r *pdk.Response) string {
	for _, text := range []string{r.Headers["reason"], r.Stderr, r.Body} {
		text = strings.TrimSpace(text)
		if line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:]); line != "" {
			return pdk.TruncateRunes(line, 300)
		}
	}
	return "it gave no reason"
}
