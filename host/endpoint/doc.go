// Package endpoint joins a plug-in package with the sandbox: it turns the messages of package pdk into calls of an endpoint
// module and does not believe a word of the answers until it has checked them. It runs no request, keeps no state of
// deliveries and knows no endpoint type by name.
package endpoint
