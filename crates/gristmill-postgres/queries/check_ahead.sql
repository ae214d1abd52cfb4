-- Index: scheduled_due, from its end; reads at most $2 rows of it. The primary key of task.
SELECT count(*) FROM (SELECT id FROM {s}.scheduled ORDER BY run_at DESC, seq DESC LIMIT $2) far
CROSS JOIN LATERAL (SELECT created_at FROM {s}.task t WHERE t.id = far.id OFFSET 0) t WHERE t.created_at > {now} + $3
