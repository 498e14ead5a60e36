// Command recipe is the module that all plug-ins share which have no code of their own: what they send and what answers mean
// stands in the [request] table of their manifest. It knows no service. Packing a plug-in writes the table into the slot.
package main

import (
	"errors"
	"strings"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/recipe"
)

var endpoint = load(slot)

func init() { pdk.Serve(&endpoint) }

func main() {}

var errEmpty = errors.New("the module holds no [request] table; pack it with a manifest that has one (tocsin plugin pack)")

// load makes an endpoint of what is in the slot.
func load(slot string) pdk.Endpoint {
	_, table, _ := strings.Cut(slot, "\n")
	v, err := pdk.ParseJSON([]byte(strings.TrimRight(table, ".\n")))
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return pdk.Endpoint{Render: func(*pdk.RenderInput) (*pdk.RenderOutput, error) { return nil, errEmpty }}
	}
	r, problems := recipe.Parse(m)
	if len(problems) > 0 {
		broken := errors.New(problems[0].Field + ": " + problems[0].Message)
		return pdk.Endpoint{Render: func(*pdk.RenderInput) (*pdk.RenderOutput, error) { return nil, broken }}
	}
	return r.Endpoint()
}
