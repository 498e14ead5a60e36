package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func flowFlood() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/flow_flood", Entity: alert.EntityHost, AlertID: 4, Category: alert.Security, Score: 50,
			Title:  "Flow flood",
			Text:   "A host began, or received, new flows at an unusual rate; a mean over the minute.",
			Advice: "Find out what the client runs: a scan, a worm, or a program that has gone wild.",
			Params: threshold(256, "Flows/sec", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "new flows a second",
				Did:      func(a *Activity) float64 { return perSecond(a.Flows[0], a) },
				Suffered: func(a *Activity) float64 { return perSecond(a.Flows[1], a) },
				Say: func(a *Activity, v float64, victim bool) string {
					did := "began"
					if victim {
						did = "received"
					}
					return fmt.Sprintf("%s %s %.0f new flows %s, %.0f a second over the minute (limit %.0f)", who(a), did, v*a.Seconds, a.Span, v, t)
				},
			}
		},
	}
}
