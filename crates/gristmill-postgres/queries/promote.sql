-- Index: scheduled_due, in its order.
WITH due AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.scheduled WHERE run_at <= {now} AND flags & {unknown} = 0
  ORDER BY run_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.scheduled WHERE ctid = ANY (ARRAY(SELECT at FROM due))
  RETURNING {columns}, run_at
), placed AS (
  SELECT *, {placed} AS place FROM (SELECT *, false AS blocked, {now} AS now FROM gone) g
), {enter}
SELECT count(*) FROM placed
