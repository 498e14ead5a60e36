package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

// threshold is the parameter that nearly every host check has.
func threshold(value int64, unit string, max int64) []Param {
	return []Param{{Name: "threshold", Unit: unit, Text: "more than this is reported", Default: value, Min: 1, Max: max}}
}

// perSecond turns a counter of the interval into a mean rate.
func perSecond(n uint32, a *Activity) float64 { return float64(n) / a.Seconds }

// open is how many more of asked there are than of answered.
func open(asked, answered uint32) float64 {
	if answered >= asked {
		return 0
	}
	return float64(asked - answered)
}

// contacts makes a check of how many distinct servers of one kind a host used.
func contacts(key string, id int, cat alert.Category, title, what string, n func(*Activity) uint32) HostDef {
	return HostDef{
		Info: Info{
			Key: key, Entity: alert.EntityHost, AlertID: id, Category: cat, Score: 10,
			Title:  title,
			Text:   fmt.Sprintf("A host used more different %ss in a minute than it should need.", what),
			Advice: fmt.Sprintf("Check which %ss the host is configured to use; a server of that kind itself needs a higher limit.", what),
			Params: threshold(5, "Contacts", 65535),
		},
		New: func(a Args) HostCheck {
			t := float64(a.Int("threshold"))
			return HostCheck{
				Threshold: t, Unit: what + "s a minute",
				Did: func(a *Activity) float64 { return float64(n(a)) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s used %s %s (limit %.0f)", who(a), count(v, "different "+what), a.Span, t)
				},
			}
		},
	}
}

// who names a host: its address, and its name if one is known.
func who(a *Activity) string {
	if a.Name != "" {
		return a.Name + " (" + a.Addr.String() + ")"
	}
	return a.Addr.String()
}
