-- Index: the primary key.
SELECT min(seq) FROM gristmill_ready WHERE queue = ?1 AND priority = ?2
