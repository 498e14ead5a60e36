package native

import "github.com/tocsin-net/tocsin/host/alert"

func ntpContacts() HostDef {
	return contacts("host/ntp_contacts", 3, alert.Security, "Many NTP servers contacted", "NTP server",
		func(a *Activity) uint32 { return a.NTPServers })
}
