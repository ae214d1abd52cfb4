-- Index: the unique index on id.
UPDATE gristmill_workflow SET paused = ?2, cancelled = ?3, ended = ?4, finished_at = ?5, keep_until = ?6, touched_at = ?7, hold = ?8 WHERE id = ?1
