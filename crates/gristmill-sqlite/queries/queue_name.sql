-- Index: the primary key.
SELECT name FROM gristmill_queue WHERE id = ?1
