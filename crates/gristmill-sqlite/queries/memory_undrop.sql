-- Index: the primary key. What a task awaited before it ended it may await again.
UPDATE gristmill_memory SET dropped = 0 WHERE task = ?1 AND dropped <> 0
