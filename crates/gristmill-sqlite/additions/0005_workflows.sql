-- Workflows: tasks that wait for tasks. Codes are those of gristmill-core's kit/encode.rs.

-- key: held by one of those that go on. retention: as in task. ended: 0 while it goes on, else how it ended. keep_until: null while it goes
-- on, or if it is kept for ever. touched_at: about when something of it last changed or was counted. definition: the last, as it may be
-- long, and what is in front of it is read without it.
CREATE TABLE gristmill_workflow(
  seq         INTEGER PRIMARY KEY,
  id          BLOB    NOT NULL UNIQUE,
  name        TEXT    NOT NULL,
  key         TEXT,
  tags        TEXT    NOT NULL,
  retention   INTEGER NOT NULL,
  paused      INTEGER NOT NULL DEFAULT 0,
  cancelled   INTEGER NOT NULL DEFAULT 0,
  ended       INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  finished_at INTEGER,
  keep_until  INTEGER,
  touched_at  INTEGER NOT NULL,
  definition  TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX gristmill_workflow_holder ON gristmill_workflow(key) WHERE key IS NOT NULL AND ended = 0;
CREATE INDEX gristmill_workflow_key ON gristmill_workflow(key, seq) WHERE key IS NOT NULL;
CREATE INDEX gristmill_workflow_name ON gristmill_workflow(name, seq);
CREATE INDEX gristmill_workflow_ended ON gristmill_workflow(ended, seq);
CREATE INDEX gristmill_workflow_quiet ON gristmill_workflow(touched_at) WHERE ended = 0;
CREATE INDEX gristmill_workflow_keep ON gristmill_workflow(keep_until) WHERE keep_until IS NOT NULL;

-- number: dense from 0. spec: JSON; what it waits for is in it. chore: what is still to be done to its members, from the place chore_from on.
CREATE TABLE gristmill_step(
  workflow   BLOB    NOT NULL,
  number     INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  state      INTEGER NOT NULL,
  members    INTEGER NOT NULL,
  closed     INTEGER NOT NULL,
  succeeded  INTEGER NOT NULL DEFAULT 0,
  failed     INTEGER NOT NULL DEFAULT 0,
  cancelled  INTEGER NOT NULL DEFAULT 0,
  chore      INTEGER NOT NULL DEFAULT 0,
  chore_from INTEGER NOT NULL DEFAULT 0,
  spec       TEXT    NOT NULL,
  PRIMARY KEY(workflow, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_step_chore ON gristmill_step(workflow) WHERE chore <> 0;

-- A member's step and its place there; null for all other tasks.
ALTER TABLE gristmill_task ADD COLUMN workflow BLOB;
ALTER TABLE gristmill_task ADD COLUMN step INTEGER;
ALTER TABLE gristmill_task ADD COLUMN place INTEGER;
CREATE INDEX gristmill_task_member ON gristmill_task(workflow, step, place) WHERE workflow IS NOT NULL;

-- What an older program has ended without telling the step. An end that owes nothing, as nearly all, has no row in it.
CREATE INDEX gristmill_outcome_owed ON gristmill_outcome(seq) WHERE owed <> 0;

-- A retry takes the end back from the step, whoever retries: a program without workflows, which knows nothing of steps, would have the
-- member counted twice, and what joins its group run without another one. An end that is owed has not been counted.
CREATE TRIGGER gristmill_outcome_reopened AFTER UPDATE OF ended ON gristmill_outcome
  WHEN OLD.ended <> 0 AND NEW.ended = 0 AND OLD.owed = 0
BEGIN
  UPDATE gristmill_step
    SET succeeded = max(succeeded - (OLD.ended = 1), 0),
        failed = max(failed - (OLD.ended NOT IN (1, 3, 4)), 0),
        cancelled = max(cancelled - (OLD.ended IN (3, 4)), 0)
    WHERE workflow = (SELECT t.workflow FROM gristmill_task t WHERE t.seq = OLD.seq)
      AND number = (SELECT t.step FROM gristmill_task t WHERE t.seq = OLD.seq);
END;
