// Package recipe is an endpoint that is written as data: the [request] table of a manifest says what to send and what answers
// mean, and this package does it. It holds the table's only decoder, which the host's checks and the guest share, and imports
// no more than package pdk does. It knows no service: what is special about one belongs into its table.
package recipe
