-- Index: the primary key. How many rows a label has, of at most ?2.
SELECT count(*) FROM (SELECT 1 FROM gristmill_label WHERE label = ?1 LIMIT ?2)
