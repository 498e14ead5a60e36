package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

func remoteConnection() HostDef {
	return HostDef{
		Info: Info{
			Key: "host/remote_connection", Entity: alert.EntityHost, AlertID: 12, Category: alert.Network, Score: 10,
			Title:  "Host with remote connections",
			Text:   "A host has sessions by which somebody reaches into another machine or network: remote desktop, shell, VPN, file sharing.",
			Advice: "Make sure that the sessions are wanted.",
		},
		Feed: RemoteAccess,
		New: func(Args) HostCheck {
			return HostCheck{
				Unit: "remote access sessions",
				Did:  func(a *Activity) float64 { return float64(a.RemoteFlows) },
				Say: func(a *Activity, v float64, _ bool) string {
					return fmt.Sprintf("%s had %s %s", who(a), count(v, "remote access session"), a.Span)
				},
			}
		},
	}
}
