-- Index: gristmill_scheduled_due.
SELECT min(run_at) FROM gristmill_scheduled
