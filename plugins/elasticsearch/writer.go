package main

import (
	"slices"
	"strconv"

	"github.com/tocsin-net/tocsin/pdk"
)

// document writes one alert as JSON, an object of objects. What is empty is left out.
type document struct {
	b     []byte
	first bool
}

func (d *document) key(name string) {
	if !d.first {
		d.b = append(d.b, ',')
	}
	d.first = false
	d.b = append(append(append(d.b, '"'), name...), '"', ':')
}

// object writes an object, unless fill writes nothing into it.
func (d *document) object(name string, fill func()) {
	at, first := len(d.b), d.first
	d.key(name)
	d.b, d.first = append(d.b, '{'), true
	fill()
	if d.first {
		d.b, d.first = d.b[:at], first
		return
	}
	d.b, d.first = append(d.b, '}'), false
}

func (d *document) text(name, value string, most int) {
	if value != "" {
		d.key(name)
		d.b = pdk.AppendJSONString(d.b, pdk.TruncateBytes(value, most))
	}
}

func (d *document) word(name, value string) { d.text(name, value, maxKeyword) }

func (d *document) number(name string, n int64) {
	d.key(name)
	d.b = strconv.AppendInt(d.b, n, 10)
}

// count writes a number that is unknown when it is 0.
func (d *document) count(name string, n int64) {
	if n != 0 {
		d.number(name, n)
	}
}

func (d *document) float(name string, f float64) {
	if f != 0 {
		d.key(name)
		d.b = pdk.AppendJSON(d.b, f)
	}
}

// list writes the values that are not empty, each once.
func (d *document) list(name string, values ...string) {
	n := 0
	for i, v := range values {
		if v == "" || slices.Contains(values[:i], v) {
			continue
		}
		if n == 0 {
			d.key(name)
			d.b = append(d.b, '[')
		} else {
			d.b = append(d.b, ',')
		}
		d.b = pdk.AppendJSONString(d.b, pdk.TruncateBytes(v, maxKeyword))
		n++
	}
	if n > 0 {
		d.b = append(d.b, ']')
	}
}

// when writes Unix seconds as a date; 0 is unknown.
func (d *document) when(name string, sec int64) {
	if sec != 0 {
		d.word(name, rfc3339(sec))
	}
}

// rfc3339 writes Unix seconds in UTC. Package time would make the module larger by a tenth.
func rfc3339(sec int64) string {
	day, rest := sec/86400, sec%86400
	if rest < 0 {
		day, rest = day-1, rest+86400
	}
	b := append(appendDay(nil, day, '-'), 'T')
	b = append(appendPadded(b, rest/3600, 2), ':')
	b = append(appendPadded(b, rest/60%60, 2), ':')
	return string(append(appendPadded(b, rest%60, 2), 'Z'))
}

// appendDay writes a day, counted from 1970, by the Gregorian calendar: 2026-03-14. Years are taken to begin in March, so
// that a leap day is the last of its year, and are counted in rounds of 400 years, which all have the same days.
func appendDay(b []byte, day int64, sep byte) []byte {
	day += 719468 // since 1 March of the year 0
	round := day / 146097
	n := day - round*146097
	year := (n - n/1460 + n/36524 - n/146096) / 365
	n -= 365*year + year/4 - year/100
	month := (5*n + 2) / 153 // from March
	n -= (153*month + 2) / 5
	year += round * 400
	if month += 3; month > 12 {
		month, year = month-12, year+1
	}
	b = append(appendPadded(b, year, 4), sep)
	b = append(appendPadded(b, month, 2), sep)
	return appendPadded(b, n+1, 2)
}

// appendPadded writes a number that is not negative with at least so many digits.
func appendPadded(b []byte, n int64, digits int) []byte {
	s := strconv.FormatInt(max(n, 0), 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
