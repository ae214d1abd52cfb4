-- Index: the primary key.
WITH hit AS MATERIALIZED (
  SELECT x.*, l.at FROM unnest($1::uuid[], $2::uuid[]) AS x(id, fence)
  CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
)
UPDATE {s}.lease SET started = true WHERE ctid = ANY (ARRAY(SELECT at FROM hit)) RETURNING id, fence
