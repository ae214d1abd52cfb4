-- Index: the primary key.
-- Locks those leases that nobody else has in hand, and says which the others are.
WITH free AS MATERIALIZED (
  SELECT x.id FROM unnest($1::uuid[]) AS x(id)
  CROSS JOIN LATERAL (SELECT FROM {s}.lease b WHERE b.id = x.id OFFSET 0 FOR UPDATE SKIP LOCKED) b
)
SELECT x.id FROM unnest($1::uuid[]) AS x(id)
CROSS JOIN LATERAL (SELECT FROM {s}.lease b WHERE b.id = x.id OFFSET 0) b
WHERE x.id NOT IN (SELECT id FROM free)
