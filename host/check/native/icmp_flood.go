package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func icmpFlood() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/icmp_flood", Entity: alert.EntityHost, AlertID: 18, Category: alert.Security, Score: 50,
			Title:  "ICMP flood",
			Text:   "A host sent, or received, ICMP packets at an unusual rate; a mean over the minute.",
			Advice: "Limit the rate of ICMP at the border, and find out what the sender runs.",
			Params: threshold(250, "ICMP Pkts/sec", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "ICMP packets a second",
				Did:      func(a *Activity) float64 { return perSecond(a.ICMP[0], a) },
				Suffered: func(a *Activity) float64 { return perSecond(a.ICMP[1], a) },
				Say: func(a *Activity, v float64, victim bool) string {
					return fmt.Sprintf("%s %s %.0f ICMP packets %s, %.0f a second over the minute (limit %.0f)", who(a), verb(victim), v*a.Seconds, a.Span, v, t)
				},
			}
		},
	}
}
