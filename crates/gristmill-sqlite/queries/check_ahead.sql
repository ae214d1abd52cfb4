-- Index: gristmill_scheduled_due, from its end; reads at most ?2 rows of it. The primary keys of task and outcome.
-- Enqueued in the future, or put off then by an attempt that ended in it.
SELECT count(*) FROM (SELECT seq FROM gristmill_scheduled WHERE run_at > ?1 ORDER BY run_at DESC LIMIT ?2) AS far
  WHERE EXISTS (SELECT 1 FROM gristmill_task WHERE seq = far.seq AND created_at > ?1)
     OR EXISTS (SELECT 1 FROM gristmill_outcome WHERE seq = far.seq AND finished_at > ?1)
