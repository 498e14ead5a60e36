// Package outbox is the durable queue, ledger, dead-letter office and replay of deliveries, in one SQLite database. Here
// live the schema, the group commit, leases, settlements, holds and the queries of the ledger. It sends nothing and
// decides nothing about retries: what an attempt's outcome means is package deliver's business, which recipients an
// alert has is package route's.
package outbox
