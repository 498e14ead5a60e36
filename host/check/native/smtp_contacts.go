package native

import "github.com/tocsin-net/tocsin/host/alert"

func smtpContacts() HostDef {
	return contacts("host/smtp_contacts", 1, alert.Security, "Many mail servers contacted", "mail server",
		func(a *Activity) uint32 { return a.SMTPServers })
}
