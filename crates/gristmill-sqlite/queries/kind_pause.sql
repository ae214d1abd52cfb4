-- Index: the primary key.
UPDATE gristmill_kind SET paused = ?2 WHERE id = ?1
