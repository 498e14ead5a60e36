package endpoint

import (
	"context"
	"maps"
	"slices"

	"github.com/tocsin-net/tocsin/pdk/spec"
)

// RunVectors runs test vectors in the sandbox and returns the error of each that failed, by its file's name. Outputs are
// compared as the guest wrote them, before the host's own checks.
func (t *Type) RunVectors(ctx context.Context, vectors []*spec.Vector) map[string]error {
	failed := map[string]error{}
	for _, v := range vectors {
		err := v.Run(func(function string, input []byte) ([]byte, error) { return t.module.Call(ctx, function, input) })
		if err != nil {
			failed[v.File] = err
		}
	}
	return failed
}

// Vectors are the test vectors that the type's package carries, in order of their names; none is no error.
func (t *Type) Vectors() ([]*spec.Vector, error) {
	var all []*spec.Vector
	for _, name := range slices.Sorted(maps.Keys(t.pkg.Vectors)) {
		v, err := spec.ParseVector(name, t.pkg.Vectors[name])
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
