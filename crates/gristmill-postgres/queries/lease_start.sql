-- Index: the primary key. By id as in lease_take.
WITH hit AS MATERIALIZED (
  SELECT x.id FROM (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS x(id, fence) WHERE {brief3} OFFSET 0) x
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
)
UPDATE {s}.lease SET started = true WHERE id = ANY (ARRAY(SELECT id FROM hit)) RETURNING id, fence
