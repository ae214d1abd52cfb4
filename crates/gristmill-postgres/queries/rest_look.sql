-- Index: the unique index on name of queue; the primary key of ready.
-- What an idle worker looks for that leaves listening to others of its kind: a seat among them that has become free, which it then holds for
-- as long as its session lasts, and whether anything is ready in its queues.
SELECT (
  SELECT n::integer FROM unnest($1::bigint[]) WITH ORDINALITY AS seat(key, n) WHERE pg_try_advisory_lock(key) LIMIT 1
) AS seat, EXISTS (
  SELECT FROM {s}.queue q, LATERAL (SELECT FROM {s}.ready WHERE queue = q.id AND flags & {unknown} = 0 LIMIT 1) r
  WHERE q.name = ANY($2) AND NOT q.paused
) AS ready
