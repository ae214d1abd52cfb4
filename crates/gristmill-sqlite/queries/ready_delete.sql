-- Index: the primary key.
DELETE FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 AND seq = ?3 AND turn = ?4
