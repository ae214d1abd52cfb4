-- Index: gristmill_scheduled_queue; reads at most ?2 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_scheduled WHERE queue = ?1 LIMIT ?2)
