-- Index: the primary key, in its order; reads at most ?2 rows. One that stands elsewhere in line than at its arrival may have come first.
SELECT task FROM (SELECT task, queue FROM gristmill_moved ORDER BY task LIMIT ?2) WHERE queue = ?1 LIMIT 1
