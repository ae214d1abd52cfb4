-- Index: the primary key.
SELECT id FROM gristmill_task WHERE seq = ?1
