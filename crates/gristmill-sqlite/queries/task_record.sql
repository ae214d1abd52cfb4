-- Index: the primary key.
SELECT id, queue, kind, priority, max_attempts, max_crashes, created_at, run_at, args, meta
  FROM gristmill_task WHERE seq = ?1
