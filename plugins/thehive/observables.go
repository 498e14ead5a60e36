package main

import (
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// maxData is TheHive's limit for the data of an observable, in characters.
const maxData = 4096

// collector writes observables, no data twice: TheHive 4 refuses an alert that has it, whatever the types are.
type collector struct {
	b    []byte
	seen map[string]bool
}

// add writes an observable, unless it is empty, too long or there already. Data is never cut, as it would be another then.
// ioc marks what is at fault.
func (c *collector) add(kind, data string, ioc bool, labels ...string) {
	if data == "" || len(data) > maxData || c.seen[data] {
		return
	}
	c.seen[data] = true
	if len(c.seen) > 1 {
		c.b = append(c.b, ',')
	}
	c.b = append(append(append(c.b, `{"dataType":"`...), kind...), `","data":`...)
	c.b = append(pdk.AppendJSONString(c.b, data), `,"tags":`...)
	c.b = tags(c.b, labels...)
	if ioc {
		c.b = append(c.b, `,"ioc":true`...)
	}
	c.b = append(c.b, '}')
}

// observables lists what analysers can look up: addresses, names, URLs, MAC addresses and fingerprints. An attacker from
// outside counts as an indicator of compromise.
func observables(b []byte, in *pdk.RenderInput, a *pdk.Alert) []byte {
	c := &collector{b: append(b, '['), seen: map[string]bool{}}
	side := func(ip, name string, local bool) {
		c.add("ip", ip, ip == a.Attacker && !local, name, role(a, ip), place(local))
	}
	if a.Entity == "flow" {
		side(a.Client, "client", a.ClientLocal)
		side(a.Server, "server", a.ServerLocal)
	} else {
		side(a.IP, "host", a.Local)
	}
	c.add("ip", a.Attacker, false, "attacker")
	c.add("ip", a.Victim, false, "victim")
	c.name(a.Hostname)
	if a.Entity == "host" || a.Entity == "am_host" {
		c.name(a.Name)
	}
	if strings.HasPrefix(a.Info, "http://") || strings.HasPrefix(a.Info, "https://") {
		c.add("url", a.Info, false)
	}
	c.add("other", a.MAC, false, "mac")
	c.add("other", extra(a, "ja4").String("ja4", ""), false, "ja4") // the client's fingerprint, where the host tells it
	c.add("url", in.Endpoint.String("thehive_obs_url", ""), false, "tocsin")
	c.add("mail", in.Endpoint.String("thehive_obs_mail", ""), false, "tocsin")
	return append(c.b, ']')
}

func role(a *pdk.Alert, ip string) string {
	switch ip {
	case a.Attacker:
		return "attacker"
	case a.Victim:
		return "victim"
	}
	return ""
}

func place(local bool) string {
	if local {
		return "local"
	}
	return ""
}

// name adds a host's name under the type that its form says. What somebody sent in place of a name is no name.
func (c *collector) name(s string) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	dots, digits := 0, true
	for i := range len(s) {
		switch b := s[i]; {
		case b == '.':
			dots++
		case b >= 'a' && b <= 'z', b == '-', b == '_':
			digits = false
		case b < '0' || b > '9':
			c.add("other", s, false, "hostname")
			return
		}
	}
	switch {
	case digits || len(s) > 253: // an address, or nothing
	case dots == 0:
		c.add("hostname", s, false)
	case dots == 1:
		c.add("domain", s, false)
	default:
		c.add("fqdn", s, false)
	}
}
