package pdk

// Params are an endpoint's or a recipient's parameters by name: strings, numbers (float64), booleans, lists ([]any) and
// nil, as JSON has them.
type Params map[string]any
