package endpoint_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/sandbox"
)

// packed is the webhook plug-in as another version, with its manifest's text changed, and with another module if there is
// one.
func packed(t testing.TB, version string, module []byte, replace ...string) []byte {
	t.Helper()
	p := build.ForTest(t, "webhook")
	parts := p.Parts()
	text := strings.NewReplacer(append([]string{`version = "0.1.0"`, `version = "` + version + `"`}, replace...)...).Replace(string(parts.Manifest))
	parts.Manifest = []byte(text)
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

func hostile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bench is a plug-in folder that is followed.
type bench struct {
	t        testing.TB
	dir      string
	store    *store.Store
	rt       *sandbox.Runtime
	registry *endpoint.Registry
	reloader *endpoint.Reloader
	handle   *endpoint.Handle
	changes  chan endpoint.FileStatus
	stop     func()
}

type options struct {
	data string // folder of the store; default a new one
	dir  string // the plug-in folder; default a new one with version 0.1.0
	log  io.Writer
	zone *time.Location // of times in messages
	endpoint.ReloadOptions
}

// follow begins to follow a folder; its plug-in webhook is in use.
func follow(t testing.TB, o options) *bench {
	t.Helper()
	b := &bench{t: t, dir: o.dir, rt: runtime(t), changes: make(chan endpoint.FileStatus, 10_000)}
	if b.dir == "" {
		b.dir = t.TempDir()
		b.write("webhook.wasm", packed(t, "0.1.0", nil))
	}
	if o.data == "" {
		o.data = t.TempDir()
	}
	if o.log == nil {
		o.log = io.Discard
	}
	var err error
	if b.store, err = store.Open(o.data); err != nil {
		t.Fatal(err)
	}
	b.registry = endpoint.NewRegistry(b.rt, b.dir)
	b.registry.Use(b.store, slog.New(slog.NewTextHandler(o.log, nil)))
	if o.zone != nil {
		b.registry.In(o.zone)
	}
	b.registry.Scan()
	if b.handle, err = b.registry.Handle(t.Context(), "webhook"); err != nil {
		t.Fatal(err)
	}
	if err := b.registry.Adopt(); err != nil {
		t.Fatal(err)
	}
	o.OnChange = func(f endpoint.FileStatus) { b.changes <- f }
	if o.Settle == 0 {
		o.Settle = 20 * time.Millisecond
	}
	b.reloader = endpoint.NewReloader(b.registry, o.ReloadOptions)
	b.reloader.Sync(t.Context())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.reloader.Run(ctx) })
	b.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := b.registry.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// write replaces a file as careful programs do: all at once.
func (b *bench) write(name string, content []byte) {
	b.t.Helper()
	tmp := b.path("." + name)
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(tmp, b.path(name)); err != nil {
		b.t.Fatal(err)
	}
}

// want waits until a file is in a state and gives its status.
func (b *bench) want(name, version string, state endpoint.State) endpoint.FileStatus {
	b.t.Helper()
	deadline := time.After(60 * time.Second)
	var last endpoint.FileStatus
	for {
		select {
		case last = <-b.changes:
			if last.Path == b.path(name) && last.Version == version && last.State == state {
				return last
			}
		case <-deadline:
			b.t.Fatalf("%s did not become %s; last: %+v", name, state, last)
		}
	}
}

// calls renders n batches, all of which have to succeed.
func (b *bench) calls(n int) {
	b.t.Helper()
	for range n {
		if out, err := b.handle.Render(b.t.Context(), batch(2)); err != nil || len(out.Requests) != 1 {
			b.t.Fatalf("got %+v, %v", out, err)
		}
	}
}

func (b *bench) serves(version string, onTrial bool) {
	b.t.Helper()
	if s := b.handle.Status(); s.Version != version || s.OnTrial != onTrial {
		b.t.Fatalf("version %s serves, on trial: %v; want %s, %v", s.Version, s.OnTrial, version, onTrial)
	}
}

// until polls for what happens beside the calls.
func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("it never came to this: %s", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.t.Context().Done():
		}
	}
}

func (b *bench) recorded() *store.Record {
	b.t.Helper()
	rec, err := b.store.Record("webhook")
	if err != nil || rec == nil {
		b.t.Fatalf("no record: %v", err)
	}
	return rec
}

// TestZone: times in messages are in the configured time zone, also with a version that came while the service ran.
func TestZone(t *testing.T) {
	b := follow(t, options{zone: time.FixedZone("HERE", 3600), ReloadOptions: endpoint.ReloadOptions{Canary: 1}})
	alert := plugin.Samples()[0].Alert
	text := alert.AppendJSON(nil)
	want := time.Unix(alert.Tstamp, 0).In(time.FixedZone("HERE", 3600)).Format("15:04:05 HERE")
	for _, version := range []string{"0.1.0", "0.2.0"} {
		b.write("webhook.wasm", packed(t, version, nil))
		b.want("webhook.wasm", version, endpoint.Serving)
		if _, got, err := b.handle.Compose(text, "en", false); err != nil || !strings.Contains(got, want) {
			t.Errorf("version %s says %q, %v; want %s", version, got, err, want)
		}
	}
}

// TestReplace brings in versions in every way a file may come, and bad ones, which stop nothing.
func TestReplace(t *testing.T) {
	b := follow(t, options{ReloadOptions: endpoint.ReloadOptions{Canary: 5}})
	b.serves("0.1.0", false)
	b.write("webhook.wasm", packed(t, "0.2.0", nil))
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	b.serves("0.2.0", true)
	if r := b.recorded(); r.Version != "0.1.0" || r.Trial == nil || r.Trial.Version != "0.2.0" || r.Trial.Generation != 2 || r.Trial.File != b.path("webhook.wasm") {
		t.Errorf("on trial, the record says %+v, %+v", r, r.Trial)
	}
	b.calls(5)
	b.until("the version is remembered", func() bool { return b.recorded().Version == "0.2.0" })
	b.serves("0.2.0", false)
	if r := b.recorded(); r.Trial != nil {
		t.Errorf("after the trial, the record says %+v", r.Trial)
	}
	if s := b.handle.Status(); s.Generation != 2 || b.recorded().Generation != 2 {
		t.Errorf("got %+v", s)
	}
	b.until("the old version's instances are closed", func() bool { return b.rt.Open() == 1 })

	whole := packed(t, "0.3.0", nil)
	f, err := os.Create(b.path("webhook.wasm")) // cp writes in place: first there is nothing, then half
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(whole[:len(whole)/2]); err != nil {
		t.Fatal(err)
	}
	b.want("webhook.wasm", "", endpoint.Unusable)
	b.calls(1)
	b.serves("0.2.0", false)
	if _, err := f.Write(whole[len(whole)/2:]); err != nil {
		t.Fatal(err)
	}
	b.want("webhook.wasm", "0.3.0", endpoint.Serving)
	b.serves("0.3.0", true)
	b.calls(5)
	b.until("it has proved itself", func() bool { return b.recorded().Version == "0.3.0" })

	if err := os.Truncate(b.path("webhook.wasm"), 5000); err != nil {
		t.Fatal(err)
	}
	b.want("webhook.wasm", "", endpoint.Unusable)
	if err := os.Remove(b.path("webhook.wasm")); err != nil {
		t.Fatal(err)
	}
	b.until("the file is gone", func() bool { return len(b.reloader.Files()) == 0 })
	b.calls(1)
	b.serves("0.3.0", false)
	b.write("webhook.wasm", whole) // back: nothing changes
	b.want("webhook.wasm", "0.3.0", endpoint.Serving)
	b.serves("0.3.0", false)
	if err := os.Rename(b.path("webhook.wasm"), b.path("other.wasm")); err != nil {
		t.Fatal(err)
	}
	b.want("other.wasm", "0.3.0", endpoint.Serving)
	b.until("the record names the new file", func() bool { return b.recorded().File == b.path("other.wasm") })

	b.write("second.wasm", packed(t, "0.4.0", nil))
	if got := b.want("second.wasm", "0.4.0", endpoint.Unusable); !strings.Contains(got.Reason, "is taken by "+b.path("other.wasm")) {
		t.Errorf("got %q", got.Reason)
	}
	if err := os.Remove(b.path("other.wasm")); err != nil {
		t.Fatal(err)
	}
	b.want("second.wasm", "0.4.0", endpoint.Serving) // the name is free
	if err := os.Remove(b.path("second.wasm")); err != nil {
		t.Fatal(err)
	}
	b.want("second.wasm", "0.4.0", endpoint.Deleted)
	b.calls(1)
	b.serves("0.4.0", true)
}

// TestStatuses: the snapshot of a plug-in counts what its module does, for each generation anew.
func TestStatuses(t *testing.T) {
	b := follow(t, options{})
	const calls = 40
	var wg sync.WaitGroup
	for range 8 { // more than there are instances
		wg.Go(func() {
			for range calls / 8 {
				if _, err := b.handle.Render(t.Context(), batch(20)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := b.registry.Statuses()
	if len(all) != 1 || !reflect.DeepEqual(all, b.reloader.Status()) {
		t.Fatalf("got %+v", all)
	}
	s := all[0]
	if s.Name != "webhook" || s.Version != "0.1.0" || s.Generation != 1 || s.OnTrial || s.Calls != calls || s.Faults != 0 || s.Since.IsZero() {
		t.Errorf("got %+v", s)
	}
	m := s.Stats
	if m.Calls < calls || m.Time <= 0 || m.Fuel < 1000*calls || m.MaxMemory < 1<<16 || m.Live < 1 || m.Made < m.Live || m.Traps+m.OutOfFuel+m.BadOutput != 0 {
		t.Errorf("got %+v", m)
	}
	b.write("webhook.wasm", packed(t, "0.2.0", hostile(t, "trap")))
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	if s := b.registry.Statuses()[0]; s.Generation != 2 || !s.OnTrial || s.Stats.Calls != 0 || s.Stats.Fuel != 0 {
		t.Errorf("got %+v", s)
	}
}

// TestEditors saves a file as programs do that keep a backup, write beside and rename, or leave a lock: what they leave in the
// folder is no plug-in, and the file counts once it has its name.
func TestEditors(t *testing.T) {
	b := follow(t, options{ReloadOptions: endpoint.ReloadOptions{Canary: 1}})
	n := 0
	for name, save := range map[string]func(content []byte) error{
		"backup by renaming": func(content []byte) error { // vim
			return errors.Join(
				os.WriteFile(b.path("4913"), nil, 0o600), os.Remove(b.path("4913")),
				os.WriteFile(b.path(".webhook.wasm.swp"), content[:100], 0o600),
				os.Rename(b.path("webhook.wasm"), b.path("webhook.wasm~")),
				os.WriteFile(b.path("webhook.wasm"), content, 0o600),
				os.Remove(b.path("webhook.wasm~")))
		},
		"backup by copying": func(content []byte) error { // emacs
			lock := os.Symlink("me@here.1", b.path(".#webhook.wasm"))
			if lock != nil { // not everybody may make links
				lock = os.WriteFile(b.path(".#webhook.wasm"), nil, 0o600)
			}
			return errors.Join(lock,
				os.WriteFile(b.path("#webhook.wasm#"), content[:200], 0o600),
				os.WriteFile(b.path("webhook.wasm"), content, 0o600),
				os.Remove(b.path(".#webhook.wasm")))
		},
		"under another name first": func(content []byte) error { // rsync, browsers
			return errors.Join(
				os.WriteFile(b.path("webhook.wasm.part"), content[:300], 0o600),
				os.WriteFile(b.path(".webhook.wasm.Xa7"), content, 0o600),
				os.Rename(b.path(".webhook.wasm.Xa7"), b.path("webhook.wasm")),
				os.Remove(b.path("webhook.wasm.part")))
		},
	} {
		n++
		version := fmt.Sprintf("0.2.%d", n)
		if err := save(packed(t, version, nil)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b.want("webhook.wasm", version, endpoint.Serving)
		b.calls(1)
		b.until("it has proved itself", func() bool { return b.recorded().Version == version })
	}
	for _, f := range b.reloader.Files() {
		if f.Path != b.path("webhook.wasm") {
			t.Errorf("%s is taken for a plug-in: %+v", f.Path, f)
		}
	}
}

// TestBadVersions has files that are sound packages and yet must not serve.
func TestBadVersions(t *testing.T) {
	parts := build.ForTest(t, "webhook").Parts()
	parts.Manifest = []byte(strings.Replace(string(parts.Manifest), "0.1.0", "0.3.0", 1))
	parts.Vectors = map[string][]byte{"wrong.json": []byte(`{"name": "x", "function": "lint", "input": {"endpoint": {}}, "output": {"problems": [{"field": "x", "message": "y"}]}}`)}
	lying, err := plugin.Pack(build.ForTest(t, "webhook").Module(), parts)
	if err != nil {
		t.Fatal(err)
	}
	parts.ABI = "endpoint 2.0"
	newer, err := plugin.Pack(build.ForTest(t, "webhook").Module(), parts)
	if err != nil {
		t.Fatal(err)
	}
	b := follow(t, options{ReloadOptions: endpoint.ReloadOptions{Fits: func(_ context.Context, ty *endpoint.Type) error {
		if ty.Manifest().Version == "0.4.0" {
			return errors.New("the parameters do not fit")
		}
		return nil
	}}})
	for _, c := range []struct {
		version, reason string
		state           endpoint.State
		wasm            []byte
	}{
		{"0.2.0", "webhook.wasm: module.wasm: the module exports no function render", endpoint.Unusable, packed(t, "0.2.0", []byte("\x00asm\x01\x00\x00\x00"))},
		{"0.3.0", "fails 1 of its 1 test vectors: wrong.json", endpoint.Unusable, lying},
		{"0.3.1", "asks for more than its limits", endpoint.Unusable, packed(t, "0.3.1", nil, "memory_mb = 32", "memory_mb = 1")}, // its own limit counts
		{"", "tocsin.abi: the plug-in needs endpoint ABI 2.0: this tocsin speaks endpoint 1.0", endpoint.Unusable, newer},
		{"0.4.0", "the parameters do not fit", endpoint.Waiting, packed(t, "0.4.0", nil)},
	} {
		b.write("webhook.wasm", c.wasm)
		if got := b.want("webhook.wasm", c.version, c.state); !strings.Contains(got.Reason, c.reason) {
			t.Errorf("got %q, want %q", got.Reason, c.reason)
		}
		b.calls(2)
		b.serves("0.1.0", false)
	}
	if p := b.recorded().Pending; p == nil || p.Version != "0.4.0" {
		t.Errorf("got %+v", p)
	}
	if n := b.rt.Open(); n != 1 {
		t.Errorf("%d modules are open", n)
	}
}

// TestGrants has a version that wants more than it was granted.
func TestGrants(t *testing.T) {
	var mu sync.Mutex // guards granted
	granted := map[string]int{}
	b := follow(t, options{ReloadOptions: endpoint.ReloadOptions{Serving: func(_ string, types []*endpoint.Type, g *store.Grants) {
		mu.Lock()
		defer mu.Unlock()
		granted[types[0].Manifest().Version] = len(g.List)
	}}})
	g, err := b.store.Grants("webhook")
	if err != nil || len(g.List) != 1 || g.List[0].By != "configuration" {
		t.Fatalf("got %+v, %v", g, err)
	}
	more := "[[net]]\nscheme = \"https\"\nhost = \"stats.example.org\"\nreason = \"to count you\"\n\n[[net]]"
	b.write("webhook.wasm", packed(t, "0.2.0", nil, "[[net]]", more))
	got := b.want("webhook.wasm", "0.2.0", endpoint.Waiting)
	if want := "it wants to reach https://stats.example.org (to count you); tocsin plugin grant webhook lets it in"; got.Reason != want {
		t.Errorf("got %q", got.Reason)
	}
	b.calls(2)
	b.serves("0.1.0", false)
	if err := b.store.Grant("webhook", "ada", "https://stats.example.org"); err != nil {
		t.Fatal(err)
	}
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	b.serves("0.2.0", true)
	mu.Lock()
	if granted["0.2.0"] != 2 {
		t.Errorf("got %v", granted)
	}
	mu.Unlock()
	if _, err := b.store.Revoke("webhook", "https://stats.example.org"); err != nil {
		t.Fatal(err)
	}
	b.until("what serves loses what was revoked", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return granted["0.2.0"] == 1
	})
}

// TestCanary swaps in versions that fail in use: no call fails, and they do not come back.
func TestCanary(t *testing.T) {
	for name, want := range map[string]string{"trap": "render crashed: unreachable", "mute": "the answer of render is wrong"} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			b := follow(t, options{data: data})
			b.calls(3)
			bad := packed(t, "0.2.0", hostile(t, name))
			b.write("webhook.wasm", bad)
			b.want("webhook.wasm", "0.2.0", endpoint.Serving)
			b.calls(1)
			got := b.want("webhook.wasm", "0.2.0", endpoint.Quarantined)
			if !strings.Contains(got.Reason, want) {
				t.Errorf("got %q", got.Reason)
			}
			b.serves("0.1.0", false)
			if r := b.recorded(); r.Version != "0.1.0" || r.Trial != nil {
				t.Errorf("the record says %+v, %+v", r, r.Trial)
			}
			b.until("the bad version is closed", func() bool { return b.rt.Open() == 1 })
			b.write("again.wasm", bad) // under another name it is the same
			b.calls(1)
			b.stop()

			b = follow(t, options{data: data, dir: b.dir}) // a restart remembers
			b.want("webhook.wasm", "0.2.0", endpoint.Quarantined)
			b.serves("0.1.0", false)
			b.write("webhook.wasm", packed(t, "0.3.0", nil)) // the next version may come
			b.want("webhook.wasm", "0.3.0", endpoint.Serving)
			b.calls(2)
			b.serves("0.3.0", true)
		})
	}
}

// TestPoisonIsNoVersionsFault fails on both versions: that says nothing about the new one.
func TestPoisonIsNoVersionsFault(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "webhook.wasm"), packed(t, "0.1.0", hostile(t, "trap")), 0o600); err != nil {
		t.Fatal(err)
	}
	b := follow(t, options{dir: dir, ReloadOptions: endpoint.ReloadOptions{Canary: 3}})
	b.write("webhook.wasm", packed(t, "0.2.0", hostile(t, "mute")))
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	for range 3 {
		if _, err := b.handle.Render(t.Context(), batch(1)); err == nil {
			t.Fatal("want an error")
		}
	}
	b.until("the trial is over", func() bool { return !b.handle.Status().OnTrial })
	b.serves("0.2.0", false)
}

// TestRestart starts with the version that ran last, whatever lies in the folder, and takes in what does.
func TestRestart(t *testing.T) {
	data := t.TempDir()
	b := follow(t, options{data: data})
	b.stop()
	b.write("webhook.wasm", []byte("broken"))
	b = follow(t, options{data: data, dir: b.dir})
	b.calls(1)
	b.serves("0.1.0", false)
	b.stop()
	if err := os.Remove(b.path("webhook.wasm")); err != nil {
		t.Fatal(err)
	}
	b = follow(t, options{data: data, dir: b.dir})
	b.calls(1)
	b.stop()
	b.write("webhook.wasm", packed(t, "0.2.0", nil))
	b = follow(t, options{data: data, dir: b.dir})
	b.serves("0.2.0", true) // before the first call, and the old one stands by
	b.calls(1)
	killed := *b.recorded()
	b.stop()
	if r := b.recorded(); r.Version != "0.1.0" || r.Trial != nil {
		t.Errorf("a service that has ended leaves %+v, %+v", r, r.Trial)
	}
	if err := b.store.SetRecord(&killed); err != nil { // as a service leaves it that was killed
		t.Fatal(err)
	}
	if err := os.Remove(b.path("webhook.wasm")); err != nil {
		t.Fatal(err)
	}
	b = follow(t, options{data: data, dir: b.dir})
	b.serves("0.1.0", false)
	if r := b.recorded(); r.Version != "0.1.0" || r.Trial != nil {
		t.Errorf("the next start keeps %+v, %+v", r, r.Trial)
	}
}

// TestManyFiles drops 200 plug-ins at once, of which none is in use: only their manifests are read.
func TestManyFiles(t *testing.T) {
	b := follow(t, options{})
	for i := range 200 {
		name := fmt.Sprintf("hook-%03d", i)
		b.write(name+".wasm", packed(t, "0.2.0", hostile(t, "mute"), `name = "webhook"`, `name = "`+name+`"`))
	}
	b.until("all were seen", func() bool { return len(b.reloader.Files()) == 201 })
	for _, f := range b.reloader.Files() {
		if f.Name != "webhook" && f.State != endpoint.Available {
			t.Errorf("got %+v", f)
		}
	}
	b.calls(1)
	if n := b.rt.Open(); n != 1 {
		t.Errorf("%d modules are open", n)
	}
}

// TestFolderComesBack takes the folder away and puts another in its place.
func TestFolderComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plugins.d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "webhook.wasm"), packed(t, "0.1.0", nil), 0o600); err != nil {
		t.Fatal(err)
	}
	b := follow(t, options{dir: dir})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	b.calls(2)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.write("webhook.wasm", packed(t, "0.2.0", nil))
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	b.calls(1)
	b.serves("0.2.0", true)
}
