package egress

import "syscall"

// peek cannot look into a socket here: the connection's reader alone notices that the peer is gone.
func peek(syscall.RawConn, bool) error { return nil }
