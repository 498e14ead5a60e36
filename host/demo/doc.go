// Package demo is the demo command: it shows the whole way of an alert on the example capture, with real endpoints on
// loopback in a temporary folder. It uses the service as a user would; nothing of the service knows of it.
package demo
