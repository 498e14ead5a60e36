package main

import (
	"os"
	"testing"

	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

// TestVectors runs the test vectors natively. `tocsin plugin test` runs the same files in the sandbox.
func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("../vectors")) }
