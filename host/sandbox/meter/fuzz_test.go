package meter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// TestGenerated is FuzzGenerated over a fixed set of modules.
func TestGenerated(t *testing.T) {
	n := uint64(400)
	if testing.Short() {
		n = 50
	}
	same := 0
	for seed := range n {
		if compare(t, seed) {
			same++
		}
	}
	t.Logf("%d of %d modules ended within their fuel", same, n)
	if same < int(n/3) {
		t.Error("too few of the modules end for the test to mean much")
	}
}

func FuzzGenerated(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, seed) })
}

// compare makes a module and calls its functions, rewritten and original. The rewritten one goes first: what it ends, the original ends as
// well. It tells whether all calls ended within their fuel.
func compare(t *testing.T, seed uint64) bool {
	t.Helper()
	ctx := context.Background()
	wasm, functions := generate(seed)
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	instance := func(b []byte, name string) api.Module {
		m, err := r.InstantiateWithConfig(ctx, b, wazero.NewModuleConfig().WithName(name))
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, name, err)
		}
		return m
	}
	a := instance(wasm, "original")
	limits := meter.Config{Fuel: 300_000, StackDepth: 500}
	b := instance(rewrite(t, wasm, limits), "rewritten")
	precise := instance(rewrite(t, wasm, meter.Precise(limits)), "precise")
	for i := range functions {
		for _, args := range [][]uint64{{0, 0}, {1, 77}, {1 << 31, 0xffffffff}} {
			name := fmt.Sprint("f", i)
			got, err2 := b.ExportedFunction(name).Call(ctx, args...)
			if err2 != nil && trap(t, b) != meter.TrapNone {
				return false
			}
			if l := left(t, b); l < 0 || l >= 300_000 {
				t.Fatalf("seed %d, %s: %d are left", seed, name, l)
			}
			// What charges for each segment of code when it is entered must not need more than what charges for several at once.
			_, err3 := precise.ExportedFunction(name).Call(ctx, args...)
			if reason(err3) != reason(err2) {
				t.Fatalf("seed %d, %s%v: %v, but precisely: %v", seed, name, args, err2, err3)
			}
			if x, y := left(t, b), left(t, precise); x > y {
				t.Fatalf("seed %d, %s%v: %d are left, but precisely %d", seed, name, args, x, y)
			}
			want, err1 := a.ExportedFunction(name).Call(ctx, args...)
			if reason(err1) != reason(err2) {
				t.Fatalf("seed %d, %s%v: %v, but rewritten: %v", seed, name, args, err1, err2)
			}
			if err1 == nil && !equal(want[0], got[0], a.ExportedFunction(name).Definition().ResultTypes()[0]) {
				t.Fatalf("seed %d, %s%v: %x, but rewritten: %x", seed, name, args, want, got)
			}
			if !bytes.Equal(memory(a), memory(b)) {
				t.Fatalf("seed %d, %s%v: the memory is different", seed, name, args)
			}
			for k := range 4 {
				g := fmt.Sprint("g", k)
				if x, y := a.ExportedGlobal(g).Get(), b.ExportedGlobal(g).Get(); x != y {
					t.Fatalf("seed %d, %s%v: %s is %d, but rewritten: %d", seed, name, args, g, x, y)
				}
			}
			if err1 != nil {
				return true // The rewritten instance is not to be used after a trap.
			}
		}
	}
	return true
}

// reason is why a call ended, without the stack.
func reason(err error) string {
	if err == nil {
		return ""
	}
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// equal compares results. A NaN may be any NaN.
func equal(a, b uint64, t api.ValueType) bool {
	switch t {
	case api.ValueTypeF32:
		x, y := api.DecodeF32(a), api.DecodeF32(b)
		return a == b || math.IsNaN(float64(x)) && math.IsNaN(float64(y))
	case api.ValueTypeF64:
		x, y := api.DecodeF64(a), api.DecodeF64(b)
		return a == b || math.IsNaN(x) && math.IsNaN(y)
	}
	return a == b
}

// harmful tells whether there is a large number anywhere, which wazero might take for a length and make room for.
func harmful(b []byte) bool {
	for i := range b {
		if v, n := binary.Uvarint(b[i:min(len(b), i+5)]); n <= 0 || v > 1<<20 {
			return true
		}
	}
	return false
}

// refused says why wazero does not compile a module; nil if it does. Its validation of the original may panic, which is one
// more reason to let nothing reach it that was not rewritten.
func refused(ctx context.Context, r wazero.Runtime, b []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	_, err = r.CompileModule(ctx, b)
	return err
}

// FuzzRewrite checks on any bytes that Rewrite does not panic, and that its result is valid if and only if the input is.
func FuzzRewrite(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "hostile", "*.wasm"))
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for seed := range uint64(20) {
		b, _ := generate(seed)
		f.Add(b)
	}
	f.Add(fn(0xfd, 0x80, 0x03, 0x40, 0x0c, 0, 0x0b))
	f.Add(mod(section(4, 1, 0x70, 1, 2, 1)))
	f.Add(mod(section(12))) // wazero takes it for the number 0
	f.Add(mod(section(0, 0)))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\x0b\x04name_\x01\x00\x00 \x00")) // a length that leads out of the section
	f.Add(mod(section(0, []byte("\x04name\x01\x04\x01\x00\x01f")...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		out, err := meter.Rewrite(b, meter.Config{Fuel: 1000})
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if errors.Is(err, meter.ErrUnsupported) || errors.Is(err, meter.ErrLimit) || err != nil && harmful(b) {
			return // wazero may take it, or end the process.
		}
		if err == nil && len(out) > 16*len(b)+64<<10 {
			t.Fatalf("it grew from %d to %d bytes", len(b), len(out))
		}
		ctx := context.Background()
		r := wazero.NewRuntime(ctx)
		defer r.Close(ctx)
		invalid := refused(ctx, r, b)
		if err != nil {
			if invalid == nil {
				t.Fatalf("wazero compiles it, but: %v", err)
			}
			return
		}
		if invalid != nil && strings.Contains(invalid.Error(), "custom") {
			return // Damaged names are left out; and for wazero an empty section is an error, but only at the end of a module.
		}
		if _, e := r.CompileModule(ctx, out); (e == nil) != (invalid == nil) {
			t.Fatalf("the original: %v; rewritten: %v", invalid, e)
		}
	})
}
