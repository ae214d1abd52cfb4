-- Index: the primary key.
SELECT queue, kind, priority FROM gristmill_task WHERE seq = ?1
