-- Durable steps: what tasks remember, and what has happened that they wait for. Codes are those of gristmill-core's durable/memory.rs.

-- task: its id, and no key of task, as an older program that deletes a task leaves these rows, and a key is given again. awaits: what makes
-- it due; on few rows. dropped: 1 once its task had ended and a sweep has seen to what it awaited and had started. In a lease, `noted` has a 2 in it once its
-- attempt has a row here. A retry by a program of the version before forgets nothing: what failed fails again at once, and the next retry by this
-- version forgets it.
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
-- Workflows that were started, which are cancelled if their task ends before them.
CREATE INDEX gristmill_memory_child ON gristmill_memory(task, position) WHERE code IN (6, 7) AND dropped = 0;
-- What makes tasks stand still, which are few.
CREATE INDEX gristmill_memory_mismatch ON gristmill_memory(task) WHERE code = 8 AND dropped = 0;

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
