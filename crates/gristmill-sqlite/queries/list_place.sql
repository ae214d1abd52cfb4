-- Index: the primary key.
SELECT queue, kind, created_at FROM gristmill_task WHERE seq = ?1
