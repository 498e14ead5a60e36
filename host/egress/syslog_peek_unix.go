//go:build !windows

package egress

import (
	"errors"
	"io"
	"syscall"
)

// peek looks into a socket without reading or blocking: it gives an error when the peer closed or reset the connection, when
// an ICMP message refused a datagram, or when a stream's peer sent something.
func peek(raw syscall.RawConn, stream bool) error {
	var n int
	var err error
	ctl := raw.Control(func(fd uintptr) {
		var b [1]byte
		for {
			n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	switch {
	case ctl != nil: // closed on this side
		return ctl
	case errors.Is(err, syscall.EAGAIN):
		return nil
	case err != nil:
		return err
	case !stream:
		return nil
	case n == 0:
		return io.EOF
	}
	return errTalksBack // with TLS it may be the notice that the peer closes
}
