package demo

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/tocsin-net/tocsin/host/app"
)

// TestRun runs what the README's first command runs.
func TestRun(t *testing.T) {
	var out, stderr bytes.Buffer
	if err := Run(t.Context(), app.Streams{Out: &out, Err: &stderr}, Options{}); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), stderr.String())
	}
	for _, want := range []string{
		`TLS certificate expired +│ 10\.20\.0\.11 → 203\.0\.113\.20 +│ +✓ +│ +✓ +│`,
		`Scan \(engage\) +│ 10\.20\.0\.66 +│ +✓ +│ +✓ +│ +✓`,
		`Scan \(release\) +│ 10\.20\.0\.66 +│ +✓ +│ +✓ +│ +✓`,
		`[1-9][0-9]* deliveries of [1-9][0-9]* alerts arrived, 0 did not`,
	} {
		if !regexp.MustCompile(want).Match(out.Bytes()) {
			t.Errorf("the output has no line like %s", want)
		}
	}
	if t.Failed() {
		t.Log(out.String(), stderr.String())
	}
}

func TestMain(m *testing.M) {
	// Compiled plug-ins outlive a test: compiling takes seconds, with the race detector a minute.
	if dir, err := os.UserCacheDir(); err == nil && os.Getenv("TOCSIN_CACHE") == "" {
		dir = filepath.Join(dir, "tocsin", "test-compiled")
		if err := os.MkdirAll(dir, 0o700); err == nil {
			os.Setenv("TOCSIN_CACHE", dir)
		}
	}
	os.Exit(m.Run())
}
