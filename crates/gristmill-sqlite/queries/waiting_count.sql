-- Index: gristmill_waiting_queue; reads at most ?2 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_waiting WHERE queue = ?1 LIMIT ?2)
