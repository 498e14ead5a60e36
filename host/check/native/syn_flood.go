package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func synFlood() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/syn_flood", Entity: alert.EntityHost, AlertID: 6, Category: alert.Security, Score: 250,
			Title:  "TCP SYN flood",
			Text:   "A host sent, or received, requests for TCP connections at a rate that can bring a server down; a mean over the minute.",
			Advice: "Turn SYN cookies on at the victim, and filter the flood before it reaches it.",
			Params: threshold(256, "SYNs/sec", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "SYNs a second",
				Did:      func(a *Activity) float64 { return perSecond(a.SYNs[0], a) },
				Suffered: func(a *Activity) float64 { return perSecond(a.SYNs[1], a) },
				Say: func(a *Activity, v float64, victim bool) string {
					return fmt.Sprintf("%s %s %.0f SYNs %s, %.0f a second over the minute (limit %.0f)", who(a), verb(victim), v*a.Seconds, a.Span, v, t)
				},
			}
		},
	}
}

func verb(victim bool) string {
	if victim {
		return "received"
	}
	return "sent"
}
