package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func newRuntime(t testing.TB, o Options) *Runtime {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// echo copies the first 8 bytes of the input to the output.
var echo = asm{
	imports: []imp{ext("alloc"), ext("input_load_u64"), ext("store_u64"), ext("output_set")},
	body: code(i64c(8), callFn(0), opLocalSet, 0,
		opLocalGet, 0, i64c(0), callFn(1), callFn(2),
		opLocalGet, 0, i64c(8), callFn(3), i32c(0)),
}

// withText is a module that writes "hi\x01 there" into a block and hands it to the function at index 2.
func withText(fn imp, args []byte, ret int64) asm {
	const text = 0x65726568_74012069 // "i \x01there" little-endian, 8 bytes
	return asm{
		imports: []imp{ext("alloc"), ext("store_u64"), fn},
		body:    code(i64c(8), callFn(0), opLocalSet, 0, opLocalGet, 0, i64c(text), callFn(1), opLocalGet, 0, args, callFn(2), i32c(ret)),
	}
}

func TestCall(t *testing.T) {
	r := newRuntime(t, Options{})
	m, err := r.Compile(t.Context(), "echo", echo.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"12345678", "abcdefgh", "x"} {
		out, err := m.Call(t.Context(), "render", []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if want := (in + "\x00\x00\x00\x00\x00\x00\x00\x00")[:8]; string(out) != want {
			t.Errorf("got %q, want %q", out, want)
		}
	}
	if !m.Has("render") || m.Has("classify") {
		t.Error("Has is wrong")
	}
	if _, err := m.Call(t.Context(), "classify", nil); !errors.Is(err, ErrNotOffered) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Call(ctx, "render", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if s := m.Stats(); s.Calls != 3 || s.Made != 1 || s.Live != 1 {
		t.Errorf("got %+v", s)
	}
}

// TestHostile runs modules that want harm, or are broken. Each must end soon with an error that says what happened, and
// leave the module's next call a fresh instance.
func TestHostile(t *testing.T) {
	loop := func(body ...any) []byte { return code(opLoop, void, code(body...), opBr, 0, opEnd, opUnreachable) }
	trap := func(e error) bool { var x *TrapError; return errors.As(e, &x) }
	fuel := func(e error) bool { var x *FuelError; return errors.As(e, &x) }
	output := func(e error) bool { var x *OutputError; return errors.As(e, &x) }
	guest := func(e error) bool { var x *GuestError; return errors.As(e, &x) }
	for _, c := range []struct {
		name string
		m    asm
		is   func(error) bool
		want string
	}{
		{"unreachable", asm{body: code(opUnreachable)}, trap, "plug-in p: render crashed: unreachable"},
		{"infinite loop", asm{body: loop()}, fuel, "was stopped: it used more instructions than a call may"},
		{"loop of host calls", asm{imports: []imp{ext("input_length")}, body: loop(callFn(0), opDrop)}, fuel, "was stopped: it used more"},
		{"infinite recursion", asm{body: code(callFn(0))}, fuel, "was stopped: it used more nested calls than a call may"},
		{"allocations", asm{imports: []imp{ext("alloc")}, body: loop(i64c(1<<20), callFn(0), opDrop)}, trap, "it asked for more of the host's memory than a call may have"},
		{"huge allocation", asm{imports: []imp{ext("alloc")}, body: code(i64c(-1), callFn(0), opDrop, i32c(0))}, trap, "more of the host's memory"},
		{"store at 0", asm{imports: []imp{ext("store_u64")}, body: code(i64c(0), i64c(1), callFn(0), i32c(0))}, trap, "memory of the host that it does not own"},
		{"store far out", asm{imports: []imp{ext("store_u64")}, body: code(i64c(1<<62), i64c(1), callFn(0), i32c(0))}, trap, "memory of the host that it does not own"},
		{"load past the end", asm{imports: []imp{ext("load_u8")}, body: code(i64c(1<<20), callFn(0))}, trap, "memory of the host that it does not own"},
		{"input read past its end", asm{imports: []imp{ext("input_load_u64")}, body: code(i64c(1<<40), callFn(0), opDrop, i32c(0))}, trap, "past the end of its input"},
		{"no output", asm{body: i32c(0)}, output, "the output of render is not usable: it set none"},
		{"output out of range", asm{imports: []imp{ext("output_set")}, body: code(i64c(1<<30), i64c(8), callFn(0), i32c(0))}, output, "outside of the memory"},
		{"output that overflows", asm{imports: []imp{ext("output_set")}, body: code(i64c(-8), i64c(16), callFn(0), i32c(0))}, output, "outside of the memory"},
		{"output too long", asm{imports: []imp{ext("output_set")}, body: code(i64c(8), i64c(1<<40), callFn(0), i32c(0))}, output, "is 1099511627776 bytes long; the limit is 4194304"},
		{"error", withText(ext("error_set"), nil, 1), guest, "plug-in p: render failed: i there"},
		{"error without a word", asm{body: i32c(-7)}, guest, "render failed: it returned -7 without saying why"},
		{"error out of range", asm{imports: []imp{ext("error_set")}, body: code(i64c(-1), callFn(0), i32c(1))}, guest, "without saying why"},
		{"not offered", asm{body: i32c(2)}, func(e error) bool { return errors.Is(e, ErrNotOffered) }, "does not offer"},
		{"http", asm{imports: []imp{ext("http_request")}, body: code(i64c(0), i64c(0), callFn(0), opDrop, i32c(0))}, trap, "it made an HTTP request; a plug-in returns requests"},
		{"variables", asm{imports: []imp{ext("var_set")}, body: code(i64c(0), i64c(0), callFn(0), i32c(0))}, trap, "keeps nothing between calls"},
		{"exit", asm{imports: []imp{{wasiModule, "proc_exit", []byte{tI32}, nil}}, body: code(i32c(3), callFn(0), opUnreachable)}, trap, "it ended itself with exit code 3"},
		{"exit 0", asm{imports: []imp{{wasiModule, "proc_exit", []byte{tI32}, nil}}, body: code(i32c(0), callFn(0), opUnreachable)}, trap, "it ended itself with exit code 0"},
		{"random numbers for ever", asm{imports: []imp{wasi("random_get", tI32, tI32)}, memory: []byte{0, 0x80, 4}, body: loop(i32c(0), i32c(512<<16), callFn(0), opDrop)}, fuel, "it used more time than a call may"},
		{"bulk read outside", asm{imports: []imp{bulk("input_read")}, body: code(i32c(-1), i32c(8), callFn(0), i32c(0))}, trap, "it named a place outside of its memory"},
		{"bulk write outside", asm{imports: []imp{bulk("output_write")}, body: code(i32c(0), i32c(1<<30), callFn(0), i32c(0))}, trap, "it named a place outside of its memory"},
		{"bulk write without memory", asm{noMemory: true, imports: []imp{bulk("output_write")}, body: code(i32c(0), i32c(0), callFn(0), i32c(0))}, trap, "it has no memory of its own"},
		{"bulk write too long", asm{memory: []byte{0, 0x80, 2}, imports: []imp{bulk("output_write")}, body: code(i32c(0), i32c(5<<20), callFn(0), i32c(0))}, output, "is 5242880 bytes long; the limit is 4194304"},
		{"bulk error", asm{data: []byte("no \x1bchat"), imports: []imp{bulk("error_write")}, body: code(i32c(0), i32c(8), callFn(0), i32c(1))}, guest, "render failed: no chat"},
		{"bulk writes for ever", asm{memory: []byte{0, 0x80, 1}, imports: []imp{bulk("output_write"), ext("reset")}, body: loop(i32c(0), i32c(1<<20), callFn(0), callFn(1))}, func(e error) bool { return trap(e) || fuel(e) }, "render"},
		{"memory.grow for ever", asm{body: loop(i32c(1), opGrow, 0, opDrop)}, fuel, "was stopped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRuntime(t, Options{Instances: 1})
			limits := Limits{Timeout: time.Minute, Fuel: 50e6} // a busy machine's time is no reason for the rest
			if strings.Contains(c.want, "more time") {
				limits.Timeout = time.Second
			}
			m, err := r.Compile(t.Context(), "p", c.m.bytes(), limits)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				out, err := m.Call(t.Context(), "render", []byte(`{}`))
				if err == nil || !c.is(err) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %q, %v (%T), want %q", out, err, err, c.want)
				}
			}
			if s := m.Stats(); s.Live > 1 {
				t.Errorf("%d instances are left", s.Live)
			}
		})
	}
}

// TestNames checks that a crash names the function it happened in, and that damaged names are no reason to refuse a module.
func TestNames(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, c := range []struct {
		names, want string
	}{
		{"\x01\x08\x01\x00\x05crash", ".crash() i32"},
		{"\x01\x05\xff\xff\xff\xff\x0f", "() i32"},
	} {
		m, err := r.Compile(t.Context(), "p", asm{body: code(opUnreachable), custom: [][]byte{customSection("name", []byte(c.names))}}.bytes(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Call(t.Context(), "render", nil)
		var trap *TrapError
		if !errors.As(err, &trap) || !strings.Contains(trap.Detail, c.want) {
			t.Errorf("got %v, want %q in it", err, c.want)
		}
	}
}

// TestKernelOverwrite is the reason for env.go: with the SDK's own kernel, a guest that overwrites the size of a block to
// make it its own successor hangs the next allocation for ever.
func TestKernelOverwrite(t *testing.T) {
	r := newRuntime(t, Options{})
	m, err := r.Compile(t.Context(), "p", asm{
		imports: []imp{ext("alloc"), ext("store_u64"), ext("free")},
		body: code(i64c(64), callFn(0), opLocalSet, 0,
			// 12 bytes before a block lies the kernel's header: status, size, used.
			opLocalGet, 0, i64c(-12), opI64Add, i64c(-12<<32|2), callFn(1),
			opLocalGet, 0, i64c(-8), opI64Add, i64c(-12), callFn(1),
			i64c(64), callFn(0), opDrop, i32c(0)),
	}.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := m.Call(context.Background(), "render", []byte("0123456789abcdef"))
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("want an error: there is no output")
		}
	case <-time.After(time.Minute):
		t.Fatal("the guest hangs the host")
	}
}

func TestCompileErrors(t *testing.T) {
	ok := echo.bytes()
	for _, c := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"empty", nil, "plug-in p: this is no WebAssembly module"},
		{"text", []byte("#!/bin/sh\necho"), "this is no WebAssembly module"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "this is a WebAssembly component; build a core module instead"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "WebAssembly of version 2"},
		{"cut off", ok[:len(ok)-5], "is longer than the file, which may have been cut off"},
		{"huge section", append([]byte("\x00asm\x01\x00\x00\x00\x00"), 0xff, 0xff, 0xff, 0xff, 0x0f), "the section at byte 8 is longer than the file"},
		{"unknown function", asm{imports: []imp{{envModule, "alloca", []byte{tI64}, []byte{tI64}}}, body: i32c(0)}.bytes(), `it imports "alloca" from extism:host/env, which this version of tocsin does not have (it has "alloc")`},
		{"user function", asm{imports: []imp{{"extism:host/user", "send\x01", nil, nil}}, body: i32c(0)}.bytes(), `from "extism:host/user", which this version of tocsin does not have; a plug-in may import from extism:host/env and wasi_snapshot_preview1 only`},
		{"own name", asm{imports: []imp{{ourModule, "alloc", []byte{tI64}, []byte{tI64}}}, body: i32c(0)}.bytes(), `does not have`},
		{"wrong wasi", asm{imports: []imp{{"wasi_unstable", "fd_write", nil, nil}}, body: i32c(0)}.bytes(), `it imports from "wasi_unstable"; build it for WASI preview 1`},
		{"no wasi function", asm{imports: []imp{wasi("fd_fly")}, body: i32c(0)}.bytes(), `which has no such function`},
		{"wrong type", asm{imports: []imp{{envModule, "alloc", []byte{tI32}, []byte{tI64}}}, body: i32c(0)}.bytes(), "plug-in p: "},
		{"invalid", asm{body: code(opDrop, i32c(0))}.bytes(), "it is not a valid module, or asks for more than its limits"},
		{"start traps", asm{start: true, body: i32c(0)}.bytes(), "it does not start: unreachable, or more instructions"},
		{"much memory", asm{memory: []byte{0, 0x80, 0x80, 4}, body: i32c(0)}.bytes(), "more than its limits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRuntime(t, Options{})
			_, err := r.Compile(t.Context(), "p", c.wasm, Limits{})
			var ce *CompileError
			if !errors.As(err, &ce) || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x01") {
				t.Errorf("got %v (%T), want %q", err, err, c.want)
			}
		})
	}
}

// TestNoWorld checks what a guest can learn of the world: no file can be opened, and clock and randomness repeat.
func TestNoWorld(t *testing.T) {
	r := newRuntime(t, Options{})
	// path_open on the descriptors 0 to 4 must say EBADF or ENOTDIR, fd_prestat_get EBADF.
	for fd := range int64(5) {
		m, err := r.Compile(t.Context(), "p", asm{
			imports: []imp{wasi("path_open", tI32, tI32, tI32, tI32, tI32, tI64, tI64, tI32, tI32)},
			data:    []byte("etc/passwd"),
			body:    code(i32c(fd), i32c(0), i32c(0), i32c(10), i32c(0), i64c(-1), i64c(-1), i32c(0), i32c(100), callFn(0), i32c(100), 0x6a),
		}.bytes(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Call(t.Context(), "render", nil)
		if err == nil || !strings.Contains(err.Error(), "it returned 108 ") && !strings.Contains(err.Error(), "it returned 154 ") {
			t.Errorf("descriptor %d: got %v", fd, err)
		}
	}
	// The environment is empty: environ_sizes_get gives zero, read back as the code + 100.
	m, err := r.Compile(t.Context(), "p", asm{
		imports: []imp{wasi("environ_sizes_get", tI32, tI32)},
		body:    code(i32c(0), i32c(4), callFn(0), opDrop, i32c(0), 0x28, 2, 0, i32c(100), 0x6a),
	}.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = m.Call(t.Context(), "render", nil); err == nil || !strings.Contains(err.Error(), "it returned 100 ") {
		t.Errorf("got %v", err)
	}
}

func TestLogs(t *testing.T) {
	var buf bytes.Buffer
	r := newRuntime(t, Options{Log: slog.New(slog.NewTextHandler(&buf, nil))})
	m, err := r.Compile(t.Context(), "p", withText(ext("log_info"), nil, 5).bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = m.Call(t.Context(), "render", nil)
	if got := buf.String(); !strings.Contains(got, `msg="i there"`) {
		t.Errorf("got %q", got)
	}
	buf.Reset()
	flood := asm{
		imports: []imp{ext("alloc"), ext("log_info")},
		body: code(opLoop, void, i64c(100), callFn(0), callFn(1),
			opLocalGet, 0, i64c(1), opI64Add, opLocalSet, 0, opLocalGet, 0, i64c(10000), 0x54, opBrIf, 0, opEnd, i32c(5)),
	}
	if m, err = r.Compile(t.Context(), "p", flood.bytes(), Limits{LogBytes: 1000}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Call(t.Context(), "render", nil); err == nil || !strings.Contains(err.Error(), "returned 5") {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(buf.String(), "\n"); n > 20 || !strings.Contains(buf.String(), "logs too much") {
		t.Errorf("%d lines", n)
	}
}

func TestPool(t *testing.T) {
	r := newRuntime(t, Options{Instances: 2})
	m, err := r.Compile(t.Context(), "echo", echo.bytes(), Limits{Calls: 50})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			in := []byte(fmt.Sprintf("%08d", g))
			for range 100 {
				out, err := m.Call(context.Background(), "render", in)
				if err != nil || !bytes.Equal(out, in) {
					t.Errorf("got %q, %v", out, err)
					return
				}
			}
		})
	}
	wg.Wait()
	s := m.Stats()
	if s.Calls != 800 || s.Live > 2 || s.Discarded < 14 || s.Made != s.Discarded+s.Live {
		t.Errorf("got %+v", s)
	}
	// Close while calls are under way: each ends well or says that the module was closed.
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := m.Call(context.Background(), "render", []byte("12345678")); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if s := m.Stats(); s.Live != 0 {
		t.Errorf("%d instances are left", s.Live)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := r.Compile(t.Context(), "late", echo.bytes(), Limits{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "cache")
	for range 2 {
		r := newRuntime(t, Options{CacheDir: dir})
		m, err := r.Compile(t.Context(), "echo", echo.bytes(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		// What only the package is interested in does not change the compiled code.
		other := echo
		other.custom = [][]byte{customSection("tocsin.locales", []byte("x"))}
		if _, err := r.Compile(t.Context(), "echo", other.bytes(), Limits{}); err != nil {
			t.Fatal(err)
		}
		if out, err := m.Call(t.Context(), "render", []byte("12345678")); err != nil || string(out) != "12345678" {
			t.Fatalf("got %q, %v", out, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "run chmod 700 "+dir) {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CacheDir: file}); err == nil {
		t.Error("want an error for a file")
	}
}

func FuzzPrepare(f *testing.F) {
	f.Add(echo.bytes())
	f.Add(asm{start: true, data: []byte("x"), body: i32c(0), custom: [][]byte{customSection("tocsin.sig", nil), customSection("name", []byte{0})}}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		out, _, err := prepare("p", b)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("control characters in %q", err)
			}
			return
		}
		if len(out) > len(b) {
			t.Fatal("it grew")
		}
	})
}

// TestNamedLikeTheHost has guests that compute for ever and call themselves what the host's own modules are called: their
// time ends all the same.
func TestNamedLikeTheHost(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, name := range []string{"", ourModule, wasiModule} {
		names := string([]byte{0, byte(len(name) + 1), byte(len(name))}) + name
		m, err := r.Compile(t.Context(), "p", asm{body: code(opLoop, void, opBr, 0, opEnd, opUnreachable), custom: [][]byte{customSection("name", []byte(names))}}.bytes(),
			Limits{Timeout: time.Second, Fuel: 1 << 50})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := m.Call(t.Context(), "render", nil)
			done <- err
		}()
		select {
		case err = <-done:
		case <-time.After(time.Minute):
			t.Fatalf("named %q: it still runs", name) // and goes on until the test's process ends
		}
		if err == nil || !strings.Contains(err.Error(), "it used more time than a call may") {
			t.Errorf("named %q: %v", name, err)
		}
	}
}
