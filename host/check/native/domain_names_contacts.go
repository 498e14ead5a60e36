package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func domainNames() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/domain_names_contacts", Entity: alert.EntityHost, AlertID: 7, Category: alert.Network, Score: 10,
			Title:  "Many domain names asked for",
			Text:   "A host asked for an unusual number of different domain names in a minute.",
			Advice: "Look at the names: malware tries many, tunnels make up new ones; a resolver or mail server needs a higher limit.",
			Params: threshold(250, "Contacts", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "domain names a minute",
				Did: func(a *Activity) float64 { return float64(a.DomainNames) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s asked for %s %s (limit %.0f)", who(a), count(v, "different domain name"), a.Span, t)
				},
			}
		},
	}
}
