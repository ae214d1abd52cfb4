-- Index: slot_task.
-- Tasks give back what they hold of keys: all, if they have ended, which is $2; else what they hold for one attempt. What they have taken of rates is
-- spent if they have begun, which is $3.
WITH gone AS (
  DELETE FROM {s}.slot s USING unnest($1::uuid[], $2::boolean[], $3::bigint[]) AS x(task, ended, began) WHERE s.task = x.task AND (x.ended OR NOT s.until_ended)
  RETURNING s.key, s.cost, x.began
), spent AS (
  INSERT INTO {s}.begun(key, at, cost) SELECT key, began, cost FROM gone WHERE starts_with(key, 'rate:') AND began IS NOT NULL
)
INSERT INTO {s}.touched(key) SELECT DISTINCT key FROM gone
