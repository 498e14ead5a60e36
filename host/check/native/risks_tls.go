package native

import (
	"fmt"
	"strings"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/host/alert"
)

var tlsRisks = []RiskDef{
	{
		Info: Info{
			Key: "flow/tls_certificate_expired", AlertID: 22, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "TLS certificate expired",
			Text:   "The server's certificate was outside its validity when the flow was seen.",
			Advice: "Renew the certificate on the server, and look at why its renewal did not run.",
		},
		Risk: dissect.RiskTLSCertExpired, What: "the server's certificate is not valid at this time",
		Detail: func(r Rec) string {
			c, at := r.certificate(), r.B.First[r.I]/1e9
			switch {
			case c.NotAfter == 0:
				return ""
			case at < c.NotBefore:
				return fmt.Sprintf("the server's certificate %s is not valid before %s", certName(c), day(c.NotBefore))
			case at > c.NotAfter:
				return fmt.Sprintf("the server's certificate %s expired on %s, %d days ago", certName(c), day(c.NotAfter),
					(at-c.NotAfter)/86400)
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/tls_certificate_mismatch", AlertID: 23, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "TLS certificate for another name",
			Text:   "The client asked for a name that the server's certificate does not carry.",
			Advice: "Find out whether the server is misconfigured or somebody stands between client and server.",
		},
		Risk: dissect.RiskTLSCertMismatch, What: "the server's certificate does not carry the name asked for",
		Detail: func(r Rec) string {
			t, c := r.Meta().TLS, r.certificate()
			if t == nil || t.SNI == "" || c.Subject == "" && len(c.Names) == 0 {
				return ""
			}
			s := fmt.Sprintf("asked for %s, but the certificate is for %s", t.SNI, certName(c))
			if n := len(c.Names); n > 1 {
				s += fmt.Sprintf(" and %d other names", n-1)
			}
			return s
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_old_protocol_version", AlertID: 24, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Obsolete TLS version",
			Text:   "Client and server agreed on SSL or on TLS 1.1 or older, which are broken.",
			Advice: "Update the older side, and turn TLS 1.0 and 1.1 off on the server.",
		},
		Risk: dissect.RiskTLSObsoleteVersion, What: "an obsolete TLS version is used",
		Detail: func(r Rec) string {
			if t := r.Meta().TLS; t != nil && t.Version != 0 {
				return "uses " + dissect.VersionName(t.Version) + ", which is obsolete"
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/tls_unsafe_ciphers", AlertID: 25, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Weak TLS cipher",
			Text:   "Client and server agreed on a cipher suite that is considered weak.",
			Advice: "Remove weak suites from the server's configuration.",
		},
		Risk: dissect.RiskTLSWeakCipher, What: "a weak cipher suite is used",
		Detail: func(r Rec) string {
			if t := r.Meta().TLS; t != nil && t.Cipher != 0 {
				return "uses the weak cipher suite " + dissect.CipherName(t.Cipher)
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/tls_certificate_selfsigned", AlertID: 28, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "TLS certificate self-signed",
			Text:   "The server's certificate is signed by itself, so the client cannot know whom it speaks to.",
			Advice: "If the server is yours give it a certificate of your own or a public authority; if not, ask what it is.",
		},
		Risk: dissect.RiskTLSSelfSigned, What: "the server's certificate is self-signed",
		Detail: func(r Rec) string {
			if c := r.certificate(); c.Subject != "" {
				return fmt.Sprintf("the server's certificate is self-signed (%s)", c.Subject)
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_not_carrying_https", AlertID: 46, Category: alert.Security, Score: 10, DefaultOn: true,
			Title:  "TLS that is not HTTPS",
			Text:   "A TLS flow whose client offers no web protocol: it may be an application of its own, or a tunnel.",
			Advice: "Nothing to do if the application is known; else find the program on the client.",
		},
		Risk: dissect.RiskTLSNotHTTPS, What: "TLS that does not seem to carry HTTPS",
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_suspicious_esni_usage", AlertID: 51, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "Suspicious encrypted server name",
			Text:   "The client hides the server's name (ESNI) and shows another one at the same time.",
			Advice: "Look at the program on the client: some circumvention tools and malware do this.",
		},
		Risk: dissect.RiskTLSESNI, What: "both a hidden and a plain server name are sent",
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_missing_sni", AlertID: 54, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "TLS without server name",
			Text:   "The client did not say which server name it wants, which browsers always do.",
			Advice: "Find the program on the client: scripts and old devices do this, and so does malware.",
		},
		Risk: dissect.RiskTLSMissingSNI, What: "TLS without a server name (SNI)",
		Detail: plain("TLS without a server name (SNI)"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_cert_validity_too_long", AlertID: 60, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "TLS certificate valid for too long",
			Text:   "The certificate is valid for longer than public authorities may issue (398 days).",
			Advice: "Replace the certificate by one of shorter life, issued automatically.",
		},
		Risk: dissect.RiskTLSValidityTooLong, What: "the server's certificate is valid for too long",
		Detail: func(r Rec) string {
			c := r.certificate()
			if c.NotAfter == 0 {
				return ""
			}
			return fmt.Sprintf("the server's certificate %s is valid for %d days, from %s to %s", certName(c),
				(c.NotAfter-c.NotBefore)/86400, day(c.NotBefore), day(c.NotAfter))
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_certificate_about_to_expire", AlertID: 69, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "TLS certificate about to expire",
			Text:   "The server's certificate expires within days.",
			Advice: "Renew the certificate now.",
		},
		Risk: dissect.RiskTLSAboutToExpire, What: "the server's certificate expires soon",
		Detail: func(r Rec) string {
			c := r.certificate()
			if c.NotAfter == 0 {
				return ""
			}
			return fmt.Sprintf("the server's certificate %s expires on %s, in %d days", certName(c), day(c.NotAfter),
				(c.NotAfter-r.B.First[r.I]/1e9)/86400)
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_uncommon_alpn", AlertID: 81, Category: alert.Other, Score: 50, DefaultOn: true,
			Title:  "Uncommon TLS application protocol",
			Text:   "The client offers an application protocol (ALPN) that is hardly ever seen.",
			Advice: "Find the program on the client that speaks it.",
		},
		Risk: dissect.RiskTLSUncommonALPN, What: "an uncommon application protocol is offered",
		Detail: func(r Rec) string {
			if t := r.Meta().TLS; t != nil && len(t.ALPN) > 0 {
				return "offers the uncommon application protocol " + strings.Join(t.ALPN, ", ")
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_suspicious_extension", AlertID: 82, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Suspicious TLS extension",
			Text:   "The client's greeting carries an extension that no honest program sends.",
			Advice: "Find the program on the client: this may be a tunnel or an attack on the server.",
		},
		Risk: dissect.RiskTLSExtension, Attacker: alert.Client, What: "a suspicious TLS extension is sent",
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_fatal_alert", AlertID: 83, Category: alert.Other, Score: 10, DefaultOn: true,
			Title:  "TLS handshake failed",
			Text:   "One side ended the TLS connection with a fatal alert.",
			Advice: "Look at both sides' TLS settings: versions, cipher suites and certificates.",
		},
		Risk: dissect.RiskTLSFatalAlert, What: "the TLS connection ended with a fatal alert",
		Detail: func(r Rec) string {
			if t := r.Meta().TLS; t != nil && t.AlertCode != 0 {
				return fmt.Sprintf("the TLS connection ended with the fatal alert %s", alertName(t.AlertCode))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_tls_alpn_sni_mismatch", AlertID: 97, Category: alert.Security, Score: 50, DefaultOn: true,
			Title:  "TLS name and protocol do not fit",
			Text:   "The application protocol the client offers does not fit the server name it asks for.",
			Advice: "Find the program on the client: this may be a tunnel that hides behind a well-known name.",
		},
		Risk: dissect.RiskTLSALPNMismatch, What: "application protocol and server name do not fit each other",
	},
}
