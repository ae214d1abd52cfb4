-- A place for each reason to wait, and what is unusual about a task: `flags` is 0 for nearly all, which the short ways ask for. A
-- program leaves alone what has a flag that it does not know.

-- (seq, turn) is the place in line: that of a task's arrival is its key, and for those that came into the line later the key of the one
-- behind which they came, with a turn of 1 and more. task: the key of such a one; 0 stands for seq, so that rows of older programs,
-- which know no other place, are right as they are.
CREATE TABLE gristmill_line(
  queue    INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  turn     INTEGER NOT NULL DEFAULT 0,
  task     INTEGER NOT NULL DEFAULT 0,
  flags    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(queue, priority, seq, turn)
) STRICT, WITHOUT ROWID;
INSERT INTO gristmill_line(queue, priority, seq, kind, attempt, claim_no, crashes)
  SELECT queue, priority, seq, kind, attempt, claim_no, crashes FROM gristmill_ready ORDER BY queue, priority, seq;
DROP TABLE gristmill_ready;
ALTER TABLE gristmill_line RENAME TO gristmill_ready;

-- Where those of ready are that stand elsewhere than at their arrival. A table of its own, as an index on ready, even of few rows,
-- would be opened by each enqueue and each claim.
CREATE TABLE gristmill_moved(
  task     INTEGER PRIMARY KEY,
  queue    INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  turn     INTEGER NOT NULL
) STRICT;

CREATE TABLE gristmill_line(
  queue    INTEGER NOT NULL,
  kind     INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  seq      INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  turn     INTEGER NOT NULL DEFAULT 0,
  task     INTEGER NOT NULL DEFAULT 0,
  flags    INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(queue, kind, priority, seq, turn)
) STRICT, WITHOUT ROWID;
INSERT INTO gristmill_line(queue, kind, priority, seq, attempt, claim_no, crashes)
  SELECT queue, kind, priority, seq, attempt, claim_no, crashes FROM gristmill_parked ORDER BY queue, kind, priority, seq;
DROP TABLE gristmill_parked;
ALTER TABLE gristmill_line RENAME TO gristmill_parked;
CREATE INDEX gristmill_parked_moved ON gristmill_parked(task) WHERE task <> 0;

ALTER TABLE gristmill_scheduled ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_lease ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;

-- flags: those that the task had at its end, for a retry. owed: those of them whose part of the end a program that knows them has
-- yet to do; until then the task is kept.
ALTER TABLE gristmill_outcome ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gristmill_outcome ADD COLUMN owed INTEGER NOT NULL DEFAULT 0;

-- Tasks that wait for a slot of their limit.
CREATE TABLE gristmill_waiting(
  seq      INTEGER PRIMARY KEY,
  queue    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  flags    INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_waiting_queue ON gristmill_waiting(queue);

-- Tasks that wait for others. run_at: when they are due, which may be later than the end of that.
CREATE TABLE gristmill_blocked(
  seq      INTEGER PRIMARY KEY,
  run_at   INTEGER NOT NULL,
  queue    INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  crashes  INTEGER NOT NULL,
  flags    INTEGER NOT NULL
) STRICT;
CREATE INDEX gristmill_blocked_queue ON gristmill_blocked(queue);
