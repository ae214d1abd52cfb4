-- Index: gristmill_task_unlabelled, in its order.
SELECT seq, meta FROM gristmill_task INDEXED BY gristmill_task_unlabelled
  WHERE meta IS NOT NULL AND labelled IS NULL ORDER BY seq DESC LIMIT ?1
