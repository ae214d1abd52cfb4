-- Index: the primary key.
UPDATE gristmill_task SET queue = ?2 WHERE seq = ?1
