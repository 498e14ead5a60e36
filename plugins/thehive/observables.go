package main

import (
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
)

// maxData is TheHive's limit for the data of an observable, in characters.
const maxData = 4096

// observable is what an analyser can look up. ioc marks an indicator of compromise.
type observable struct {
	kind, data string
	ioc        bool
	tags       []string
}

// observables are no two of the same data: TheHive 4 refuses an alert that has them, whatever the types are.
type observables []observable

// add takes an observable, unless it is empty, too long or there already. Data is never cut, as it would be another then.
func (l *observables) add(kind, data string, tags ...string) {
	same := func(o observable) bool { return o.data == data }
	if data != "" && kind != "" && len(data) <= maxData && !slices.ContainsFunc(*l, same) {
		*l = append(*l, observable{kind: kind, data: data, tags: tags})
	}
}

// side takes the address of a side of the alert. An attacker from outside counts as an indicator of compromise.
func (l *observables) side(a *pdk.Alert, ip, name string, local bool) {
	n := len(*l)
	switch l.add("ip", ip, name); {
	case n == len(*l):
		return
	case ip == a.Attacker:
		name = "attacker"
	case ip == a.Victim:
		name = "victim"
	}
	o := &(*l)[n]
	o.tags = append(o.tags, name)
	if local {
		o.tags = append(o.tags, "local")
	}
	o.ioc = ip == a.Attacker && !local
}

// name takes a host's name under the type that its form says.
func (l *observables) name(s string) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	const letters = "abcdefghijklmnopqrstuvwxyz-_"
	strange := func(r rune) bool { return !strings.ContainsRune(letters+".0123456789", r) }
	switch {
	case strings.ContainsFunc(s, strange): // what somebody sent in place of a name is no name
		l.add("other", s, "hostname")
	case strings.ContainsAny(s, letters) && len(s) <= 253: // no address
		l.add([]string{"hostname", "domain", "fqdn"}[min(strings.Count(s, "."), 2)], s)
	}
}

// gather lists addresses, names, URLs, MAC addresses and fingerprints.
func gather(ep pdk.Params, a *pdk.Alert) (l observables) {
	if a.Entity == "flow" {
		l.side(a, a.Client, "client", a.ClientLocal)
		l.side(a, a.Server, "server", a.ServerLocal)
	} else {
		l.side(a, a.IP, "host", a.Local)
	}
	l.add("ip", a.Attacker, "attacker")
	l.add("ip", a.Victim, "victim")
	l.name(a.Hostname)
	if a.Entity == "host" || a.Entity == "am_host" {
		l.name(a.Name)
	}
	if strings.HasPrefix(a.Info, "http://") || strings.HasPrefix(a.Info, "https://") {
		l.add("url", a.Info)
	}
	l.add("other", a.MAC, "mac")
	l.add("other", ja4(a), "ja4")
	l.add("url", ep.String("thehive_obs_url", ""), "tocsin")
	l.add("mail", ep.String("thehive_obs_mail", ""), "tocsin")
	return l
}

// ja4 is the client's fingerprint, where the host tells it; package pdk has no field for it.
func ja4(a *pdk.Alert) string {
	if !strings.Contains(string(a.Raw), `"ja4"`) { // within a text the quotes would be escaped
		return ""
	}
	v, _ := pdk.ParseJSON(a.Raw)
	m, _ := v.(map[string]any)
	return pdk.Params(m).String("ja4", "")
}
