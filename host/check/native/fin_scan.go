package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func finScan() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/fin_scan", Entity: alert.EntityHost, AlertID: 21, Category: alert.Security, Score: 50,
			Title:  "TCP FIN scan",
			Text:   "A host sent, or received, many FIN packets for connections that never existed, which shows open ports past simple firewalls.",
			Advice: "If nobody runs a scanner there, isolate the scanning host and examine it.",
			Params: threshold(256, "FINs/min", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "stray FINs a minute",
				Did:      func(a *Activity) float64 { return float64(a.FINs[0]) },
				Suffered: func(a *Activity) float64 { return float64(a.FINs[1]) },
				Say: func(a *Activity, v float64, victim bool) string {
					return fmt.Sprintf("%s %s %s %s for connections that never existed (limit %.0f)", who(a), verb(victim), count(v, "FIN"), a.Span, t)
				},
			}
		},
	}
}
