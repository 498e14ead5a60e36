package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/plugin/store"
)

// TestInstall installs what is in quarantine, what stands in the way of a file, and a newer version under the file name
// that the old one has.
func TestInstall(t *testing.T) {
	cfg := configured(t, "http://127.0.0.1:9/")
	if err := os.WriteFile(cfg.File, []byte("locale = \"en\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s := Streams{Out: &out, Err: &out}
	fresh := filepath.Join(t.TempDir(), "new.wasm")
	if err := os.WriteFile(fresh, webhookVersion(t, "0.2.0", nil), 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(storeDir(cfg))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plugin.Open(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Quarantine(store.Quarantined{Name: "webhook", Hash: store.Hash(p.Hash), Reason: "it crashed"}); err != nil {
		t.Fatal(err)
	}
	install := func(o InstallOptions) error {
		o.Config = cfg.File
		return InstallPlugin(s, fresh, o)
	}
	if err := install(InstallOptions{}); err == nil || !strings.Contains(err.Error(), "in quarantine: it crashed; install another, or add --lift-quarantine") {
		t.Errorf("got %v", err)
	}
	other := filepath.Join(cfg.Plugins.Folder, "webhook.wasm")
	if err := os.WriteFile(other, build.ForTest(t, "shell").Wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := install(InstallOptions{LiftQuarantine: true}); err == nil || !strings.Contains(err.Error(), "holds another plug-in, shell") {
		t.Errorf("got %v", err)
	}
	old := filepath.Join(cfg.Plugins.Folder, "hooks.wasm")
	if err := os.WriteFile(old, webhookVersion(t, "0.1.0", nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := install(InstallOptions{LiftQuarantine: true, Grant: true}); err != nil {
		t.Fatal(err)
	}
	if p, err := plugin.Open(old); err != nil || p.Manifest.Version != "0.2.0" {
		t.Errorf("got %+v, %v", p, err)
	}
	if q, err := st.Quarantined(store.Hash(p.Hash)); q != nil || err != nil {
		t.Errorf("got %+v, %v", q, err)
	}
	if g, err := st.Grants("webhook"); err != nil || len(g.List) != 1 || g.List[0].By == "configuration" {
		t.Errorf("got %+v, %v", g, err)
	}
	if !strings.Contains(out.String(), "webhook may use *://{endpoint.webhook_url}") {
		t.Errorf("got %q", out.String())
	}
}
