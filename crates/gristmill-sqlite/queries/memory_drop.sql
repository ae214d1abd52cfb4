-- Index: the primary key.
UPDATE gristmill_memory SET dropped = 1 WHERE task = ?1 AND dropped = 0 AND (awaits IS NOT NULL OR code IN (6, 7))
