package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// DigestPolicy says when what waited through an outage is sent as one message. Over is how many of one recipient's
// deliveries have to be older than After; 0: never. Those of severity Keep and above are sent one by one all the same.
type DigestPolicy struct {
	Over  int
	After time.Duration
	Keep  alert.Severity
}

const (
	digestCheck = "system/digest"
	digestTop   = 5 // checks, hosts and alerts that a digest names

	// sqlStale lists what a digest may stand for, of one recipient and severity, oldest first.
	sqlStale = `SELECT d.id, d.since, a.seq, a.action, a.key, a.json FROM delivery d INDEXED BY waiting CROSS JOIN alert a
		ON a.seq = d.alert WHERE d.recipient = ?1 AND d.severity = ?2 AND d.state = 0 AND d.since < ?3 AND d.digest IS NULL
		ORDER BY d.since LIMIT ?4`
	sqlCountStale = `SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY waiting WHERE recipient = ?1 AND severity = ?2
		AND state = 0 AND since < ?3 AND digest IS NULL LIMIT ?4)`
	// sqlOpenDigest finds a digest that can still grow: one that waits, and that nobody may have got already.
	sqlOpenDigest = `SELECT d.id, d.alert, g.summary FROM digest g CROSS JOIN delivery d ON d.id = g.delivery
		WHERE g.recipient = ?1 AND d.state = 0 AND d.ambiguous = 0 LIMIT 1`
	// sqlEngageDigest finds the digest that stands for the engage of a release, if one does.
	sqlEngageDigest = `SELECT g.id, g.state, g.not_before FROM alert a INDEXED BY engaged CROSS JOIN delivery d INDEXED BY by_alert
		ON d.alert = a.seq AND d.recipient = ?3 CROSS JOIN delivery g ON g.id = d.digest
		WHERE a.key = ?1 AND a.action = 1 AND a.seq < ?2 AND d.state = 7 ORDER BY a.seq DESC LIMIT 1`
	sqlJoin   = `UPDATE delivery SET state = 7, digest = ?2, changed = ?3, reason = ?4 WHERE id = ?1`
	sqlSingle = `UPDATE delivery SET digest = x'' WHERE id = ?1`
	// sqlUnjoin has what a digest stood for stand alone again; if nobody knows whether the digest arrived, that goes along.
	sqlUnjoin = `UPDATE delivery SET state = ?2, digest = x'', changed = ?3, reason = ?4,
		ambiguous = ambiguous OR (SELECT ambiguous FROM delivery WHERE id = ?1) WHERE digest = ?1 AND state = 7`
	// sqlRetire makes of a dead digest one that is not tried again, for what it stood for is.
	sqlRetire = `UPDATE delivery SET state = 6, reason = CASE WHEN reason = '' THEN ?2 ELSE reason || '; ' || ?2 END
		WHERE id = ?1 AND state = 5`
)

// digestSummary is what a digest says, in its alert's JSON under "digest".
type digestSummary struct {
	Alerts     int            `json:"alerts"`
	First      time.Time      `json:"first"` // when the oldest was queued
	Last       time.Time      `json:"last"`
	BySeverity map[string]int `json:"by_severity"`
	Checks     map[string]int `json:"checks"`
	Hosts      map[string]int `json:"hosts"`
	// Worst are the most severe, at most digestTop.
	Worst []digestAlert `json:"worst"`
}

// digestAlert is what a digest takes from an alert's JSON.
type digestAlert struct {
	ID         string `json:"id"`
	Title      string `json:"title"`
	Severity   string `json:"severity"`
	SeverityID int    `json:"severity_id"`
	Score      int    `json:"score"`
	Message    string `json:"message"`
	Client     string `json:"client,omitempty"`
	IP         string `json:"ip,omitempty"`
	MAC        string `json:"mac,omitempty"`
}

// maxNames bounds the checks and hosts that a summary counts one by one.
const maxNames = 1000

func (g *digestSummary) add(since time.Time, text []byte) {
	var a digestAlert
	_ = json.Unmarshal(text, &a) // stored by this program; counted all the same
	if g.Alerts == 0 {
		g.First, g.BySeverity, g.Checks, g.Hosts = since, map[string]int{}, map[string]int{}, map[string]int{}
	}
	g.Alerts++
	if since.Before(g.First) {
		g.First = since
	}
	if since.After(g.Last) {
		g.Last = since
	}
	g.BySeverity[a.Severity]++
	bump := func(m map[string]int, name string) {
		if _, known := m[name]; name != "" && (known || len(m) < maxNames) {
			m[name]++
		}
	}
	bump(g.Checks, a.Title)
	bump(g.Hosts, cmp.Or(a.IP, a.Client, a.MAC))
	if n := len(g.Worst); n < digestTop || a.Score > g.Worst[n-1].Score {
		g.Worst = append(g.Worst, a)
		slices.SortStableFunc(g.Worst, func(a, b digestAlert) int { return b.Score - a.Score })
		g.Worst = g.Worst[:min(len(g.Worst), digestTop)]
	}
}

// top writes the most frequent names as "name 12, other 3".
func top(m map[string]int) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(m[b]-m[a], strings.Compare(a, b)) })
	var out []string
	for _, n := range names[:min(len(names), digestTop)] {
		out = append(out, fmt.Sprintf("%s %d", n, m[n]))
	}
	if more := len(names) - len(out); more > 0 {
		out = append(out, fmt.Sprintf("%d others", more))
	}
	return strings.Join(out, ", ")
}

// alertJSON is the digest as an alert, in the JSON that plug-ins are given.
func (g *digestSummary) alertJSON(id alert.ID, now time.Time, r *recipient) ([]byte, error) {
	severity, score := alert.None, 0
	if len(g.Worst) > 0 {
		severity, score = alert.Severity(g.Worst[0].SeverityID), g.Worst[0].Score
	}
	const layout = "2006-01-02 15:04 MST"
	parts := []string{
		fmt.Sprintf("%d alerts waited while %s could not be reached, from %s to %s", g.Alerts, r.endpoint.name,
			g.First.Format(layout), g.Last.Format(layout)),
		"By severity: " + top(g.BySeverity), "By check: " + top(g.Checks),
	}
	if len(g.Hosts) > 0 {
		parts = append(parts, "By host: "+top(g.Hosts))
	}
	var worst []string
	for _, w := range g.Worst {
		worst = append(worst, w.Message)
	}
	parts = append(parts, "Most severe: "+strings.Join(worst, " | "))
	a := alert.Alert{
		ID: id, Time: now, Entity: alert.EntitySystem, Check: digestCheck, Title: fmt.Sprintf("Digest of %d alerts", g.Alerts),
		Category: alert.System, Severity: severity, Score: score, Action: alert.Store, Message: strings.Join(parts, ". ") + ".",
		Advice: "See each of them with: tocsin deliveries list --state digested --recipient " + r.name,
	}
	text, err := a.MarshalJSON()
	if err != nil {
		return nil, err
	}
	summary, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	return append(append(append(text[:len(text)-1], `,"digest":`...), summary...), '}'), nil
}

// Digest puts old deliveries of an endpoint that is back after an outage into a digest for each recipient that has too
// many of them, and returns how many it put there. A digest is a delivery that is due at once; what it stands for becomes
// Digested in the same transaction that stores or extends it, and goes back to the queue should the digest not arrive;
// the digest is not tried again then. A release is taken along if its engage was, and is old as well; a younger one follows the digest on its own.
func (s *Store) Digest(ctx context.Context, endpoint string) (n int, err error) {
	if s.digest.Over <= 0 || s.readOnly {
		return 0, ctx.Err()
	}
	s.mu.Lock()
	var rs []*recipient
	for _, r := range s.names.recipients {
		if r.endpoint.name == endpoint && !r.removed {
			rs = append(rs, r)
		}
	}
	s.mu.Unlock()
	for _, r := range rs {
		for more := s.why(r, nil, s.now()) == ""; more; {
			var got int
			err := s.do(ctx, "make a digest in", s.chunk, func(t *tx) (err error) {
				got, more, err = s.digestSome(t, r)
				return err
			})
			if err != nil {
				return n, err
			}
			n += got
		}
	}
	return n, nil
}

// digestSome puts up to a chunk of a recipient's old deliveries into its digest; more says that others are left.
func (s *Store) digestSome(t *tx, r *recipient) (n int, more bool, err error) {
	now := s.now()
	before := now.Add(-s.digest.After).UnixMilli()
	var id, raw []byte
	var seq int64
	var g digestSummary
	open, err := t.row([]any{&id, &seq, &raw}, sqlOpenDigest, r.seq)
	if err != nil {
		return 0, false, err
	}
	if open {
		if err := json.Unmarshal(raw, &g); err != nil {
			return 0, false, fmt.Errorf("the summary of digest %s: %w", alert.ID(id), err)
		}
	} else if enough, err := s.enoughStale(t, r, before); err != nil || !enough {
		return 0, false, err
	} else {
		fresh := alert.NewID()
		id = fresh[:]
	}
	reason := "digest " + alert.ID(id).String() + " stands for it"
	for rank := 0; rank < int(s.digest.Keep); rank++ {
		rows, err := s.stale(t, r, rank, before)
		if err != nil {
			return 0, false, err
		}
		for _, w := range rows {
			one := dueRow{d: alert.Delivery{ID: w.id, Alert: w.text}, seq: w.seq, release: w.release, key: w.key}
			if ended, err := s.quietOne(t, &one, r, now); err != nil {
				return 0, false, err
			} else if ended {
				continue
			}
			with, err := s.goesAlong(t, w, r)
			if err != nil {
				return 0, false, err
			}
			if !with {
				if _, err := t.exec(sqlSingle, w.id[:]); err != nil {
					return 0, false, err
				}
				continue
			}
			if _, err := t.exec(sqlJoin, w.id[:], id, now.UnixMilli(), reason); err != nil {
				return 0, false, err
			}
			g.add(fromMS(w.since), w.text)
			n++
		}
		if more = len(rows) > 0; more {
			break // the next transaction goes on
		}
	}
	if n == 0 {
		return 0, more, nil
	}
	t.move(r.seq, alert.Queued, alert.Digested, n)
	return n, more, s.putDigest(t, r, alert.ID(id), seq, &g, now)
}

func (s *Store) enoughStale(t *tx, r *recipient, before int64) (bool, error) {
	left := s.digest.Over + 1
	for rank := 0; rank < int(s.digest.Keep) && left > 0; rank++ {
		var n int
		if _, err := t.row([]any{&n}, sqlCountStale, r.seq, rank, before, left); err != nil {
			return false, err
		}
		left -= n
	}
	return left <= 0, nil
}

type staleRow struct {
	id      alert.ID
	since   int64
	seq     int64
	release bool
	key     string
	text    []byte
}

func (s *Store) stale(t *tx, r *recipient, rank int, before int64) (rows []staleRow, err error) {
	err = t.each(func(q *sql.Rows) error {
		var w staleRow
		var id, text sql.RawBytes
		var action int64
		if err := q.Scan(&id, &w.since, &w.seq, &action, &w.key, &text); err != nil {
			return err
		}
		copy(w.id[:], id)
		w.text = slices.Clone(text)
		w.release = alert.Action(action) == alert.Release && w.key != ""
		rows = append(rows, w)
		return nil
	}, sqlStale, r.seq, rank, before, s.chunk)
	return rows, err
}

// goesAlong tells whether a delivery goes into a digest: a release does if its engage did.
func (s *Store) goesAlong(t *tx, w staleRow, r *recipient) (bool, error) {
	if !w.release {
		return true, nil
	}
	var raw []byte
	var state, notBefore int64
	var provider string
	found, err := t.row([]any{&raw, &state, &notBefore, &provider}, sqlEngage, w.key, w.seq, r.seq)
	return !found || alert.State(state) == alert.Digested, err
}

// putDigest stores a digest, or what it says now. A new one is due at once and sorts before all else.
func (s *Store) putDigest(t *tx, r *recipient, id alert.ID, seq int64, g *digestSummary, now time.Time) error {
	text, err := g.alertJSON(id, now, r)
	if err != nil {
		return err
	}
	summary, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if seq == 0 {
		t.newSeq++
		seq = t.newSeq
		ms := now.UnixMilli()
		if _, err := t.exec(`INSERT INTO alert (seq, id, stored, action, key, json) VALUES (?, ?, ?, 0, '', ?)`,
			seq, id[:], ms, text); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO delivery (id, alert, recipient, state, not_before, created, since, changed, attempts,
			base, plain, ambiguous, reason, provider_id, severity, digest)
			VALUES (?1, ?2, ?3, 0, 1, ?4, ?4, ?4, 0, 0, 0, 0, '', '', ?5, x'')`, id[:], seq, r.seq, ms, digestRank); err != nil {
			return err
		}
		t.count(r.seq, alert.Queued, 1)
		t.wake[r.endpoint.name] = true
		t.after = append(t.after, func() { s.digests[id] = true })
	} else if _, err := t.exec(`UPDATE alert SET json = ? WHERE seq = ?`, text, seq); err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO digest (delivery, recipient, summary) VALUES (?1, ?2, ?3)
		ON CONFLICT (delivery) DO UPDATE SET summary = ?3`, id[:], r.seq, summary)
	return err
}

// digestEnded is called in the transaction in which a delivery may have ended: if it is a digest, what it stands for
// rests, or goes back to the queue if the digest did not arrive. The digest itself is then Skipped and no dead letter:
// nothing is lost with it, and a retry by hand would tell everything twice.
func (s *Store) digestEnded(t *tx, id alert.ID, state alert.State) error {
	s.mu.Lock()
	is := s.digests[id]
	s.mu.Unlock()
	if !is || state == alert.Queued || state == alert.Leased {
		return nil
	}
	t.after = append(t.after, func() { delete(s.digests, id) })
	if state == alert.Dead || state == alert.Skipped || state == alert.Silenced {
		var name string
		found, err := t.row([]any{&name}, `SELECT r.name FROM digest g JOIN recipient r ON r.seq = g.recipient WHERE g.delivery = ?`, id[:])
		if err != nil || !found {
			return err
		}
		r := s.recipientOf(t, name)
		to, reason := alert.Queued, "digest "+id.String()+" stood for it and did not arrive"
		if r.removed {
			to, reason = alert.Dead, removedReason(name)
		}
		n, err := t.execN(sqlUnjoin, id[:], int64(to), s.now().UnixMilli(), reason)
		if err != nil {
			return err
		}
		t.move(r.seq, alert.Digested, to, n)
		if n, err = t.execN(sqlRetire, id[:], "what it stood for stands alone again"); err != nil {
			return err
		}
		t.move(r.seq, alert.Dead, alert.Skipped, n)
		t.wake[r.endpoint.name] = true
	}
	_, err := t.exec(`DELETE FROM digest WHERE delivery = ?`, id[:])
	return err
}

// checkDigests does the same after a change of many deliveries at once.
func (s *Store) checkDigests(t *tx) error {
	s.mu.Lock()
	ids := slices.Collect(maps.Keys(s.digests))
	s.mu.Unlock()
	for _, id := range ids {
		var state int64
		found, err := t.row([]any{&state}, `SELECT state FROM delivery WHERE id = ?`, id[:])
		if err != nil {
			return err
		}
		if !found {
			state = int64(alert.Dead)
		}
		if err := s.digestEnded(t, id, alert.State(state)); err != nil {
			return err
		}
	}
	return nil
}
