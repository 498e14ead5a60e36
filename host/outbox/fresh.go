package outbox

import (
	"context"
	"database/sql"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// Most deliveries are sent the moment they are stored, so their rows need not be entered into the indexes of what waits and
// what is being sent, to be taken out again at once. Such a delivery is fresh: the process that stored it has it in memory,
// in the order of the ids, and leasing it writes no more than how far its recipient's were leased. It is entered into the
// indexes when something else than Store, Lease and Settle looks at what waits, when there are too many, and at Close; after a
// crash Open finds it by its id.
//
// migrateFresh brings table fresh, which has a row for each recipient with fresh deliveries. delivery.state is stateFresh for
// these, and nothing else is in no index of the states.
const migrateFresh = `
CREATE TABLE fresh (
	recipient INTEGER PRIMARY KEY REFERENCES recipient(seq),
	first     BLOB NOT NULL, -- no fresh delivery of the recipient has a lower id
	leased    BLOB NOT NULL, -- those up to this id are being sent, or were when the process died; empty: none
	at        INTEGER NOT NULL -- Unix ms of the last lease
) STRICT;
`

// stateFresh stands for Queued or, up to fresh.leased, for Leased; see migrateFresh. Outside of this package it is one of these.
const stateFresh = 9

// The most that is kept in memory; what is beyond goes into the indexes.
const (
	maxFresh      = 4096
	maxFreshBytes = 8 << 20 // of alerts' JSON
)

const (
	sqlPutFresh = `INSERT INTO fresh (recipient, first, leased, at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (recipient) DO UPDATE SET first = ?2, leased = ?3, at = ?4`
	sqlEndFresh = `DELETE FROM fresh WHERE recipient = ?1`
	// sqlFreshIDs lists all fresh deliveries. The plus keeps SQLite from building an index of its own over the whole table.
	sqlFreshIDs = `SELECT q.id FROM delivery q WHERE q.id >= (SELECT min(first) FROM fresh) AND +q.state = 9`
)

var (
	sqlQueueFresh = `UPDATE delivery SET state = 0 WHERE state = 9 AND id IN (` + marks(bulk) + `)`
	sqlLeaseFresh = `UPDATE delivery SET state = 1, attempts = attempts + 1, changed = ?1 WHERE state = 9 AND id IN (` + marks(bulk) + `)`
)

// freshItem is a delivery that waits in memory.
type freshItem struct {
	id    alert.ID
	since int64  // Unix ms
	text  []byte // the alert's JSON
}

// place is where a delivery stands among those of its recipient that wait: those due at the same time go by their ids.
type place struct {
	due int64 // Unix ms
	id  alert.ID
}

func (w *freshItem) before(p *place) bool {
	return w.since < p.due || w.since == p.due && string(w.id[:]) < string(p.id[:])
}

// freshBatch are deliveries leased together.
type freshBatch struct {
	q     *freshQueue
	first alert.ID
	left  int // not settled yet, as committed
}

// freshQueue has the fresh deliveries of one recipient. It belongs to the writer goroutine. What a transaction changes is
// there at once and undone should it fail.
type freshQueue struct {
	r     *recipient // as of the last delivery stored
	items []freshItem
	head  int           // items before it were leased
	out   []*freshBatch // leased and not all settled, oldest first
	size  int           // rows that are fresh, those leased included
	row   bool          // it has a row in table fresh
	last  alert.ID      // the last leased
	at    int64

	// what the transaction did
	touched        bool
	added, settled int
	was            struct {
		head, out int
		last      alert.ID
		at        int64
	}
}

// waiting are those not leased.
func (q *freshQueue) waiting() []freshItem {
	if q == nil {
		return nil
	}
	return q.items[q.head:]
}

// touch is called before a transaction changes a queue.
func (t *tx) touch(q *freshQueue) {
	if q.touched {
		return
	}
	q.touched, q.added, q.settled = true, 0, 0
	q.was.head, q.was.out, q.was.last, q.was.at = q.head, len(q.out), q.last, q.at
	t.touched = append(t.touched, q)
}

// mayBeFresh tells whether a new delivery may stay in memory: it waits for nothing, and nothing waits for it.
func (s *Store) mayBeFresh(t *tx, r *recipient, a *alert.Alert, same string, text []byte) bool {
	return !t.classic && a.Action == alert.Store && (same == "" || r.silence == 0) && !r.removed &&
		t.freshN < maxFresh && t.freshBytes+len(text) <= maxFreshBytes && !s.onHold(r.endpoint.name)
}

// addFresh puts a delivery that the transaction stores into memory.
func (t *tx) addFresh(r *recipient, id alert.ID, text []byte, now int64) {
	q := t.fresh[r.seq]
	if q == nil {
		q = &freshQueue{}
		t.fresh[r.seq] = q
	}
	t.touch(q)
	q.r = r
	q.items = append(q.items, freshItem{id, now, text})
	q.added++
	t.freshN++
	t.freshBytes += len(text)
}

// takeFresh leases up to limit deliveries from memory: those that come before a place, if there is one.
func (s *Store) takeFresh(t *tx, q *freshQueue, limit int, clock time.Time, before *place) []alert.Delivery {
	items := q.waiting()
	n := 0
	for n < min(limit, len(items)) && (before == nil || items[n].before(before)) && (n == 0 || s.why(q.r, items[n].text, clock) == "") {
		n++
	}
	if n == 0 {
		return nil
	}
	t.touch(q)
	items = items[:n]
	q.head += n
	r, now := q.r, clock.UnixMilli()
	b := &freshBatch{q: q, first: items[0].id, left: n}
	q.out = append(q.out, b)
	q.last, q.at = items[n-1].id, now
	out := make([]alert.Delivery, n)
	for i := range items {
		w, d := &items[i], &out[i]
		d.ID, d.Alert, d.Attempt, d.Created = w.id, w.text, 1, age(clock, w.since)
		d.Recipient, d.Endpoint = r.name, r.endpoint.name
	}
	t.move(r.seq, alert.Queued, alert.Leased, n)
	t.after = append(t.after, func() {
		for i := range out {
			s.leases[out[i].ID] = lease{recipient: r, attempt: 1, at: now, batch: b}
		}
	})
	return out
}

// settledFresh notes that the transaction settles n deliveries of a batch.
func (t *tx) settledFresh(b *freshBatch, n int) {
	t.touch(b.q)
	b.q.settled += n
	t.after = append(t.after, func() { b.left -= n })
}

// flushFresh writes how far the queues that the transaction touched are leased.
func (t *tx) flushFresh() error {
	for _, q := range t.touched {
		size := q.size + q.added - q.settled
		switch {
		case size == 0 && q.row:
			if _, err := t.exec(sqlEndFresh, q.r.seq); err != nil {
				return err
			}
		case size > 0 && (!q.row || q.last != q.was.last):
			first, leased := alert.ID{}, []byte{}
			if len(q.out) > 0 {
				first = q.out[0].first
			} else {
				first = q.items[q.head].id
			}
			if q.last != (alert.ID{}) {
				leased = q.last[:]
			}
			if _, err := t.exec(sqlPutFresh, q.r.seq, first[:], leased, q.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepFresh makes what the transaction did to the queues last; Store.mu is held.
func (s *Store) keepFresh(t *tx) {
	for _, q := range t.touched {
		for i := q.was.head; i < q.head; i++ {
			t.freshN--
			t.freshBytes -= len(q.items[i].text)
			q.items[i].text = nil
		}
		q.size += q.added - q.settled
		q.row = q.size > 0
		for len(q.out) > 0 && q.out[0].left == 0 {
			q.out[0] = nil
			q.out = q.out[1:]
		}
		if q.head == len(q.items) || q.head >= maxFresh/4 {
			n := copy(q.items, q.items[q.head:])
			clear(q.items[n:])
			q.items, q.head = q.items[:n], 0
		}
		if q.size == 0 {
			q.last, q.at = alert.ID{}, 0
		}
		q.touched = false
		if w := q.waiting(); len(w) > 0 {
			s.freshWaits[q.r.name] = freshWait{q.r.endpoint.name, w[0].since}
		} else {
			delete(s.freshWaits, q.r.name)
		}
	}
	t.touched = t.touched[:0]
}

// undoFresh takes back what a failed transaction did to the queues.
func (t *tx) undoFresh() {
	for _, q := range t.touched {
		for _, w := range q.items[len(q.items)-q.added:] {
			t.freshN--
			t.freshBytes -= len(w.text)
		}
		clear(q.items[len(q.items)-q.added:])
		q.items, q.head = q.items[:len(q.items)-q.added], q.was.head
		q.out, q.last, q.at = q.out[:q.was.out], q.was.last, q.was.at
		q.touched = false
	}
	t.touched = t.touched[:0]
}

// freshWait is what is known outside of the writer goroutine of a recipient's fresh deliveries that wait.
type freshWait struct {
	endpoint string
	since    int64 // of the oldest
}

// nextFresh tells since when the endpoint's oldest fresh delivery has waited, those included that are leased for a caller who
// has not come for them yet; mu is held.
func (s *Store) nextFresh(endpoint string) (since int64, ok bool) {
	if ready := s.ready[endpoint]; len(ready) > 0 {
		since, ok = ready[0].Created.UnixMilli(), true
	}
	for _, w := range s.freshWaits {
		if w.endpoint == endpoint && (!ok || w.since < since) {
			since, ok = w.since, true
		}
	}
	return since, ok
}

// Ahead says that a caller of Lease will come for up to n deliveries of an endpoint next. They are leased with what is stored
// or settled meanwhile, which saves a transaction of their own before they are sent. It holds until it is called again; with
// n = 0 what nobody came for is queued again as if it had never been leased.
func (s *Store) Ahead(ctx context.Context, endpoint string, n int) error {
	s.mu.Lock()
	was := s.ahead[endpoint] > 0
	if n > 0 {
		s.ahead[endpoint] = n
	} else {
		delete(s.ahead, endpoint)
	}
	s.mu.Unlock()
	if n > 0 {
		return nil
	}
	if was { // wait for a transaction that knew of it
		if err := s.doFresh(ctx, "lease from", 1, func(*tx) error { return nil }); err != nil {
			return err
		}
	}
	s.mu.Lock()
	left := len(s.ready[endpoint]) > 0
	s.mu.Unlock()
	if !left {
		return nil
	}
	return s.do(ctx, "lease from", 1, func(*tx) error { return nil }) // see classify
}

// leaseAhead leases what Ahead asked for, as the last thing of a transaction.
func (s *Store) leaseAhead(t *tx) error {
	if t.classic || t.freshN == 0 {
		return nil
	}
	for name, most := range s.wanted(t) {
		e := s.endpointOf(t, name)
		if e == nil || s.onHold(name) {
			continue
		}
		out, _, err := s.take(t, e, most)
		if err != nil {
			return err
		}
		if len(out) > 0 {
			t.wake[name] = true
			t.after = append(t.after, func() { s.ready[name] = out })
		}
	}
	return nil
}

// wanted gives the endpoints with fresh deliveries for which callers of Lease come, and for how many.
func (s *Store) wanted(t *tx) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ahead) == 0 {
		return nil
	}
	var all map[string]int
	for _, q := range t.fresh {
		name := q.r.endpoint.name
		if n := s.ahead[name]; n > 0 && len(s.ready[name]) == 0 && len(q.waiting()) > 0 {
			if all == nil {
				all = map[string]int{}
			}
			all[name] = n
		}
	}
	return all
}

// lateFresh names the recipients for which a fresh delivery has waited for longer than age.
func (s *Store) lateFresh(age time.Duration) (names []string) {
	before := s.now().Add(-age).UnixMilli()
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, w := range s.freshWaits {
		if w.since < before {
			names = append(names, name)
		}
	}
	return names
}

// takeReady gives what was leased ahead.
func (s *Store) takeReady(endpoint string, limit int) []alert.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.ready[endpoint]
	n := min(limit, len(all))
	if s.ready[endpoint] = all[n:]; n == len(all) {
		delete(s.ready, endpoint)
	}
	return all[:n:n]
}

// classify enters all fresh deliveries into the indexes, as the first thing of a transaction, in which there are none then.
// What was leased ahead is given back.
func (s *Store) classify(t *tx) error {
	t.classic = true
	s.mu.Lock()
	if len(t.fresh)+len(s.ready) == 0 {
		s.mu.Unlock()
		return nil
	}
	ready := s.ready
	s.ready = map[string][]alert.Delivery{}
	t.undo = append(t.undo, func() {
		for name, ds := range ready {
			s.ready[name] = append(ds, s.ready[name]...)
		}
	})
	back := map[alert.ID]bool{}
	for _, ds := range ready {
		for i := range ds {
			back[ds[i].ID] = true
		}
	}
	leased := map[int64][]alert.ID{} // by when
	var queued, uncount []alert.ID
	for id, l := range s.leases {
		if back[id] {
			t.move(l.recipient.seq, alert.Leased, alert.Queued, 1)
		}
		switch {
		case l.batch == nil && back[id]:
			uncount = append(uncount, id)
		case l.batch == nil:
		case back[id]:
			queued = append(queued, id)
		default:
			leased[l.at] = append(leased[l.at], id)
		}
	}
	s.mu.Unlock()
	now := s.now().UnixMilli()
	for _, id := range uncount {
		if _, err := t.exec(sqlUncount, id[:], now, 0); err != nil {
			return err
		}
	}
	for _, q := range t.fresh {
		for _, w := range q.waiting() {
			queued = append(queued, w.id)
		}
		if !q.row {
			continue
		}
		if _, err := t.exec(sqlEndFresh, q.r.seq); err != nil {
			return err
		}
		t.wake[q.r.endpoint.name] = true
	}
	for at, ids := range leased {
		if err := t.inBulk(sqlLeaseFresh, ids, at); err != nil {
			return err
		}
	}
	if err := t.inBulk(sqlQueueFresh, queued); err != nil {
		return err
	}
	t.after = append(t.after, func() {
		for id := range back {
			delete(s.leases, id)
		}
		for id, l := range s.leases {
			l.batch = nil
			s.leases[id] = l
		}
		clear(t.fresh)
		clear(s.freshWaits)
		t.freshN, t.freshBytes = 0, 0
	})
	return nil
}

// inBulk runs a statement for ids, bulk of them at a time; the last ones are filled up with the last.
func (t *tx) inBulk(query string, ids []alert.ID, args ...any) error {
	for len(ids) > 0 {
		all := append(make([]any, 0, bulk+len(args)), args...)
		for i := range bulk {
			all = append(all, ids[min(i, len(ids)-1)][:])
		}
		if _, err := t.exec(query, all...); err != nil {
			return err
		}
		ids = ids[min(bulk, len(ids)):]
	}
	return nil
}

// recoverFresh enters what a dead process had in memory into the indexes, as part of recover's transaction.
func (t *tx) recoverFresh(now int64, reason string) error {
	const leased = ` FROM delivery d CROSS JOIN fresh h ON h.recipient = d.recipient
		WHERE d.id >= (SELECT min(first) FROM fresh) AND +d.state = 9 AND d.id <= h.leased`
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO attempt (delivery, n, at, took, state, status, ambiguous, reason)
			SELECT d.id, d.attempts + 1, h.at, max(0, ?1 - h.at) * 1000, 0, 0, 1, ?2` + leased, []any{now, reason}},
		{`UPDATE delivery SET state = 0, attempts = attempts + 1, base = base + 1, ambiguous = 1, changed = ?1, reason = ?2
			WHERE id IN (SELECT d.id` + leased + `)`, []any{now, reason}},
		{`UPDATE delivery SET state = 0 WHERE id IN (` + sqlFreshIDs + `)`, nil},
		{`DELETE FROM fresh`, nil},
	} {
		if _, err := t.exec(step.query, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// oldestFresh takes since when fresh deliveries have waited into counts; in a file that another process has open it asks the
// file.
func (s *Store) oldestFresh(ctx context.Context, all []EndpointCount) error {
	since := map[string]int64{}
	if s.readOnly {
		err := each(ctx, s.reader, func(q *sql.Rows) error {
			var name string
			var ms sql.NullInt64
			err := q.Scan(&name, &ms)
			if ms.Valid {
				since[name] = ms.Int64
			}
			return err
		}, `SELECT r.name, (SELECT q.since FROM delivery q WHERE q.id >= h.first AND q.id > h.leased AND +q.recipient = h.recipient
			AND +q.state = 9 ORDER BY q.id LIMIT 1) FROM fresh h CROSS JOIN recipient r ON r.seq = h.recipient`)
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	for name, w := range s.freshWaits {
		since[name] = w.since
	}
	s.mu.Unlock()
	for i := range all {
		c := &all[i]
		if ms, ok := since[c.Recipient]; ok && c.Queued > 0 && (c.Oldest.IsZero() || fromMS(ms).Before(c.Oldest)) {
			c.Oldest = fromMS(ms)
		}
	}
	return nil
}
