package pdktest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Sandbox runs the vectors of a plug-in in the host's sandbox, each as a subtest: what tocsin plugin test runs. Path is a packed
// plug-in, or an author's folder with build.sh and manifest/, which is built first. The program is the one that the
// environment variable TOCSIN names, or tocsin from the PATH; without either the test is skipped.
func Sandbox(t *testing.T, path string) {
	t.Helper()
	program := os.Getenv("TOCSIN")
	if program == "" {
		var err error
		if program, err = exec.LookPath("tocsin"); err != nil {
			t.Skip("tocsin is not in the PATH, and TOCSIN does not name it: the vectors are not run in the sandbox")
		}
	}
	results, err := inSandbox(t.Context(), program, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		t.Run(r.Vector, func(t *testing.T) {
			if !r.ok() {
				t.Error(r.explain())
			}
		})
	}
}

// result is what tocsin plugin test says of one vector.
type result struct {
	Vector string `json:"vector"`
	Name   string `json:"name"`
	Result string `json:"result"`
	At     string `json:"at"`
	Error  string `json:"error"`
	Diff   string `json:"diff"`
}

func (r *result) ok() bool { return r.Result == "ok" }

func (r *result) explain() string {
	text := r.Name + ": " + r.Error
	if r.Diff != "" {
		text = fmt.Sprintf("%s: the output differs at %s\n%s", r.Name, r.At, r.Diff)
	}
	return text
}

// inSandbox runs the program. An error says that it could not run the vectors; vectors that fail are results.
func inSandbox(ctx context.Context, program, path string) ([]result, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "plugin", "test", path, "--format", "jsonl")
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	var all []result
	failed := false
	lines := bufio.NewScanner(&out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.Vector == "" {
			return nil, fmt.Errorf("%s plugin test printed %q, which is no result of a vector", program, lines.Text())
		}
		failed = failed || !r.ok()
		all = append(all, r)
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case err != nil && !failed: // it did not come to the vectors
		return nil, fmt.Errorf("%s plugin test %s: %w: %s", program, path, err, strings.TrimSpace(said.String()))
	case len(all) == 0:
		return nil, fmt.Errorf("%s plugin test %s ran no vectors", program, path)
	}
	return all, nil
}
