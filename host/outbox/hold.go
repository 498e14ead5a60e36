package outbox

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// SetHold stops an endpoint until h.Until: Lease gives nothing of it. It replaces the hold there was and survives a
// restart.
func (s *Store) SetHold(ctx context.Context, h alert.Hold) error {
	if h.Endpoint == "" {
		return errors.New("outbox: the hold names no endpoint")
	}
	return s.do(ctx, "hold an endpoint in", 1, func(t *tx) error {
		_, err := t.exec(`INSERT INTO hold (endpoint, until, broken, reason) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (endpoint) DO UPDATE SET until = ?2, broken = ?3, reason = ?4`,
			h.Endpoint, toMS(h.Until), h.Broken, h.Reason)
		t.after = append(t.after, func() {
			if old, ok := s.holds[h.Endpoint]; ok && h.Until.Before(old.Until) {
				s.signal(h.Endpoint)
			}
			s.holds[h.Endpoint] = h
		})
		return err
	})
}

// ClearHold lets an endpoint go on. It is no error if there is no hold.
func (s *Store) ClearHold(ctx context.Context, endpoint string) error {
	s.mu.Lock()
	_, held := s.holds[endpoint]
	s.mu.Unlock()
	if !held && !s.readOnly { // the usual case after a success: it shall cost nothing
		return ctx.Err()
	}
	return s.doFresh(ctx, "release an endpoint in", 1, func(t *tx) error {
		_, err := t.exec(`DELETE FROM hold WHERE endpoint = ?`, endpoint)
		t.wake[endpoint] = true
		t.after = append(t.after, func() { delete(s.holds, endpoint) })
		return err
	})
}

// Holds lists the holds, by name of the endpoint. One whose time has passed no longer stops anything, but it stays
// listed until ClearHold, so that its reason can be shown.
func (s *Store) Holds(ctx context.Context) ([]alert.Hold, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]alert.Hold, 0, len(s.holds))
	for _, name := range slices.Sorted(maps.Keys(s.holds)) {
		out = append(out, s.holds[name])
	}
	return out, nil
}

func (s *Store) onHold(endpoint string) bool {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.holds[endpoint]
	return ok && h.Until.After(now)
}

// Started notes that a request of an endpoint with a rate limit begins at a time, so that a restart does not forget it,
// and forgets those that began before old.
func (s *Store) Started(ctx context.Context, endpoint string, at, old time.Time) error {
	return s.doFresh(ctx, "note a request in", 2, func(t *tx) error {
		now := s.now()
		// A moment later rather than earlier: the limit has to hold.
		if _, err := t.exec(`INSERT INTO start (endpoint, at, n) VALUES (?1, ?2, 1) ON CONFLICT (endpoint, at) DO UPDATE SET n = n + 1`,
			endpoint, due(now, at)+1); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM start WHERE endpoint = ?1 AND at < ?2`, endpoint, due(now, old))
		return err
	})
}

// Starts gives what Started noted of an endpoint, oldest first.
func (s *Store) Starts(ctx context.Context, endpoint string) ([]time.Time, error) {
	var out []time.Time
	now := s.now()
	err := each(ctx, s.reader, func(q *sql.Rows) error {
		var at int64
		var n int
		err := q.Scan(&at, &n)
		for range n {
			out = append(out, age(now, at))
		}
		return err
	}, `SELECT at, n FROM start WHERE endpoint = ? ORDER BY at`, endpoint)
	return out, s.explain("read", err)
}

// Wake gives the channel that is signalled when work for an endpoint may be due: something new, something to be tried
// again (perhaps later, see Next), or a hold that ended early. It is the same channel for every caller, for one
// receiver. Signals merge, but none is lost.
func (s *Store) Wake(endpoint string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wakeChan(endpoint)
}

func (s *Store) wakeChan(endpoint string) chan struct{} {
	c := s.wakes[endpoint]
	if c == nil {
		c = make(chan struct{}, 1)
		s.wakes[endpoint] = c
	}
	return c
}

// signal wakes an endpoint's receiver; mu is held.
func (s *Store) signal(endpoint string) {
	select {
	case s.wakeChan(endpoint) <- struct{}{}:
	default:
	}
}
