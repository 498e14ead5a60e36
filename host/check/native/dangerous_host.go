package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

// dangerousMinutes is how many minutes in a row a score must be too high before a host counts as dangerous: more than 5.
const dangerousMinutes = 6

func dangerousHost() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/dangerous_host", Entity: alert.EntityHost, AlertID: 14, Category: alert.Security, Score: 100,
			Title:  "Dangerous host",
			Text:   fmt.Sprintf("The flow alerts of a host add up to a high score for %d minutes in a row.", dangerousMinutes),
			Advice: "Isolate the host and look at its flow alerts.",
			Params: threshold(1000, "Score", 1<<31),
		},
		Feed: Scores,
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: "points of score a minute", Streak: dangerousMinutes,
				Did: func(a *Activity) float64 { return float64(a.Score[0] + a.Score[1]) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("the alerts about flows of %s add up to a score of %.0f %s, and were above %.0f for %d minutes", who(a), v,
						a.Span, t, dangerousMinutes)
				},
			}
		},
	}
}
