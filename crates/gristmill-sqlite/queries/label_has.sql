-- Index: the primary key.
SELECT EXISTS (SELECT 1 FROM gristmill_label WHERE label = ?1 AND seq = ?2)
