package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/host/alert"
)

// nameDetail is said of names that look wrong.
func nameDetail(what string) func(Rec) string {
	return func(r Rec) string {
		if h := r.Meta().Hostname; h != "" {
			return fmt.Sprintf("the name %s %s", short(h), what)
		}
		return ""
	}
}

var dnsRisks = []RiskDef{
	{
		Info: Info{
			Key: "flow/ndpi_suspicious_dga_domain", AlertID: 47, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Domain name made by a program",
			Text:   "The name looks as if a program made it up, as malware does to find its masters.",
			Advice: "Examine the client for malware, above all if it asks for many such names.",
		},
		Risk: dissect.RiskDGADomain, Victim: alert.Client, What: "the name asked for looks made up by a program",
		Detail: nameDetail("looks made up by a program"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_dns_suspicious_traffic", AlertID: 53, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "Suspicious DNS traffic",
			Text:   "Traffic to a DNS port that is no DNS, or DNS as tunnels use it.",
			Advice: "Find out which program on the client sends it: DNS tunnels carry data past firewalls.",
		},
		Risk: dissect.RiskDNSSuspicious, What: "suspicious DNS traffic",
		Detail: func(r Rec) string {
			m := r.Meta()
			if m.DNS == nil || m.DNS.Query == "" {
				return ""
			}
			return fmt.Sprintf("suspicious DNS traffic, %d questions, the first for %s", m.DNS.Queries, short(m.DNS.Query))
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_dns_large_packet", AlertID: 64, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "Large DNS packet",
			Text:   "A DNS packet over UDP is longer than 512 bytes: amplification attacks and tunnels use these.",
			Advice: "Nothing to do for DNSSEC and long lists of addresses; else look at the name asked for.",
		},
		Risk: dissect.RiskDNSLarge, What: "a DNS packet longer than 512 bytes",
		Detail: func(r Rec) string {
			if d := r.Meta().DNS; d != nil && d.Query != "" {
				return "a DNS packet longer than 512 bytes, asking for " + short(d.Query)
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_dns_fragmented", AlertID: 65, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "Fragmented DNS message",
			Text:   "A DNS message came in IP fragments, which helps attackers to forge answers.",
			Advice: "Let the server answer long questions over TCP (EDNS buffer size 1232).",
		},
		Risk: dissect.RiskDNSFragmented, What: "a DNS message came in fragments",
	},
	{
		Info: Info{
			Key: "flow/ndpi_punicody_idn", AlertID: 70, Category: alert.Security, Score: 10, DefaultOn: true,
			Title:  "Internationalised domain name",
			Text:   "The name is in Punycode: letters of other alphabets may imitate a well-known name.",
			Advice: "Look at how the name is displayed, and whether it imitates another one.",
		},
		Risk: dissect.RiskPunycode, What: "an internationalised domain name is asked for",
		Detail: nameDetail("is an internationalised one, which may imitate another"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_invalid_characters", AlertID: 66, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Invalid characters in a name",
			Text:   "A name or another text contains characters that must not be there, which may be an attack on who reads it.",
			Advice: "Find out which program sends it.",
		},
		Risk: dissect.RiskInvalidCharacters, Attacker: alert.Client, What: "a text contains invalid characters",
		Detail: nameDetail("contains invalid characters"),
	},
}
