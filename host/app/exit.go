package app

import (
	"errors"
	"fmt"

	"github.com/tocsin-net/tocsin/capture/source"
)

// The exit codes of the command line.
const (
	ExitOK         = 0
	ExitFailed     = 1 // something did not work
	ExitUsage      = 2 // the command line or the configuration is wrong
	ExitDamaged    = 3 // the capture is damaged: what could be read was processed
	ExitUndeliverd = 4 // the capture was processed, but deliveries are left to be sent or were given up; a test message did not arrive
)

// UsageError is a mistake on the command line or in the configuration.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// LeftError says that a run ended with alerts that did not reach their recipients.
type LeftError struct {
	Waiting, Dead int
	Hint          string
}

func (e *LeftError) Error() string {
	wait, were := "deliveries wait", "were"
	if e.Waiting == 1 {
		wait = "delivery waits"
	}
	if e.Dead == 1 {
		were = "was"
	}
	switch {
	case e.Dead == 0:
		return fmt.Sprintf("%d %s to be sent again%s", e.Waiting, wait, e.Hint)
	case e.Waiting == 0 && e.Dead == 1:
		return "1 delivery was given up" + e.Hint
	case e.Waiting == 0:
		return fmt.Sprintf("%d deliveries were given up%s", e.Dead, e.Hint)
	}
	return fmt.Sprintf("%d %s to be sent again and %d %s given up%s", e.Waiting, wait, e.Dead, were, e.Hint)
}

// TestError says at which step a test of an endpoint or a recipient failed.
type TestError struct {
	Of           string // such as `recipient "ops"`
	Step, Reason string // Reason says what to do
}

func (e *TestError) Error() string {
	return fmt.Sprintf("the test of %s failed at %s: %s", e.Of, e.Step, e.Reason)
}

// ExitCode gives the exit code for what a command returned.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if _, ok := errors.AsType[*UsageError](err); ok {
		return ExitUsage
	}
	if _, ok := errors.AsType[*LeftError](err); ok {
		return ExitUndeliverd
	}
	if _, ok := errors.AsType[*TestError](err); ok {
		return ExitUndeliverd
	}
	if _, ok := errors.AsType[*source.DamageError](err); ok {
		return ExitDamaged
	}
	return ExitFailed
}
