-- Schedules, what became of their ticks, and who leads the beats.

-- due_at: null while a beat need not look at it. body, memory: JSON of the beat's.
CREATE TABLE gristmill_schedule(
  id         INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  owner      TEXT,
  body       TEXT    NOT NULL,
  due_at     INTEGER,
  memory     TEXT    NOT NULL,
  revision   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  edited_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_schedule_due ON gristmill_schedule(due_at, name) WHERE due_at IS NOT NULL;
CREATE INDEX gristmill_schedule_owner ON gristmill_schedule(owner, name) WHERE owner IS NOT NULL;

-- One count for all: a schedule that is removed and made again must not get a revision that it had.
CREATE TABLE gristmill_revision(
  one  INTEGER PRIMARY KEY CHECK (one = 1),
  last INTEGER NOT NULL
) STRICT;
INSERT INTO gristmill_revision VALUES (1, 0);

-- The key is what makes a tick happen once. By name, as ticks outlive their schedule.
-- outcome: 0 enqueued, 1 manual, 2 skipped, 3 missed, 4 suppressed, 5 failed.
CREATE TABLE gristmill_tick(
  schedule   TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  written_at INTEGER NOT NULL,
  outcome    INTEGER NOT NULL,
  task       BLOB,
  reason     TEXT,
  PRIMARY KEY(schedule, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_tick_written ON gristmill_tick(written_at);

CREATE TABLE gristmill_beat(
  one        INTEGER PRIMARY KEY CHECK (one = 1),
  beat       BLOB    NOT NULL,
  term       INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
