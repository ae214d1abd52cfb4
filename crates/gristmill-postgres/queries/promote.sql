-- Index: scheduled_due, in its order, from $3 on; event_untold; key_look.
-- What became of them, line by line; how long it is until the next that is left, where what this program leaves alone is passed over,
-- or sweeps would follow each other without a pause; and from where on the next look need look: what was due before is taken, or locked by
-- somebody who takes it, but for what a statement that takes its time commits a moment after it was due. A clock that was set back is before $3, which counts for nothing then.
-- And whether events were sent of which nobody was told yet, and how long it is until somebody may begin who waits for a rate.
-- Nobody waits for the disk: what a crash of the server takes back is due still, and a claim that has come after it keeps it with itself.
WITH due AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.scheduled WHERE run_at >= (SELECT CASE WHEN $3 <= {now} THEN $3 ELSE 0 END) AND run_at <= {now} AND flags & {unknown} = 0
    AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
  ORDER BY run_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.scheduled WHERE ctid = ANY (ARRAY(SELECT at FROM due))
  RETURNING {columns}, run_at
), placed AS (
  SELECT *, {placed} AS place FROM (SELECT *, false AS blocked, {now} AS now FROM gone) g
), {enter}
SELECT p.place, p.queue, p.kind, p.count, n.wait,
       (SELECT CASE WHEN count(*) < $2 THEN {now} - 20 ELSE max(run_at) END FROM placed),
       EXISTS (SELECT FROM {s}.event WHERE NOT told), (SELECT min(look_at) - {now} FROM {s}.key WHERE look_at IS NOT NULL)
FROM (VALUES (1)) AS one(row)
LEFT JOIN (SELECT place, queue, kind, count(*) FROM placed GROUP BY place, queue, kind) p ON true
LEFT JOIN (
  SELECT least(run_at, 9000000000000000) - {now} AS wait FROM {s}.scheduled WHERE run_at > {now} AND flags & {unknown} = 0 ORDER BY run_at LIMIT 1
) n ON true
