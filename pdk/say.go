package pdk

import (
	"strconv"
	"strings"
)

// Level is how much an alert asks of its reader: what colours and signs of messages are chosen by. The levels are in rising order,
// so they index a table of them.
type Level int

// The levels.
const (
	Ended    Level = iota // a release, whatever its severity
	Neutral               // none, debug, or a severity that is not known
	Info                  // info, notice
	Warning               // warning
	Error                 // error
	Critical              // critical, alert, emergency
	levels
)

// Level gives the level of the alert's action and severity.
func (a *Alert) Level() Level {
	if a.Action == "release" {
		return Ended
	}
	return LevelOf(a.Severity)
}

// LevelOf gives the level of a severity, for a service that has severities of its own and is told otherwise that an alert ended.
func LevelOf(severity string) Level {
	switch severity {
	case "emergency", "alert", "critical":
		return Critical
	case "error":
		return Error
	case "warning":
		return Warning
	case "notice", "info":
		return Info
	}
	return Neutral
}

// Sign is the level as one emoji, the same that the host's templates use.
func (l Level) Sign() string {
	return [levels]string{"✅", "⚪", "🔵", "🟡", "🟠", "🔴"}[l]
}

// Brief is the alert in one line, its title and what happened, for a message that has nothing else to say.
func (a *Alert) Brief() string {
	if a.Message == "" || a.Title == "" {
		return strings.TrimSpace(First(a.Title, a.Message, a.Check))
	}
	return strings.TrimSpace(a.Title + ": " + a.Message)
}

// Line makes text of anybody's one line and takes out the signs that turn the direction of writing, by which a value could fake what
// a reader sees: controls and line separators become spaces. The host has done so with rendered texts, not with an alert's fields.
func Line(s string) string {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r <= 0x9f, r == '\u2028', r == '\u2029':
			return ' '
		case r == '\u061c', r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\ufeff':
			return -1
		}
		return r
	}, s)
}

// First gives the first text that is not blank, and an empty one if all are.
func First(texts ...string) string {
	for _, t := range texts {
		if strings.TrimSpace(t) != "" {
			return t
		}
	}
	return ""
}

// BatchID names a request by the deliveries it carries, so that a receiver can drop a repeated one: a delivery's own id, or, of
// several, the first id with a hash of them all, which is another as soon as the batch is.
func BatchID(ids []string) string {
	switch len(ids) {
	case 0:
		return ""
	case 1:
		return ids[0]
	}
	return ids[0] + "-" + Hash(ids...)
}

// Hash gives a short name of texts: FNV-1a, 64 bits, each text ended by a line feed, in hexadecimal. It tells texts apart; it does
// not hide or protect them.
func Hash(texts ...string) string {
	h := uint64(14695981039346656037)
	for _, t := range texts {
		for i := range len(t) {
			h = (h ^ uint64(t[i])) * 1099511628211
		}
		h = (h ^ '\n') * 1099511628211
	}
	return strconv.FormatUint(h, 16)
}
