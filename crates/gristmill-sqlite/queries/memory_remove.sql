-- Index: the primary key.
DELETE FROM gristmill_memory WHERE task = ?1 AND position = ?2
