//go:build !windows

package egress

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts a script into a process group, and kills the group when its time is up, so that what it started goes
// with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}

// exitStatus is the exit code, or 128 and the number of the signal that ended the script, as shells count it.
func exitStatus(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

func isBusy(err error) bool   { return errors.Is(err, syscall.ETXTBSY) }
func isNoExec(err error) bool { return errors.Is(err, syscall.ENOEXEC) }
