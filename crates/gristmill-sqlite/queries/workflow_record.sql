-- Index: the unique index on id.
SELECT seq, id, name, key, tags, paused, cancelled, ended, created_at, finished_at, definition FROM gristmill_workflow WHERE id = ?1
