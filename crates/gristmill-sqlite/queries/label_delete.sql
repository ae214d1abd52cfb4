-- Index: the primary key.
DELETE FROM gristmill_label WHERE label = ?1 AND seq = ?2
