-- Index: the primary key.
UPDATE gristmill_memory SET dropped = 1 WHERE task = ?1 AND awaits IS NOT NULL AND dropped = 0
