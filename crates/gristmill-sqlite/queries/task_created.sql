-- Index: the primary key.
SELECT created_at FROM gristmill_task WHERE seq = ?1
