//go:build race

package main

// The race detector makes each start of a process several times slower.
const defaultKills = 15
