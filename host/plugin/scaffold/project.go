package scaffold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// The parts of an author's folder that are known by name. The rest is the author's own.
const (
	buildScript = "build.sh"
	moduleFile  = "module.wasm"
	manifestDir = "manifest"
)

func sorted(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }

// IsProject tells whether dir is an author's folder: one with manifest/manifest.toml and build.sh.
func IsProject(dir string) bool {
	for _, name := range []string{buildScript, filepath.Join(manifestDir, "manifest.toml")} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// BuildError says that a project's build.sh failed.
type BuildError struct {
	Dir    string
	Output []byte // the end of what it printed
	Err    error
}

func (e *BuildError) Error() string {
	if len(e.Output) == 0 {
		return fmt.Sprintf("%s: %s: %v", e.Dir, buildScript, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v\n%s", e.Dir, buildScript, e.Err, bytes.TrimSpace(e.Output))
}

func (e *BuildError) Unwrap() error { return e.Err }

// Build runs a project's build.sh with sh, which has to make module.wasm. Its error is a *BuildError.
func Build(ctx context.Context, dir string) error {
	sh, err := exec.LookPath("sh")
	if err != nil {
		return &BuildError{Dir: dir, Err: errors.New("there is no sh in PATH to run it; on Windows, Git for Windows brings one")}
	}
	var said tail
	cmd := exec.CommandContext(ctx, sh, buildScript)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	cmd.WaitDelay = time.Second // what the script left running may hold its output open
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return &BuildError{Dir: dir, Output: said.b, Err: err}
	}
	if _, err := os.Stat(filepath.Join(dir, moduleFile)); err != nil {
		return &BuildError{Dir: dir, Output: said.b, Err: fmt.Errorf("it ended well, but made no %s", moduleFile)}
	}
	return nil
}

// Pack packs a project's module with its manifest folder. What is wrong with the package is an *plugin.Invalid.
func Pack(dir string) (*plugin.Package, error) {
	wasm, err := os.ReadFile(filepath.Join(dir, moduleFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no %s: run sh %s in it", dir, moduleFile, buildScript)
	}
	if err != nil {
		return nil, err
	}
	packed, err := plugin.PackDir(filepath.Join(dir, manifestDir), wasm)
	if err != nil {
		return nil, err
	}
	return plugin.Parse(filepath.Join(dir, manifestDir), packed)
}

// Check lists all that is wrong with a project as it was built last. A module that is not there is one of the problems and hides
// none of the others.
func Check(dir string) []plugin.Problem {
	wasm, err := os.ReadFile(filepath.Join(dir, moduleFile))
	if err == nil {
		_, problems := plugin.CheckDir(filepath.Join(dir, manifestDir), wasm)
		return problems
	}
	message := err.Error()
	if errors.Is(err, os.ErrNotExist) {
		message = fmt.Sprintf("%s holds no %s: run sh %s in it", dir, moduleFile, buildScript)
	}
	_, problems := plugin.CheckDir(filepath.Join(dir, manifestDir), nil)
	return append([]plugin.Problem{{Message: message}}, problems...)
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

var _ io.Writer = (*tail)(nil)

const maxTail = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if over := len(t.b) - maxTail; over > 0 {
		t.b = t.b[:copy(t.b, t.b[over:])]
	}
	return len(b), nil
}
