-- Index: gristmill_scheduled_due.
SELECT min(run_at) FROM gristmill_scheduled WHERE run_at > ?1
