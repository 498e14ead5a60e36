package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// applicationID marks the file as tocsin's in its header ("tocs"); see PRAGMA application_id.
const applicationID = 0x746f6373

// migrations lead from one schema version to the next: number i makes version i+1. A released one is never changed.
//
// Names are replaced by small numbers, so that the indexes stay small. A delivery's endpoint is its recipient's: one
// that moves to another endpoint takes along what waits for it. The partial indexes hold only the rows in that state:
//   - due orders what waits by when it may be sent: Lease and Next.
//   - leased finds at Open what a dead process was sending.
//   - dead holds the dead letters: List and Retry.
//   - by_alert finds the delivery of an engage for its release, and what Prune takes along.
//
// tally counts deliveries, kept by the transactions that change them, so that counts cost nothing with millions of rows.
var migrations = []string{`
CREATE TABLE endpoint (
	seq     INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	type    TEXT NOT NULL,
	config  BLOB NOT NULL, -- JSON; secrets as references
	removed INTEGER NOT NULL -- Unix ms; 0 while configured
) STRICT;
CREATE TABLE recipient (
	seq      INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	endpoint INTEGER NOT NULL REFERENCES endpoint(seq),
	config   BLOB NOT NULL,
	removed  INTEGER NOT NULL
) STRICT;
CREATE INDEX recipient_of ON recipient(endpoint);
CREATE TABLE alert (
	seq    INTEGER PRIMARY KEY,
	id     BLOB NOT NULL UNIQUE,
	stored INTEGER NOT NULL, -- Unix ms by the host's clock; the alert's own time is packet time
	action INTEGER NOT NULL,
	key    TEXT NOT NULL,
	json   BLOB NOT NULL
) STRICT;
CREATE INDEX engaged ON alert(key, seq) WHERE action = 1;
CREATE TABLE delivery (
	id          BLOB PRIMARY KEY,
	alert       INTEGER NOT NULL REFERENCES alert(seq),
	recipient   INTEGER NOT NULL REFERENCES recipient(seq),
	state       INTEGER NOT NULL,
	not_before  INTEGER NOT NULL,
	created     INTEGER NOT NULL,
	since       INTEGER NOT NULL, -- created, or the last retry by hand
	changed     INTEGER NOT NULL,
	attempts    INTEGER NOT NULL,
	base        INTEGER NOT NULL, -- attempts until the last retry by hand, and those that the end of tocsin cut off since
	plain       INTEGER NOT NULL,
	ambiguous   INTEGER NOT NULL,
	reason      TEXT NOT NULL,
	provider_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX due      ON delivery(recipient, not_before) WHERE state = 0;
CREATE INDEX waiting  ON delivery(recipient, since) WHERE state = 0;
CREATE INDEX leased   ON delivery(id) WHERE state = 1;
CREATE INDEX dead     ON delivery(id) WHERE state = 5;
CREATE INDEX by_alert ON delivery(alert, recipient);
CREATE TABLE attempt (
	delivery  BLOB NOT NULL REFERENCES delivery(id) ON DELETE CASCADE,
	n         INTEGER NOT NULL,
	at        INTEGER NOT NULL, -- when it began, Unix ms
	took      INTEGER NOT NULL, -- microseconds
	state     INTEGER NOT NULL, -- what became of the delivery
	status    INTEGER NOT NULL,
	ambiguous INTEGER NOT NULL,
	reason    TEXT NOT NULL,
	PRIMARY KEY (delivery, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE hold (
	endpoint TEXT PRIMARY KEY,
	until    INTEGER NOT NULL,
	broken   INTEGER NOT NULL,
	reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tally (
	recipient INTEGER NOT NULL REFERENCES recipient(seq),
	state     INTEGER NOT NULL,
	n         INTEGER NOT NULL,
	PRIMARY KEY (recipient, state)
) STRICT, WITHOUT ROWID;
`, migrateRanks, migrateSilence, migrateTried, migrateFresh}

// migrateRanks lets the queue be thinned out by severity and by digests. delivery.severity is the alert's, or digestRank
// for a digest; delivery.digest is the digest that stands for a delivery, or empty for one that shall be in none.
//   - waiting orders what waits by severity and age: expiry, what is dropped first, and what goes into a digest.
//   - digested finds what a digest stands for, should it not arrive.
//
// start keeps when requests of endpoints with a rate limit began, dropped what a full queue or disk did not hold.
const migrateRanks = `
ALTER TABLE delivery ADD COLUMN severity INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN digest BLOB;
UPDATE delivery SET severity = (SELECT CASE json_extract(CAST(a.json AS TEXT), '$.severity') WHEN 'debug' THEN 1 WHEN 'info' THEN 2
	WHEN 'notice' THEN 3 WHEN 'warning' THEN 4 WHEN 'error' THEN 5 WHEN 'critical' THEN 6 WHEN 'alert' THEN 7
	WHEN 'emergency' THEN 8 ELSE 0 END FROM alert a WHERE a.seq = delivery.alert);
DROP INDEX waiting;
CREATE INDEX waiting  ON delivery(recipient, severity, since) WHERE state = 0;
CREATE INDEX digested ON delivery(digest) WHERE digest IS NOT NULL;
CREATE TABLE start (
	endpoint TEXT NOT NULL,
	at       INTEGER NOT NULL,
	n        INTEGER NOT NULL,
	PRIMARY KEY (endpoint, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE digest ( -- those that have not arrived yet
	delivery  BLOB PRIMARY KEY,
	recipient INTEGER NOT NULL REFERENCES recipient(seq),
	summary   BLOB NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
CREATE TABLE dropped (
	recipient TEXT NOT NULL, -- by name: a full disk may be met before the recipient is known here
	severity  INTEGER NOT NULL,
	n         INTEGER NOT NULL,
	first     INTEGER NOT NULL, -- Unix ms
	last      INTEGER NOT NULL,
	PRIMARY KEY (recipient, severity)
) STRICT, WITHOUT ROWID;
`

// migrateTried lets a delivery's row record the attempt that succeeded, as most do at once: began, took and status are those
// of table attempt, began is 0 where the row records none. The view tried has all attempts.
const migrateTried = `
ALTER TABLE delivery ADD COLUMN began  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN took   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN status INTEGER NOT NULL DEFAULT 0;
CREATE VIEW tried AS
	SELECT delivery, n, at, took, state, status, ambiguous, reason FROM attempt
	UNION ALL SELECT id, attempts, began, took, state, status, 0, '' FROM delivery WHERE began <> 0;
`

// version reads the file's schema version and checks that the file is an outbox, or empty.
func version(ctx context.Context, q querier, path string) (int, error) {
	var id, v, tables int
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return 0, err
	}
	if err := q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
		return 0, err
	}
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables); err != nil {
		return 0, err
	}
	if id != applicationID && (id != 0 || v != 0 || tables != 0) {
		return 0, fmt.Errorf("%w: %s is an SQLite database of another program; set another path", ErrForeign, path)
	}
	return v, nil
}

// checkVersion refuses a file that this program cannot read as it is.
func checkVersion(ctx context.Context, q querier, path string) error {
	v, err := version(ctx, q, path)
	switch {
	case err != nil:
		return err
	case v > len(migrations):
		return &NewerError{Path: path, Has: v, Known: len(migrations)}
	case v < len(migrations):
		return fmt.Errorf("%s has schema version %d, older than %d: start `tocsin run` once, which brings it up to date",
			path, v, len(migrations))
	}
	return nil
}

// migrate brings the schema up to date, each version in a transaction of its own.
func migrate(ctx context.Context, c *sql.Conn, path string, steps []string) error {
	v, err := version(ctx, c, path)
	if err != nil {
		return err
	}
	if v > len(steps) {
		return &NewerError{Path: path, Has: v, Known: len(steps)}
	}
	for ; v < len(steps); v++ {
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\n;PRAGMA application_id = %d;\nPRAGMA user_version = %d;\nCOMMIT;",
			steps[v], applicationID, v+1)
		if _, err := c.ExecContext(ctx, script); err != nil {
			_, rerr := c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			return errors.Join(fmt.Errorf("%s: schema version %d could not be reached, the file is as it was: %w", path, v+1, err), rerr)
		}
	}
	return nil
}
