-- Index: the primary key: one step a pair, whatever is parked.
WITH RECURSIVE pair AS (
  (SELECT queue, kind FROM {s}.parked ORDER BY queue, kind LIMIT 1)
  UNION ALL
  SELECT n.queue, n.kind FROM pair p CROSS JOIN LATERAL (
    SELECT queue, kind FROM {s}.parked WHERE (queue, kind) > (p.queue, p.kind) ORDER BY queue, kind LIMIT 1
  ) n
)
SELECT queue, kind FROM pair
