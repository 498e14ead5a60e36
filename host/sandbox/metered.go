package sandbox

import (
	"github.com/tocsin-net/tocsin/host/sandbox/meter"
)

// metered adds the metering to a module, as package meter describes. It comes before anything that wazero does, even
// before validation: wazero makes room for as many elements as a vector claims to have before it reads them, while meter
// refuses such modules, and gives out a valid module only for a valid one.
func metered(plugin string, wasm []byte, l Limits) ([]byte, error) {
	out, err := meter.Rewrite(wasm, meter.Config{Fuel: l.Fuel, StackDepth: l.StackDepth})
	if err != nil {
		return nil, &CompileError{Plugin: plugin, Reason: notValid, Err: err}
	}
	return out, nil
}

const notValid = "it is not a valid module, or asks for more than its limits"
