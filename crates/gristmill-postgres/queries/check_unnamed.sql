-- check_unnamed
-- Index: of each place the one that begins with the queue, in its order; the primary keys of queue and kind.
-- Tasks that wait and whose queue or type has no name, by their numbers. Nobody claims or parks them, so that those that are ready
-- come to the heads of their queues, and are looked for there; of each other place $1 rows are looked at.
WITH RECURSIVE queued AS (
  (SELECT queue FROM {s}.ready ORDER BY queue LIMIT 1)
  UNION ALL
  SELECT n.queue FROM queued q CROSS JOIN LATERAL (SELECT queue FROM {s}.ready WHERE queue > q.queue ORDER BY queue LIMIT 1) n
), seen AS (
  SELECT r.queue, r.kind FROM queued q CROSS JOIN LATERAL (
    SELECT queue, kind FROM {s}.ready WHERE queue = q.queue ORDER BY priority, seq LIMIT $1
  ) r
  UNION ALL (SELECT queue, kind FROM {s}.parked ORDER BY queue, kind LIMIT $1)
  UNION ALL (SELECT queue, kind FROM {s}.scheduled ORDER BY queue LIMIT $1)
  UNION ALL (SELECT queue, kind FROM {s}.waiting ORDER BY queue LIMIT $1)
  UNION ALL (SELECT queue, kind FROM {s}.blocked ORDER BY queue LIMIT $1)
), numbers AS (
  SELECT queue, kind, count(*) AS tasks FROM seen GROUP BY queue, kind
)
SELECT 'queue', queue, sum(tasks)::bigint FROM numbers n
WHERE NOT EXISTS (SELECT FROM {s}.queue q WHERE q.id = n.queue) GROUP BY queue
UNION ALL
SELECT 'kind', kind, sum(tasks)::bigint FROM numbers n
WHERE NOT EXISTS (SELECT FROM {s}.kind k WHERE k.id = n.kind) GROUP BY kind
ORDER BY 1, 2
