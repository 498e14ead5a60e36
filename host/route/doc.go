// Package route decides which recipients an alert goes to, by the filters of each. It is a pure function of the alert
// and the rules: no I/O, no clock. What becomes of a delivery is the business of packages outbox and deliver.
package route
