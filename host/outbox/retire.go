package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

const (
	sqlRevive = `UPDATE delivery SET state = 0, not_before = ?2, since = ?2, changed = ?2, base = attempts, plain = 0, reason = ''
		WHERE id = ?1 AND state = 5`
	sqlExpire = `UPDATE delivery SET state = 5, changed = ?2, reason = CASE WHEN reason = '' THEN ?4 ELSE ?4 || '; last: ' || reason END
		WHERE id IN (SELECT id FROM delivery INDEXED BY waiting WHERE recipient = ?1 AND severity = ?6 AND state = 0
			AND since < ?3 ORDER BY since LIMIT ?5)`
)

// Retry queues dead deliveries again, under the same ids; their age and the attempts that Lease tells count from now.
// All of them or, with an error that wraps ErrNotFound, ErrNotDead or ErrRemoved, none.
func (s *Store) Retry(ctx context.Context, ids ...alert.ID) error {
	if len(ids) == 0 {
		return nil
	}
	return s.do(ctx, "retry in", len(ids), func(t *tx) error {
		for _, id := range ids {
			var state int64
			var name string
			found, err := t.row([]any{&state, &name}, `SELECT d.state, r.name FROM delivery d JOIN recipient r ON r.seq = d.recipient
				WHERE d.id = ?`, id[:])
			switch r := s.recipientOf(t, name); {
			case err != nil:
				return err
			case !found:
				return idError(id, ErrNotFound)
			case alert.State(state) != alert.Dead:
				return idError(id, fmt.Errorf("%w: this one is %v", ErrNotDead, alert.State(state)))
			case r.removed:
				return idError(id, fmt.Errorf("%w: add recipient %s again first", ErrRemoved, name))
			default:
				if err := s.revive(t, id, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (s *Store) revive(t *tx, id alert.ID, r *recipient) error {
	n, err := t.execN(sqlRevive, id[:], s.now().UnixMilli())
	t.move(r.seq, alert.Dead, alert.Queued, n)
	t.wake[r.endpoint.name] = true
	return err
}

// RetryAll queues the dead deliveries that a filter chooses again, oldest first, and returns how many; see Retry. Its
// States are ignored. Those of removed recipients stay dead.
func (s *Store) RetryAll(ctx context.Context, f Filter) (n int, err error) {
	f.States = []alert.State{alert.Dead}
	where, args := f.where(true)
	query := `SELECT d.id, r.name FROM delivery d INDEXED BY dead CROSS JOIN recipient r ON r.seq = d.recipient` + where + ` AND r.removed = 0 AND d.id > ? ORDER BY d.id LIMIT ?`
	var after alert.ID
	for more := true; more; {
		limit := s.chunk
		if f.Limit > 0 {
			limit = min(limit, f.Limit-n)
		}
		var got int
		err := s.do(ctx, "retry in", limit, func(t *tx) error {
			var ids []alert.ID
			var names []string
			last := after
			page := append(slices.Clip(args), last[:], limit)
			err := each(context.WithoutCancel(ctx), t.conn, func(q *sql.Rows) error {
				var id sql.RawBytes
				var name string
				if err := q.Scan(&id, &name); err != nil {
					return err
				}
				ids, names = append(ids, alert.ID(id)), append(names, name)
				return nil
			}, query, page...)
			if err != nil {
				return err
			}
			for i, id := range ids {
				if err := s.revive(t, id, s.recipientOf(t, names[i])); err != nil {
					return err
				}
				last = id
			}
			got = len(ids)
			t.after = append(t.after, func() { after = last })
			return nil
		})
		if err != nil {
			return n, err
		}
		n += got
		more = got == limit && (f.Limit <= 0 || n < f.Limit)
	}
	return n, nil
}

// sqlLate finds the recipients and severities of which something is to expire; few rows, whatever waits.
const sqlLate = `SELECT r.name, v.column1 FROM recipient r CROSS JOIN (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) v
	WHERE (SELECT 1 FROM delivery INDEXED BY waiting WHERE recipient = r.seq AND severity = v.column1 AND state = 0
		AND since < ?1 LIMIT 1) IS NOT NULL`

// ExpireOlderThan makes dead letters of the deliveries that have been queued for longer than age, and returns how many. It
// writes nothing if there are none.
func (s *Store) ExpireOlderThan(ctx context.Context, age time.Duration) (n int, err error) {
	if s.readOnly {
		return 0, s.explain("expire in", ErrReadOnly)
	}
	reason := fmt.Sprintf("not delivered within %v", age)
	type late struct {
		recipient string
		rank      int
	}
	for got := s.chunk; got == s.chunk; n += got {
		var all []late
		err := each(ctx, s.reader, func(q *sql.Rows) error {
			var l late
			err := q.Scan(&l.recipient, &l.rank)
			all = append(all, l)
			return err
		}, sqlLate, s.now().Add(-age).UnixMilli())
		if err != nil {
			return n, s.explain("read", err)
		}
		for _, name := range s.lateFresh(age) { // the transaction enters them into the indexes
			for rank := range digestRank + 1 {
				all = append(all, late{name, rank})
			}
		}
		if len(all) == 0 {
			return n, nil
		}
		err = s.do(ctx, "expire in", s.chunk, func(t *tx) error {
			got = 0
			now := s.now() // the transaction may have moved along what waits, see wall
			for _, l := range all {
				r := s.recipientOf(t, l.recipient)
				some, err := t.execN(sqlExpire, r.seq, now.UnixMilli(), now.Add(-age).UnixMilli(), reason, s.chunk-got, l.rank)
				if err != nil {
					return err
				}
				t.move(r.seq, alert.Queued, alert.Dead, some)
				if got += some; got == s.chunk {
					break
				}
			}
			return s.checkDigests(t)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// sqlPrunable pages through the alerts by age of storing; keep is 1 for one that has to stay.
const sqlPrunable = `SELECT a.seq, a.stored, EXISTS (SELECT 1 FROM delivery d INDEXED BY by_alert WHERE d.alert = a.seq
		AND (d.state < 2 OR d.state = 5 AND d.changed >= ?2)) FROM alert a WHERE a.seq > ?1 ORDER BY a.seq LIMIT ?3`

// sqlBury finds the oldest dead letters.
const sqlBury = `SELECT d.id, d.severity, r.seq, r.name FROM delivery d INDEXED BY dead CROSS JOIN recipient r ON r.seq = d.recipient
	WHERE d.state = 5 ORDER BY d.id LIMIT ?1`

// bury removes the oldest dead letters beyond Options.MaxDead and counts them as dropped.
func (s *Store) bury(ctx context.Context) error {
	for more := s.maxDead > 0; more; {
		err := s.do(ctx, "prune", s.chunk, func(t *tx) error {
			var over int64
			if _, err := t.row([]any{&over}, `SELECT coalesce(sum(n), 0) - ? FROM tally WHERE state = 5`, s.maxDead); err != nil {
				return err
			}
			limit := min(over, int64(s.chunk))
			if more = limit > 0; !more {
				return nil
			}
			type row struct {
				id        alert.ID
				seq, rank int64
				name      string
			}
			var rows []row
			err := t.each(func(q *sql.Rows) error {
				var w row
				var id sql.RawBytes
				err := q.Scan(&id, &w.rank, &w.seq, &w.name)
				copy(w.id[:], id)
				rows = append(rows, w)
				return err
			}, sqlBury, limit)
			if err != nil {
				return err
			}
			for _, w := range rows {
				if _, err := t.exec(`DELETE FROM delivery WHERE id = ?`, w.id[:]); err != nil {
					return err
				}
				t.count(w.seq, alert.Dead, -1)
				t.drops[dropKey{w.name, min(w.rank, int64(alert.Emergency))}]++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Prune removes alerts older than Options.Retention with their deliveries and attempts, except where one is queued or
// leased, or a dead letter younger than Options.DeadRetention. Of dead letters it leaves Options.MaxDead at most. It
// returns how many alerts went. Silence windows that are over go, too. The file does not shrink; the space is used again.
func (s *Store) Prune(ctx context.Context) (n int, err error) {
	if err := s.pruneSilence(ctx); err != nil {
		return 0, err
	}
	if err := s.bury(ctx); err != nil {
		return 0, err
	}
	if err := s.do(ctx, "prune", 1, func(t *tx) error {
		_, err := t.exec(`DELETE FROM dropped WHERE last < ?`, s.now().Add(-s.retention).UnixMilli())
		return err
	}); err != nil {
		return 0, err
	}
	var after int64
	for more := true; more; {
		var got int
		err := s.do(ctx, "prune", 4*s.chunk, func(t *tx) error {
			now := s.now()
			before := now.Add(-s.retention).UnixMilli()
			last := after
			var gone []int64
			seen := 0
			more = true
			err := t.each(func(q *sql.Rows) error {
				var seq, stored int64
				var keep bool
				if err := q.Scan(&seq, &stored, &keep); err != nil {
					return err
				}
				seen++
				if stored >= before { // and so is every later one
					more = false
				} else if last = seq; !keep && more {
					gone = append(gone, seq)
				}
				return nil
			}, sqlPrunable, after, now.Add(-s.deadFor).UnixMilli(), s.chunk)
			if err != nil {
				return err
			}
			more = more && seen == s.chunk
			for _, seq := range gone {
				if err := t.prune(seq); err != nil {
					return err
				}
			}
			got = len(gone)
			t.after = append(t.after, func() { after = last })
			return nil
		})
		if err != nil {
			return n, err
		}
		n += got
	}
	return n, nil
}

func (t *tx) prune(seq int64) error {
	err := t.each(func(q *sql.Rows) error {
		var recipient, state int64
		if err := q.Scan(&recipient, &state); err != nil {
			return err
		}
		t.count(recipient, alert.State(state), -1)
		return nil
	}, `DELETE FROM delivery WHERE id IN (SELECT id FROM delivery INDEXED BY by_alert WHERE alert = ?) RETURNING recipient, state`, seq)
	if err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM alert WHERE seq = ?`, seq)
	return err
}
