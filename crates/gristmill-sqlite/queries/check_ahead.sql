-- Index: gristmill_scheduled_due, from its end; reads at most ?2 rows of it. The primary key of task.
SELECT count(*) FROM gristmill_task
  WHERE created_at > ?1 AND seq IN (SELECT seq FROM gristmill_scheduled ORDER BY run_at DESC LIMIT ?2)
