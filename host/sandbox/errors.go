package sandbox

import (
	"errors"
	"fmt"
)

// ErrClosed is returned for calls of a module or runtime that was closed.
var ErrClosed = errors.New("the module was closed")

// ErrNotOffered is wrapped where a module has no such export, or says that it does not offer what is behind it.
var ErrNotOffered = errors.New("the plug-in does not offer this function")

// CompileError says why a module cannot be used at all.
type CompileError struct {
	Plugin string
	Reason string // what is wrong, and what to do
	Err    error  // the cause, if another library found it
}

func (e *CompileError) Error() string {
	s := "plug-in " + e.Plugin + ": " + e.Reason
	if e.Err != nil {
		s += ": " + firstLine(e.Err.Error())
	}
	return s
}

func (e *CompileError) Unwrap() error { return e.Err }

// TrapError says that a call ended in the middle: a trap, a panic that the guest did not catch, or an exit.
type TrapError struct {
	Plugin, Export string
	Reason         string // one line
	Detail         string // what the guest wrote to its standard error and the end of its stack; may be empty
}

func (e *TrapError) Error() string {
	return fmt.Sprintf("plug-in %s: %s crashed: %s", e.Plugin, e.Export, e.Reason)
}

// FuelError says that a call was stopped because it used up what a call may use.
type FuelError struct {
	Plugin, Export string
	What           string // "instructions", "nested calls", "host calls" or "time"
}

func (e *FuelError) Error() string {
	return fmt.Sprintf("plug-in %s: %s was stopped: it used more %s than a call may", e.Plugin, e.Export, e.What)
}

// OutputError says that a call's output is no such thing: missing, too large, or not in the guest's memory.
type OutputError struct {
	Plugin, Export string
	Reason         string
}

func (e *OutputError) Error() string {
	return fmt.Sprintf("plug-in %s: the output of %s is not usable: %s", e.Plugin, e.Export, e.Reason)
}

// GuestError is an error that the guest itself reported; the instance goes on working.
type GuestError struct {
	Plugin, Export string
	Message        string // the guest's words: at most 4 KiB, without control characters
}

func (e *GuestError) Error() string {
	return fmt.Sprintf("plug-in %s: %s failed: %s", e.Plugin, e.Export, e.Message)
}
