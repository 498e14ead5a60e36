// Package pdk is the kit for authors of tocsin plug-ins in Go. It holds the messages that host and plug-in exchange,
// their JSON, and the few calls that make a program a module. It imports the standard library only, and only its small
// part: no reflection, so that modules stay small. The host uses its message types too.
package pdk
