// Package standin is what the stand-ins in the folders beside it have in common: they count requests and let a test answer some,
// check bodies against schemas, keep what they took and what they refused, and are tried with the requests of a plug-in's vectors.
// What a service takes, and in which words it refuses, stays in the service's own package. It is no part of the program.
package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// Desk is where the requests to a stand-in arrive; T is what the stand-in takes. It is embedded in a server. Safe for concurrent use.
type Desk[T any] struct {
	// Intercept, if set before the first request, may answer one itself, to play an outage or a rate limit, and then returns true; n
	// counts requests from 1.
	Intercept func(w http.ResponseWriter, r *http.Request, n int) bool

	calls   atomic.Int64
	taken   kept[T]
	refused kept[string]
}

type kept[T any] struct {
	mu  sync.Mutex // mu guards what follows
	all []T
}

func (k *kept[T]) with(f func(all *[]T)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(&k.all)
}

func (k *kept[T]) list() (out []T) {
	k.with(func(all *[]T) { out = slices.Clone(*all) })
	return out
}

// Open counts a request, and tells whether the server is to answer it: Intercept has not.
func (d *Desk[T]) Open(w http.ResponseWriter, r *http.Request) bool {
	n := int(d.calls.Add(1))
	return d.Intercept == nil || !d.Intercept(w, r, n)
}

// Calls counts the requests so far.
func (d *Desk[T]) Calls() int { return int(d.calls.Load()) }

// Taken gives a copy of what was taken so far, in order.
func (d *Desk[T]) Taken() []T { return d.taken.list() }

// With calls f with what was taken, which nobody reads or changes until f returns; a server may keep its own state under it, too. f
// must not call Taken or With.
func (d *Desk[T]) With(f func(taken *[]T)) { d.taken.with(f) }

// Refuse keeps what was wrong with a request.
func (d *Desk[T]) Refuse(format string, args ...any) {
	d.refused.with(func(all *[]string) { *all = append(*all, fmt.Sprintf(format, args...)) })
}

// Refused gives what was wrong with the requests that were refused, in order.
func (d *Desk[T]) Refused() []string { return d.refused.list() }

// Answer writes a status and, unless it is nil, a value as JSON.
func Answer(w http.ResponseWriter, status int, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	if v != nil {
		_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
	}
}
