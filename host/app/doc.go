// Package app joins the parts: it is the service (New, Start, Stop) and what each command of the command line does.
// Wiring only: a rule about packets, alerts, plug-ins or deliveries belongs to the package of that name.
package app
