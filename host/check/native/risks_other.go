package native

import (
	"fmt"
	"strconv"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/host/alert"
)

var otherRisks = []RiskDef{
	{
		Info: Info{
			Key: "flow/ndpi_unidirectional_traffic", AlertID: 26, Category: alert.Network, Score: 10, DefaultOn: true,
			Title: "No answer", Text: "Packets went in one direction only.",
			Advice: "Check that the server runs and that no firewall drops its answers; many such flows of one client are a scan.",
		},
		Risk: dissect.RiskUnidirectional, What: "nobody answered",
		Detail: func(r Rec) string {
			if n := r.B.Packets[0][r.I]; r.B.Packets[1][r.I] == 0 && n > 0 {
				return fmt.Sprintf("nobody answered to %s of %s", count(float64(n), "packet"), size(r.B.Bytes[0][r.I]))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/known_proto_on_non_std_port", AlertID: 30, Category: alert.Security, Score: 50, DefaultOn: true,
			Title: "Known protocol on another port", Text: "A well-known protocol is used on a port that is not its own.",
			Advice: "If the service is yours, list it; else somebody may hide it from a firewall.",
		},
		Risk: dissect.RiskNonStandardPort, What: "a known protocol on a port that is not its own",
		Detail: func(r Rec) string {
			return fmt.Sprintf("%s on port %d, which is not its own", r.Label(), r.B.ServerPort[r.I])
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_malformed_packet", AlertID: 48, Category: alert.Security, Score: 10, DefaultOn: true,
			Title: "Malformed packet", Text: "A packet does not keep to the rules of its own protocol.",
			Advice: "Find out whether a broken program or an attack on the receiver sends it.",
		},
		Risk: dissect.RiskMalformedPacket, What: "a packet breaks the rules of its protocol",
	},
	{
		Info: Info{
			Key: "flow/ndpi_ssh_obsolete_server", AlertID: 49, Category: alert.Security, Score: 50, DefaultOn: true,
			Title: "Obsolete SSH server", Text: "The server's SSH version or ciphers are out of date.",
			Advice: "Update the SSH server.",
		},
		Risk: dissect.RiskSSHObsoleteServer, Victim: alert.Server, What: "the SSH server is obsolete",
		Detail: func(r Rec) string {
			if s := r.Meta().SSH; s != nil && s.Server != "" {
				return fmt.Sprintf("the SSH server %s is obsolete", strconv.Quote(short(s.Server)))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_ssh_obsolete_client", AlertID: 61, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Obsolete SSH client", Text: "The client's SSH version or ciphers are out of date.",
			Advice: "Update the SSH client.",
		},
		Risk: dissect.RiskSSHObsoleteClient, Victim: alert.Client, What: "the SSH client is obsolete",
		Detail: func(r Rec) string {
			if s := r.Meta().SSH; s != nil && s.Client != "" {
				return fmt.Sprintf("the SSH client %s is obsolete", strconv.Quote(short(s.Client)))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_smb_insecure_version", AlertID: 50, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Insecure SMB version", Text: "File sharing with SMB 1, through which worms such as WannaCry spread.",
			Advice: "Turn SMB 1 off on both sides.",
		},
		Risk: dissect.RiskSMBInsecure, What: "file sharing with the insecure SMB 1",
		Detail: plain("file sharing with the insecure SMB 1"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_unsafe_protocol", AlertID: 52, Category: alert.Security, Score: 10, DefaultOn: true,
			Title: "Unsafe protocol", Text: "The protocol sends secrets or commands in clear text, or is often abused.",
			Advice: "Use the protocol's encrypted successor.",
		},
		Risk: dissect.RiskUnsafeProtocol, What: "an unsafe protocol is used",
		Detail: func(r Rec) string { return "uses the unsafe protocol " + r.Label() },
	},
	{
		Info: Info{
			Key: "flow/ndpi_clear_text_credentials", AlertID: 62, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Password in clear text", Text: "A user name or password crossed the network without encryption.",
			Advice: "Change the password and use the encrypted form of the protocol.",
		},
		Risk: dissect.RiskClearTextCredentials, Victim: alert.Client, What: "a user name or password was sent in clear text",
		Detail: func(r Rec) string {
			c := r.Meta().Credentials
			if c == nil {
				return ""
			}
			what := "a user name"
			if c.Password {
				what = "a password"
			}
			if c.User != "" {
				what += " of user " + strconv.Quote(short(c.User))
			}
			return fmt.Sprintf("%s was sent in clear text over %s", what, c.Protocol)
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_possible_exploit", AlertID: 68, Category: alert.Security, Score: 150, DefaultOn: true,
			Title: "Possible exploit", Text: "The traffic carries what is known to exploit a weakness, such as Log4Shell.",
			Advice: "Check the server for signs of a break-in, and update what the exploit aims at.",
		},
		Risk: dissect.RiskPossibleExploit, Attacker: alert.Client, Victim: alert.Server, What: "this may be an exploit",
	},
	{
		Info: Info{
			Key: "flow/ndpi_error_code_detected", AlertID: 71, Category: alert.Network, Score: 10, DefaultOn: true,
			Title: "Error answered", Text: "The server answered with an error, such as HTTP 404 or an unknown DNS name.",
			Advice: "Nothing to do for single ones; many of one client are a misconfiguration or a probe.",
		},
		Risk: dissect.RiskErrorCode, What: "the server answered with an error",
		Detail: func(r Rec) string {
			m := r.Meta()
			switch {
			case m.HTTP != nil && m.HTTP.Status >= 400:
				return fmt.Sprintf("the server answered %d for %s", m.HTTP.Status, short(r.Fact()))
			case m.DNS != nil && m.DNS.RCode != 0:
				return fmt.Sprintf("the DNS server answered error %s for %s", dissect.RCodeName(m.DNS.RCode), short(m.DNS.Query))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_desktop_or_file_sharing_session", AlertID: 78, Category: alert.Security, Score: 10, DefaultOn: true,
			Title: "Desktop or file sharing", Text: "A session in which one side can see or use the other's desktop or files.",
			Advice: "Make sure that the session is wanted.",
		},
		Risk: dissect.RiskDesktopSharing, What: "a desktop or file sharing session",
		Detail: func(r Rec) string { return "a desktop or file sharing session with " + r.Label() },
	},
	{
		Info: Info{
			Key: "flow/ndpi_minor_issues", AlertID: 89, Category: alert.Network, Score: 10, DefaultOn: true,
			Title: "Minor protocol issue", Text: "Something small is not as the protocol's rules say.",
			Advice: "Nothing to do unless the application has trouble.",
		},
		Risk: dissect.RiskMinorIssues, What: "something small breaks the protocol's rules",
	},
	{
		Info: Info{
			Key: "flow/ndpi_tcp_issues", AlertID: 90, Category: alert.Network, Score: 50, DefaultOn: true,
			Title: "TCP connection in trouble", Text: "The connection was refused, broken off or never completed.",
			Advice: "Check that the service runs and that no firewall cuts it off; many of one client are a scan.",
		},
		Risk: dissect.RiskTCPIssues, What: "the TCP connection was refused, broken off or never completed",
	},
	{
		Info: Info{
			Key: "flow/ndpi_probing_attempt", AlertID: 101, Category: alert.Security, Score: 50, DefaultOn: true,
			Title: "Probing attempt", Text: "The client connected, learned that somebody is there, and left without asking for anything.",
			Advice: "Look for more of the same client: it may be looking for services to attack.",
		},
		Risk: dissect.RiskProbing, Attacker: alert.Client, Victim: alert.Server, What: "the client connected only to see who is there",
	},
}
