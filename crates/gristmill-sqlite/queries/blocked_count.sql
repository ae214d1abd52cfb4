-- Index: gristmill_blocked_queue; reads at most ?2 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_blocked WHERE queue = ?1 LIMIT ?2)
