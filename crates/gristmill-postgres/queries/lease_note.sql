-- Index: the primary keys of lease and of live. By id as in lease_take.
-- One that says nothing only asks for its lease, and leaves it what may be settled the short way.
WITH hit AS MATERIALIZED (
  SELECT x.* FROM (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS x(id, fence, logs, progress) WHERE {brief5} OFFSET 0
  ) x
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), said AS MATERIALIZED (
  SELECT * FROM hit WHERE logs IS NOT NULL OR progress IS NOT NULL
), noted AS (
  UPDATE {s}.lease SET noted = true WHERE id = ANY (ARRAY(SELECT id FROM said)) AND NOT noted
), kept AS (
  INSERT INTO {s}.live(id, logs, progress) SELECT id, logs, progress FROM said
  ON CONFLICT (id) DO UPDATE SET logs = coalesce(excluded.logs, live.logs), progress = coalesce(excluded.progress, live.progress)
)
SELECT id, fence FROM hit
