-- Index: scheduled_due, from its end; reads at most $2 rows of it. The primary keys of task and outcome.
-- Enqueued in the future, or put off then by an attempt that ended in it.
SELECT count(*) FROM (SELECT id FROM {s}.scheduled ORDER BY run_at DESC, seq DESC LIMIT $2) far
WHERE EXISTS (SELECT FROM {s}.task t WHERE t.id = far.id AND t.created_at > {now} + $3 OFFSET 0)
   OR EXISTS (SELECT FROM {s}.outcome o WHERE o.id = far.id AND o.finished_at > {now} + $3 OFFSET 0)
