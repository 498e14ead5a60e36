package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/tetratelabs/wazero"

	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// meter validates a module and adds the metering to it. Validation comes first: an invalid module may become a valid one by
// the rewriting, one that names a global which does not exist for example, and then count its own fuel. What was found
// valid is noted in the cache folder; the rewriting is done each time, so that it is never that of an older tocsin.
func (r *Runtime) meter(ctx context.Context, plugin string, wasm []byte, l Limits) ([]byte, error) {
	sum := sha256.Sum256(wasm)
	var note string
	if r.opts.CacheDir != "" {
		note = filepath.Join(r.opts.CacheDir, "valid-"+hex.EncodeToString(sum[:]))
	}
	if _, err := os.Stat(note); note == "" || err != nil {
		if err := validate(ctx, wasm, l); err != nil {
			return nil, &CompileError{Plugin: plugin, Reason: "it is not a valid module, or asks for more than its limits", Err: err}
		}
		if note != "" {
			if err := os.WriteFile(note, nil, 0o600); err != nil {
				r.opts.Log.Warn("the cache of compiled plug-ins cannot be written; starting will take longer", "error", err)
			}
		}
	}
	out, err := meter.Rewrite(wasm, meter.Config{Fuel: l.Fuel, StackDepth: l.StackDepth})
	if err != nil {
		return nil, &CompileError{Plugin: plugin, Reason: "it cannot be metered", Err: err}
	}
	return out, nil
}

// validate checks a module as the specification says. The interpreter is asked, since it does least after that.
func validate(ctx context.Context, wasm []byte, l Limits) error {
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(l.MemoryPages))
	defer rt.Close(ctx)
	_, err := rt.CompileModule(ctx, wasm)
	return err
}
