package native

import "github.com/tocsin-net/tocsin/capture/dissect"

func unexpectedDNS() FlowDef {
	return unexpectedServer("flow/unexpected_dns", 33, "Unexpected DNS server", "DNS server", false,
		dissect.ProtoDNS, dissect.ProtoDNS)
}
