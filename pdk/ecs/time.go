package ecs

import "strconv"

// Time writes Unix seconds in UTC as RFC 3339 has it, 2026-03-14T09:26:53Z; the first ten bytes are the day. What is outside of the
// years 0 to 9999, which the format cannot say, becomes the nearest that is within. Package time would make a module larger by a
// tenth.
func Time(sec int64) string {
	const first, last = -62_167_219_200, 253_402_300_799
	sec = min(max(sec, first), last)
	day, rest := sec/86400, sec%86400
	if rest < 0 {
		day, rest = day-1, rest+86400
	}
	b := append(appendDay(nil, day), 'T')
	b = append(appendPadded(b, rest/3600, 2), ':')
	b = append(appendPadded(b, rest/60%60, 2), ':')
	return string(append(appendPadded(b, rest%60, 2), 'Z'))
}

// appendDay writes a day, counted from 1970, by the Gregorian calendar. Years are taken to begin in March, so that a leap day is the
// last of its year, and are counted in rounds of 400 years, which all have the same days.
func appendDay(b []byte, day int64) []byte {
	day += 719_468 + 146_097 // since 1 March of the year -400
	round := day / 146_097
	n := day - round*146_097
	year := (n - n/1460 + n/36_524 - n/146_096) / 365
	n -= 365*year + year/4 - year/100
	month := (5*n + 2) / 153 // from March
	n -= (153*month + 2) / 5
	year += round*400 - 400
	if month += 3; month > 12 {
		month, year = month-12, year+1
	}
	b = append(appendPadded(b, year, 4), '-')
	b = append(appendPadded(b, month, 2), '-')
	return appendPadded(b, n+1, 2)
}

// appendPadded writes a number that is not negative with at least so many digits.
func appendPadded(b []byte, n int64, digits int) []byte {
	s := strconv.FormatInt(n, 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
