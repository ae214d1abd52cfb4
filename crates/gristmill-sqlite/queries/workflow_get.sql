-- Index: the unique index on id.
SELECT paused, cancelled, ended, retention, finished_at, touched_at, created_at FROM gristmill_workflow WHERE id = ?1
