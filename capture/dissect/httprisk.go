package dissect

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// requestRisks judges a request. host is without port.
func (c *ctx) requestRisks(h *HTTP, host string, agent []byte, hasAgent bool, fields int) {
	if !hasAgent || len(agent) == 0 {
		if h.Method != "CONNECT" && fields > 0 {
			c.risk(RiskHTTPUserAgent, "no user agent")
		}
	} else {
		x := c.d.agents.get(h.UserAgent, factsOfAgent)
		if x.bad != "" {
			c.risk(RiskHTTPUserAgent, x.bad)
		} else if x.crawler {
			c.risk(RiskCrawler, h.UserAgent)
		}
	}
	if numericHost(host) && c.s.Protocol == ProtoHTTP && c.dir == 0 {
		if a, err := netip.ParseAddr(host); err == nil && c.p.Server.IsValid() && a.Unmap() != c.p.Server.Unmap() && !c.p.Server.IsMulticast() {
			c.risk(RiskHTTPHeader, "Host is "+host+", the server "+c.p.Server.Unmap().String())
		}
	}
	if h.URL != "" {
		c.urlRisks(h.URL)
	}
}

// urlRisks looks for attacks in a request's target.
func (c *ctx) urlRisks(url string) {
	if plainURL(url) {
		return
	}
	var buf [2048]byte
	d := unescape(buf[:0], url)
	low := bytes.ToLower(d)
	if why := traversal(url, low); why != "" {
		c.risk(RiskHTTPURL, why)
	}
	if w := contains(low, xssWords); w != "" {
		c.risk(RiskURLXSS, w)
	}
	if sqlInjection(low) {
		c.risk(RiskURLSQLInjection, "SQL in the URL")
	}
	if w := contains(low, rceWords); w != "" {
		c.risk(RiskURLRCE, w)
	}
	if isLog4Shell(low) {
		c.risk(RiskPossibleExploit, "Log4Shell in the URL")
	}
}

// plainURL reports whether a target has none of the characters and words that an attack needs, as most have.
func plainURL(url string) bool {
	for i := range len(url) {
		switch url[i] {
		case '%', '+', '\'', '"', '<', '>', ';', '|', '`', '$', '(', ')', '{', '}', '*', '\\', ' ':
			return false
		}
	}
	return !strings.Contains(url, "..") && !strings.Contains(url, "/etc/") && !strings.Contains(url, "/proc/") && !strings.Contains(url, "/bin/") &&
		!strings.Contains(url, "cmd") && !strings.Contains(url, "php:") && !strings.Contains(url, "32/") && !strings.Contains(url, "schema") &&
		!strings.Contains(url, "exec") && !strings.Contains(url, "invoke") && !strings.Contains(url, "onerror") && !strings.Contains(url, "onmouse") &&
		!strings.Contains(url, "script:") && !strings.Contains(url, "cookie") && !strings.Contains(url, "class.") && !strings.Contains(url, "busybox")
}

// unescape decodes %XX twice, as attackers do, and + as a space; it never fails.
func unescape(out []byte, s string) []byte {
	out = append(out, s[:min(len(s), 1024)]...)
	for range 2 {
		w := 0
		for r := 0; r < len(out); r++ {
			x := out[r]
			if x == '%' && r+2 < len(out) {
				hi, ok1 := unhex(out[r+1])
				lo, ok2 := unhex(out[r+2])
				if ok1 && ok2 {
					x = hi<<4 | lo
					r += 2
				}
			} else if x == '+' {
				x = ' '
			}
			out[w] = x
			w++
		}
		out = out[:w]
	}
	return out
}

func unhex(x byte) (byte, bool) {
	switch {
	case x >= '0' && x <= '9':
		return x - '0', true
	case x|0x20 >= 'a' && x|0x20 <= 'f':
		return x | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func contains(b []byte, words []string) string {
	for _, w := range words {
		if bytes.Contains(b, []byte(w)) {
			return w
		}
	}
	return ""
}

var xssWords = []string{
	"<script", "</script", "javascript:", "<svg/onload", "<svg onload", "<img src=x", "onerror=", "<iframe", "document.cookie",
	"alert(document", "<body onload", "onmouseover=",
}

var rceWords = []string{
	";wget ", "|wget ", ";curl ", "|curl ", "$(wget", "$(curl", "`wget", "`curl", "/bin/sh", "/bin/bash", ";cat /etc", "|cat /etc",
	"; cat /etc", "| cat /etc", "cmd.exe /c", "cmd.exe?/c", "cmd=cat ", "cmd=id", "exec=id", "powershell -", "powershell.exe", "php://input",
	"php://filter", "allow_url_include", "system('", "passthru(", "shell_exec(", "eval(base64", "invokefunction&function=call_user_func",
	"() { :;}", "class.module.classloader", ";nc -e", "chmod 777", "busybox",
}

// traversal says why a target leaves the folder it begins in, or asks for what no page links to.
func traversal(raw string, low []byte) string {
	switch {
	case bytes.Contains(low, []byte("../..")) || bytes.Contains(low, []byte(`..\..`)):
		return "path traversal"
	case bytes.Contains(low, []byte("/etc/passwd")), bytes.Contains(low, []byte("/etc/shadow")), bytes.Contains(low, []byte("/proc/self/")):
		return "system file"
	case bytes.Contains(low, []byte("winnt/system32")), bytes.Contains(low, []byte("windows/system32")), bytes.Contains(low, []byte("cmd.exe")):
		return "system program"
	case bytes.IndexByte(low, 0) >= 0:
		return "NUL in the URL"
	case strings.Contains(raw, "%c0%af"), strings.Contains(raw, "%252e"), strings.Contains(raw, "%255c"):
		return "double encoding"
	}
	return ""
}

var sqlSpaces = strings.NewReplacer("/**/", " ", "\t", " ", "\n", " ")

// sqlInjection looks for SQL that only makes sense as an attack. Comments count as spaces.
func sqlInjection(b []byte) bool {
	s := strings.Join(strings.Fields(sqlSpaces.Replace(string(b))), " ")
	for _, w := range []string{
		"union select ", "union all select ", "union distinct select", " or 1=1", "' or '1'='1", "' or 1=1", "\" or \"1\"=\"1", "' or ''='",
		"information_schema", "; drop table", ";drop table", "waitfor delay", "xp_cmdshell", "pg_sleep(", "benchmark(", "and sleep(",
		"or sleep(", "load_file(", "into outfile", "into dumpfile", "extractvalue(", "updatexml(", "group_concat(", "' and '1'='", "'--", "' --",
		"' and 1=", "' and (select ", " and (select ", "(select(sleep(", "select sleep(", "select pg_sleep", "@@version",
	} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// isLog4Shell looks for a lookup that makes Log4j fetch code (CVE-2021-44228), plain or hidden behind nested lookups.
func isLog4Shell(low []byte) bool {
	i := bytes.Index(low, []byte("${"))
	if i < 0 {
		return false
	}
	rest := low[i:]
	return bytes.Contains(rest, []byte("jndi:")) || bytes.Contains(rest, []byte("${lower:")) || bytes.Contains(rest, []byte("${upper:")) ||
		bytes.Contains(rest, []byte("${::-"))
}

func factsOfAgent(ua string) agentFacts { return agentFacts{bad: badAgent(ua), crawler: isCrawler(ua)} }

// tools are user agents of scanners and attack tools.
var tools = []string{
	"sqlmap", "nikto", "nmap scripting", "masscan", "zgrab", "gobuster", "dirbuster", "wpscan", "hydra", "nessus", "acunetix",
	"openvas", "w3af", "havij", "fuzz faster", "feroxbuster", "nuclei", "commix", "jorgee", "morfeus", "zmeu", "dirb",
}

// badAgent says what is wrong with a user agent, or returns "".
func badAgent(ua string) string {
	low := strings.ToLower(ua)
	for _, t := range tools {
		if strings.Contains(low, t) {
			return ua
		}
	}
	if strings.Contains(low, "<?") || strings.Contains(low, "${") || strings.Contains(low, "jndi:") || strings.Contains(low, "() {") || strings.Contains(low, "<script") ||
		strings.Contains(low, "' or ") || strings.Contains(low, "/bin/") {
		return ua
	}
	if len(ua) < 4 {
		return "user agent " + ua
	}
	// One long word of mixed letters without version or comment is what malware makes up.
	if len(ua) >= 20 && !strings.ContainsAny(ua, " /.-_();:") {
		return ua
	}
	return ""
}

func isCrawler(ua string) bool {
	low := strings.ToLower(ua)
	return strings.Contains(low, "bot/") || strings.Contains(low, "bot.htm") || strings.Contains(low, "crawler") || strings.Contains(low, "spider") ||
		strings.Contains(low, "googlebot") || strings.Contains(low, "bingbot")
}

// oddHeaders are header names that tell of programs that report their host's secrets.
var oddHeaders = []string{"uuid", "tls_version", "osname", "osversion", "hostname", "username", "machineid", "volumeserial"}

// headerRisk judges one header of a request.
func (c *ctx) headerRisk(name, value []byte) {
	switch name[0] | 0x20 {
	case 'u', 't', 'o', 'h', 'm', 'v':
		for _, o := range oddHeaders {
			if is(name, o) {
				c.risk(RiskHTTPHeader, o)
			}
		}
	}
	if bytes.IndexByte(value, '$') >= 0 {
		var buf [1024]byte
		if isLog4Shell(bytes.ToLower(unescape(buf[:0], string(value[:min(len(value), 512)])))) {
			c.risk(RiskPossibleExploit, "Log4Shell in a header")
		}
	}
	if prefixFold(value, "jndi:ldap:") || prefixFold(value, "jndi:rmi:") {
		c.risk(RiskPossibleExploit, "Log4Shell in a header")
	}
	if len(value) > 6 && value[0] == '(' && bytes.Contains(value, []byte("() { :")) {
		c.risk(RiskPossibleExploit, "Shellshock in a header")
	}
}

// requestBody looks at the start of a request's body.
func (c *ctx) requestBody(b []byte) {
	b = b[:min(len(b), 1024)]
	var buf [1024]byte
	if (bytes.IndexByte(b, '$') >= 0 || bytes.Contains(b, []byte("%24"))) && isLog4Shell(bytes.ToLower(unescape(buf[:0], string(b)))) {
		c.risk(RiskPossibleExploit, "Log4Shell in a form")
	}
	c.binary(b)
}

// serverRisk judges a Server header: releases whose line ended years ago.
func (c *ctx) serverRisk(v string) {
	for _, o := range []struct {
		name         string
		major, minor int // oldest release line that is still fixed somewhere
	}{{"Apache/", 2, 4}, {"nginx/", 1, 14}, {"Microsoft-IIS/", 8, 0}, {"lighttpd/", 1, 4}, {"Apache-Coyote/", 1, 1}} {
		i := strings.Index(v, o.name)
		if i < 0 {
			continue
		}
		rest := []byte(v[i+len(o.name):])
		major, n := digits(rest)
		minor := 0
		if n == 0 {
			return
		}
		if n < len(rest) && rest[n] == '.' {
			minor, _ = digits(rest[n+1:])
		} else {
			minor = 1 << 20
		}
		if major < o.major || major == o.major && minor < o.minor {
			c.risk(RiskHTTPObsoleteServer, v)
		}
		return
	}
}

// appTypes are media types of programs.
var appTypes = []string{
	"application/x-msdownload", "application/x-msdos-program", "application/x-ms-dos-executable", "application/x-dosexec",
	"application/x-executable", "application/vnd.microsoft.portable-executable", "application/vnd.android.package-archive",
	"application/java-vm", "application/java-archive", "application/x-java-applet", "application/x-sh", "application/x-elf",
}

// responseRisks judges a response's head.
func (c *ctx) responseRisks(h *HTTP, disposition []byte) {
	t := strings.ToLower(h.ContentType)
	if slices.Contains(appTypes, t) {
		c.risk(RiskBinaryApplicationTransfer, t)
		if t == "application/java-vm" && strings.HasPrefix(h.UserAgent, "Java/") {
			c.risk(RiskPossibleExploit, "Java loads a class over HTTP")
		}
		return
	}
	if c.s.App == Unknown && c.s.Category == CategoryWeb && (strings.HasPrefix(t, "application/octet-stream") || strings.HasPrefix(t, "application/zip") || len(disposition) > 0) {
		c.s.Category = CategoryDownload
	}
	if t == "application/octet-stream" || t == "application/x-octet-stream" || t == "application/binary" {
		c.risk(RiskBinaryDataTransfer, t)
	}
	if i := bytes.Index(bytes.ToLower(disposition), []byte("filename")); i >= 0 {
		name := strings.ToLower(string(bytes.Trim(disposition[i:], `"; `)))
		for _, e := range []string{".exe", ".msi", ".scr", ".dll", ".apk", ".bat", ".ps1", ".vbs", ".jar"} {
			if strings.HasSuffix(name, e) {
				c.risk(RiskBinaryApplicationTransfer, "file "+e)
				return
			}
		}
		c.risk(RiskBinaryDataTransfer, "file download")
	}
}

// httpBody looks at the first bytes of a response's body.
func (c *ctx) httpBody(b []byte, x *httpState) {
	if x.encoded {
		return
	}
	c.binary(b)
	h := c.httpMeta()
	if strings.HasPrefix(h.ContentType, "text/") && h.Status == 200 && len(b) >= 16 {
		odd := 0
		for _, v := range b[:16] {
			if v < 0x20 && v != '\r' && v != '\n' && v != '\t' && v != 0x1b && v != '\f' {
				odd++
			}
		}
		if odd > 1 && !(b[0] == 0xff && b[1] == 0xfe) && !(b[0] == 0xfe && b[1] == 0xff) {
			c.risk(RiskHTTPContent, fmt.Sprintf("%s begins with %x", h.ContentType, b[:4]))
		}
	}
}

// binary raises a risk if b begins with a program.
func (c *ctx) binary(b []byte) {
	if what := program(b); what != "" {
		c.risk(RiskBinaryApplicationTransfer, what)
	}
}

// program names the kind of program b begins with, or returns "".
func program(b []byte) string {
	switch {
	case prefix(b, "\x7fELF") && len(b) > 6 && b[4] >= 1 && b[4] <= 2 && b[5] >= 1 && b[5] <= 2:
		return "ELF program"
	case prefix(b, "MZ") && len(b) >= 64 && (bytes.Contains(b[:min(len(b), 512)], []byte("This program")) || bytes.Contains(b[:min(len(b), 1024)], []byte("PE\x00\x00"))):
		return "Windows program"
	case prefix(b, "\xca\xfe\xba\xbe") && len(b) >= 8 && b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] >= 0x2d && b[7] < 0x60:
		return "Java class"
	case prefix(b, "#!/bin/"), prefix(b, "#!/usr/bin/"), prefix(b, "#! /bin/"):
		return "script"
	case prefix(b, "dex\n03"):
		return "Android program"
	case prefix(b, "\xcf\xfa\xed\xfe\x07\x00\x00\x01"), prefix(b, "\xcf\xfa\xed\xfe\x0c\x00\x00\x01"):
		return "macOS program"
	}
	return ""
}
