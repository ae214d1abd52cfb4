-- Index: the primary keys of lease and of live.
WITH hit AS MATERIALIZED (
  SELECT x.*, l.at FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS x(id, fence, logs, progress)
  CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), noted AS (
  UPDATE {s}.lease SET noted = true WHERE ctid = ANY (ARRAY(SELECT at FROM hit))
), kept AS (
  INSERT INTO {s}.live(id, logs, progress) SELECT id, logs, progress FROM hit
  ON CONFLICT (id) DO UPDATE SET logs = coalesce(excluded.logs, live.logs), progress = coalesce(excluded.progress, live.progress)
)
SELECT id, fence FROM hit
