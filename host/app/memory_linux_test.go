package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
)

// waitingEnv names, for the child process, the configuration, what it shall do and how many deliveries wait.
const waitingEnv = "TOCSIN_BENCH_WAITING"

// BenchmarkWaiting measures the memory of a service, in a process of its own, for whose endpoint very many deliveries wait
// because it cannot be reached: after it has stored them, and after a restart with all of them in the database. A
// million take a minute: they are asked for with TOCSIN_BENCH_LARGE=1.
func BenchmarkWaiting(b *testing.B) {
	sizes := []int{10_000}
	if os.Getenv("TOCSIN_BENCH_LARGE") != "" {
		sizes = append(sizes, 1_000_000)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // an address where nobody will answer
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cfg := configured(b, "http://"+l.Addr().String())
			drop(b, cfg, batched(b, 100, "0s"))
			toml := fmt.Sprintf("[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { webhook_url = \"http://%s\" }\n[[recipient]]\nname = \"all\"\nendpoint = \"hook\"\n", l.Addr())
			if err := os.WriteFile(filepath.Join(cfg.Dir(), "tocsin.toml"), []byte(toml), 0o600); err != nil {
				b.Fatal(err)
			}
			for _, what := range []string{"store", "wait"} {
				cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestWaitingChild$", "-test.v")
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", waitingEnv, what, n, filepath.Join(cfg.Dir(), "tocsin.toml")))
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				_, figures, _ := strings.Cut(string(out), "figures:")
				var peak, now, base int
				if _, err := fmt.Sscan(figures, &base, &now, &peak); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				b.ReportMetric(float64(now)/1024, what+"-rss-MB")
				b.ReportMetric(float64(peak)/1024, what+"-peak-MB")
				b.ReportMetric(float64(base)/1024, "empty-rss-MB")
			}
		})
	}
}

// resident is a figure of /proc/self/status, in KiB.
func resident(t testing.TB, key string) (kb int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), key+":")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatal(err)
	}
	return kb
}

// TestWaitingChild is the process that BenchmarkWaiting starts.
func TestWaitingChild(t *testing.T) {
	var what, path string
	var n int
	if _, err := fmt.Sscan(os.Getenv(waitingEnv), &what, &n, &path); err != nil {
		t.Skip("only for BenchmarkWaiting")
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	runtime.GC()
	base := resident(t, "VmRSS")
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if what == "store" {
		for i := 0; i < n; {
			var es []outbox.Entry
			for ; i < n && len(es) < 2000; i++ {
				al := benchAlert(i)
				es = append(es, outbox.Entry{Alert: al, Targets: a.router.Route(al, al.Time)})
			}
			if err := a.store.Store(t.Context(), es); err != nil {
				t.Fatal(err)
			}
		}
	}
	select { // while it is tried again and again
	case <-time.After(10 * time.Second):
	case <-t.Context().Done():
	}
	if left, _, err := a.WaitIdle(t.Context()); err != nil || left != 1 {
		t.Fatalf("%d endpoints wait, %v", left, err)
	}
	fmt.Println("figures:", base, resident(t, "VmRSS"), resident(t, "VmHWM"))
}
