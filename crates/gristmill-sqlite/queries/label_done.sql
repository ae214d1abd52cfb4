-- Index: the primary key.
UPDATE gristmill_task SET labelled = 1 WHERE seq = ?1
