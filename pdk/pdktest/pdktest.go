// Package pdktest runs an endpoint's test vectors as Go tests: natively, without WebAssembly, and in the sandbox of a tocsin that is
// installed. It is for authors' tests and is no part of a module.
package pdktest

import (
	"io/fs"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// Run runs every vector of a folder, each as a subtest:
//
//	pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors"))
//
// Each is called twice, since an endpoint must keep nothing between calls.
func Run(t *testing.T, e *pdk.Endpoint, vectors fs.FS) {
	t.Helper()
	all, err := spec.ReadVectors(vectors)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		t.Run(v.File, func(t *testing.T) {
			for range 2 {
				if err := v.Run(e.Call); err != nil {
					t.Fatalf("%s: %v", v.Name, err)
				}
			}
		})
	}
}
