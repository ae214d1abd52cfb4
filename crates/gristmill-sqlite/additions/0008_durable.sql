-- Durable steps: what tasks remember, and what has happened that they wait for. Codes are those of gristmill-core's durable/memory.rs.

-- task: its id, and no key of task, as an older program that deletes a task leaves these rows, and a key is given again. awaits: what makes
-- it due; on few rows. dropped: 1 once its task had ended and a sweep has seen to what it awaited. In a lease, `noted` has a 2 in it once its
-- attempt has a row here.
CREATE TABLE gristmill_memory(
  task       BLOB    NOT NULL,
  position   INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  occurrence INTEGER NOT NULL,
  code       INTEGER NOT NULL,
  until      INTEGER,
  awaits     TEXT,
  dropped    INTEGER NOT NULL DEFAULT 0,
  text       TEXT,
  PRIMARY KEY(task, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX gristmill_memory_awaits ON gristmill_memory(awaits, task, position) WHERE awaits IS NOT NULL AND dropped = 0;

-- untold: 1 until all who waited for it when it was sent are told.
CREATE TABLE gristmill_event(
  seq        INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  sent_at    INTEGER NOT NULL,
  keep_until INTEGER NOT NULL,
  untold     INTEGER NOT NULL DEFAULT 1,
  payload    TEXT    NOT NULL
) STRICT;
CREATE INDEX gristmill_event_keep ON gristmill_event(keep_until);
CREATE INDEX gristmill_event_untold ON gristmill_event(seq) WHERE untold <> 0;

-- A retry forgets what failed, whoever retries: a program without durable steps would have it fail again at once. What the task awaited it
-- may await again.
CREATE TRIGGER gristmill_outcome_retried AFTER UPDATE OF ended ON gristmill_outcome
  WHEN OLD.ended <> 0 AND NEW.ended = 0
BEGIN
  DELETE FROM gristmill_memory WHERE task = (SELECT t.id FROM gristmill_task t WHERE t.seq = OLD.seq) AND code IN (1, 5, 7, 8);
  UPDATE gristmill_memory SET dropped = 0 WHERE task = (SELECT t.id FROM gristmill_task t WHERE t.seq = OLD.seq) AND dropped <> 0;
END;
