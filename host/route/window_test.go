package route

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func rome(t testing.TB) *time.Location {
	t.Helper()
	l, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func window(t testing.TB, m Maintenance) *Window {
	t.Helper()
	w, err := NewWindow(m)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestWindow asks windows about moments, in the order given: what a window remembers must not matter.
func TestWindow(t *testing.T) {
	it := rome(t)
	ny, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m           Maintenance
		open, close []string // RFC 3339
	}{
		"every Sunday": {
			Maintenance{Schedule: "0 2 * * SUN", Duration: 2 * time.Hour, Location: it},
			[]string{"2026-01-04T02:00:00+01:00", "2026-01-04T03:59:59+01:00", "2026-07-05T00:00:00Z", "2026-01-11T02:30:00+01:00"},
			[]string{"2026-01-04T01:59:59+01:00", "2026-01-04T04:00:00+01:00", "2026-01-05T02:30:00+01:00", "2026-07-05T02:00:00Z"},
		},
		"over midnight, in another zone": {
			Maintenance{Schedule: "30 23 31 12 *", Duration: time.Hour, Location: ny},
			[]string{"2027-01-01T04:30:00Z", "2027-01-01T05:29:59Z"},
			[]string{"2027-01-01T04:29:59Z", "2027-01-01T05:30:00Z", "2026-12-31T23:45:00Z"},
		},
		"once": {
			Maintenance{From: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
			[]string{"2026-03-01T10:00:00Z", "2026-03-01T12:59:59+01:00"},
			[]string{"2026-03-01T09:59:59Z", "2026-03-01T12:00:00Z", "2027-03-01T11:00:00Z"},
		},
		// On 29 March 2026 the clock goes from 02:00 to 03:00 (01:00 UTC).
		"begins in the hour that is skipped": {
			Maintenance{Schedule: "30 2 * * *", Duration: time.Hour, Location: it},
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T01:00:00Z", "2026-03-29T03:59:59+02:00", "2026-03-30T02:30:00+02:00"},
			[]string{"2026-03-29T00:59:59Z", "2026-03-29T04:00:00+02:00", "2026-03-30T02:29:59+02:00"},
		},
		"lasts over the skip": {
			Maintenance{Schedule: "0 1 * * *", Duration: 2 * time.Hour, Location: it},
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:59:59+02:00"}, // two hours have gone by
			[]string{"2026-03-29T04:00:00+02:00"},
		},
		// On 25 October 2026 the clock goes from 03:00 back to 02:00 (01:00 UTC).
		"begins in the hour that comes twice": {
			Maintenance{Schedule: "30 2 * * *", Duration: 30 * time.Minute, Location: it},
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-25T00:59:59Z", "2026-10-26T02:30:00+01:00"},
			[]string{"2026-10-25T02:29:59+02:00", "2026-10-25T01:00:00Z", "2026-10-25T02:30:00+01:00", "2026-10-25T02:59:00+01:00"},
		},
		"lasts over the hour that comes twice": {
			Maintenance{Schedule: "30 2 * * *", Duration: 2 * time.Hour, Location: it},
			[]string{"2026-10-25T02:45:00+02:00", "2026-10-25T02:15:00+01:00", "2026-10-25T03:29:59+01:00"},
			[]string{"2026-10-25T03:30:00+01:00"},
		},
		"one upon the other": {
			Maintenance{Schedule: "*/10 8-17 * * 1-5", Duration: 15 * time.Minute, Location: it},
			[]string{"2026-01-05T08:00:00+01:00", "2026-01-05T12:12:00+01:00", "2026-01-05T18:04:59+01:00"},
			[]string{"2026-01-05T07:59:59+01:00", "2026-01-05T18:05:00+01:00", "2026-01-04T12:00:00+01:00"},
		},
		"a month and a leap day": {
			Maintenance{Schedule: "0 0 29 2 *", Duration: maxWindow, Location: time.UTC},
			[]string{"2028-02-29T00:00:00Z", "2028-03-30T23:59:59Z"},
			[]string{"2026-02-28T23:59:59Z", "2028-03-31T00:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := window(t, c.m)
			for range 2 {
				for _, s := range c.open {
					if !w.Open(at(t, s)) {
						t.Errorf("not open at %s", s)
					}
				}
				for _, s := range c.close {
					if w.Open(at(t, s)) {
						t.Errorf("open at %s", s)
					}
				}
			}
		})
	}
}

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWindowEveryMinute compares what a window remembers with what it finds anew, over both jumps of the clock.
func TestWindowEveryMinute(t *testing.T) {
	it := rome(t)
	m := Maintenance{Schedule: "20,50 1-3 * * *", Duration: 17 * time.Minute, Location: it}
	for _, day := range []string{"2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"} {
		w, opens := window(t, m), 0
		was := false
		for now := at(t, day); now.Before(at(t, day).Add(12 * time.Hour)); now = now.Add(time.Minute) {
			got := w.Open(now)
			if anew := window(t, m).Open(now); got != anew {
				t.Fatalf("%v: remembered %v, anew %v", now.In(it), got, anew)
			}
			if got && !was {
				opens++
			}
			was = got
		}
		// 01:20, 01:50, 02:20 ... 03:50. In spring 02:20 and 02:50 fall on 03:00, when the window of 01:50 is still open.
		want := 6
		if strings.HasPrefix(day, "2026-03") {
			want = 4
		}
		if opens != want {
			t.Errorf("%s: it opened %d times, want %d", day, opens, want)
		}
	}
}

func TestAround(t *testing.T) {
	w := window(t, Maintenance{Schedule: "0 2 * * SUN", Duration: 2 * time.Hour, Location: time.UTC})
	from, until, ok := w.Around(at(t, "2026-01-05T00:00:00Z"))
	if !ok || !from.Equal(at(t, "2026-01-11T02:00:00Z")) || !until.Equal(at(t, "2026-01-11T04:00:00Z")) {
		t.Error(from, until, ok)
	}
	once := window(t, Maintenance{From: noon, Until: noon.Add(time.Hour)})
	if _, _, ok := once.Around(noon.Add(time.Hour)); ok {
		t.Error("a window that is over is announced")
	}
}

func TestNewWindowRefuses(t *testing.T) {
	for want, m := range map[string]Maintenance{
		"it says not when it is open":           {},
		"until is not after from":               {From: noon, Until: noon},
		"duration belongs to schedule":          {From: noon, Until: noon.Add(1), Duration: 1},
		"it has a schedule and no duration":     {Schedule: "0 0 * * *"},
		"and from or until: give one":           {Schedule: "0 0 * * *", Duration: 1, From: noon},
		"longer than 31 days":                   {Schedule: "0 0 * * *", Duration: maxWindow + 1},
		`schedule "0 2 * *": expected exactly`:  {Schedule: "0 2 * *", Duration: 1},
		`such as "0 2 * * SUN"`:                 {Schedule: "61 2 * * *", Duration: 1},
		"the time zone has a key of its own":    {Schedule: "TZ=UTC 0 2 * * *", Duration: 1},
		"never comes: there is no such day":     {Schedule: "0 0 30 2 *", Duration: 1},
		`schedule "@every 1h": `:                {Schedule: "@every 1h", Duration: 1},
		`schedule "CRON_TZ=": write minute, ho`: {Schedule: "CRON_TZ=", Duration: 1},
	} {
		if _, err := NewWindow(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestWindowConcurrent(t *testing.T) {
	w := window(t, Maintenance{Schedule: "*/2 * * * *", Duration: time.Minute, Location: time.UTC})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				now := noon.Add(time.Duration(i*(g+1)) * 7 * time.Second)
				if got, want := w.Open(now), now.Minute()%2 == 0; got != want {
					t.Errorf("open %v at %v", got, now)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzSchedule holds Around to its word for any schedule, at any time, in a zone whose clock jumps.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"0 2 * * SUN", "30 2 * * *", "*/5 0-23/3 1,15 * *", "0 0 29 2 *", "@daily", "TZ=UTC 0 0 * * *", "* * * * * *", ""} {
		f.Add(s, int64(1774746000), int64(3600)) // 2026-03-29T01:00:00Z
		f.Add(s, int64(1792890000), int64(90))   // 2026-10-25T01:00:00Z
	}
	it := rome(f)
	f.Fuzz(func(t *testing.T, s string, unix, seconds int64) {
		w, err := NewWindow(Maintenance{Schedule: s, Duration: time.Duration(seconds%int64(maxWindow/time.Second)) * time.Second, Location: it})
		if err != nil {
			return
		}
		now := time.Unix(unix%(1<<32), 0)
		from, until, ok := w.Around(now)
		if ok && (!from.Before(until) || !until.After(now)) {
			t.Errorf("%q at %v: %v to %v", s, now, from, until)
		}
		if open := ok && !from.After(now); w.Open(now) != open || ok && (!w.Open(from) || !w.Open(until.Add(-1))) {
			t.Errorf("%q at %v: %v to %v, open %v", s, now, from, until, w.Open(now))
		}
	})
}
