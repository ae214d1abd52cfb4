-- Index: slot_task.
-- Tasks give back what they hold of keys: all, if they have ended, which is $2; else what they hold for one attempt.
WITH gone AS (
  DELETE FROM {s}.slot s USING unnest($1::uuid[], $2::boolean[]) AS x(task, ended) WHERE s.task = x.task AND (x.ended OR NOT s.until_ended)
  RETURNING s.key
)
INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM gone
