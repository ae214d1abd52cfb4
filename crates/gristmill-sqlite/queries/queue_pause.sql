-- Index: the primary key.
UPDATE gristmill_queue SET paused = ?2 WHERE id = ?1
