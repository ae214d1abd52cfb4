-- Index: the primary key.
DELETE FROM gristmill_task WHERE seq = ?1
