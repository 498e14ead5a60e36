package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func dnsFlood() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/dns_flood", Entity: alert.EntityHost, AlertID: 22, Category: alert.Security, Score: 50,
			Title:  "DNS flood",
			Text:   "A host began DNS flows at an unusual rate; a mean over the minute.",
			Advice: "Look at the names asked for: an attack on a DNS server, a tunnel, or a program that has gone wild.",
			Params: threshold(100, "DNS flows/sec", 65535), // the default is our own: ntopng's is not public
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "DNS flows a second",
				Did: func(a *Activity) float64 { return perSecond(a.DNSFlows, a) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s began %.0f DNS flows %s, %.0f a second over the minute (limit %.0f)", who(a), v*a.Seconds, a.Span, v, t)
				},
			}
		},
	}
}
