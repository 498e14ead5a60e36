package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func synScan() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/syn_scan", Entity: alert.EntityHost, AlertID: 5, Category: alert.Security, Score: 50,
			Title:  "TCP SYN scan",
			Text:   "A host sent, or received, many requests for TCP connections that nobody accepted: it looks for open ports, or its own are looked for.",
			Advice: "If nobody runs a scanner there, isolate the scanning host and examine it.",
			Params: threshold(256, "SYNs/min", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "unanswered SYNs a minute",
				Did:      func(a *Activity) float64 { return open(a.SYNs[0], a.SYNACKs[1]) },
				Suffered: func(a *Activity) float64 { return open(a.SYNs[1], a.SYNACKs[0]) },
				Say: func(a *Activity, v float64, victim bool) string {
					if victim {
						return fmt.Sprintf("%s received %s %s that it did not accept (limit %.0f)", who(a), count(v, "SYN"), a.Span, t)
					}
					return fmt.Sprintf("%s sent %s %s that nobody accepted (limit %.0f)", who(a), count(v, "SYN"), a.Span, t)
				},
			}
		},
	}
}
