// Package api is what a running service tells and takes over HTTP: Prometheus metrics and health for monitoring, and the
// control socket by which the command line reaches the service that owns the database. It serves what package app hands it
// and knows neither queue nor plug-ins; pages for people are not here.
package api
