// Package route decides which recipients an alert goes to, by the filters of each: host pools, maintenance windows and
// what counts as the same alert for a silence window live here. It is a pure function of the alert, the rules and the
// time it is given: no I/O, no clock of its own. What became of earlier deliveries it does not know; that is the business
// of packages outbox and deliver.
package route
