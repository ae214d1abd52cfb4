-- Index: gristmill_task_unlabelled.
SELECT EXISTS (SELECT 1 FROM gristmill_task INDEXED BY gristmill_task_unlabelled WHERE meta IS NOT NULL AND labelled IS NULL)
