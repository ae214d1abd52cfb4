-- Index: the unique index on id.
SELECT seq, id, name, key, tags, iif(hold = 0, paused, hold & 1), cancelled, ended, created_at, finished_at, attempt, deadline_at, overdue, definition
  FROM gristmill_workflow WHERE id = ?1
