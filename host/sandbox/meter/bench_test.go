package meter_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// guest builds the Go module in testdata/guest, once.
var guest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "meter")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", file, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func goGuest(t testing.TB) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build a guest with")
	}
	b, err := guest()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file reads a module from testdata/hostile.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rewrite(t testing.TB, wasm []byte, c meter.Config) []byte {
	t.Helper()
	out, err := meter.Rewrite(wasm, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// start instantiates a module as a sandbox would.
func start(t testing.TB, wasm []byte, c wazero.RuntimeConfig) api.Module {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, c)
	t.Cleanup(func() { _ = r.Close(ctx) })
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions("_initialize").WithStderr(os.Stderr))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const plenty = 1 << 60

func median(s []float64) float64 {
	slices.Sort(s)
	return s[len(s)/2]
}

// BenchmarkOverhead calls functions of the original module, of the rewritten one, and of the original one with wazero's
// own interruption, in turns. It reports the median of the ratios to the original's time in each round, since all three
// do the same then, collections of a guest's garbage for example.
func BenchmarkOverhead(b *testing.B) {
	tight := file(b, "tight")
	for _, c := range []struct {
		name, export string
		wasm         func() []byte
		args         []uint64
	}{
		{"go/sha256", "run", nil, []uint64{0, 1000}},
		{"go/sort", "run", nil, []uint64{1, 10000}},
		{"go/maps", "run", nil, []uint64{2, 2000}},
		{"go/fib", "run", nil, []uint64{3, 20}},
		{"go/goroutines", "run", nil, []uint64{4, 500}},
		{"go/text", "run", nil, []uint64{5, 500}},
		{"go/json", "run", nil, []uint64{6, 50}},
		{"go/regexp", "run", nil, []uint64{8, 200}},
		{"c/sum", "sum", nil, []uint64{20}},
		{"c/xorshift", "xorshift", nil, []uint64{1000000}},
		{"c/sieve", "sieve", nil, []uint64{4}},
		{"c/crc", "crc", nil, []uint64{10}},
		{"c/matrix", "matrix", nil, []uint64{20}},
		{"c/fib", "fib", nil, []uint64{22}},
		{"c/leaf", "leaf", nil, []uint64{1000000}},
	} {
		b.Run(c.name, func(b *testing.B) {
			wasm := tight
			if c.name[0] == 'g' {
				wasm = goGuest(b)
			}
			ctx := b.Context()
			functions := []api.Function{
				start(b, wasm, wazero.NewRuntimeConfig()).ExportedFunction(c.export),
				start(b, rewrite(b, wasm, meter.Config{Fuel: plenty}), wazero.NewRuntimeConfig()).ExportedFunction(c.export),
				start(b, wasm, wazero.NewRuntimeConfig().WithCloseOnContextDone(true)).ExportedFunction(c.export),
			}
			var took [3]time.Duration
			runtime.LockOSThread() // cpuTime is the thread's
			defer runtime.UnlockOSThread()
			var first, metered, interruptible []float64
			for b.Loop() {
				for i, f := range functions {
					began := cpuTime()
					if _, err := f.Call(ctx, c.args...); err != nil {
						b.Fatal(err)
					}
					took[i] = cpuTime() - began
				}
				first = append(first, float64(took[0].Microseconds()))
				metered = append(metered, float64(took[1])/float64(took[0]))
				interruptible = append(interruptible, float64(took[2])/float64(took[0]))
			}
			b.ReportMetric(median(first), "µs-original")
			b.ReportMetric(median(metered), "x-metered")
			b.ReportMetric(median(interruptible), "x-interruptible")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func BenchmarkRewrite(b *testing.B) {
	wasm := goGuest(b)
	b.SetBytes(int64(len(wasm)))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out = rewrite(b, wasm, meter.Config{})
	}
	b.ReportMetric(float64(len(out))/float64(len(wasm)), "x-size")
}
