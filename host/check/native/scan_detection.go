package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func scanDetection() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/scan_detection", Entity: alert.EntityHost, AlertID: 20, Category: alert.Security, Score: 100,
			Title:  "Scan",
			Text:   "A host began many flows, TCP or UDP, that nobody answered.",
			Advice: "If nobody runs a scanner there, isolate the host and examine it.",
			Params: threshold(32, "Flows", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "unanswered flows a minute",
				Did: func(a *Activity) float64 { return float64(a.HalfOpen[0]) + float64(a.Unanswered[0]) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s began %s %s that nobody answered: %d TCP, %d UDP (limit %.0f)", who(a), count(v, "flow"), a.Span,
						a.HalfOpen[0], a.Unanswered[0], t)
				},
			}
		},
	}
}
