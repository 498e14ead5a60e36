package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func hostScanner() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/host_scanner", Entity: alert.EntityHost, AlertID: 28, Category: alert.Security, Score: 200,
			Title:  "Many hosts contacted",
			Text:   "A host contacted an unusual number of different hosts in a minute.",
			Advice: "If the host is no server or scanner of yours, look for a worm on it.",
			Params: threshold(256, "Contacts", 65535), // the default is our own: ntopng's is not public
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "hosts contacted a minute",
				Did: func(a *Activity) float64 { return float64(a.Peers) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s contacted %s %s (limit %.0f)", who(a), count(v, "different host"), a.Span, t)
				},
			}
		},
	}
}
