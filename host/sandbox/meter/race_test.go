//go:build race

package meter_test

// raceEnabled: wazero's compiler is slow under the race detector, and what is tested here is not a matter of races.
const raceEnabled = true
