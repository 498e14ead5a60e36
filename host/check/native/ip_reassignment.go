package native

import (
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

// IPReassignment describes the one check that looks at ARP packets; the engine keeps its table of addresses.
func IPReassignment() Info {
	return Info{
		Key: "network/ip_reassignment", Entity: alert.EntityMAC, AlertID: 4112, Category: alert.Network, Score: 50,
		Title:  "IP address taken over",
		Text:   "An ARP reply says that an IP address belongs to another device than before, as when somebody diverts traffic by ARP spoofing.",
		Advice: "If no device was exchanged, find the device with the new MAC address: it may be reading or changing the traffic.",
	}
}

// SayReassigned puts it into words.
func SayReassigned(ip, before, now string) string {
	return fmt.Sprintf("%s was at %s, and now %s says that it is there", ip, before, now)
}
