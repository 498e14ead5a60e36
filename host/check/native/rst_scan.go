package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func rstScan() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/rst_scan", Entity: alert.EntityHost, AlertID: 25, Category: alert.Security, Score: 50,
			Title:  "TCP RST scan",
			Text:   "A host sent, or received, many RST packets: connections are refused or broken off in numbers, as during a scan.",
			Advice: "Look at who talks to the host: somebody may be trying its ports, or a service on it has died.",
			Params: threshold(256, "RSTs/min", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "RSTs a minute",
				Did:      func(a *Activity) float64 { return float64(a.RSTs[0]) },
				Suffered: func(a *Activity) float64 { return float64(a.RSTs[1]) },
				Say: func(a *Activity, v float64, victim bool) string {
					return fmt.Sprintf("%s %s %s %s (limit %.0f)", who(a), verb(victim), count(v, "RST"), a.Span, t)
				},
			}
		},
	}
}
