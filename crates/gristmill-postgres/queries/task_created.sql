-- Index: task_seq.
SELECT created_at FROM {s}.task WHERE seq = $1 LIMIT 1
