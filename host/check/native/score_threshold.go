package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func scoreThreshold() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/score_threshold", Entity: alert.EntityHost, AlertID: 17, Category: alert.Security, Score: 150, DefaultOn: true,
			Title:  "Host score too high",
			Text:   "The flow alerts of a host add up to a high score in a minute.",
			Advice: "Look at the host's flow alerts: what weighs most, and since when.",
			Params: threshold(5000, "Score", 20000),
		},
		Feed: Scores,
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "points of score a minute",
				Did:      func(a *Activity) float64 { return float64(a.Score[0]) },
				Suffered: func(a *Activity) float64 { return float64(a.Score[1]) },
				Say: func(a *Activity, v float64, victim bool) string {
					side := "client"
					if victim {
						side = "server"
					}
					return fmt.Sprintf("the alerts about flows of %s as a %s add up to a score of %.0f %s (limit %.0f)", who(a), side, v, a.Span, t)
				},
			}
		},
	}
}
