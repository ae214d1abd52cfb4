-- Index: the primary key.
-- Locks the leases that nobody else has in hand, and says which those are; the others that are there are only named.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS x(id, fence)
), free AS MATERIALIZED (
  SELECT x.id, x.fence FROM x
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE SKIP LOCKED) l
)
SELECT id, fence, true FROM free
UNION ALL
SELECT x.id, x.fence, false FROM x
CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0) l
