-- Index: scheduled_due, in its order.
-- What became of them, line by line, and how long it is until the next that is left. What this program leaves alone is passed over
-- there, too, or sweeps would follow each other without a pause.
WITH due AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.scheduled WHERE run_at <= {now} AND flags & {unknown} = 0
  ORDER BY run_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.scheduled WHERE ctid = ANY (ARRAY(SELECT at FROM due))
  RETURNING {columns}, run_at
), placed AS (
  SELECT *, {placed} AS place FROM (SELECT *, false AS blocked, {now} AS now FROM gone) g
), {enter}
SELECT p.place, p.queue, p.kind, p.count, n.wait
FROM (VALUES (1)) AS one(row)
LEFT JOIN (SELECT place, queue, kind, count(*) FROM placed GROUP BY place, queue, kind) p ON true
LEFT JOIN (
  SELECT least(run_at, 9000000000000000) - {now} AS wait FROM {s}.scheduled WHERE run_at > {now} AND flags & {unknown} = 0 ORDER BY run_at LIMIT 1
) n ON true
