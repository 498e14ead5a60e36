package route

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
	_ "time/tzdata" // time zones also where the system has none, as on Windows

	"github.com/robfig/cron/v3"
)

// maxWindow bounds a window that comes again and again: one that lasts longer is a mute.
const maxWindow = 31 * 24 * time.Hour

// Maintenance says when a maintenance window is open and what it holds back: either Schedule, Duration and Location, or
// From and Until.
type Maintenance struct {
	Name string
	// Schedule says when it opens: minute, hour, day of month, month, day of week, as in crontab(5).
	Schedule string
	Duration time.Duration
	Location *time.Location // nil: local time
	// From and Until are the ends of a window that comes once.
	From, Until time.Time
	// Pools, if there are any, limits it to alerts of which a host is in one of them.
	Pools []*Pool
}

// Window is a compiled Maintenance. It is safe for concurrent use.
//
// A schedule is read on the wall clock of its time zone, and a window lasts its duration of real time. A window whose
// beginning the clock skips when daylight saving time begins opens at the moment of the skip. One whose beginning comes
// twice when it ends opens the first time only.
type Window struct {
	name        string
	schedule    cron.Schedule // nil: once
	duration    time.Duration
	loc         *time.Location
	from, until time.Time
	scope       *Pool // nil: all alerts

	state atomic.Pointer[windowState]
}

// windowState is whether a window is open, for a span of time in Unix nanoseconds.
type windowState struct {
	from, until int64
	open        bool
}

// NewWindow checks and compiles a Maintenance.
func NewWindow(m Maintenance) (*Window, error) {
	w := &Window{name: m.Name, duration: m.Duration, loc: m.Location, from: m.From, until: m.Until, scope: union(m.Pools)}
	if w.loc == nil {
		w.loc = time.Local
	}
	if m.Schedule == "" {
		switch {
		case m.From.IsZero() || m.Until.IsZero():
			return nil, errors.New("it says not when it is open: give it schedule and duration, or from and until")
		case !m.Until.After(m.From):
			return nil, errors.New("until is not after from")
		case m.Duration != 0:
			return nil, errors.New("duration belongs to schedule: with from and until, leave it out")
		}
		return w, nil
	}
	var err error
	switch w.schedule, err = ParseSchedule(m.Schedule); {
	case err != nil:
		return nil, err
	case !m.From.IsZero() || !m.Until.IsZero():
		return nil, errors.New("it has a schedule, and from or until: give one of them")
	case m.Duration <= 0:
		return nil, errors.New(`it has a schedule and no duration: add one, such as "2h"`)
	case m.Duration > maxWindow:
		return nil, fmt.Errorf("its duration of %v is longer than %d days: use muted = true of the recipients", m.Duration, maxWindow/(24*time.Hour))
	}
	return w, nil
}

// ParseSchedule reads the five fields of a crontab line, and refuses one that never comes.
func ParseSchedule(s string) (cron.Schedule, error) {
	const hint = `write minute, hour, day of month, month and day of week, such as "0 2 * * SUN"`
	if len(s) > 0 && (s[0] == 'T' || s[0] == 'C') { // TZ= and CRON_TZ=, which the library takes
		return nil, fmt.Errorf("schedule %q: %s; the time zone has a key of its own, timezone", s, hint)
	}
	c, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(s)
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w: %s", s, err, hint)
	}
	spec, ok := c.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("schedule %q: %s", s, hint)
	}
	// The wall clock is walked as if it were UTC, which has no jumps; see Window.instant.
	spec.Location = time.UTC
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("schedule %q never comes: there is no such day", s)
	}
	return spec, nil
}

// Name is the name it was given.
func (w *Window) Name() string { return w.name }

// Open tells whether the window is open.
func (w *Window) Open(now time.Time) bool {
	n := now.UnixNano()
	st := w.state.Load()
	if st == nil || n < st.from || n >= st.until {
		st = &windowState{from: n, until: math.MaxInt64}
		if from, until, ok := w.Around(now); ok && from.After(now) {
			st.until = from.UnixNano()
		} else if ok {
			st.from, st.until, st.open = from.UnixNano(), until.UnixNano(), true
		}
		w.state.Store(st)
	}
	return st.open
}

// Around gives the time of the window that is open now, or else of the next one; ok is false if there will be none.
// Where windows overlap it is all of them, as far as two days from now.
func (w *Window) Around(now time.Time) (from, until time.Time, ok bool) {
	if w.schedule == nil {
		return w.from, w.until, now.Before(w.until)
	}
	// A day more than the duration: no clock has ever been put further.
	wall := onClock(now.In(w.loc)).Add(-w.duration - 25*time.Hour)
	for {
		if wall = w.schedule.Next(wall); wall.IsZero() {
			return from, until, ok
		}
		start := w.instant(wall)
		end := start.Add(w.duration)
		switch {
		case !ok && end.After(now):
			from, until, ok = start, end, true
		case ok && (start.After(until) || until.After(now.Add(48*time.Hour))):
			return from, until, ok
		case ok && end.After(until):
			until = end
		}
	}
}

// onClock gives what a clock shows as a time in UTC.
func onClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the clock of the window's time zone first shows a time, or jumps over it.
func (w *Window) instant(wall time.Time) time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, w.loc)
	from, until := t.ZoneBounds()
	if shown := onClock(t); !shown.Equal(wall) { // skipped: t lies on either side of the jump
		if shown.After(wall) {
			return from
		}
		return until
	}
	if from.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, then := from.Add(-time.Second).Zone()
	if first := t.Add(time.Duration(now-then) * time.Second); first.Before(from) && onClock(first.In(w.loc)).Equal(wall) {
		return first
	}
	return t
}

// holds tells whether the window holds an alert about these hosts back.
func (w *Window) holds(hs *hosts, now time.Time) bool {
	return (w.scope == nil || hs.in(w.scope) != 0) && w.Open(now)
}
