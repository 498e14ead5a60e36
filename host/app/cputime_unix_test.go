//go:build unix

package app

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what the process has used of all cores: on a machine that others use too it says more than the clock.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
