package meter

import (
	"errors"
	"fmt"
	"math"
)

// Config says what a call may use. A zero field means its default.
type Config struct {
	// Fuel is the budget of each call of an export, and of the start function. An instruction costs about 1; see the
	// package comment. Default 1e9.
	Fuel uint64
	// StackDepth is how many calls may be nested. A function whose frame may be large counts for several. Default 2000.
	StackDepth uint32
	// TableSize is how many elements all tables of a module may have together. Default 1<<20, which are 8 MiB.
	TableSize uint32

	precise bool // makes each segment of code a group of its own, for tests
}

// What the export TrapExport answers.
const (
	TrapNone    = 0 // neither of the following: the guest runs, ended or trapped by itself
	TrapNoFuel  = 1 // the call used up its fuel
	TrapTooDeep = 2 // the call nested more calls than it may
)

// The exports that Rewrite adds. Calling them costs nothing, and changes nothing for the guest.
const (
	TrapExport = "__tocsin_trap"      // () -> i32: TrapNone, TrapNoFuel or TrapTooDeep
	FuelExport = "__tocsin_fuel_left" // () -> i64: what is left of the fuel; below 0 if it is used up
	// YieldExport is () -> (). The module calls it for each slice of its fuel, so whoever listens to its calls runs often.
	YieldExport = "__tocsin_yield"

	// slice is small enough to take a millisecond or two, and a tenth of a second if each unit goes to a load that misses
	// all caches. Calling the host for each adds less than a thousandth.
	slice = 1_000_000

	ownPrefix = "__tocsin_"
)

var (
	// ErrUnsupported is wrapped by errors about features of WebAssembly that this package does not know.
	ErrUnsupported = errors.New("not supported")
	// ErrLimit is wrapped by errors about modules that are too large in some respect.
	ErrLimit = errors.New("over the limit")
)

// Error says why a module cannot be rewritten.
type Error struct {
	Offset int    // in the module, in bytes
	Reason string // one line
	Kind   error  // ErrUnsupported, ErrLimit, or nil for a damaged module
}

func (e *Error) Error() string { return fmt.Sprintf("at byte %d: %s", e.Offset, e.Reason) }

// Unwrap gives ErrUnsupported or ErrLimit, or nil.
func (e *Error) Unwrap() error { return e.Kind }

// Limits of a module. Those of functions are the ones that browsers agreed on for their JavaScript interface.
const (
	maxLocals     = 50_000 // of a function, parameters included
	maxArity      = 1_000  // parameters, and results, of a type
	maxTables     = 100
	allLocals     = 1 << 20 // of all functions together, or localsPerByte for each byte of the module if that is more
	localsPerByte = 8
	growth        = 16       // the output has at most so many times the size of the input, plus spare
	spare         = 64 << 10 // bytes
	maxFuel       = math.MaxInt64 / 2
	maxDepth      = math.MaxInt32
)

func (c Config) filled() Config {
	if c.Fuel == 0 {
		c.Fuel = 1e9
	}
	c.Fuel = min(c.Fuel, maxFuel)
	if c.StackDepth == 0 {
		c.StackDepth = 2000
	}
	c.StackDepth = min(c.StackDepth, maxDepth)
	if c.TableSize == 0 {
		c.TableSize = 1 << 20
	}
	return c
}

// Rewrite returns a copy of a module that meters itself. The input may be any bytes and is not changed; an error is an
// *Error. The result is valid if and only if the input is, so compiling it is all the validation that is needed. It is
// safe for concurrent use.
func Rewrite(wasm []byte, c Config) (out []byte, err error) {
	m := &module{reader: reader{b: wasm, end: len(wasm)}, c: c.filled()}
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(*Error)
			if !ok {
				panic(p)
			}
			out, err = nil, e
		}
	}()
	m.read()
	return m.write(), nil
}
