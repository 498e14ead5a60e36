package native

import "github.com/tocsin-net/tocsin/capture/dissect"

func unexpectedNTP() FlowDef {
	return unexpectedServer("flow/unexpected_ntp", 35, "Unexpected NTP server", "NTP server", true,
		dissect.ProtoNTP, dissect.ProtoNTP)
}
