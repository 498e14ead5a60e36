package native

import "github.com/tocsin-net/tocsin/host/alert"

func dnsContacts() HostDef {
	return contacts("host/dns_contacts", 2, alert.Security, "Many DNS servers contacted", "DNS server",
		func(a *Activity) uint32 { return a.DNSServers })
}
