package main

import (
	"os"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk/pdktest"
)

func TestVectors(t *testing.T) { pdktest.Run(t, &endpoint, os.DirFS("testdata/vectors")) }

// TestDays compares the calendar with package time's, which the module does without.
func TestDays(t *testing.T) {
	for sec := int64(0); sec < 4102444800*2; sec += 86399*11 + 7 {
		if got, want := rfc3339(sec), time.Unix(sec, 0).UTC().Format(time.RFC3339); got != want {
			t.Fatalf("%d: %s, want %s", sec, got, want)
		}
	}
	for _, sec := range []int64{951782400, 951868800, 1709164800, 4107542400, -1} {
		if got, want := rfc3339(sec), time.Unix(sec, 0).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%d: %s, want %s", sec, got, want)
		}
	}
}
