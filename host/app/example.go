package app

import (
	_ "embed"
	"fmt"
)

//go:embed example.toml
var exampleConfig string

// ExampleConfig prints a commented configuration.
func ExampleConfig(s Streams) error {
	if _, err := fmt.Fprint(s.Out, exampleConfig); err != nil {
		return fmt.Errorf("print the example: %w", err)
	}
	return nil
}
