package app

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin/scaffold"
)

// tiny makes a module whose render and classify return fixed texts: small enough to be compiled in no time.
func tiny(render, classify string) []byte {
	u32 := func(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }
	i32 := func(n int) []byte { // signed LEB128
		var b []byte
		for ; n >= 64; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(append([]byte{0x41}, b...), byte(n))
	}
	text := func(s string) []byte { return append(u32(len(s)), s...) }
	list := func(items ...[]byte) []byte { return append(u32(len(items)), bytes.Join(items, nil)...) }
	section := func(id byte, body []byte) []byte { return append(append([]byte{id}, u32(len(body))...), body...) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	say := func(at, n int) []byte { // output_write(at, n); return 0
		code := join([]byte{0}, i32(at), i32(n), []byte{0x10, 0, 0x41, 0, 0x0b})
		return append(u32(len(code)), code...)
	}
	return join(
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, list([]byte{0x60, 2, 0x7f, 0x7f, 0}, []byte{0x60, 0, 1, 0x7f})),
		section(2, list(join(text("tocsin:host/env"), text("output_write"), []byte{0, 0}))),
		section(3, list([]byte{1}, []byte{1})),
		section(5, list([]byte{0, 1})),
		section(7, list(append(text("render"), 0, 1), append(text("classify"), 0, 2))),
		section(10, list(say(0, len(render)), say(len(render), len(classify)))),
		section(11, list(join([]byte{0}, i32(0), []byte{0x0b}, text(render+classify)))),
	)
}

// sampleID is the id of the sample "host, starts".
const sampleID = "0195931f-4a25-7000-8000-000000000003"

// authored makes an author's folder whose build.sh copies a module that is built already.
func authored(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh")
	}
	dir := filepath.Join(t.TempDir(), "pager")
	if _, err := scaffold.Write(scaffold.Project{Language: "c", Name: "pager", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	module := tiny(`{"requests":[{"deliveries":["`+sampleID+`"],"http":{"method":"POST","url":"https://pager.example.org/x","headers":[{"name":"X-B","value":"2"}],"body":"one\ntwo\u001b[31m\u202e"},"note":"n"}]}`,
		`{"verdicts":[{"outcome":"delivered"}]}`)
	if err := errors.Join(
		os.RemoveAll(filepath.Join(dir, "manifest", "vectors")),
		os.Mkdir(filepath.Join(dir, "manifest", "vectors"), 0o755),
		os.WriteFile(filepath.Join(dir, "source.bin"), module, 0o600),
		os.WriteFile(filepath.Join(dir, "build.sh"), []byte("cp source.bin module.wasm\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "manifest", "vectors", "good.json"), []byte(vector("delivered")), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return dir
}

// vector is a test vector that wants an outcome.
func vector(outcome string) string {
	return `{"name":"an answer","function":"classify","input":{"now":0,"request":{"deliveries":["a"],"kind":"http"},"response":{"status":404}},` +
		`"output":{"verdicts":[{"outcome":"` + outcome + `"}]}}`
}

// screen is an output that tells about each write.
type screen struct {
	mu    sync.Mutex // mu guards what follows
	text  bytes.Buffer
	wrote chan struct{}
}

func newScreen() *screen { return &screen{wrote: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.wrote <- struct{}{}:
	default:
	}
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// wait waits until the text was written n times.
func (s *screen) wait(t *testing.T, text string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for strings.Count(s.String(), text) < n {
		select {
		case <-ctx.Done():
			t.Fatalf("%q did not come %d times:\n%s", text, n, s.String())
		case <-s.wrote:
		}
	}
}

// TestDevPlugin changes an author's folder under a running `plugin dev`: what it shows follows, a mistake is told and mended,
// and what is fine is installed.
func TestDevPlugin(t *testing.T) {
	dir := authored(t)
	install := filepath.Join(t.TempDir(), "plugins.d")
	out, said := newScreen(), newScreen()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	d := DevPlugin{
		Streams: Streams{Out: out, Err: said}, Dir: dir, Locale: "en", Install: install, Sample: "host, starts",
		Set: []string{"recipient.topic=not a topic"},
	}
	go func() { ended <- d.Run(ctx) }()
	said.wait(t, "waiting for changes", 1)
	for _, want := range []string{
		"pager 0.1.0: built in", "1 of 1 test vectors pass", `for the sample alert "host, starts" it would send`,
		"  POST https://pager.example.org/x\n  X-B: 2\n  User-Agent: tocsin\n\n  one\n  two\ufffd[31m\ufffd\n  note: n\n", "installed as ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s\n%s", want, out, said)
		}
	}
	installed := filepath.Join(install, "pager.wasm")
	if !strings.Contains(said.String(), "warning: recipient.topic: ") {
		t.Errorf("a wrong --set is not told:\n%s", said)
	}
	before, err := os.ReadFile(installed)
	if err != nil {
		t.Fatal(err)
	}

	manifest := filepath.Join(dir, "manifest", "manifest.toml")
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Replace(text, []byte("title ="), []byte("titel ="), 1)
	if err := os.WriteFile(manifest, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "waiting for changes", 2)
	if !strings.Contains(said.String(), "manifest.toml:2: titel: ") {
		t.Errorf("the mistake is not told:\n%s", said)
	}
	if after, err := os.ReadFile(installed); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a broken plug-in was installed, %v", err)
	}

	// A folder made while it runs is watched too, and a failing vector keeps a build from being installed.
	bad := bytes.Replace(text, []byte(`version = "0.1.0"`), []byte(`version = "0.1.1"`), 1)
	if err := errors.Join(os.WriteFile(manifest, bad, 0o600), os.WriteFile(filepath.Join(dir, "manifest", "vectors", "bad.json"), []byte(vector("retry")), 0o600)); err != nil {
		t.Fatal(err)
	}
	said.wait(t, "waiting for changes", 3)
	if !strings.Contains(out.String(), "bad.json: the output differs at output.verdicts[0].outcome") ||
		!strings.Contains(out.String(), `+      "outcome": "delivered"`) || !strings.Contains(said.String(), "1 of 2 test vectors failed") {
		t.Errorf("the failing vector is not explained:\n%s\n%s", out, said)
	}
	if err := os.Remove(filepath.Join(dir, "manifest", "vectors", "bad.json")); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "installed as", 2)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(installed); err != nil || !bytes.Contains(after, []byte("0.1.1")) {
		t.Errorf("the mended plug-in was not installed, %v", err)
	}
}

func TestDevPluginMistakes(t *testing.T) {
	dir := authored(t)
	for _, c := range []struct {
		name string
		d    DevPlugin
		want string
		code int
	}{
		{"no project", DevPlugin{Dir: t.TempDir()}, "tocsin plugin new makes one", ExitUsage},
		{"unknown sample", DevPlugin{Dir: dir, Sample: "meteor"}, `no sample alert "meteor"`, ExitUsage},
		{"bad set", DevPlugin{Dir: dir, Set: []string{"webhook_url=x"}}, "write endpoint.NAME=VALUE", ExitUsage},
		{"unknown parameter", DevPlugin{Dir: dir, Set: []string{"endpoint.url=x"}}, "has no parameter endpoint.url", ExitUsage},
		{"another sample", DevPlugin{Dir: dir}, "deliveries", ExitFailed}, // the module answers for one sample only
	} {
		t.Run(c.name, func(t *testing.T) {
			c.d.Streams, c.d.Once = Streams{Out: newScreen(), Err: newScreen()}, true
			err := c.d.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || ExitCode(err) != c.code {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}
