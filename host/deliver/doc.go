// Package deliver takes due deliveries from the outbox to their services: lease, render, send, classify, settle. Retries,
// holds, rate limits and what becomes of a failing plug-in are decided here, once for every plug-in. It does no network
// or file I/O itself (package egress does), stores nothing (the outbox does) and runs no WebAssembly.
package deliver
