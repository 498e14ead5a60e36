package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

// TestSandboxForAuthors runs a plug-in's vectors as an author's Go test does, with this program as the tocsin of the PATH.
func TestSandboxForAuthors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "webhook.wasm")
	if err := os.WriteFile(file, build.ForTest(t, "webhook").Wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOCSIN_CACHE", compiled(t))
	pdktest.Sandbox(t, file)
}
