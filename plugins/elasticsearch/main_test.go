package main

import (
	"os"
	"testing"

	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }
