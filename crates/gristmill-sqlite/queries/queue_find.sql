-- Index: the unique index on name.
SELECT id FROM gristmill_queue WHERE name = ?1
