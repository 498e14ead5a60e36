//go:build !race

package app

// Alerts a second in TestReloadUnderLoad, which a slow machine can keep up with beside other tests; the figures of
// docs/BENCHMARKS.md are made with 2,000.
const defaultRate = 500
