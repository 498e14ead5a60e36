package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

var (
	replacements = flag.Int("replacements", 6, "how often TestReloadUnderLoad replaces the plug-in")
	rate         = flag.Int("rate", defaultRate, "alerts a second in TestReloadUnderLoad")
)

// receiver counts the alerts that arrive at it, by id.
type receiver struct {
	mu   sync.Mutex // mu guards what follows
	seen map[string]int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var msg struct {
		Alerts []struct {
			ID string `json:"id"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(req.Body).Decode(&msg); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range msg.Alerts {
		r.seen[a.ID]++
	}
}

// webhookVersion is the webhook plug-in as another version; with a module of its own, that one.
func webhookVersion(t testing.TB, version string, module []byte) []byte {
	t.Helper()
	p := build.ForTest(t, "webhook")
	parts := p.Parts()
	parts.Manifest = []byte(strings.Replace(string(parts.Manifest), `version = "0.1.0"`, `version = "`+version+`"`, 1))
	if module == nil {
		module = p.Module()
	} else {
		parts.Vectors = nil // which it would fail before it serves
	}
	wasm, err := plugin.Pack(module, parts)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// configured is a folder with a configuration that sends everything to one webhook.
func configured(t testing.TB, url string) *config.Config {
	t.Helper()
	return configuredIn(t, t.TempDir(), fmt.Sprintf("webhook_url = %q", url))
}

func configuredIn(t testing.TB, dir, params string) *config.Config {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "plugins.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	t.Setenv("TOCSIN_CACHE", filepath.Join(base, "tocsin", "test-compiled"))
	text := fmt.Sprintf("[[endpoint]]\nname = \"hook\"\ntype = \"webhook\"\nparameters = { %s }\n[[recipient]]\nname = \"all\"\nendpoint = \"hook\"\n", params)
	cfg, err := config.Parse(filepath.Join(dir, "tocsin.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// drop replaces the plug-in's file as careful programs do.
func drop(t testing.TB, cfg *config.Config, wasm []byte) {
	t.Helper()
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, "webhook.wasm"), wasm); err != nil {
		t.Fatal(err)
	}
}

// crashes is a module that starts, exports what is needed, and traps.
var crashes = []byte("\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x03\x02\x00\x00" + "\x05\x03\x01\x00\x01" +
	"\x07\x1e\x03\x06memory\x02\x00\x06render\x00\x00\x08classify\x00\x01" + "\x0a\x09\x02\x03\x00\x00\x0b\x03\x00\x00\x0b")

// TestReloadUnderLoad delivers alerts at a steady rate while the plug-in is replaced again and again; every third version
// traps whenever it is called. No alert is lost, none arrives twice, none fails, and nothing is left over.
func TestReloadUnderLoad(t *testing.T) {
	sink := &receiver{seen: map[string]int{}}
	srv := httptest.NewServer(sink)
	defer srv.Close()
	cfg := configured(t, srv.URL)
	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	goroutines := runtime.NumGoroutine()
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	defer stop()

	var stored []alert.ID
	ctx, enough := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for began := time.Now(); ctx.Err() == nil; {
			var es []outbox.Entry
			for range int(time.Since(began).Seconds()*float64(*rate)) - len(stored) { // what a late tick left out, too
				al := &alert.Alert{ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "An alert of the load test.", Flow: &alert.Flow{L4: "TCP"}}
				stored = append(stored, al.ID)
				es = append(es, outbox.Entry{Alert: al, Targets: a.router.Route(al, time.Now())})
			}
			if err := a.store.Store(context.Background(), es); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	h, err := a.registry.Handle(t.Context(), "webhook")
	if err != nil {
		t.Fatal(err)
	}
	var before runtime.MemStats
	bad := map[string]bool{}
	began := time.Now()
	for i := range *replacements {
		version, module := fmt.Sprintf("0.2.%d", i), []byte(nil)
		if i%3 == 2 {
			module = crashes
		}
		wasm := webhookVersion(t, version, module)
		drop(t, cfg, wasm)
		waitFor(t, "version "+version+" to be taken in", func() bool {
			if module == nil {
				return h.Status().Version == version
			}
			_, files, err := a.Plugins()
			return err == nil && len(files) == 1 && files[0].Version == version && files[0].State == "quarantined"
		})
		if module != nil {
			bad[version] = true
		}
		if i == 2 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	if v := h.Status().Version; bad[v] {
		t.Errorf("the bad version %s serves", v)
	}
	took := time.Since(began)
	enough()
	load.Wait()
	waitFor(t, "all deliveries", func() bool {
		left, _, err := a.WaitIdle(t.Context())
		return err == nil && left == 0
	})
	waitFor(t, "the old versions to be closed", func() bool { return a.runtime.Open() <= 2 })
	counts, err := a.Ledger().Counts(t.Context())
	if err != nil || len(counts) != 1 || int(counts[0].Delivered) != len(stored) || counts[0].Dead+counts[0].Queued+counts[0].Leased != 0 {
		t.Errorf("of %d alerts: %+v, %v", len(stored), counts, err)
	}
	lost, twice := 0, 0
	for _, id := range stored {
		switch n := sink.seen[id.String()]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost+twice > 0 || len(stored) == 0 {
		t.Errorf("of %d alerts %d were lost and %d arrived twice", len(stored), lost, twice)
	}
	total := len(stored)
	stored, sink.seen = nil, nil // the test's own memory
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	stop()
	if n := a.runtime.Open(); n != 0 {
		t.Errorf("%d modules are open in the end", n)
	}
	srv.Close()
	http.DefaultClient.CloseIdleConnections()
	waitFor(t, fmt.Sprintf("the %d goroutines of before", goroutines), func() bool { return runtime.NumGoroutine() <= goroutines })
	t.Logf("%d alerts in %v (%.0f a second); %d versions, %d of them bad; heap %d KiB after the third version, %d KiB in the end",
		total, took.Round(time.Millisecond), float64(total)/took.Seconds(), *replacements, len(bad), before.HeapAlloc>>10, after.HeapAlloc>>10)
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(3 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// TestNewVersionsHaveToFit has versions whose schemas the configuration does not fit any more, and takes back what an
// endpoint may reach while the service runs.
func TestNewVersionsHaveToFit(t *testing.T) {
	sink := &receiver{seen: map[string]int{}}
	srv := httptest.NewServer(sink)
	defer srv.Close()
	cfg := configured(t, srv.URL)
	drop(t, cfg, webhookVersion(t, "0.1.0", nil))
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	p := build.ForTest(t, "webhook")
	for _, c := range []struct{ old, new, want string }{
		{`"required": ["webhook_url"]`, `"required": ["webhook_url", "signing_secret"]`, `endpoint "hook": signing_secret`},
		{`"webhook_url": {`, `"webhook_url": {"writeOnly": true,`, `endpoint "hook": webhook_url is a secret in one of the two versions only`},
		{`"webhook_url": {`, `"webhook_url": {`, ""},
	} {
		parts := p.Parts()
		if !strings.Contains(string(parts.Lint), c.old) {
			t.Fatalf("the schema has no %s any more", c.old)
		}
		parts.Lint = []byte(strings.Replace(string(parts.Lint), c.old, c.new, 1))
		wasm, err := plugin.Pack(p.Module(), parts)
		if err != nil {
			t.Fatal(err)
		}
		pkg, err := plugin.Parse("new.wasm", wasm)
		if err != nil {
			t.Fatal(err)
		}
		ty, err := endpoint.Load(t.Context(), a.runtime, pkg)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.lives.fits(t.Context(), ty); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}

	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.plugins.Revoke("webhook"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the grant to be taken back", func() bool { return len(a.lives[0].policy.Load().Grants) == 0 })
	al := &alert.Alert{ID: alert.NewID(), Time: time.Now(), Check: "flow/test", Title: "Test", Message: "x", Flow: &alert.Flow{L4: "TCP"}}
	if err := a.store.Store(t.Context(), []outbox.Entry{{Alert: al, Targets: a.router.Route(al, time.Now())}}); err != nil {
		t.Fatal(err)
	}
	if left, _, err := a.WaitIdle(t.Context()); err != nil || left != 1 {
		t.Errorf("%d deliveries wait, %v", left, err)
	}
	if len(sink.seen) != 0 {
		t.Error("the request was made without a grant")
	}
}

// TestConfigurationOfANewVersion changes the plug-in and the configuration while nothing runs, so that the configuration
// fits the version in the folder only: that one is taken.
func TestConfigurationOfANewVersion(t *testing.T) {
	p := build.ForTest(t, "webhook")
	parts := p.Parts()
	const required = `"required": ["webhook_url"`
	parts.Lint = []byte(strings.Replace(string(parts.Lint), required, required+`, "signing_secret"`, 1))
	strict, err := plugin.Pack(p.Module(), parts)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const short, long = `webhook_url = "http://127.0.0.1:9/"`, `webhook_url = "http://127.0.0.1:9/", signing_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
	for _, c := range []struct {
		name, params, version, fails string
		wasm                         []byte
	}{
		{"first", long, "0.1.0", "", strict},
		{"the old version runs on", short, "", "signing_secret", strict},
		{"the new one is taken", short, "0.2.0", "", webhookVersion(t, "0.2.0", nil)},
	} {
		cfg := configuredIn(t, dir, c.params)
		drop(t, cfg, c.wasm)
		a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			if c.fails == "" || !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("%s: %v", c.name, err)
			}
			continue
		}
		if rec, err := a.plugins.Record("webhook"); c.fails != "" || err != nil || rec.Version != c.version {
			t.Errorf("%s: got %+v, %v", c.name, rec, err)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
