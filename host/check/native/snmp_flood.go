package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func snmpFlood() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/snmp_flood", Entity: alert.EntityHost, AlertID: 23, Category: alert.Security, Score: 50,
			Title:  "SNMP flood",
			Text:   "A host began SNMP flows at an unusual rate; a mean over the minute.",
			Advice: "If the host is no management station, find out what it runs: somebody may be looking for devices.",
			Params: threshold(100, "SNMP flows/sec", 65535), // the default is our own: ntopng's is not public
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "SNMP flows a second",
				Did: func(a *Activity) float64 { return perSecond(a.SNMPFlows, a) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s began %.0f SNMP flows %s, %.0f a second over the minute (limit %.0f)", who(a), v*a.Seconds, a.Span, v, t)
				},
			}
		},
	}
}
