-- Index: the unique index on id.
SELECT iif(hold = 0, paused, hold & 1), cancelled, ended, retention, finished_at, touched_at, created_at, hold & 4 <> 0 FROM gristmill_workflow WHERE id = ?1
