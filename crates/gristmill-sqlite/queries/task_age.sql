-- Index: the primary key.
UPDATE gristmill_task SET priority = 0 WHERE seq = ?1
