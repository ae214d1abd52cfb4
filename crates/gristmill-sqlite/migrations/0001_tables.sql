-- The body of a task is written once; the moving parts (ready, scheduled, parked, lease) are narrow and stay small.
-- A task's state is the table that holds it, else its outcome row with `ended` <> 0.
-- Times are milliseconds since 1970. No foreign keys: every write would pay for what `check` finds.

CREATE TABLE gristmill_queue(
  id     INTEGER PRIMARY KEY,
  name   TEXT    NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE gristmill_kind(
  id   INTEGER PRIMARY KEY,
  name TEXT    NOT NULL UNIQUE,
  spec TEXT
) STRICT;

-- retention: milliseconds, -1 for ever, -2 none. ack: 0 late, 1 early.
CREATE TABLE gristmill_task(
  seq          INTEGER PRIMARY KEY,
  id           BLOB    NOT NULL UNIQUE,
  queue        INTEGER NOT NULL,
  kind         INTEGER NOT NULL,
  priority     INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  max_crashes  INTEGER NOT NULL,
  ack          INTEGER NOT NULL,
  retention    INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  run_at       INTEGER NOT NULL,
  expires_at   INTEGER,
  args         TEXT    NOT NULL,
  meta         TEXT
) STRICT;

CREATE TABLE gristmill_ready(
  queue    INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  PRIMARY KEY(queue, priority, seq)
) STRICT, WITHOUT ROWID;

-- Ready tasks of types that no live worker serves, out of the way of those that can run.
CREATE TABLE gristmill_parked(
  queue    INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  PRIMARY KEY(queue, kind, priority, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE gristmill_scheduled(
  seq      INTEGER PRIMARY KEY,
  run_at   INTEGER NOT NULL,
  queue    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_scheduled_due ON gristmill_scheduled(run_at, seq);
CREATE INDEX gristmill_scheduled_queue ON gristmill_scheduled(queue, run_at);

-- Deadlines of tasks that wait and were never attempted.
CREATE TABLE gristmill_expiry(
  expires_at INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  PRIMARY KEY(expires_at, seq)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a reused key would let a dead worker's leases look alive.
CREATE TABLE gristmill_worker(
  key        INTEGER PRIMARY KEY AUTOINCREMENT,
  id         BLOB    NOT NULL UNIQUE,
  name       TEXT    NOT NULL,
  version    TEXT    NOT NULL,
  serves     TEXT    NOT NULL,
  started_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

-- mark: fence and task id, folded. noted: there is a row in live. retention: as in task, so that a success reads no body.
CREATE TABLE gristmill_lease(
  seq        INTEGER PRIMARY KEY,
  mark       BLOB    NOT NULL,
  worker     INTEGER NOT NULL,
  queue      INTEGER NOT NULL,
  attempt    INTEGER NOT NULL,
  claim_no   INTEGER NOT NULL,
  crashes    INTEGER NOT NULL,
  started    INTEGER NOT NULL,
  cancel     INTEGER NOT NULL DEFAULT 0,
  noted      INTEGER NOT NULL DEFAULT 0,
  retention  INTEGER NOT NULL,
  claimed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_lease_cancel ON gristmill_lease(worker, seq) WHERE cancel = 1;

CREATE TABLE gristmill_live(
  seq      INTEGER PRIMARY KEY,
  logs     TEXT,
  progress TEXT
) STRICT;

-- state: how the attempt ended. ended: 0 while the task goes on, else 1 succeeded, 2 failed, 3 cancelled, 4 expired.
CREATE TABLE gristmill_outcome(
  seq         INTEGER NOT NULL,
  claim_no    INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  crashes     INTEGER NOT NULL,
  state       INTEGER NOT NULL,
  ended       INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  started_at  INTEGER,
  keep_until  INTEGER,
  worker      TEXT,
  result      TEXT,
  error       TEXT,
  logs        TEXT,
  progress    TEXT,
  PRIMARY KEY(seq, claim_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_outcome_bad ON gristmill_outcome(ended, seq) WHERE ended > 1;
CREATE INDEX gristmill_outcome_keep ON gristmill_outcome(keep_until) WHERE keep_until IS NOT NULL;

-- What could not be read, taken out of the way so that the queue goes on.
CREATE TABLE gristmill_aside(
  id     INTEGER PRIMARY KEY,
  seq    INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  reason TEXT    NOT NULL,
  row    TEXT    NOT NULL
) STRICT;
