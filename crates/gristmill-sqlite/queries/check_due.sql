-- Index: gristmill_scheduled_due; reads at most ?2 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_scheduled WHERE run_at <= ?1 LIMIT ?2)
