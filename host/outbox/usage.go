package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// NotFollowed is the filter under which a release is counted whose engage did not go to the recipient.
const NotFollowed = "no_engage"

// Usage is what is known of a recipient beside its deliveries. It is kept in memory and written by FlushUsage: a crash
// loses the last few counts, and nothing else.
type Usage struct {
	// Filtered counts the alerts that were not for it, by the filter that held them back.
	Filtered map[string]uint64
	Failed   uint64    // attempts
	LastUse  time.Time // when the last attempt ended; zero: never
	// LastError is the last failed attempt's reason.
	LastError   string
	LastErrorAt time.Time
}

// usageOf gives the record of a recipient and marks it as changed; mu is held.
func (s *Store) usageOf(recipient string) *Usage {
	u := s.usage[recipient]
	if u == nil {
		u = &Usage{Filtered: map[string]uint64{}}
		s.usage[recipient] = u
	}
	s.used[recipient] = true
	return u
}

// AddFiltered counts n alerts that a recipient's filter held back. It returns at once; see FlushUsage.
func (s *Store) AddFiltered(recipient, filter string, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usageOf(recipient).Filtered[filter] += n
}

// attempted notes an attempt that counts; mu is held.
func (s *Store) attempted(recipient string, failed bool, reason string, now int64) {
	u := s.usageOf(recipient)
	u.LastUse = fromMS(now)
	if failed {
		u.Failed++
		u.LastError, u.LastErrorAt = reason, u.LastUse
	}
}

// Usage gives what is known of every recipient, by name. An outbox opened for reading has it as last flushed.
func (s *Store) Usage(ctx context.Context) (map[string]Usage, error) {
	if s.readOnly {
		read, err := readUsage(ctx, s.reader)
		out := make(map[string]Usage, len(read))
		for name, u := range read {
			out[name] = *u
		}
		return out, s.explain("read", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Usage, len(s.usage))
	for name, u := range s.usage {
		c := *u
		c.Filtered = maps.Clone(u.Filtered)
		out[name] = c
	}
	return out, ctx.Err()
}

// FlushUsage writes what changed since the last call. It costs nothing if nothing did. After a failure the next call
// writes it.
func (s *Store) FlushUsage(ctx context.Context) error {
	s.mu.Lock()
	n := len(s.used)
	s.mu.Unlock()
	if n == 0 {
		return ctx.Err()
	}
	taken := map[string]bool{} // outside the work, which may run twice
	err := s.doFresh(ctx, "count in", n, func(t *tx) error {
		s.mu.Lock()
		maps.Copy(taken, s.used)
		clear(s.used)
		changed := make(map[string]Usage, len(taken))
		for name := range taken {
			u := *s.usage[name]
			u.Filtered = maps.Clone(u.Filtered)
			changed[name] = u
		}
		s.mu.Unlock()
		for name, u := range changed {
			if err := u.write(t, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil { // whatever was at fault, the disk at the commit or another's part: nothing of this is stored
		s.mu.Lock()
		maps.Copy(s.used, taken)
		s.mu.Unlock()
	}
	return err
}

func (u *Usage) write(t *tx, name string) error {
	filtered, err := json.Marshal(u.Filtered)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO usage (recipient, filtered, failed, last_use, last_error, last_error_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (recipient) DO UPDATE SET filtered = ?2, failed = ?3, last_use = ?4, last_error = ?5, last_error_at = ?6`,
		name, string(filtered), int64(u.Failed), toMS(u.LastUse), u.LastError, toMS(u.LastErrorAt))
	return err
}

func readUsage(ctx context.Context, q querier) (map[string]*Usage, error) {
	out := map[string]*Usage{}
	err := each(ctx, q, func(r *sql.Rows) error {
		var name, filtered string
		var failed, use, errorAt int64
		u := &Usage{}
		if err := r.Scan(&name, &filtered, &failed, &use, &u.LastError, &errorAt); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(filtered), &u.Filtered); err != nil {
			return fmt.Errorf("counters of recipient %s: %w", name, err)
		}
		if u.Filtered == nil {
			u.Filtered = map[string]uint64{}
		}
		u.Failed, u.LastUse, u.LastErrorAt = uint64(max(0, failed)), fromMS(use), fromMS(errorAt)
		out[name] = u
		return nil
	}, `SELECT recipient, filtered, failed, last_use, last_error, last_error_at FROM usage`)
	return out, err
}
