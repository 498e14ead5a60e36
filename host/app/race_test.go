//go:build race

package app

// Alerts a second in TestReloadUnderLoad: the race detector makes everything many times slower.
const defaultRate = 100
