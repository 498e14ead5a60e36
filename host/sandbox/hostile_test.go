package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// guest reads a module of testdata/hostile; its README.md lists them.
func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func as[E error](err error) bool { var e E; return errors.As(err, &e) }

// TestHostileGuests runs each guest twice, beside a neighbour in the same runtime that is called all the time. Each call must
// end with an error that names the plug-in, the export and the cause, within its fuel and its memory; be counted as what it
// was; leave no instance behind; and keep the neighbour from nothing.
func TestHostileGuests(t *testing.T) {
	const fuel, pages = 20e6, 64
	r := newRuntime(t, Options{Instances: 1})
	echo, err := r.Compile(t.Context(), "neighbour", guest(t, "echo"), Limits{Calls: 1 << 30, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	count := func(s Stats) [3]int64 { return [3]int64{s.Traps, s.OutOfFuel, s.BadOutput} }
	traps, fuels, outputs := [3]int64{2, 0, 0}, [3]int64{0, 2, 0}, [3]int64{0, 0, 2}
	for _, c := range []struct {
		name  string
		is    func(error) bool
		want  string
		count [3]int64
		keeps bool // the instance is as good as before
	}{
		{"loop", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"hostcalls", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"tree", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"recursion", as[*FuelError], "was stopped: it used more nested calls than a call may", fuels, false},
		{"grow", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"copies", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"output", as[*TrapError], "crashed: it named a place outside of its memory", traps, false},
		{"outputs", as[*TrapError], "crashed: it asked for more of the host's memory than a call may have", traps, false},
		{"range", as[*TrapError], "crashed: it named a place outside of its memory", traps, false},
		{"offset", as[*OutputError], "the output of render is not usable: it lies outside of the memory", outputs, true},
		{"logs", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"stderr", as[*FuelError], "was stopped: it used more instructions than a call may", fuels, false},
		{"trap", as[*TrapError], "crashed: integer divide by zero", traps, false},
		{"unreachable", as[*TrapError], "crashed: unreachable", traps, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			limits := Limits{Fuel: fuel, MemoryPages: pages, Timeout: time.Hour} // so that it is never the clock that ends a call
			switch c.name {
			case "copies":
				limits.MemoryPages = 512
			case "output":
				// Its memory is as large as it says; it is the output that is too long.
				limits.MemoryPages, c.want = 512, "it asked for more of the host's memory than a call may have"
			}
			m, err := r.Compile(t.Context(), "p", guest(t, c.name), limits)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(t.Context())
			stop, beside := make(chan struct{}), make(chan error, 1)
			go func() { // At least one call of the neighbour, while the guest does what it does.
				for n := 0; ; n++ {
					in := fmt.Appendf(nil, "call %d", n)
					if out, err := echo.Call(context.Background(), "render", in); err != nil || !bytes.Equal(out, in) {
						beside <- fmt.Errorf("the neighbour answers %q, %w", out, err)
						return
					}
					select {
					case <-stop:
						beside <- nil
						return
					default:
					}
				}
			}()
			for range 2 {
				_, err := m.Call(t.Context(), "render", []byte(`{}`))
				if err == nil || !c.is(err) || !strings.HasPrefix(err.Error(), "plug-in p: ") || !strings.Contains(err.Error(), "render") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v (%T), want %q", err, err, c.want)
				}
			}
			close(stop)
			if err := <-beside; err != nil {
				t.Error(err)
			}
			s := m.Stats()
			if s.Calls != 2 || count(s) != c.count || (s.Live > 0) != c.keeps || s.Time <= 0 {
				t.Errorf("got %+v", s)
			}
			// What a call may use is what it has used, at most.
			if s.Fuel < 2 || s.Fuel > 2*fuel || s.MaxMemory > int64(limits.MemoryPages)<<16 {
				t.Errorf("it used %d of fuel and %d bytes", s.Fuel, s.MaxMemory)
			}
		})
	}
	if s := echo.Stats(); s.Traps+s.OutOfFuel+s.BadOutput+s.GuestErrors != 0 || s.Live != 1 || s.Made != 1 {
		t.Errorf("the neighbour: %+v", s)
	}
}

// TestHostileModules hands over modules that must not even start. The runtime serves others afterwards.
func TestHostileModules(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, c := range []struct{ name, want string }{
		{"pages", "it is not a valid module, or asks for more than its limits"},
		{"segment", "it does not start: instantiating module: data[0]: out of bounds memory access"},
		{"start", "it does not start: unreachable, or more instructions than a start may take"},
		{"spinstart", "it does not start: unreachable, or more instructions than a start may take"},
		{"import", "from extism:host/env, which this version of tocsin does not have"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			_, err := r.Compile(t.Context(), "p", guest(t, c.name), Limits{Fuel: 20e6, Timeout: time.Hour})
			goruntime.ReadMemStats(&after)
			if !as[*CompileError](err) || !strings.HasPrefix(err.Error(), "plug-in p: ") || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("got %v (%T), want %q", err, err, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 256<<20 {
				t.Errorf("it took %d MiB", took>>20)
			}
			m, err := r.Compile(t.Context(), "next", guest(t, "echo"), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close(t.Context())
			if out, err := m.Call(t.Context(), "render", []byte("x")); err != nil || string(out) != "x" {
				t.Errorf("the next one answers %q, %v", out, err)
			}
		})
	}
}

// TestBigData: data segments are bounded by the memory that a module may have, and what they cost by their size.
func TestBigData(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, c := range []struct {
		name  string
		mb    int
		pages uint32 // the limit
		want  string
	}{
		{"as large as its memory", 16, 256, ""},
		{"larger than its limit", 16, 64, "it is not a valid module, or asks for more than its limits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wasm := asm{memory: append([]byte{0}, binary.AppendUvarint(nil, uint64(c.mb)*16)...), data: bytes.Repeat([]byte("data"), c.mb<<18), body: code(i32c(-7))}.bytes()
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			m, err := r.Compile(t.Context(), "p", wasm, Limits{MemoryPages: c.pages})
			goruntime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > uint64(16*len(wasm)) {
				t.Errorf("%d MiB of data took %d MiB", c.mb, took>>20)
			}
			if c.want != "" {
				if !as[*CompileError](err) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Call(t.Context(), "render", nil); err == nil || !strings.Contains(err.Error(), "it returned -7") {
				t.Errorf("got %v", err)
			}
			if s := m.Stats(); s.MaxMemory != int64(c.mb)<<20 {
				t.Errorf("it has %d bytes", s.MaxMemory)
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoFilesNoSockets: each function of WASI for files and sockets answers EBADF, whatever the descriptor.
func TestNoFilesNoSockets(t *testing.T) {
	r := newRuntime(t, Options{})
	m, err := r.Compile(t.Context(), "p", guest(t, "wasi"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	const badf = 8
	if out, err := m.Call(t.Context(), "render", nil); err != nil || !bytes.Equal(out, bytes.Repeat([]byte{badf}, 8)) {
		t.Errorf("got %v, %v", out, err)
	}
}

// TestEveryWASIFunction calls all of WASI preview 1 that takes a descriptor, on one that no file or socket has: EBADF. One that
// wazero leaves out says ENOSYS, which is no less of a no.
func TestEveryWASIFunction(t *testing.T) {
	const badf, nosys = 8, 52
	r := newRuntime(t, Options{})
	for name, types := range map[string]string{
		"fd_advise": "illi", "fd_allocate": "ill", "fd_close": "i", "fd_datasync": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii",
		"fd_fdstat_set_rights": "ill", "fd_filestat_get": "ii", "fd_filestat_set_size": "il", "fd_filestat_set_times": "illi",
		"fd_pread": "iiili", "fd_prestat_dir_name": "iii", "fd_prestat_get": "ii", "fd_pwrite": "iiili", "fd_read": "iiii",
		"fd_readdir": "iiili", "fd_renumber": "ii", "fd_seek": "ilii", "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii",
		"path_create_directory": "iii", "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiilli", "path_link": "iiiiiii",
		"path_open": "iiiiillii", "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii",
		"path_symlink": "iiiii", "path_unlink_file": "iii", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii",
		"sock_shutdown": "ii",
	} {
		var params, body []byte
		for i, c := range types {
			switch {
			case c == 'l':
				params, body = append(params, tI64), append(body, code(i64c(0))...)
			case i == 0 || name == "path_symlink" && i == 2:
				params, body = append(params, tI32), append(body, code(i32c(77))...) // the descriptor
			case name == "fd_readdir" && i == 2 || name == "path_readlink":
				params, body = append(params, tI32), append(body, code(i32c(64))...) // a buffer that an entry would fit in, a path
			default:
				params, body = append(params, tI32), append(body, code(i32c(0))...) // an address, a length, flags
			}
		}
		// The answer, with 100 added: codes of a call that mean something are smaller.
		m, err := r.Compile(t.Context(), "p", asm{
			imports: []imp{wasi(name, params...)}, body: code(body, callFn(0), i32c(100), 0x6a),
		}.bytes(), Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := fmt.Sprintf("it returned %d ", 100+badf)
		if name == "fd_fdstat_set_rights" {
			want = fmt.Sprintf("it returned %d ", 100+nosys)
		}
		if _, err := m.Call(t.Context(), "render", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

// TestOddExports: names with control characters harm nobody, as no export but those that were asked for is called or shown.
func TestOddExports(t *testing.T) {
	r := newRuntime(t, Options{})
	m, err := r.Compile(t.Context(), "p", guest(t, "exports"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := m.Call(t.Context(), "render", nil); err != nil || len(out) != 0 {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestLogFlood: of endless log lines a few are kept, with a word about the rest, and a secret's placeholder in none.
func TestLogFlood(t *testing.T) {
	var buf bytes.Buffer
	r := newRuntime(t, Options{Log: slog.New(slog.NewTextHandler(&buf, nil))})
	for _, name := range []string{"logs", "stderr"} {
		buf.Reset()
		m, err := r.Compile(t.Context(), "p", guest(t, name), Limits{Fuel: 20e6, LogBytes: 2000})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Call(t.Context(), "render", nil)
		if !as[*FuelError](err) || len(err.Error()) > 1000 {
			t.Errorf("%s: got %v", name, err)
		}
		if n := buf.Len(); n > 10_000 || name == "logs" && !strings.Contains(buf.String(), "logs too much") {
			t.Errorf("%s: %d bytes are logged", name, n)
		}
	}
	buf.Reset()
	m, err := r.Compile(t.Context(), "p", guest(t, "placeholder"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	holder := "tocsin-secret-0123456789abcdef0123456789abcdef"
	out, err := m.Call(t.Context(), "render", []byte(strings.Repeat("x", 1010)+holder+"y"))
	if err != nil || !bytes.Contains(out, []byte(holder)) {
		t.Fatalf("got %q, %v", out, err)
	}
	if got := buf.String(); strings.Contains(got, "tocsin-sec") || !strings.Contains(got, "xxx‹secret›") {
		t.Errorf("the log holds %q", got)
	}
}

// TestPoison: calls that go wrong in every way between calls that do not. Each failure costs one instance, and only that.
func TestPoison(t *testing.T) {
	r := newRuntime(t, Options{Instances: 2})
	m, err := r.Compile(t.Context(), "p", guest(t, "poison"), Limits{Fuel: 20e6, MemoryPages: 512, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const rounds = 5
	for range 4 {
		wg.Go(func() {
			for range rounds {
				for _, in := range []string{"l", "ok", "t", "ok", "g", "ok", "s", "ok"} {
					out, err := m.Call(context.Background(), "render", []byte(in))
					good := err == nil && string(out) == "ok"
					switch in {
					case "l", "s":
						good = as[*FuelError](err)
					case "t":
						good = as[*TrapError](err)
					}
					if !good {
						t.Errorf("%s: got %q, %v", in, out, err)
					}
				}
			}
		})
	}
	wg.Wait()
	s := m.Stats()
	const n = 4 * rounds
	if s.Calls != 8*n || s.Traps != n || s.OutOfFuel != 2*n || s.BadOutput != 0 || s.GuestErrors != 0 || s.Live > 2 ||
		s.Discarded != 4*n || s.Made != s.Discarded+s.Live || s.MaxMemory != 501<<16 || s.Fuel < n*20e6 {
		t.Errorf("got %+v", s)
	}
}

// TestLongSection: a section that claims a gigabyte costs nothing.
func TestLongSection(t *testing.T) {
	r := newRuntime(t, Options{})
	for _, id := range []byte{0, 1, 10, 11} {
		wasm := binary.AppendUvarint(append([]byte("\x00asm\x01\x00\x00\x00"), id), 1<<30)
		n := testing.AllocsPerRun(1, func() {
			if _, err := r.Compile(context.Background(), "p", append(wasm, "abc"...), Limits{}); !as[*CompileError](err) || !strings.Contains(err.Error(), "longer than the file") {
				t.Errorf("section %d: got %v", id, err)
			}
		})
		if n > 100 {
			t.Errorf("section %d: %v allocations", id, n)
		}
	}
}

// stopping is the histogram of how long Go's collector waited for everything to stop, since the program began.
func stopping() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// longest is the upper end of the highest bucket that grew, in milliseconds.
func longest(before, after *metrics.Float64Histogram) float64 {
	for i, n := range slices.Backward(after.Counts) {
		if n > before.Counts[i] { // the buckets are always the same
			return after.Buckets[i+1] * 1000
		}
	}
	return 0
}

// BenchmarkCollector measures Go's collector while a guest spins, which Go cannot interrupt: how long a round took at most, on a
// machine that may have other things to do, and how long it waited at most for the guest to stop. Echo does not spin.
func BenchmarkCollector(b *testing.B) {
	for _, name := range []string{"echo", "loop", "tree", "hostcalls", "grow"} {
		b.Run(name, func(b *testing.B) {
			r := newRuntime(b, Options{Instances: 1})
			m, err := r.Compile(b.Context(), "p", guest(b, name), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					_, _ = m.Call(ctx, "render", []byte("x"))
				}
			}()
			before := stopping()
			var most time.Duration
			for b.Loop() {
				began := time.Now()
				goruntime.GC()
				most = max(most, time.Since(began))
			}
			after := stopping()
			cancel()
			<-done
			b.ReportMetric(longest(before, after), "stop-ms")
			b.ReportMetric(float64(most.Microseconds())/1000, "max-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// TestHidden: what is hidden is hidden before a guest's text is cut, at whatever place: no part of a secret is left at either end.
func TestHidden(t *testing.T) {
	t.Parallel()
	const holder, secret = "tocsin-secret-0123456789abcdef0123456789abcdef", "C4nary-7Hq2xk9dZ0"
	var buf bytes.Buffer
	g := &guestLog{log: slog.New(slog.NewTextHandler(&buf, nil)), hide: func(s string) string { return strings.ReplaceAll(s, secret, "‹canary›") }}
	leaks := func(where, text, what string) {
		t.Helper()
		if strings.Contains(text, what[:4]) || strings.Contains(text, what[len(what)-4:]) {
			t.Fatalf("%s shows %q", where, text)
		}
	}
	for what, mark := range map[string]string{holder: "‹secret›", secret: "‹canary›"} {
		for _, size := range []int{1024, 1024 + margin, 100_000} {
			for cut := range len(what) + 2 {
				text := strings.Repeat(".", 1024-cut) + what
				text += strings.Repeat(what, max(0, size-len(text))/len(what))
				shown := g.shown([]byte(text), 1024)
				leaks("the end", shown, what)
				if len(shown) > 1030 {
					t.Fatalf("%d bytes are shown", len(shown))
				}
			}
		}
		for cut := range len(what) + 2 {
			g.begin(1 << 20)
			for _, part := range []string{"lost", what + strings.Repeat(".", maxTail+margin-cut), strings.Repeat(what, 3)} {
				if n, err := g.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			leaks("the beginning", g.said(), what)
			if !strings.HasSuffix(g.said(), strings.Repeat(mark, 3)) {
				t.Fatalf("got %q", g.said())
			}
		}
	}
	g.begin(1 << 20)
	g.line(slog.LevelInfo, []byte(strings.Repeat("x", 1014)+secret))
	if got := buf.String(); !strings.Contains(got, "x‹canary") || strings.Contains(got, "C4n") {
		t.Errorf("the log holds %q", got)
	}
}
