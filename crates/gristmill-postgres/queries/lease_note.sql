-- Index: the primary keys of lease and of live. By id as in lease_take.
WITH hit AS MATERIALIZED (
  SELECT x.* FROM (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS x(id, fence, logs, progress) WHERE {brief5} OFFSET 0
  ) x
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), noted AS (
  UPDATE {s}.lease SET noted = true WHERE id = ANY (ARRAY(SELECT id FROM hit)) AND NOT noted
), kept AS (
  INSERT INTO {s}.live(id, logs, progress) SELECT id, logs, progress FROM hit
  ON CONFLICT (id) DO UPDATE SET logs = coalesce(excluded.logs, live.logs), progress = coalesce(excluded.progress, live.progress)
)
SELECT id, fence FROM hit
