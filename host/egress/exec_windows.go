package egress

import (
	"errors"
	"os"
	"os/exec"

	"golang.org/x/sys/windows"
)

// ownGroup is the process alone here: Windows has job objects in place of process groups, and a script's own children
// outlive it.
func ownGroup(*exec.Cmd) {}

func exitStatus(s *os.ProcessState) int { return s.ExitCode() }

func isBusy(error) bool       { return false }
func isNoExec(err error) bool { return errors.Is(err, windows.ERROR_BAD_EXE_FORMAT) }
