package egress

import (
	"context"

	"github.com/tocsin-net/tocsin/pdk"
)

// syslog writes messages to a syslog receiver.
func (x *Executor) syslog(context.Context, *pdk.SyslogRequest, Policy) (*pdk.Response, *pdk.TransportError) {
	return nil, denied("this tocsin cannot do requests of the kind syslog")
}
