package build_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The go command's own caches, which a test that changes HOME must keep: without them it would compile all of Go and
// download the modules.
var goCache, goModCache string

func TestMain(m *testing.M) {
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if f := strings.Split(strings.TrimSpace(string(out)), "\n"); err == nil && len(f) == 2 {
		goCache, goModCache = strings.TrimSpace(f[0]), strings.TrimSpace(f[1])
	}
	os.Exit(m.Run())
}
