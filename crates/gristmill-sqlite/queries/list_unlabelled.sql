-- Index: gristmill_task_unlabelled, in its order.
SELECT seq, queue, kind, created_at FROM gristmill_task INDEXED BY gristmill_task_unlabelled
  WHERE meta IS NOT NULL AND labelled IS NULL AND seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
