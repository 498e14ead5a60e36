package outbox

import (
	"context"
	"time"
)

// aStep is by how much the wall clock has to leave the monotonic one before that counts as having been set. What is less
// does no harm: waits of that length are seconds too long or too short.
const aStep = time.Minute

// wall watches the wall clock against the monotonic one. When it is set, by hand or by NTP, or the machine slept, what
// waits moves along: its age and the time until its next attempt stay what they were. Otherwise a step forward of ten
// days would make dead letters of all that waits, and one back would delay it. The writer goroutine uses it only.
type wall struct {
	elapsed func() time.Duration // monotonic; nil: no watch
	at      time.Time
	was     time.Duration
}

// stepped tells by how much the clock was set since the last look, and gives what to call once that has been stored.
func (w *wall) stepped(now time.Time) (time.Duration, func()) {
	if w.elapsed == nil {
		return 0, nil
	}
	now = now.Round(0)
	is := w.elapsed()
	step := now.Sub(w.at) - (is - w.was)
	first := w.at.IsZero()
	seen := func() { w.at, w.was = now, is }
	if first || step.Abs() < aStep {
		seen()
		return 0, nil
	}
	return step, seen
}

// shift moves everything that waits by d.
func (s *Store) shift(t *tx, d time.Duration) error {
	ms := d.Milliseconds()
	for _, q := range []string{
		`UPDATE delivery SET not_before = not_before + ?1, since = since + ?1
			WHERE id IN (SELECT id FROM delivery INDEXED BY due WHERE state = 0 AND not_before > 0)`,
		`UPDATE delivery SET since = since + ?1 WHERE id IN (SELECT id FROM delivery INDEXED BY due WHERE state = 0 AND not_before = 0)
			OR id IN (SELECT id FROM delivery INDEXED BY leased WHERE state = 1)`,
		`UPDATE hold SET until = until + ?1`,
		`UPDATE start SET at = at + ?1`,
		`UPDATE silence SET since = since + ?1, until = until + ?1`,
		`UPDATE alert SET stored = stored + ?1 WHERE seq = (SELECT max(seq) FROM alert)`, // or catchUp would do it again
	} {
		if _, err := t.exec(q, ms); err != nil {
			return err
		}
	}
	t.after = append(t.after, func() {
		for name, h := range s.holds {
			h.Until = h.Until.Round(0).Add(d) // its monotonic reading, if it has one, needs no step
			s.holds[name] = h
		}
		for name := range s.names.endpoints {
			s.signal(name)
		}
	})
	return nil
}

// catchUp looks at Open whether the clock was set back while tocsin did not run: then what waits is moved along.
func (s *Store) catchUp(ctx context.Context) error {
	var last int64
	found, err := s.tx.row([]any{&last}, `SELECT stored FROM alert ORDER BY seq DESC LIMIT 1`)
	if err != nil || !found {
		return err
	}
	back := s.now().Sub(fromMS(last))
	if back > -aStep || ctx.Err() != nil {
		return ctx.Err()
	}
	s.log.Warn("the clock was set back since tocsin last ran; what waits moves along", "by", back.Round(time.Second))
	return s.transact(&op{run: func(t *tx) error { return s.shift(t, back) }})
}

// due gives the time of a next attempt by the clock as it is now, wherever it was when the attempt was planned.
func due(now, at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return toMS(now.Add(at.Sub(now)))
}

// age gives the time since which a delivery has waited as a time that later steps of the clock do not touch.
func age(now time.Time, since int64) time.Time {
	return now.Add(-now.Sub(time.UnixMilli(since)))
}
