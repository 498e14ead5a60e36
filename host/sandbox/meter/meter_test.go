package meter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// env instantiates the host module of the tests in a runtime: "nothing" does nothing, "again" calls an export of the guest by its number
// and goes on whatever happens.
func env(t testing.TB, r wazero.Runtime) {
	t.Helper()
	_, err := r.NewHostModuleBuilder("host").
		NewFunctionBuilder().WithFunc(func() {}).Export("nothing").
		NewFunctionBuilder().WithFunc(func(ctx context.Context, m api.Module, n uint32) {
		_, _ = m.ExportedFunction(string('0' + rune(n))).Call(ctx)
	}).Export("again").Instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().WithMemoryLimitPages(512))
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	env(t, r)
	return r
}

func left(t testing.TB, m api.Module) int64 {
	t.Helper()
	res, err := m.ExportedFunction(meter.FuelExport).Call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int64(res[0])
}

func trap(t testing.TB, m api.Module) int {
	t.Helper()
	res, err := m.ExportedFunction(meter.TrapExport).Call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return int(res[0])
}

// TestHostile runs modules that would never end, or not before the heat death. Each must be stopped soon, by a trap that says why.
func TestHostile(t *testing.T) {
	for _, c := range []struct {
		name, export string
		want         int
	}{
		{"loop", "run", meter.TrapNoFuel},
		{"hostcalls", "run", meter.TrapNoFuel},
		{"tree", "run", meter.TrapNoFuel},
		{"recursion", "run", meter.TrapTooDeep},
		{"indirect", "run", meter.TrapTooDeep},
		{"frames", "run", meter.TrapTooDeep},
		{"grow", "run", meter.TrapNoFuel},
		{"fill", "run", meter.TrapNoFuel},
		{"init", "run", meter.TrapNoFuel},
		{"tables", "run", meter.TrapNoFuel},
		{"brtable", "run", meter.TrapNoFuel},
		{"nested", "run", meter.TrapNoFuel},
		{"chase", "run", meter.TrapNoFuel},
		{"multivalue", "run", meter.TrapNoFuel},
		{"reenter", "0", meter.TrapNoFuel},
		{"reenter", "1", meter.TrapNone}, // The trap is the host's, which does not call deeper than its own stack allows.
		{"reenter", "run", meter.TrapNone},
		{"reenter", "spin", meter.TrapNoFuel},
		{"reenter", "nest", meter.TrapNoFuel},
		{"reenter", "fail", meter.TrapNoFuel},
		{"reenter", "3", meter.TrapNone},
	} {
		t.Run(c.name+"/"+c.export, func(t *testing.T) {
			r := newRuntime(t)
			fuel := uint64(20e6)
			if c.name == "reenter" {
				fuel = 1e6 // Most of its time is the host's.
			}
			m, err := r.Instantiate(t.Context(), rewrite(t, file(t, c.name), meter.Config{Fuel: fuel, StackDepth: 1000}))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err = m.ExportedFunction(c.export).Call(t.Context())
			took := time.Since(began)
			if c.want != meter.TrapNone && (err == nil || !strings.Contains(err.Error(), "unreachable")) {
				t.Errorf("it ended with %v", err)
			}
			if got := trap(t, m); got != c.want {
				t.Errorf("the trap is %d, want %d (%v)", got, c.want, err)
			}
			t.Logf("%v", took)
			if took > time.Minute { // a guest that nothing stops runs for ever; a busy machine takes its time
				t.Errorf("it took %v", took)
			}
			if mem := m.ExportedMemory("memory"); mem != nil && mem.Size() > 32<<20 {
				t.Errorf("the memory has %d bytes", mem.Size())
			}
		})
	}
}

func TestStart(t *testing.T) {
	out := rewrite(t, file(t, "start"), meter.Config{Fuel: 1e6})
	if _, err := newRuntime(t).Instantiate(t.Context(), out); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v", err)
	}
}

// TestBudget checks that each call gets the same fuel, that a call which is nested gets none of its own, and what a depth allows.
func TestBudget(t *testing.T) {
	r := newRuntime(t)
	m, err := r.Instantiate(t.Context(), rewrite(t, file(t, "tight"), meter.Config{Fuel: 1e6, StackDepth: 20}))
	if err != nil {
		t.Fatal(err)
	}
	var first int64
	for i := range 100 {
		if _, err := m.ExportedFunction("leaf").Call(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		switch l := left(t, m); {
		case l <= 0 || l >= 1e6:
			t.Fatalf("%d are left", l)
		case i == 0:
			first = l
		case l != first:
			t.Fatalf("%d are left, at first it was %d", l, first)
		}
	}
	// The depth is given back: fib(15) has 1973 calls, but no more than 16 nested.
	if res, err := m.ExportedFunction("fib").Call(t.Context(), 15); err != nil || res[0] != 610 {
		t.Errorf("got %v, %v", res, err)
	}
	if _, err := m.ExportedFunction("fib").Call(t.Context(), 25); err == nil || trap(t, m) != meter.TrapTooDeep {
		t.Errorf("got %v, trap %d", err, trap(t, m))
	}
	// Twice the work takes twice the fuel.
	m, err = r.InstantiateWithConfig(t.Context(), rewrite(t, file(t, "tight"), meter.Config{Fuel: plenty}), wazero.NewModuleConfig().WithName("b"))
	if err != nil {
		t.Fatal(err)
	}
	var used [2]float64
	for i := range used {
		if _, err := m.ExportedFunction("xorshift").Call(t.Context(), uint64(100_000*(i+1))); err != nil {
			t.Fatal(err)
		}
		used[i] = plenty - float64(left(t, m))
	}
	if ratio := used[1] / used[0]; math.Abs(ratio-2) > 0.01 {
		t.Errorf("%v and %v", used[0], used[1])
	}
}

// TestTables checks that tables grow no further than the limit, all together.
func TestTables(t *testing.T) {
	m, err := newRuntime(t).Instantiate(t.Context(), rewrite(t, file(t, "tables"), meter.Config{Fuel: 100e6, TableSize: 250_000}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ExportedFunction("run").Call(t.Context()); err == nil {
		t.Fatal("it ended")
	}
	res, err := m.ExportedFunction("size").Call(t.Context())
	if err != nil || res[0] < 100_000 || res[0] > 250_000 {
		t.Errorf("got %v, %v", res, err)
	}
	_, err = meter.Rewrite(file(t, "tables"), meter.Config{TableSize: 1})
	if !errors.Is(err, meter.ErrLimit) {
		t.Errorf("got %v", err)
	}
}

// memory is the exported memory of a module, nil if there is none.
func memory(m api.Module) []byte {
	mem := m.ExportedMemory("memory")
	if mem == nil {
		return nil
	}
	b, _ := mem.Read(0, mem.Size())
	return b
}

// TestSame compares a module before and after: results, traps and memory.
func TestSame(t *testing.T) {
	for _, c := range []struct {
		module, export string
		args           [][]uint64
	}{
		{"tight", "sum", [][]uint64{{0}, {1}, {3}}},
		{"tight", "xorshift", [][]uint64{{0}, {1}, {1000}}},
		{"tight", "sieve", [][]uint64{{1}, {2}}},
		{"tight", "crc", [][]uint64{{2}}},
		{"tight", "matrix", [][]uint64{{3}}},
		{"tight", "fib", [][]uint64{{0}, {1}, {12}}},
		{"tight", "leaf", [][]uint64{{0}, {77}}},
		{"multivalue", "pair", [][]uint64{{0, 9}, {1, 9}, {2, 9}, {3, 9}, {4, 9}, {5, 9}}},
		{"tree", "tree", [][]uint64{{0}, {10}}},
		{"reenter", "2", [][]uint64{{}}},
		{"reenter", "3", [][]uint64{{}}},
	} {
		t.Run(c.module+"/"+c.export, func(t *testing.T) {
			wasm := file(t, c.module)
			a, err := newRuntime(t).Instantiate(t.Context(), wasm)
			if err != nil {
				t.Fatal(err)
			}
			b, err := newRuntime(t).Instantiate(t.Context(), rewrite(t, wasm, meter.Config{Fuel: plenty}))
			if err != nil {
				t.Fatal(err)
			}
			for _, args := range c.args {
				want, err1 := a.ExportedFunction(c.export).Call(t.Context(), args...)
				got, err2 := b.ExportedFunction(c.export).Call(t.Context(), args...)
				if (err1 == nil) != (err2 == nil) || !slices.Equal(want, got) {
					t.Errorf("%v: %v %v, but rewritten %v %v", args, want, err1, got, err2)
				}
				if err1 != nil {
					return
				}
			}
			if !bytes.Equal(memory(a), memory(b)) {
				t.Error("the memory is different")
			}
		})
	}
}

// TestGo does the same with a module of the Go compiler and its runtime, and lets it run out of fuel at many places.
func TestGo(t *testing.T) {
	wasm := goGuest(t)
	config, size := wazero.NewRuntimeConfig(), uint64(40)
	if raceEnabled {
		config, size = wazero.NewRuntimeConfigInterpreter(), 4
	}
	a := start(t, wasm, config)
	rewritten := rewrite(t, wasm, meter.Config{Fuel: 300e6, StackDepth: 2000})
	t.Logf("%d bytes, rewritten %d", len(wasm), len(rewritten))
	b := start(t, rewritten, config)
	res, err := a.ExportedFunction("tasks").Call(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for task := range res[0] {
		n := size
		if task == 3 {
			n = min(n, 14)
		}
		want, err := a.ExportedFunction("run").Call(t.Context(), task, n)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.ExportedFunction("run").Call(t.Context(), task, n)
		if err != nil || got[0] != want[0] {
			t.Errorf("task %d: got %v, %v, want %v", task, got, err, want)
		}
	}
	b = start(t, rewrite(t, wasm, meter.Config{Fuel: 20e6}), config)
	if _, err := b.ExportedFunction("run").Call(t.Context(), 3, 50); err == nil || trap(t, b) != meter.TrapNoFuel {
		t.Errorf("got %v", err)
	}
}

// section makes a section; a module is the header and sections.
func section(id byte, content ...byte) []byte {
	return append([]byte{id, byte(len(content))}, content...)
}

func mod(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

// fn is a module with one function () -> () of this body, without its end.
func fn(body ...byte) []byte {
	body = append(append([]byte{0}, body...), 0x0b)
	return mod(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(5, 1, 0, 1), section(10, append([]byte{1, byte(len(body))}, body...)...))
}

func TestErrors(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, c := range []struct {
		name string
		wasm []byte
		kind error
		want string
	}{
		{"empty", nil, nil, "at byte 0: this is no core WebAssembly module of version 1"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), nil, "no core WebAssembly module"},
		{"cut off", mod([]byte{1, 9, 0}), nil, "at byte 10: the section is longer than the module"},
		{"types without end", mod(section(1, huge...)), nil, "it says that 4294967295 things follow, for which the 0 bytes left have no room"},
		{"functions without end", mod(section(3, huge...)), nil, "no room"},
		{"globals without end", mod(section(6, huge...)), nil, "no room"},
		{"exports without end", mod(section(7, huge...)), nil, "no room"},
		{"sections twice", mod(section(1, 0), section(1, 0)), nil, "section 1 comes twice or too late"},
		{"section 14", mod(section(14)), meter.ErrUnsupported, "there is no section 14"},
		{"exceptions", mod(section(13, 0)), meter.ErrUnsupported, "exceptions"},
		{"a byte too many", mod(section(1, 0, 0)), nil, "section 1 has 1 bytes too many"},
		{"recursive types", mod(section(1, 1, 0x4e, 0, 0)), meter.ErrUnsupported, "the type form 0x4e is not supported"},
		{"tail call", fn(0x12, 0), meter.ErrUnsupported, "the instruction 0x12 is not supported: tail calls"},
		{"threads", fn(0xfe, 3, 0), meter.ErrUnsupported, "the instruction 0xfe is not supported: threads"},
		{"exception", fn(0x08, 0), meter.ErrUnsupported, "0x08 is not supported: exceptions"},
		{"unknown vector", fn(0xfd, 0xee, 1), meter.ErrUnsupported, "the vector instruction 0xfd 0xee is not supported"},
		// wazero reads this as a vector instruction and a loop, the specification as one unknown instruction.
		{"hidden loop", fn(0xfd, 0x80, 0x03, 0x40, 0x0c, 0, 0x0b), meter.ErrUnsupported, "vector instruction 0xfd 0x80"},
		{"unknown misc", fn(0xfc, 18), meter.ErrUnsupported, "at byte 28: the instruction 0xfc 18 is not supported"},
		{"our fuel", fn(0x42, 1, 0x24, 0), nil, "global 0 is used, but there are 0"},
		{"our wrapper", fn(0x10, 1), nil, "function 1 is used, but there are 1"},
		{"our type", fn(0x02, 1, 0x0b), nil, "type 1 is used, but there are 1"},
		{"our local", fn(0x20, 0, 0x1a), nil, "local 0 is used, but there are 0"},
		{"our block", fn(0x0c, 1), nil, "a branch leads 1 blocks out, but there are 1"},
		{"our block by a table", fn(0x41, 0, 0x0e, 1, 1, 0), nil, "a branch leads 1 blocks out"},
		{"more after the end", fn(0x0b, 0x03, 0x40, 0x0c, 0, 0x0b), nil, "code follows the end of a function"},
		{"no end", mod(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(10, 1, 2, 0, 1)), nil, "it ends in the middle of something"},
		{"our export", mod(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(7, append([]byte{1, 13}, "__tocsin_trap\x00\x00"...)...)), nil, `it has an export "__tocsin_trap"`},
		{"locals", mod(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(10, append([]byte{1, 8, 1}, append(huge, 0x7f, 0x0b)...)...)), meter.ErrLimit, "more than 50000 local variables"},
		{"large table", mod(section(4, 1, 0x70, 0, 0x80, 0x80, 0x80, 0x40)), meter.ErrLimit, "its tables have 134217728 elements; the limit is 1048576"},
		{"64-bit memory", mod(section(5, 1, 4, 1)), meter.ErrUnsupported, "a memory with the flags 0x4"},
		{"reference to ours", mod(section(6, 1, 0x70, 0, 0xd2, 0, 0x0b)), nil, "function 0 is used, but there are 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := meter.Rewrite(c.wasm, meter.Config{})
			var e *meter.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) || c.kind == nil && e.Kind != nil {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestShape checks what must not change: imports, names, other custom sections and where they stand.
func TestShape(t *testing.T) {
	custom := func(name string, data ...byte) []byte {
		return section(0, append(append([]byte{byte(len(name))}, name...), data...)...)
	}
	wasm := mod(custom("first", 1), section(1, 1, 0x60, 0, 0), custom("second", 2), section(3, 1, 0), section(7, 1, 1, 'f', 0, 0),
		section(10, 1, 2, 0, 0x0b), custom("name", 1, 4, 1, 0, 1, 'f'), custom("last", 3))
	out := rewrite(t, wasm, meter.Config{})
	at := -1
	for _, s := range [][]byte{custom("first", 1), {1, 15, 4, 0x60}, custom("second", 2), {3, 6, 5}, custom("name", 1, 4, 1, 0, 1, 'f'), custom("last", 3)} {
		i := bytes.Index(out, s)
		if i <= at {
			t.Errorf("%q is at %d, after %d", s, i, at)
		}
		at = i
	}
	if !bytes.HasSuffix(out, custom("last", 3)) {
		t.Error("the last section is not the last any more")
	}
	if again := rewrite(t, wasm, meter.Config{}); !bytes.Equal(out, again) {
		t.Error("it is not the same each time")
	}
	compiled, err := newRuntime(t).CompileModule(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]string{"f": "", meter.TrapExport: "i32", meter.FuelExport: "i64", meter.YieldExport: ""} {
		d := compiled.ExportedFunctions()[name]
		if d == nil || len(d.ParamTypes()) != 0 || f != "" && api.ValueTypeName(d.ResultTypes()[0]) != f {
			t.Errorf("%s: %v", name, d)
		}
	}
	// Names that claim to be four thousand millions are left out.
	damaged := custom("name", 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f)
	if out := rewrite(t, mod(damaged), meter.Config{}); bytes.Contains(out, damaged) {
		t.Error("damaged names are kept")
	}
	// A module with nothing in it.
	if _, err := newRuntime(t).Instantiate(t.Context(), rewrite(t, mod(), meter.Config{})); err != nil {
		t.Error(err)
	}
}

// TestGrowth checks that a small module cannot become a huge one: 3000 exported functions with 1000 parameters each.
func TestGrowth(t *testing.T) {
	lead := func(id byte, n uint32, content []byte) []byte {
		c := append(binary.AppendUvarint(nil, uint64(n)), content...)
		return append(binary.AppendUvarint([]byte{id}, uint64(len(c))), c...)
	}
	const n = 3000
	types := append(append([]byte{0x60}, binary.AppendUvarint(nil, 1000)...), append(bytes.Repeat([]byte{0x7f}, 1000), 0)...)
	var exports []byte
	for i := range uint64(n) {
		name := binary.AppendUvarint(nil, i+1000)
		exports = append(append(append(exports, byte(len(name))), name...), 0)
		exports = binary.AppendUvarint(exports, i)
	}
	wasm := mod(lead(1, 1, types), lead(3, n, make([]byte, n)), lead(7, n, exports), lead(10, n, bytes.Repeat([]byte{2, 0, 0x0b}, n)))
	if _, err := meter.Rewrite(wasm, meter.Config{}); !errors.Is(err, meter.ErrLimit) {
		t.Errorf("got %v", err)
	}
}
