package native

import (
	"fmt"
	"strconv"

	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/host/alert"
)

// urlDetail is said of requests whose URL looks like an attack.
func urlDetail(kind string) func(Rec) string {
	return func(r Rec) string {
		h := r.Meta().HTTP
		if h == nil || h.URL == "" {
			return ""
		}
		s := fmt.Sprintf("the URL %s looks like %s", strconv.Quote(short(h.URL)), kind)
		if h.Status != 0 {
			s += fmt.Sprintf("; the server answered %d", h.Status)
		}
		return s
	}
}

// short cuts a text that an attacker wrote to what fits a line.
func short(s string) string {
	r := []rune(s)
	if len(r) <= 120 {
		return s
	}
	return string(r[:119]) + "…"
}

const urlAdvice = "Look into the server's log for what it answered, and keep the web application up to date."

var httpRisks = []RiskDef{
	{
		Info: Info{
			Key: "flow/ndpi_url_possible_xss", AlertID: 39, Category: alert.Security, Score: 150, DefaultOn: true,
			Title: "Possible cross-site scripting", Text: "A requested URL carries a script, as in cross-site scripting attacks.",
			Advice: urlAdvice,
		},
		Risk: dissect.RiskURLXSS, Attacker: alert.Client, Victim: alert.Server,
		What: "a URL looks like cross-site scripting", Detail: urlDetail("cross-site scripting"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_url_possible_sql_injection", AlertID: 40, Category: alert.Security, Score: 150, DefaultOn: true,
			Title: "Possible SQL injection", Text: "A requested URL carries SQL, as in attacks on databases behind web sites.",
			Advice: urlAdvice,
		},
		Risk: dissect.RiskURLSQLInjection, Attacker: alert.Client, Victim: alert.Server,
		What: "a URL looks like SQL injection", Detail: urlDetail("SQL injection"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_url_possible_rce_injection", AlertID: 41, Category: alert.Security, Score: 150, DefaultOn: true,
			Title: "Possible remote code execution", Text: "A requested URL carries commands that shall run on the server.",
			Advice: "Check the server for programs and connections that should not be there, and update the web application.",
		},
		Risk: dissect.RiskURLRCE, Attacker: alert.Client, Victim: alert.Server,
		What: "a URL looks like remote code execution", Detail: urlDetail("remote code execution"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_suspicious_user_agent", AlertID: 42, Category: alert.Security, Score: 100, DefaultOn: true,
			Title:  "Suspicious HTTP user agent",
			Text:   "The name that the client gives itself is empty, far too long, or that of an attack tool.",
			Advice: "Find the program on the client; if it is a scanner that nobody asked for, block the client.",
		},
		Risk: dissect.RiskHTTPUserAgent, Attacker: alert.Client, What: "a suspicious user agent is sent",
		Detail: func(r Rec) string {
			h := r.Meta().HTTP
			switch {
			case h == nil:
				return ""
			case h.UserAgent == "":
				return "the request for " + short(r.Fact()) + " names no user agent"
			}
			return fmt.Sprintf("the user agent %s is suspicious", strconv.Quote(short(h.UserAgent)))
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_numeric_ip_host", AlertID: 43, Category: alert.Security, Score: 10, DefaultOn: true,
			Title:  "Server asked for by address",
			Text:   "The client asks for the server by its address instead of a name, as malware often does.",
			Advice: "Nothing to do for devices you set up this way; else find the program on the client.",
		},
		Risk: dissect.RiskNumericHost, What: "the server is asked for by address instead of a name",
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_suspicious_url", AlertID: 44, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Suspicious URL", Text: "A requested URL looks like an attempt to find a weakness of the server.",
			Advice: urlAdvice,
		},
		Risk: dissect.RiskHTTPURL, Attacker: alert.Client, Victim: alert.Server,
		What: "a suspicious URL is requested", Detail: urlDetail("an attempt to find a weakness"),
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_suspicious_header", AlertID: 45, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Suspicious HTTP header", Text: "A request or response carries a header that honest programs do not send.",
			Advice: "Look at both ends: it may be a home-made client, a tunnel or an attack.",
		},
		Risk: dissect.RiskHTTPHeader, What: "a suspicious HTTP header is sent",
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_suspicious_content", AlertID: 63, Category: alert.Security, Score: 100, DefaultOn: true,
			Title: "Suspicious HTTP content", Text: "The content is not of the type that its header states, or hides something else.",
			Advice: "Examine what was transferred before anybody opens it.",
		},
		Risk: dissect.RiskHTTPContent, What: "the content does not fit what its header states",
		Detail: func(r Rec) string {
			if h := r.Meta().HTTP; h != nil && h.ContentType != "" {
				return fmt.Sprintf("the content is not what its type %s promises", strconv.Quote(short(h.ContentType)))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_crawler_bot", AlertID: 72, Category: alert.Network, Score: 10, DefaultOn: true,
			Title: "Crawler or bot", Text: "The client calls itself a crawler or bot.",
			Advice: "Nothing to do for search engines; else limit the client's rate.",
		},
		Risk: dissect.RiskCrawler, What: "a crawler or bot visits",
		Detail: func(r Rec) string {
			if h := r.Meta().HTTP; h != nil && h.UserAgent != "" {
				return fmt.Sprintf("the client is a crawler or bot: %s", strconv.Quote(short(h.UserAgent)))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_http_obsolete_server", AlertID: 84, Category: alert.Security, Score: 50, DefaultOn: true,
			Title: "Obsolete web server", Text: "The server says that it is of a version that gets no security updates any more.",
			Advice: "Update the web server.",
		},
		Risk: dissect.RiskHTTPObsoleteServer, Victim: alert.Server, What: "the web server is obsolete",
		Detail: func(r Rec) string {
			if h := r.Meta().HTTP; h != nil && h.Server != "" {
				return fmt.Sprintf("the web server %s is obsolete", strconv.Quote(short(h.Server)))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/binary_application_transfer", AlertID: 29, Category: alert.Security, Score: 150, DefaultOn: true,
			Title: "Program downloaded in clear text", Text: "A program was transferred over HTTP, where anybody on the way can replace it.",
			Advice: "Examine the file on the client before it runs, and fetch programs over HTTPS.",
		},
		Risk: dissect.RiskBinaryApplicationTransfer, Victim: alert.Client, What: "a program was transferred in clear text",
		Detail: func(r Rec) string {
			if h := r.Meta().HTTP; h != nil && h.URL != "" {
				return fmt.Sprintf("a program was transferred in clear text: %s", short(r.Fact()))
			}
			return ""
		},
	},
	{
		Info: Info{
			Key: "flow/ndpi_binary_data_transfer", AlertID: 99, Category: alert.Security, Score: 50, DefaultOn: true,
			Title: "Binary file in clear text", Text: "A binary file was transferred, or asked for, over a protocol without encryption.",
			Advice: "Examine the file if it was not expected.",
		},
		Risk: dissect.RiskBinaryDataTransfer, What: "a binary file was transferred in clear text",
	},
}
