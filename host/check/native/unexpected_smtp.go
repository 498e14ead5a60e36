package native

import "github.com/tocsin-net/tocsin/capture/dissect"

func unexpectedSMTP() FlowDef {
	return unexpectedServer("flow/unexpected_smtp", 34, "Unexpected mail server", "mail server", true,
		dissect.ProtoSMTP, dissect.ProtoSMTPS)
}
